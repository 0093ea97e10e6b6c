"""A stand-in for the bot's `POST /v1/usage`: a record counts once by its id; one without a model is rejected."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "s3cret-token"


class IngestServer:
    """`events`: id → record. `status`, `body`: answered in place of taking records; `headers`: with each answer.

    `answering`: while it is not set requests wait. `requests`: how many came, refused ones included; `repeats`: records
    that came again.
    """

    def __init__(self, port: int = 0, token: str | None = TOKEN) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.requests = 0
        self.repeats = 0
        self.tokens: list[str | None] = []
        self.paths: list[str] = []
        self.most_records = 10_000
        self.answering = threading.Event()
        self.answering.set()
        self._token = token
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.answer(self, body)

            def do_GET(self) -> None:
                outer.answer(self, b"")

            def log_message(self, *args: object) -> None:
                """Tests read their own output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def records(self) -> list[dict[str, Any]]:
        """Records in the order of arrival."""
        return list(self.events.values())

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with self._lock:
            self.requests += 1
            self.tokens.append(handler.headers.get("Authorization"))
            self.paths.append(handler.path)
        self.answering.wait()
        status, answer = self._answer(handler, body)
        try:
            handler.send_response(status)
            for name, value in self.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer)))
            handler.end_headers()
            handler.wfile.write(answer)
        except OSError:
            """The sender no longer waits."""

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        if self._token is not None and handler.headers.get("Authorization") != f"Bearer {self._token}":
            return 401, b'{"error": "a token is needed"}'
        if self.status != 200:
            return self.status, self.body if self.body is not None else b"{}"
        assert (handler.path, handler.headers["Content-Encoding"]) == ("/v1/usage", "gzip")
        lines = gzip.decompress(body).splitlines()
        if len(lines) > self.most_records:
            return 413, b'{"error": "too many records"}'
        return 200, json.dumps(self._take(lines)).encode() if self.body is None else self.body

    def _take(self, lines: list[bytes]) -> dict[str, Any]:
        accepted, duplicates, rejected = 0, 0, []
        with self._lock:
            for index, line in enumerate(lines):
                record = json.loads(line)
                if "model" not in record:
                    rejected.append({"index": index, "reason": "usage without a model"})
                elif record["id"] in self.events:
                    duplicates += 1
                else:
                    self.events[record["id"]] = record
                    accepted += 1
            self.repeats += duplicates
        return {"accepted": accepted, "duplicates": duplicates, "rejected": rejected}

    def close(self) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
