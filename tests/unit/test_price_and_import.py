"""`price` and `import` say the same of the same files, in whatever files running totals and calls come."""

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from bot.cli.import_files import as_json, import_files, totals_of
from bot.cli.price import price
from bot.cli.price_answer import Priced, as_text
from bot.ledger.files import Imported
from bot.ledger.store import SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.counters import Counter, Reading, rise_after
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.files import find_files
from tests.databases import open_migrated
from tests.examples import one_in

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
MODEL = "claude-sonnet-4-6"
CARD = load_rate_card()
Line = dict[str, Any]
Said = tuple[TokenCounts, Decimal]


class Logs:
    """A folder of logs, read with both commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "logs"
        self.folder.mkdir()
        self.engine: Engine = open_migrated(f"sqlite:///{folder / 'claude-cost.db'}")
        self.ledger = SqlLedger(self.engine)

    def put(self, name: str, content: bytes, changed: int = 0) -> None:
        path = self.folder / name
        path.write_bytes(content)
        os.utime(path, (FIRST.timestamp(), (FIRST + timedelta(seconds=changed)).timestamp()))

    def bring(self, *names: str) -> Imported:
        paths = [str(self.folder / name) for name in names] or [str(self.folder)]
        return import_files(self.engine, self.ledger, find_files(paths), CARD, lambda: NOW)

    def answer(self) -> Priced:
        return price([str(self.folder)], CARD, lambda: NOW)

    def priced(self) -> Said:
        total = self.answer().totals.total
        return total.counts, total.usd

    def stored(self) -> Said:
        """Content of the ledger, whichever imports wrote it."""
        rows = self.ledger.read(FIRST - timedelta(days=2000), NOW + timedelta(days=2))
        total = totals_of(Imported(by_hour={(row.starts_at, row.dimensions): row.sums for row in rows}), CARD).total
        return total.counts, total.usd


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(tmp_path)
    yield made
    made.engine.dispose()


def lines(records: Sequence[Line], end: str = "\n") -> bytes:
    return b"".join(json.dumps(record).encode() + end.encode() for record in records)


def running(outputs: Sequence[int], begin: int = 0, session: str | None = "a", *, timed: bool = True) -> list[Line]:
    """Running totals that are longer than any prompt, a minute apart."""
    found: list[Line] = []
    for number, total in enumerate(outputs, begin):
        line: Line = {"model": MODEL, "input_tokens": 40_000 * total, "output_tokens": total}
        line |= {"ts": (FIRST + timedelta(minutes=number)).isoformat()} if timed else {}
        found.append(line | ({} if session is None else {"session_id": session}))
    return found


def of_outputs(total: int) -> TokenCounts:
    return TokenCounts(40_000 * total, output_tokens=total)


BEFORE = [100, 250, 400, 500, 600, 700, 800, 900]
RESTARTED = [50, 80, 300, 301, 302, 303, 304, 305, 306]
LATEST = [310, 320, 20, 700, 701, 702, 703, 704, 705, 706]
"""Three files of one log: 900, 306 and 14 more until the next restart, then 706."""

TRUE = of_outputs(900 + 320 + 706)


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("session", ["a", None])
def test_a_counter_that_restarts_in_rotated_files_counts_each_of_its_stretches(
    logs: Logs, timed: bool, session: str | None
) -> None:
    logs.put("app.jsonl.2.gz", gzip.compress(lines(running(BEFORE, 0, session, timed=timed))), 1)
    logs.put("app.jsonl.1", lines(running(RESTARTED, 10, session, timed=timed)), 2)
    logs.put("app.jsonl", lines(running(LATEST, 20, session, timed=timed)), 3)
    logs.bring()
    assert logs.priced() == logs.stored()
    assert logs.stored()[0] == TRUE


@pytest.mark.parametrize("timed", [True, False])
def test_copied_rotations_of_one_time_are_read_oldest_first(logs: Logs, timed: bool) -> None:
    for name, part, begin in (("app.jsonl.10", BEFORE, 0), ("app.jsonl.2", RESTARTED, 10), ("app.jsonl", LATEST, 20)):
        logs.put(name, lines(running(part, begin, timed=timed)))
    logs.bring()
    assert logs.priced() == logs.stored()
    assert logs.stored()[0] == TRUE


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_files_of_a_running_total_count_in_any_order(logs: Logs, order: str) -> None:
    contents = {"a": running(BEFORE), "b": running(RESTARTED, 10), "c": running(LATEST, 20)}
    for changed, name in enumerate(order):
        logs.put(f"{name}.jsonl", lines(contents[name]), changed)
        logs.bring(f"{name}.jsonl")
    assert logs.priced() == logs.stored()
    assert logs.stored()[0] == TRUE
    logs.bring()
    assert logs.stored()[0] == TRUE


def test_a_beginning_too_short_to_judge_counts_with_the_restart_after_it(logs: Logs) -> None:
    logs.put("app.jsonl.1", lines(running([600])), 1)
    logs.bring("app.jsonl.1")
    logs.put("app.jsonl", lines(running([50, 80, 300, 350, 360], 5)), 2)
    logs.bring("app.jsonl")
    assert logs.priced() == logs.stored()
    assert logs.stored()[0] == of_outputs(600 + 360)


def test_a_long_file_counts_between_the_times_of_two_that_are_too_short_to_tell(logs: Logs) -> None:
    records = running([*range(101, 107), *range(101, 107)])
    for changed, part in enumerate((records[:1], records[10:], records[1:10])):
        logs.put(f"{changed}.jsonl", lines(part), changed)
    logs.bring()
    assert logs.priced() == logs.stored()
    assert logs.stored()[0] == of_outputs(106 + 106)


def test_copies_and_parts_of_a_running_total_add_nothing(logs: Logs) -> None:
    records = running([*BEFORE, *RESTARTED, *LATEST])
    whole = lines(records)
    logs.put("app.jsonl", whole, 1)
    for name, content in {
        "copy.jsonl.gz": gzip.compress(whole),
        "tail.jsonl": lines(records[3:]),
        "head.jsonl": lines(records[:9]),
        "windows.jsonl": lines(records, "\r\n"),
        "marked.jsonl": b"\xef\xbb\xbf" + whole,
    }.items():
        logs.put(name, content, 2)
        logs.bring(name)
    logs.bring()
    assert logs.priced() == logs.stored()
    assert logs.stored()[0] == TRUE


def call(number: int, **more: Any) -> Line:
    at = (FIRST + timedelta(minutes=7 * number)).isoformat()
    return {"time": at, "feature": "search", "model": MODEL, "input_tokens": 10, "output_tokens": 5, **more}


def transcript(number: int, output: int, kind: str = "assistant", **more: Any) -> Line:
    at = f"{(FIRST + timedelta(minutes=number)).isoformat()[:19]}.000Z"
    usage = {"input_tokens": 3, "output_tokens": output, "cache_read_input_tokens": 100}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": MODEL, "usage": usage, **more}
    line: Line = {"type": kind, "sessionId": "s1", "cwd": "/home/me/shop", "timestamp": at}
    if kind == "assistant":
        return {**line, "message": message}
    inner = {"type": "assistant", "timestamp": at, "message": message}
    return {**line, "data": {"type": "agent_progress", "message": inner}}


ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda content: content,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "windows": lambda content: content.replace(b"\n", b"\r\n"),
    "marked": lambda content: b"\xef\xbb\xbf" + content,
    "utf16": lambda content: content.decode().encode("utf-16"),
    "array": lambda content: json.dumps([json.loads(line) for line in content.splitlines()]).encode(),
    "unended": lambda content: content.removesuffix(b"\n"),
    "spaced": lambda content: content.replace(b"\n", b"\n\n"),
}

outputs = st.integers(0, 3_000)
some_calls = st.one_of(
    st.builds(call, st.integers(0, 200), output_tokens=outputs),
    st.builds(call, st.integers(0, 20), session=st.sampled_from("xy"), output_tokens=outputs),
    st.builds(call, st.integers(0, 20), id=st.sampled_from(["msg_1", "msg_900"]), output_tokens=outputs),
    st.builds(call, st.integers(0, 20), id=st.just("gw"), session=st.sampled_from("xy"), output_tokens=outputs),
    st.builds(
        call, st.integers(0, 20), model=st.sampled_from(["claude-opus-9", "claude-haiku-5-5", "gpt-5", "<synthetic>"])
    ),
    st.builds(transcript, st.integers(0, 5), outputs, st.sampled_from(["assistant", "progress"])),
    st.builds(transcript, st.integers(6, 9), outputs, model=st.just("claude-opus-4-8")),
)
a_file = st.tuples(st.lists(some_calls, max_size=8), st.sampled_from(sorted(ENCODED)))


@settings(max_examples=one_in(2), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(files=st.lists(a_file, min_size=1, max_size=4), order=st.permutations(range(4)), in_steps=st.booleans())
def test_calls_in_any_files_are_priced_and_imported_alike(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[list[Line], str]], order: list[int], in_steps: bool
) -> None:
    logs = Logs(tmp_path_factory.mktemp("alike"))
    for number, (records, encoding) in enumerate(files):
        # The ledger knows a record without an id by its place, so that no file here begins as another does.
        records = [{**record, "file": number} for record in records]
        logs.put(f"{number}.jsonl", ENCODED[encoding](lines(records)), order[number])
        if in_steps:
            logs.bring(f"{number}.jsonl")
    logs.bring()
    assert logs.priced() == logs.stored()
    logs.engine.dispose()


stretches = st.lists(st.lists(st.integers(1, 400), min_size=6, max_size=9), min_size=1, max_size=2)


@settings(max_examples=one_in(2), suppress_health_check=[HealthCheck.too_slow])
@given(rises=stretches, data=st.data())
def test_running_totals_in_any_files_are_priced_and_imported_alike(
    tmp_path_factory: pytest.TempPathFactory, rises: list[list[int]], data: st.DataObject
) -> None:
    """Cut anywhere, restarted anywhere, with times of change in any order, and some files twice."""
    totals = [sum(some[: number + 1]) for some in rises for number in range(len(some))]
    records = running([100 + total for total in totals])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(records)), max_size=3)) | {0, len(records)})
    parts = [records[begin:end] for begin, end in pairwise(cuts)]
    if data.draw(st.booleans()):
        parts += [records, *data.draw(st.lists(st.sampled_from(parts), max_size=2))]
    logs = Logs(tmp_path_factory.mktemp("alike"))
    for number, changed in enumerate(data.draw(st.permutations(range(len(parts))))):
        logs.put(f"{number}.jsonl", lines(parts[number]), changed)
    logs.bring()
    assert logs.priced() == logs.stored()
    logs.engine.dispose()


@given(rises=stretches, data=st.data())
def test_a_counter_comes_to_the_same_in_whatever_order_its_files_come(
    rises: list[list[int]], data: st.DataObject
) -> None:
    totals = [sum(some[: number + 1]) for some in rises for number in range(len(some))]
    readings = [Reading(number, of_outputs(total)) for number, total in enumerate(totals)]
    expected, standing = TokenCounts(), None
    for reading in readings:
        rise, standing, _ = rise_after(standing, reading.counts)
        expected = expected + rise
    cuts = sorted(data.draw(st.sets(st.integers(1, len(readings)), max_size=4)) | {0, len(readings)})
    parts = [readings[begin:end] for begin, end in pairwise(cuts)]
    counter, counted = Counter(), TokenCounts()
    for part in data.draw(st.permutations(parts)) + data.draw(st.lists(st.sampled_from(parts), max_size=2)):
        found, counter = counter.advanced(part)
        counted = sum((rise.counts for rise in found), counted)
    assert counted == expected


def test_a_copy_of_a_log_without_ids_counts_in_each_file_and_is_named(logs: Logs) -> None:
    """Nothing proves that it is a copy; the ledger uses the position of a record as its id."""
    records = [call(1), call(1), call(2), call(3, output_tokens=900)]
    for name, encode in ENCODED.items():
        logs.put(f"{name}.jsonl", encode(lines(records)))
    logs.put("grown.jsonl", lines([*records, call(4)]))
    logs.put("other.jsonl", lines([call(2), call(1)]))
    found = logs.answer()
    # All but the first of those that begin alike, in the order of their names.
    expected = [str(logs.folder / f"{name}.jsonl") for name in sorted([*ENCODED, "grown"])[1:]]
    assert sorted(found.totals.begin_alike) == expected
    assert "Counted, but perhaps copies: " in "\n".join(as_text(found, CARD, "model"))
    logs.bring()
    assert logs.stored()[0] == TokenCounts(70, output_tokens=5 + 5 + 5 + 900 + 5 + 5 + 5)


def test_empty_files_are_nothing_to_either(logs: Logs) -> None:
    logs.put("empty.jsonl", b"")
    logs.put("empty.jsonl.1.gz", gzip.compress(b""))
    logs.put("blank.jsonl", b"\r\n\r\n")
    imported = logs.bring()
    assert (as_json(imported, find_files([str(logs.folder)]), CARD, dry_run=False)["total_usd"]) == "0.000000"
    assert logs.priced() == logs.stored() == (TokenCounts(), Decimal(0))
