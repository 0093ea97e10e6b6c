"""A fault that repeats cannot fill a disk with its log."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest

from bot.log_bound import MOST_CHARACTERS, MOST_KINDS, PER_KIND, PER_SECOND, WINDOW_SECONDS, BoundedHandler, JsonLines
from bot.log_fields import NAMES, Event, fields


class Log:
    """A logger of its own whose time stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stream = io.StringIO()
        self.handler = BoundedHandler(self.stream, lambda: self.seconds)
        self.logger = logging.Logger("of a test")
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.handler.close()


def test_entries_that_repeat_are_counted_instead_and_the_count_is_reported(log: Log) -> None:
    for number in range(1000):
        log.logger.error("notice %d waits", number)
    assert len(log.lines) == PER_KIND
    log.seconds = WINDOW_SECONDS
    log.logger.error("something else")
    assert log.lines[PER_KIND] == f"… {1000 - PER_KIND} more like this in the last minute: notice %d waits"
    log.logger.error("notice %d waits", 1)
    assert log.lines[-1] == "notice 1 waits"


def test_tracebacks_of_one_place_are_one_kind_however_their_texts_differ(log: Log) -> None:
    for number in range(200):
        try:
            raise OSError(24, f"too many open files {number}")
        except OSError:
            log.logger.exception("accept failed on <socket 0x%x>" % number)  # noqa: UP031  # as libraries do
    assert log.stream.getvalue().count("Traceback") == PER_KIND


def test_the_first_entry_of_a_kind_passes_in_any_flood(log: Log) -> None:
    for kind in range(PER_SECOND):
        for _ in range(PER_KIND):
            log.logger.error("kind %s" + "x" * kind, kind)
    assert len(log.lines) <= PER_SECOND * 2
    log.logger.error("and now the disk is full")
    assert log.lines[-1] == "and now the disk is full"


def test_ever_new_kinds_take_no_memory_without_end_and_do_not_flood(log: Log) -> None:
    for kind in range(20 * MOST_KINDS):
        log.logger.error("q" * (kind % 200) + "abcdefghij"[kind % 10] + "z" * (kind // 200))
    assert len(log.lines) <= MOST_KINDS + PER_KIND
    assert len(log.handler._kinds) <= MOST_KINDS + 1


def test_one_entry_is_cut_at_a_length(log: Log) -> None:
    log.logger.error("x" * 10 * MOST_CHARACTERS)
    assert len(log.stream.getvalue()) < 2 * MOST_CHARACTERS


def test_what_was_left_out_is_reported_at_the_end(log: Log) -> None:
    for _ in range(PER_KIND + 5):
        log.logger.warning("again")
    log.handler.close()
    assert log.lines[-1].startswith("… 5 more like this")


async def test_a_flood_of_the_event_loop_s_own_errors_is_bounded(log: Log) -> None:
    loop_log = logging.getLogger("asyncio")
    loop_log.addHandler(log.handler)
    loop_log.propagate = False
    try:
        for number in range(500):
            context = {
                "message": "socket.accept() out of system resource",
                "exception": OSError(24, "none"),
                "n": number,
            }
            asyncio.get_running_loop().default_exception_handler(context)
    finally:
        loop_log.removeHandler(log.handler)
        loop_log.propagate = True
    assert log.stream.getvalue().count("out of system resource") == PER_KIND


def test_what_stands_for_a_stored_row_is_never_left_out(log: Log) -> None:
    rows = 2 * MOST_KINDS
    for number in range(rows):
        log.logger.info("notice %d is delivered", number, extra=fields(event=Event.DELIVERY, notice=number))
    assert len(log.lines) == rows
    for number in range(rows):
        log.logger.info("refused: HTTP with %d", number, extra=fields(event=Event.REFUSAL, http_status=number))
        log.logger.error("notice %d waits", number, extra=fields(event=Event.DELIVERY, notice=number))
    assert len(log.lines) == rows + 2 * PER_KIND


@pytest.fixture
def as_json(log: Log) -> Log:
    log.handler.setFormatter(JsonLines())
    return log


def test_each_line_as_json_is_one_object_whatever_is_logged(as_json: Log) -> None:
    as_json.logger.warning('x\n{"level": "ERROR"}\u2028\x1b[2J \u202egnp', extra=fields(reason="a\nb", attempt=2))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        as_json.logger.exception("failed", stack_info=True)
    as_json.logger.error("x" * 10 * MOST_CHARACTERS, extra={"reason": "y" * 10 * MOST_CHARACTERS})
    assert as_json.stream.getvalue().isascii()
    first, failed, long = map(json.loads, as_json.lines)
    assert list(first) == ["time", "level", "logger", "message", "reason", "attempt"]
    assert (first["level"], first["reason"], first["attempt"]) == ("WARNING", "a\nb", 2)
    assert failed["exception"].splitlines()[-2:] == ["ValueError: two", "lines"]
    assert failed["stack"].startswith("Stack (most recent call last):")
    assert len(long["message"]) + len(long["reason"]) < 3 * MOST_CHARACTERS


def test_only_the_documented_fields_get_into_a_line(as_json: Log) -> None:
    strange = {"level": "ERROR", "payload": {"token": "x"}, "wait_seconds": Decimal("1.5"), "user": ["U1"]}
    as_json.logger.info({"level": "CRITICAL"}, extra=strange)  # as some libraries do
    (line,) = map(json.loads, as_json.lines)
    assert set(line) - {"time", "level", "logger", "message"} == {"wait_seconds", "user"} <= set(NAMES)
    assert (line["level"], line["user"], line["wait_seconds"]) == ("INFO", "['U1']", "1.5")


@pytest.mark.parametrize("secret", ["xoxb-1234567890-abc", "sk-ant-admin01-abcdef", "postgresql://u:pa55word@db/x"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_gets_into_a_line_by_any_way(log: Log, form: str, secret: str) -> None:
    if form == "json":
        log.handler.setFormatter(JsonLines())
    log.logger.error("refused: %s", secret, extra=fields(reason=f"it was {secret}", path=secret))
    try:
        raise ValueError(secret)
    except ValueError:
        log.logger.exception("failed")
    log.logger.error("x" * (MOST_CHARACTERS - 10) + secret)
    for part in (secret, "34567890", "admin01", "pa55"):
        assert part not in log.stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "x\n2026-11-29 12:00:00 ERROR the disk is full",
        "x\r\nERROR forged",
        "x\x85ERROR forged",
        "x\u2028ERROR forged",
        "\x1b[2J\x1b]0;title\x07",
        "\u202egnp.exe",
        "a\x00b",
    ],
)
def test_no_text_that_is_logged_looks_like_an_entry_or_obeys_a_terminal(log: Log, text: str) -> None:
    log.logger.error("the reason is: %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        log.logger.exception("failed")
    first, failed, *further = [line for line in log.lines if not line.startswith("  ")]
    assert first.startswith("the reason is: ")
    assert failed == "failed"
    assert not further
    assert all(character.isprintable() for character in log.stream.getvalue().replace("\n", ""))
