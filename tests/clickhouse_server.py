"""A ClickHouse that speaks HTTP with the real client, and knows the few statements of the ledger.

`benchmarks/clickhouse.py` runs the same statements on the real engine.
"""

import json
import re
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

VERSION = "25.8.4.13"
SUMMED = slice(14, 21)
"""The counts and the requests in a row of the table."""


class ClickHouseServer:
    """`rows`: every state that was stored, in order. `fails_with`: what all statements are answered with."""

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.rows: list[list[Any]] = []
        self.statements: list[str] = []
        self.settings: list[Mapping[str, str]] = []
        self.logins: set[str] = set()
        self.engine = ""
        self.uuid = "6f1c"
        self.fails_with: str | None = None
        self.before_insert: list[Any] = []
        self.port = 0

    @property
    def url(self) -> str:
        """The address with a login."""
        return f"clickhouse://ledger:s3cr%40t@127.0.0.1:{self.port}/costs"

    @property
    def ids(self) -> set[str]:
        """Ids of the stored responses."""
        return {row[0] for row in self.rows}

    def final(self) -> dict[str, dict[str, Any]]:
        """The state with the largest counts by id; the last of equal ones."""
        found: dict[str, list[Any]] = {}
        for row in self.rows:
            if row[0] not in found or row[-1] >= found[row[0]][-1]:
                found[row[0]] = row
        return {event_id: dict(zip(self.columns, row, strict=True)) for event_id, row in found.items()}

    def answer(self, statement: str, parameters: Mapping[str, str]) -> bytes:
        """The body of the answer."""
        self.statements.append(statement)
        if statement.startswith("CREATE TABLE IF NOT EXISTS ledger_events"):
            self.engine = self.engine or re.sub(r"INTERVAL (\d+) DAY", r"toIntervalDay(\1)", statement)
            return b""
        if statement.startswith("ALTER TABLE ledger_events MODIFY TTL"):
            self.engine = re.sub(r"toIntervalDay\(\d+\)", f"toIntervalDay({statement.split()[-2]})", self.engine)
            return b""
        if statement.startswith("INSERT INTO ledger_events"):
            head, *lines = statement.split("\n")
            self.columns = re.findall(r"`(\w+)`", head)
            for work in self.before_insert:
                work()
            self.rows += [json.loads(line) for line in lines]
            return b""
        if "version()" in statement:
            return f"{VERSION}\tUTC\n".encode()
        if "toString(uuid)" in statement:
            return _lines([[self.uuid]])
        if "system.tables" in statement:
            return _lines([[self.engine]] if self.engine else [])
        if "WHERE id IN" in statement or "WHERE session IN" in statement:
            wanted = {bytes.fromhex(each).decode() for each in parameters["param_ids"].split(",")}
            if "DISTINCT session" in statement:
                return _lines([[session] for session in {row[-3] for row in self.rows} & wanted])
            return _lines([row[:-1] for row in self.rows if row[0] in wanted])
        if "FINAL PREWHERE" in statement:
            return _lines(self._sums(parameters["param_since"], parameters["param_until"]))
        return b""

    def _sums(self, since: str, until: str) -> Iterator[list[Any]]:
        states = [row for row in self.rows if since <= row[1] < until]
        final = {row[0]: row for row in sorted(states, key=lambda row: row[-1])}
        cells: dict[tuple[str, str], list[Any]] = {}
        for row in final.values():
            minute = row[1][:16] + ":00"
            requests = row[20]
            more = [*row[SUMMED], requests * (row[21] == "error"), requests * (row[21] == "rate_limited")]
            cell = cells.setdefault((minute, row[3]), [minute, *row[3:14], *[0] * 9])
            cell[12:] = [one + other for one, other in zip(cell[12:], more, strict=True)]
        yield from cells.values()


def _lines(rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _fields(body: bytes, kind: str) -> dict[str, str]:
    """Fields of a form; any other body is the statement itself."""
    if not kind.startswith("multipart/form-data"):
        return {"query": body.decode()}
    found = re.findall(rb'name="(\w+)"\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
    return {name.decode(): value.decode() for name, value in found}


@contextmanager
def clickhouse_server() -> Iterator[ClickHouseServer]:
    """Runs within the context, on the loopback."""
    fake = ClickHouseServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fields = _fields(body, self.headers.get("Content-Type") or "")
            fake.settings.append(dict(parse_qsl(urlsplit(self.path).query)))
            fake.logins.add(b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode())
            said = fake.fails_with
            answer = said.encode() if said is not None else fake.answer(fields["query"], fields)
            self.send_response(200 if said is None else 500)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
