"""Applications send what they log of each response: `POST /v1/usage` of the running bot."""

import asyncio
import gzip
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from aiohttp import web
from pydantic import SecretStr
from sqlalchemy import Connection, event, text

from bot.clock import DAY
from bot.ledger.intake import MOST_RECORDS
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.web.connections import LARGE_BODIES, Connections
from bot.web.server import open_port, web_app
from tests.databases import postgres_database
from tests.scenario.conftest import World
from tests.scenario.http_port import nothing_wrong
from tests.scenario.random_bodies import attempt

TOKEN, OTHER, READ = "ingest-token", "other-token", "read-token"
LINES = "application/x-ndjson"
OPUS = "claude-opus-5-5"


def record(number: int | None = None, **more: Any) -> dict[str, Any]:
    named = {} if number is None else {"id": f"msg_{number}"}
    return {**named, "feature": "search", "model": OPUS, "input_tokens": 10, "output_tokens": 1, **more}


def lines(records: Iterable[Any]) -> bytes:
    return b"\n".join(json.dumps(each).encode() for each in records)


class Port:
    """An open port of a bot, and what its ledger holds."""

    def __init__(self, client: httpx.AsyncClient, bot: Bot, app: web.Application) -> None:
        self.client = client
        self.bot = bot
        self.app = app

    async def send(
        self, body: bytes | object, kind: str = "application/json", token: str | None = TOKEN, **headers: str
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return await self.client.post("/v1/usage", content=content, headers=sent)

    async def first_line(self, request: bytes) -> bytes:
        """First line of the response to raw bytes."""
        url = self.client.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(request)
        async with asyncio.timeout(5):
            line = await reader.readline()
        writer.close()
        return line

    def stored(self) -> tuple[int, int]:
        """Requests and uncached input tokens."""
        now = self.bot.services.clock()
        rows = self.bot.services.ledger.read(now - 400 * DAY, now + 2 * DAY)
        return sum(row.sums.requests for row in rows), sum(row.sums.counts.uncached_input_tokens for row in rows)

    @contextmanager
    def raw(self) -> Iterator[Connection]:
        with self.bot.services.ledger._engine.connect() as connection:
            yield connection


@asynccontextmanager
async def port_of(
    bot: Bot,
    tokens: Mapping[str, str] | None = None,
    *,
    read: str | None = None,
    host: str = "127.0.0.1",
    slack: bool = False,
) -> AsyncIterator[Port]:
    tokens = {"default": TOKEN, "search": OTHER} if tokens is None else tokens
    connections = Connections()
    app = web_app(
        bot.slack if slack else None,
        nothing_wrong,
        bot.services,
        SecretStr(read) if read else None,
        signing_secret=SecretStr("secret"),
        host=host,
        ingest_tokens={name: SecretStr(token) for name, token in tokens.items()},
        connections=connections,
    )
    async with (
        open_port(app, "127.0.0.1", 0, connections) as ((_, number),),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{number}", timeout=30) as client,
    ):
        yield Port(client, bot, app)


@pytest.fixture
async def port(simulated: World) -> AsyncIterator[Port]:
    async with simulated.bot() as bot, port_of(bot) as port:
        yield port


async def test_records_come_in_every_form(port: Port) -> None:
    forms: list[tuple[bytes | object, str]] = [
        (record(1), "application/json"),
        (json.dumps(record(2), indent=2).encode(), "application/json; charset=utf-8"),
        ([record(3)], "application/json"),
        (b" \n[" + lines([record(4)]) + b"\n]\n", "application/json"),
        (b"\xef\xbb\xbf" + lines([record(5)]), "application/json"),
        (lines([record(6)]) + b"\r\n\r\n", LINES),
        ([record(7)], LINES),
    ]
    for body, kind in forms:
        plain = body if isinstance(body, bytes) else json.dumps(body).encode()
        first = await port.send(plain, kind)
        assert (first.status_code, first.json()) == (200, {"accepted": 1, "duplicates": 0, "rejected": []}), body
        for packed in (gzip.compress(plain), gzip.compress(plain[:9]) + gzip.compress(plain[9:])):
            again = await port.send(packed, kind, Content_Encoding="gzip")
            assert (again.status_code, again.json()["duplicates"]) == (200, 1), body
    assert port.stored() == (7, 70)


async def test_lines_are_recognised_whatever_they_are_called(port: Port) -> None:
    answer = await port.send(lines([record(1), record(2), record(1)]))
    assert answer.json() == {"accepted": 2, "duplicates": 1, "rejected": []}


async def test_what_is_sent_again_counts_once_and_a_record_without_an_id_each_time(port: Port) -> None:
    batch = [record(1), record(2, input_tokens=5), record()]
    answers = [(await port.send(batch)).json() for _ in range(2)]
    assert [(each["accepted"], each["duplicates"]) for each in answers] == [(3, 0), (1, 2)]
    assert port.stored() == (4, 35)


@pytest.mark.parametrize("kind", ["application/json", LINES])
async def test_bad_lines_among_ten_thousand_are_named_and_the_rest_is_stored(
    port: Port, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot.web.ingest")
    records: list[Any] = [record(number) for number in range(10_000)]
    records[17] = record(17, output_tokens=-1)
    records[4_711] = ["no", "record"]
    texts = [json.dumps(each).encode() for each in records]
    texts[9_998] = b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    body = b"\n".join(texts) if kind == LINES else b"[" + b",".join(texts) + b"]"
    answer = await port.send(body, kind)
    assert answer.json() == {
        "accepted": 9_997,
        "duplicates": 0,
        "rejected": [
            {"index": 17, "reason": "a negative token count"},
            {"index": 4_711, "reason": "not a JSON object"},
            {"index": 9_998, "reason": "nested too deep"},
        ],
    }
    assert port.stored() == (9_997, 99_970)
    said = "refused: 3 of the records of one request to /v1/usage, a negative token count"
    assert [line for line in caplog.messages if "refused" in line] == [said]


async def test_lines_that_are_no_json_are_named(port: Port) -> None:
    bad = [
        b"{",
        b"nonsense",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5_000 + b"}",
    ]
    answer = await port.send(b"\n".join([lines([record(1)]), *bad, lines([record(2)])]), LINES)
    assert answer.json() == {
        "accepted": 2,
        "duplicates": 0,
        "rejected": [{"index": index, "reason": "not JSON"} for index in range(1, 1 + len(bad))],
    }


GZIP = {"Content_Encoding": "gzip"}


def bodies() -> Iterator[tuple[bytes, dict[str, str], int, str]]:
    """Body, headers, expected status and words of the response."""
    yield b"", {}, 400, "empty"
    yield b" \n", {}, 400, "empty"
    yield b"nonsense", {}, 400, "not JSON"
    yield b"[1, 2", {}, 400, "no JSON array"
    yield b"[{}] [{}]", {}, 400, "no JSON array"
    yield b"[" * 200_000, {}, 400, "no JSON array"
    yield b"\xff\xfe[\x00]\x00", {}, 400, "not JSON"
    yield b"no gzip", GZIP, 400, "not gzip"
    yield gzip.compress(b"[]")[:-4], GZIP, 400, "breaks off"
    yield gzip.compress(b"[]") + b"more", GZIP, 400, "not gzip"
    yield gzip.compress(b"") * 101, GZIP, 400, "members"
    yield gzip.compress(b" " * (2**25 + 1)), GZIP, 413, "32 MB"
    yield gzip.compress(b"\0" * 2**28, 1), GZIP, 413, "32 MB"
    yield b"[" + b"0," * 3_000_000 + b"0]", {}, 413, "50,000"
    yield b"[" + b"{}," * MOST_RECORDS + b"{}]", {}, 413, "50,000"
    yield b"{}\n" * (MOST_RECORDS + 1), {}, 413, "50,000"
    yield b" " * (2**23 + 1), {}, 413, "8 MB"
    yield b"[]", {"Content_Encoding": "br"}, 415, "gzip"
    yield b"[]", {"Content_Type": "text/plain"}, 415, "application/json"
    yield b"[]", {"Content_Type": "application/x-www-form-urlencoded"}, 415, "application/json"
    yield b"[]", {"Content_Type": "application/json; charset=utf-16"}, 415, "UTF-8"


async def test_a_body_that_is_none_is_refused_in_one_sentence(port: Port) -> None:
    for body, headers, status, says in bodies():
        answer = await port.send(body, **headers)
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), (body[:20], headers)
        assert says in answer.json()["error"]
    assert port.stored() == (0, 0)
    assert (await port.send([])).json() == {"accepted": 0, "duplicates": 0, "rejected": []}


async def test_whatever_is_sent_has_an_answer_and_no_fault(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    random = Random(13)
    for number in range(150):
        one = attempt(random)
        answer = await port.client.post("/v1/usage", content=one.body, headers=one.headers)
        assert answer.status_code in one.statuses, (number, one.body[:200], one.headers, answer.text)
        assert set(answer.json()) in ({"error"}, {"accepted", "duplicates", "rejected"})
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert port.stored()[0] > 50


async def test_other_methods_and_a_body_without_a_length_are_refused(port: Port) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await port.client.request(method, "/v1/usage")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    head = f"POST /v1/usage HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    assert b" 411 " in await port.first_line(f"{head}Content-Type: application/json\r\n\r\n".encode())


async def test_a_body_in_chunks_is_taken_and_bounded_too(port: Port) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        yield lines([record(1)])
        for _ in range(size):
            yield b"\n" * 2**20

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": LINES}
    answers = [await port.client.post("/v1/usage", content=chunks(size), headers=headers) for size in (1, 9)]
    assert [answer.status_code for answer in answers] == [200, 413]


async def test_only_a_senders_token_opens_the_ledger_and_it_opens_nothing_else(simulated: World) -> None:
    async with simulated.bot() as bot, port_of(bot, read=READ) as port:
        for wrong in (None, "wrong", READ, f"{TOKEN}x", TOKEN[:-1]):
            answer = await port.send([record(1)], token=wrong)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        head = b"POST /v1/usage HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\r\n"
        assert b" 401 " in await port.first_line(head + b"Content-Length: 2\r\n\r\n[]")
        assert port.stored() == (0, 0)
        for token in (TOKEN, OTHER):
            assert (await port.send([record()], token=token)).status_code == 200
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await port.client.get("/v1/fallback", headers=bearer)).status_code == 401


async def test_without_tokens_only_programs_of_this_machine_may_send(simulated: World) -> None:
    async with simulated.bot() as bot:
        async with port_of(bot, {}) as port:
            for headers, status in (
                ({}, 200),
                ({"X_Forwarded_For": "10.0.0.1"}, 401),
                ({"Origin": "https://evil.example"}, 403),
                ({"Sec_Fetch_Site": "cross-site"}, 403),
                ({"Host": "evil.example"}, 421),
            ):
                assert (await port.send([record(1)], token=None, **headers)).status_code == status
        settings: tuple[dict[str, Any], ...] = ({"read": READ}, {"host": "0.0.0.0"}, {"slack": True})
        for setting in settings:
            async with port_of(bot, {}, **setting) as port:
                answer = await port.send([record(2)], token=None)
                assert answer.status_code == 403
                assert "CLAUDE_COST_INGEST_TOKEN" in answer.json()["error"]
                assert port.stored() == (1, 10)


async def test_the_body_of_a_stranger_is_not_waited_for(port: Port) -> None:
    head = b"POST /v1/usage HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n{"
    assert b" 401 " in await port.first_line(head)


async def test_more_large_bodies_than_are_read_at_once_wait_and_are_sent_away(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = port.client.base_url
    head = f"POST /v1/usage HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {LINES}\r\n"
    slow = [await asyncio.open_connection(url.host, url.port) for _ in range(LARGE_BODIES)]
    for _, writer in slow:
        writer.write(f"{head}Content-Length: 10\r\n\r\n{{}}".encode())
        await writer.drain()
    waiting = asyncio.create_task(port.send([record(1)]))
    assert (await port.client.get("/healthz")).status_code == 200
    assert not waiting.done()
    slow[0][1].close()
    assert (await waiting).status_code == 200
    for _, writer in slow:
        writer.close()


async def test_what_cannot_be_stored_is_not_acknowledged(port: Port, tmp_path: Path) -> None:
    def hurry(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA busy_timeout = 50")

    event.listen(port.bot.services.ledger._engine.pool, "checkout", hurry)
    with closing(sqlite3.connect(tmp_path / "claude-cost.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        locked = await port.send([record(1)])
        other.execute("ROLLBACK")
    assert (locked.status_code, locked.headers["Retry-After"]) == (503, "2")
    with port.raw() as connection:
        most = connection.exec_driver_sql("PRAGMA max_page_count").scalar_one()

    def fill(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(port.bot.services.ledger._engine.pool, "checkout", fill)
    full = await port.send([record(number, session="x" * 200) for number in range(2_000)])
    assert full.status_code == 503
    assert port.stored() == (0, 0)
    event.remove(port.bot.services.ledger._engine.pool, "checkout", fill)
    event.listen(
        port.bot.services.ledger._engine.pool,
        "checkout",
        lambda connection, *_: connection.execute(f"PRAGMA max_page_count = {most}"),
    )
    assert (await port.send([record(1)])).json()["accepted"] == 1


async def test_what_is_committed_survives_a_power_cut(port: Port) -> None:
    with port.raw() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("synchronous", "journal_mode")]
    assert found == [2, "wal"]


async def test_responses_go_after_their_time_and_their_sums_stay(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text("[ledger]\nkeep_days = 2\nhash_users = true\n", encoding="utf-8")
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot, port_of(bot) as port:
        await port.send([record(1, user_id="lovelace")])
        clock.advance(3 * DAY)
        await port.send([record(2, user_id="lovelace")])
        await bot.cycle()
        with port.raw() as connection:
            assert connection.execute(text("SELECT id FROM ledger_events")).scalars().all() == ["msg_2"]
            assert "lovelace" not in repr(connection.execute(text("SELECT * FROM ledger_dimensions")).all())
        assert port.stored() == (2, 20)


async def test_a_copy_that_only_stands_by_takes_usage_too(simulated: World) -> None:
    with postgres_database() as url:
        async with (
            simulated.bot(CLAUDE_COST_DATABASE_URL=url) as first,
            simulated.bot(CLAUDE_COST_DATABASE_URL=url) as second,
            port_of(first) as one,
            port_of(second) as other,
        ):
            assert sorted([first.leads(), second.leads()]) == [False, True]
            batches = [[record(number) for number in range(begin, begin + 300)] for begin in range(0, 1000, 100)]
            answers = await asyncio.gather(*(port.send(batch) for batch in batches for port in (one, other)))
            assert sum(answer.json()["accepted"] for answer in answers) == 1_200
            assert one.stored() == other.stored() == (1_200, 12_000)
