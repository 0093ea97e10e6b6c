"""The sender in one process: what reaches the bot, what waits while it is away, and what the log says."""

import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_cost_client import UsageSender
from tests.client.applications import QUICKLY, eventually
from tests.client.ingest_server import TOKEN, IngestServer

Make = Callable[..., UsageSender]


@pytest.fixture
def make(bot: IngestServer, tmp_path: Path) -> Iterator[Make]:
    """Makes senders to the bot, with a spool of this test's; they are closed at the end."""
    made: list[UsageSender] = []

    def make(url: str | None = None, token: str | None = TOKEN, **more: Any) -> UsageSender:
        made.append(
            UsageSender(
                url or bot.url, token, **{"spool": tmp_path / "spool", "environ": {}, "bounds": QUICKLY, **more}
            )
        )
        return made[-1]

    yield make
    for sender in made:
        sender.close(0)


def record(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"msg_{number:05}", "model": "claude-opus-5-5", "input_tokens": 10, "output_tokens": number, **more}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_put_reaches_the_bot_in_batches(bot: IngestServer, make: Make) -> None:
    sender = make()
    for number in range(500):
        sender.put(record(number))
    eventually(lambda: len(bot.events) == 500)
    assert bot.records == [{**record(number), "time": bot.records[number]["time"]} for number in range(500)]
    assert bot.requests < 100
    assert (set(bot.paths), set(bot.tokens)) == ({"/v1/usage"}, {f"Bearer {TOKEN}"})
    assert sender.flush()


def test_a_record_without_id_and_time_gets_them(bot: IngestServer, make: Make) -> None:
    sender = make()
    for _ in range(3):
        sender.put({"model": "claude-opus-5-5", "input_tokens": 1, "output_tokens": 1})
    assert sender.flush()
    assert len({each["id"] for each in bot.records}) == 3
    assert all(each["time"].endswith("+00:00") for each in bot.records)


def test_the_putting_thread_opens_no_connection_and_no_file(
    bot: IngestServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*args: Any, **kwargs: Any) -> Any:
            used.append(threading.current_thread().name)
            return function(*args, **kwargs)

        return watch

    monkeypatch.setattr(socket, "create_connection", watched(socket.create_connection))
    monkeypatch.setattr(os, "open", watched(os.open))
    monkeypatch.setattr(os, "write", watched(os.write))
    bot.answering.clear()
    sender = make()
    for number in range(50):
        sender.put(record(number))
    eventually(lambda: bot.requests > 0)
    for number in range(50, 100):
        sender.put(record(number))
    bot.answering.set()
    eventually(lambda: len(bot.events) == 100)
    assert set(used) == {"claude-cost-usage-collect", "claude-cost-usage-post"}


def test_ten_threads_put_at_once_and_nothing_is_lost_or_doubled(bot: IngestServer, make: Make) -> None:
    sender = make()

    def put(thread: int) -> None:
        for number in range(200):
            sender.put(record(thread * 1000 + number))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sender.flush(30)
    assert (len(bot.events), bot.repeats, sender.dropped, sender.rejected) == (2000, 0, 0, 0)


