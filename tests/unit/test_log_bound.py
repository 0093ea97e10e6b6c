"""A fault that repeats cannot fill a disk with its log."""

import asyncio
import io
import logging
from collections.abc import Iterator

import pytest

from bot.log_bound import MOST_CHARACTERS, MOST_KINDS, PER_KIND, PER_SECOND, WINDOW_SECONDS, BoundedHandler


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