def test_while_the_bot_is_away_records_wait_on_disk_for_this_user_alone(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bot = IngestServer()
    sender, port = make(bot.url), bot.port
    bot.close()
    for number in range(20):
        sender.put(record(number))
        if number == 10:
            assert not sender.flush()
    assert not sender.flush()
    (directory,) = (tmp_path / "spool").iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(directory)} == {0o600}
    lines = [json.loads(line) for path in files(directory) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == [record(number)["id"] for number in range(20)]

    back = IngestServer(port)
    eventually(lambda: len(back.events) == 20)
    eventually(lambda: files(directory) == [])
    back.close()
    assert caplog.text.count("does not answer (Connection refused); usage records are kept and sent later") == 1


def test_a_later_process_sends_what_an_earlier_one_left(bot: IngestServer, make: Make) -> None:
    bot.status = 503
    earlier = make()
    for number in range(5):
        earlier.put(record(number))
    earlier.close()
    bot.status = 200
    later = make()
    later.put(record(5))
    eventually(lambda: len(bot.events) == 6)
    assert bot.repeats == 0


def test_flush_alone_sends_what_an_earlier_process_left(bot: IngestServer, make: Make) -> None:
    bot.status = 503
    earlier = make()
    earlier.put(record(1))
    earlier.close()
    bot.status = 200
    assert make().flush()
    assert len(bot.events) == 1


def test_several_senders_share_a_directory_and_each_record_is_sent_once(bot: IngestServer, make: Make) -> None:
    bot.status = 503
    senders = [make() for _ in range(4)]
    for number in range(400):
        senders[number % 4].put(record(number))
    for sender in senders:
        sender.flush()
    bot.status = 200
    for sender in senders:
        sender.flush()
    eventually(lambda: len(bot.events) == 400)
    assert bot.repeats == 0


def test_two_bots_do_not_get_each_others_records(bot: IngestServer, make: Make) -> None:
    other = IngestServer()
    bot.status = other.status = 503
    for sender, number in ((make(bot.url), 1), (make(other.url), 2)):
        sender.put(record(number))
        sender.close()
    bot.status = other.status = 200
    assert make(bot.url).flush()
    assert make(other.url).flush()
    assert ([*bot.events], [*other.events]) == ([record(1)["id"]], [record(2)["id"]])
    other.close()


def test_a_full_spool_drops_the_oldest_and_counts_them(
    bot: IngestServer, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bot.status = 503
    sender = make(spool_bytes=20_000)
    for number in range(500):
        sender.put(record(number))
        if number % 50 == 0:
            sender.flush()
    sender.flush()
    assert sum(path.stat().st_size for path in files(tmp_path / "spool")) <= 20_000
    bot.status = 200
    assert sender.flush()
    newest = sorted(bot.events)
    assert len(newest) + sender.dropped == 500
    assert newest == [record(number)["id"] for number in range(sender.dropped, 500)]
    assert len(newest) > 50
    assert caplog.text.count("too many wait to be sent, and the oldest go") == 1


def test_where_the_disk_cannot_be_written_records_wait_in_memory(
    bot: IngestServer, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    bot.status = 503
    sender = make(spool=tmp_path / "file", bounds=QUICKLY._replace(waiting=30))
    for number in range(40):
        sender.put(record(number))
        sender.flush()
    assert caplog.text.count("usage records stay in memory until they are sent") == 1
    bot.status = 200
    assert sender.flush()
    assert sorted(bot.events) == [record(number)["id"] for number in range(10, 40)]
    assert sender.dropped == 10


def test_a_directory_that_others_may_open_is_not_used(bot: IngestServer, make: Make, tmp_path: Path) -> None:
    bot.status = 503
    first = make()
    first.put(record(1))
    first.close()
    (directory,) = (tmp_path / "spool").iterdir()
    directory.chmod(0o777)
    kept = files(directory)
    sender = make()
    sender.put(record(2))
    assert not sender.flush()
    assert files(directory) == kept


def test_a_directory_that_is_deleted_meanwhile_is_made_anew(bot: IngestServer, make: Make, tmp_path: Path) -> None:
    bot.status = 503
    sender = make()
    sender.put(record(1))
    sender.flush()
    (directory,) = (tmp_path / "spool").iterdir()
    for path in files(directory):
        path.unlink()
    directory.rmdir()
    sender.put(record(2))
    sender.flush()
    bot.status = 200
    assert sender.flush()
    assert [*bot.events] == [record(2)["id"]]


def test_a_line_that_a_kill_has_torn_is_counted_and_the_others_are_sent(
    bot: IngestServer, make: Make, tmp_path: Path
) -> None:
    bot.status = 503
    earlier = make()
    earlier.put(record(1))
    earlier.close()
    (left,) = files(tmp_path / "spool")
    left.write_bytes(left.read_bytes() + b'{"id":"msg_2","mod')
    bot.status = 200
    sender = make()
    assert sender.flush()
    assert ([*bot.events], sender.dropped) == ([record(1)["id"]], 1)


def test_more_than_memory_holds_drops_the_oldest(bot: IngestServer, make: Make) -> None:
    sender = make(bounds=QUICKLY._replace(waiting=10, collect=60))
    for number in range(25):
        sender.put(record(number))
    assert sender.flush()
    assert ([*bot.events], sender.dropped) == ([record(number)["id"] for number in range(15, 25)], 15)


def test_many_at_once_do_not_wait_to_be_collected(bot: IngestServer, make: Make) -> None:
    sender = make(bounds=QUICKLY._replace(collect=60))
    for number in range(3000):
        sender.put(record(number))
    eventually(lambda: len(bot.events) >= 2000)


def test_rejected_records_are_counted_and_logged_once(
    bot: IngestServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sender = make()
    for number in range(10):
        sender.put(record(number) if number % 2 else {"id": f"bad_{number}"})
        assert sender.flush()
    assert (len(bot.events), sender.rejected) == (5, 5)
    assert caplog.text.count("a usage record was rejected (usage without a model)") == 1
    assert caplog.text.count("rejected") == 1


@pytest.mark.parametrize("odd", [{"a": object()}, {"a": float("nan")}, {"a": b"x"}, {1j: 2}, None, 5, "text", [1]])
def test_what_is_no_record_is_counted_and_never_raised(bot: IngestServer, make: Make, odd: Any) -> None:
    sender = make()
    sender.put(odd)
    sender.put(record(1))
    assert sender.flush()
    assert ([*bot.events], sender.rejected) == ([record(1)["id"]], 1)


def test_a_wrong_token_is_logged_once_with_the_remedy_and_the_records_are_kept(
    bot: IngestServer, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("wrong-token\n")
    sender = make(token=None, environ={"CLAUDE_COST_INGEST_TOKEN_FILE": str(file)})
    sender.put(record(1))
    assert not sender.flush()
    assert not sender.flush()
    assert caplog.text.count("answers HTTP 401: set CLAUDE_COST_INGEST_TOKEN to a token that the bot takes") == 1
    file.write_text(TOKEN + "\n")
    eventually(lambda: len(bot.events) == 1)


@pytest.mark.parametrize("status", [404, 405, 408, 425, 429, 500, 502, 503, 529])
def test_records_are_kept_while_the_bot_refuses(
    bot: IngestServer, make: Make, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    bot.status = status
    sender = make()
    sender.put(record(1))
    assert not sender.flush()
    bot.status = 200
    eventually(lambda: len(bot.events) == 1)
    assert caplog.text.count(f"answers HTTP {status}") == 1


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>Welcome</html>"), (200, b""), (200, b"[]"), (200, b"{}"), (400, b"plain http")]
)
def test_an_answer_that_is_not_the_bots_acknowledges_nothing(
    bot: IngestServer, make: Make, status: int, body: bytes
) -> None:
    bot.status, bot.body = status, body
    sender = make()
    sender.put(record(1))
    assert not sender.flush()
    bot.status, bot.body = 200, None
    eventually(lambda: len(bot.events) == 1)
    assert sender.rejected == 0


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_that_the_bot_can_never_read_does_not_hold_up_the_others(
    bot: IngestServer, make: Make, status: int
) -> None:
    bot.status, bot.body = status, b'{"error": "no"}'
    sender = make()
    sender.put(record(1))
    assert sender.flush()
    assert sender.rejected == 1


def test_a_request_that_is_too_large_is_sent_in_halves(bot: IngestServer, make: Make) -> None:
    bot.most_records = 3
    sender = make()
    for number in range(20):
        sender.put(record(number))
    assert sender.flush()
    assert (len(bot.events), sender.rejected) == (20, 0)


def test_retry_after_is_honoured_also_by_flush(bot: IngestServer, make: Make) -> None:
    bot.status, bot.headers = 503, {"Retry-After": "3600"}
    sender = make()
    sender.put(record(1))
    assert not sender.flush()
    bot.status = 200
    for _ in range(3):
        assert not sender.flush()
    assert bot.requests == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    bot: IngestServer, make: Make, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    other = IngestServer()
    bot.status, bot.headers = status, {"Location": other.url + "/v1/usage"}
    sender = make()
    sender.put(record(1))
    assert not sender.flush()
    assert (other.requests, caplog.text.count("answers with a redirect")) == (0, 1)
    other.close()


@pytest.mark.parametrize(
    ("url", "more", "may"),
    [
        ("http://bot.test", {}, False),
        ("http://10.0.0.7:8080", {}, False),
        ("http://127.0.0.1.bot.test", {}, False),
        ("http://localhost.bot.test", {}, False),
        ("http://bot.test", {"allow_http": True}, True),
        ("http://bot.test", {"environ": {"CLAUDE_COST_ALLOW_HTTP": "other.test, BOT.test"}}, True),
        ("http://bot.test", {"environ": {"CLAUDE_COST_ALLOW_HTTP": "other.test"}}, False),
        ("https://bot.test", {}, True),
        ("http://localhost:1", {}, True),
        ("http://[::1]:1", {}, True),
    ],
)
def test_a_token_goes_over_plain_http_to_the_loopback_and_where_it_is_allowed(
    make: Make,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    more: dict[str, Any],
    may: bool,
) -> None:
    asked: list[str] = []

    def nowhere(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    sender = make(url, **more)
    sender.put(record(1))
    assert not sender.flush()
    assert bool(asked) == may
    assert ("the token would go over plain http" in caplog.text) == (not may)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("http://127.0.0.1:1", "s3cret\r\nX-More: 1"),
        ("http://127.0.0.1:1", "s3crét"),
        ("http://user:s3cret@127.0.0.1:1", "s3cret"),
        ("http://127.0.0.1:s3cret", "s3cret"),
        ("http://[s3cret", "s3cret"),
        ("ftp://s3cret", "s3cret"),
        ("file:///s3cret", "s3cret"),
        ("s3cret", "s3cret"),
        ("http://127.0.0.1:1", "s3cret"),
        ("http://bot.test", "s3cret"),
    ],
)
def test_a_secret_is_in_no_log_and_no_repr(make: Make, caplog: pytest.LogCaptureFixture, url: str, token: str) -> None:
    caplog.set_level(logging.DEBUG)
    sender = make(url, token)
    sender.put(record(1))
    assert not sender.flush()
    sender.close()
    said = caplog.text + repr(sender) + repr(sender._way()[0])
    assert "kept and sent later" in said
    assert "s3cr" not in said.replace("ftp://s3cret", "")


def test_a_proxy_of_the_environment_does_not_get_a_token_for_the_loopback(
    bot: IngestServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = IngestServer()
    monkeypatch.setenv("http_proxy", proxy.url)
    sender = make()
    sender.put(record(1))
    assert sender.flush()
    assert (len(bot.events), proxy.requests) == (1, 0)
    proxy.close()


def test_without_an_address_nothing_happens(tmp_path: Path) -> None:
    before = threading.active_count()
    sender = UsageSender(environ={}, spool=tmp_path / "spool")
    sender.put(record(1))
    assert sender.flush()
    sender.close()
    assert (threading.active_count(), list(tmp_path.iterdir())) == (before, [])


def test_address_and_token_come_from_the_environment_at_the_first_record(bot: IngestServer, tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    sender = UsageSender(environ=environ)
    environ |= {
        "CLAUDE_COST_URL": bot.url + "/",
        "CLAUDE_COST_INGEST_TOKEN": TOKEN,
        "CLAUDE_COST_SPOOL": str(tmp_path / "spool"),
    }
    sender.put(record(1))
    assert sender.flush()
    sender.close()
    assert len(bot.events) == 1
