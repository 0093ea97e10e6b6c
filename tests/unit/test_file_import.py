"""Importing files: grown, cut, rotated, copied or compressed, each record counts once."""

import bz2
import gzip
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from bot.budgets.budget import ORGANIZATION, PeriodKind, period_at
from bot.budgets.snapshots import Snapshots
from bot.budgets.usage_index import LedgerIndex
from bot.cli.import_files import import_files, totals_of
from bot.ledger.files import BATCH, HOLDS_SECONDS, LEAST_BATCH, Imported, next_batch
from bot.ledger.model import Row, Sums
from bot.ledger.records import events_in
from bot.ledger.store import SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.tally import Tally
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.calls import read_calls
from bot.usage.logs.files import find_files
from bot.usage.logs.streams import records_of
from bot.usage.logs.usage_block import Skipped
from tests.databases import open_migrated
from tests.examples import one_in

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
MODEL = "claude-sonnet-4-6"
Line = dict[str, Any]


class Home:
    """A folder of logs and a ledger."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder / "logs"
        self.folder.mkdir()
        self.engine: Engine = open_migrated(url or f"sqlite:///{folder / 'claude-cost.db'}")
        self.ledger = SqlLedger(self.engine)

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def bring(self, *paths: Path) -> Imported:
        found = find_files([str(path) for path in paths or (self.folder,)])
        return import_files(self.engine, self.ledger, found, load_rate_card(), lambda: NOW)

    def rows(self) -> dict[Any, Sums]:
        found: dict[Any, Sums] = {}
        for row in self.ledger.read(FIRST - timedelta(days=2000), NOW + timedelta(days=2)):
            if any(row.sums.counts) or row.sums.requests:
                found[key_of(row)] = row.sums
        return found

    def tokens(self) -> TokenCounts:
        return sum((sums.counts for sums in self.rows().values()), TokenCounts())

    def requests(self) -> int:
        return sum(sums.requests for sums in self.rows().values())


def key_of(row: Row) -> Any:
    return row.starts_at, row.dimensions


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.engine.dispose()


@pytest.fixture
def home_of_each_kind(database_url: str, tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path, database_url)
    yield home
    home.engine.dispose()


@contextmanager
def new_home(factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(factory.mktemp("home"))
    try:
        yield home
    finally:
        home.engine.dispose()
        shutil.rmtree(home.folder.parent)


def at(number: int) -> str:
    return (FIRST + timedelta(minutes=7 * number)).isoformat()


def single(number: int, **more: Any) -> Line:
    return {"time": at(number), "feature": "search", "model": MODEL, "input_tokens": 10, "output_tokens": 5, **more}


def lines(records: Sequence[Line]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def transcript(number: int, output: int, **more: Any) -> Line:
    """A line as Claude Code writes it."""
    usage = {"input_tokens": 3, "output_tokens": output, "cache_read_input_tokens": 100}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": MODEL, "usage": usage}
    where = {"sessionId": "s1", "cwd": "/home/me/shop", "gitBranch": "main", "timestamp": f"{at(number)[:19]}.000Z"}
    return {"type": "assistant", **where, "message": message, **more}


def totals(session: str, outputs: Sequence[int], *, begin: int = 0) -> list[Line]:
    """Running totals of a session whose prompts are longer than any model reads."""
    return [
        {
            "ts": at(begin + number),
            "model": MODEL,
            "session_id": session,
            "input_tokens": 2_000_000 + total,
            "output_tokens": total,
            "cache_read_tokens": 10 * total,
        }
        for number, total in enumerate(outputs)
    ]


def test_a_file_counts_once_however_often_it_comes(home: Home) -> None:
    content = lines([single(number) for number in range(5)])
    home.put("app.jsonl", content)
    first = home.bring()
    assert (first.new, first.repeats, home.requests()) == (5, 0, 5)
    assert home.bring().unchanged == 1
    for name, copy in {
        "copy.log": content,
        "app.jsonl.1.gz": gzip.compress(content),
        "app.jsonl.2.bz2": bz2.compress(content),
        "utf16.jsonl": content.decode().encode("utf-16"),
        "windows.jsonl": content.replace(b"\n", b"\r\n"),
        "array.json": json.dumps([json.loads(line) for line in content.splitlines()]).encode(),
        "pretty.json": json.dumps([json.loads(line) for line in content.splitlines()], indent=2).encode(),
        "no-end.jsonl": content[:-1],
    }.items():
        home.put(name, copy)
        assert (name, home.bring().new) == (name, 0)
    assert home.requests() == 5


def test_a_file_that_is_as_it_was_is_not_opened_again(home: Home) -> None:
    path = home.put("log.jsonl", lines([single(1, id="msg_1")]))
    later = datetime.now(UTC) + timedelta(hours=1)

    def again() -> Imported:
        return import_files(home.engine, home.ledger, found, load_rate_card(), lambda: later)

    found = find_files([str(path)])
    assert again().new == 1
    path.rename(path.with_name("kept"))
    assert (again().unchanged, again().unreadable) == (1, [])
    home.put("log.jsonl", lines([single(2, id="msg_2")]))
    found = find_files([str(path)])
    assert (again().new, home.requests()) == (1, 2)


def test_transcripts_and_records_take_turns_in_one_file(home: Home) -> None:
    said = {"type": "assistant", "sessionId": "s", "timestamp": "2026-11-02T10:00:00.000Z"}
    usage = {"input_tokens": 3, "output_tokens": 4}
    turns = [
        line
        for number in range(40)
        for line in (
            *(single(one, id=f"msg_{number}x{one}") for one in range(100 * (number % 2))),
            *({**said, "message": {"id": f"msg_{number}y{one}", "model": MODEL, "usage": usage}} for one in range(60)),
            {"model": MODEL, "input_tokens": number, "output_tokens": 9 - number % 7, "time": "2026-11-03T00:00:00Z"},
        )
    ]
    content = lines(turns)
    whole = home.put("whole.jsonl", content)
    assert home.bring(whole).new == len(turns)
    cut = content.index(b"\n", len(content) // 3) + 1
    part = home.put("part.jsonl", content[:cut])
    copy = home.put("copy.jsonl", content[:cut])
    assert home.bring(part).new == 0
    copy.write_bytes(content)
    assert (home.bring(copy).new, home.requests()) == (0, len(turns))


def test_equal_lines_without_an_id_are_as_many_calls(home: Home) -> None:
    home.put("app.jsonl", lines([single(1)] * 3))
    assert (home.bring().new, home.bring().new, home.requests()) == (3, 0, 3)


def test_a_log_is_followed_as_it_grows_rotates_and_is_compressed(home: Home) -> None:
    records = [single(number) for number in range(30)]
    first = home.put("app.jsonl", lines(records[:10]) + b'{"time": "2026-11-01T')
    assert home.bring().new == 10
    first.write_bytes(lines(records[:20]))
    first.rename(home.folder / "app.jsonl.1")
    home.put("app.jsonl", lines(records[20:25]))
    assert home.bring().new == 15
    home.put("app.jsonl.2.gz", gzip.compress((home.folder / "app.jsonl.1").read_bytes()))
    (home.folder / "app.jsonl").rename(home.folder / "app.jsonl.1")
    home.put("app.jsonl", lines(records[25:]))
    assert (home.bring().new, home.requests()) == (5, 30)


def test_a_half_line_waits_for_its_end_and_a_whole_one_needs_none(home: Home) -> None:
    content = lines([single(1), single(2)])
    for end, known in ((-20, 1), (-2, 1), (-1, 2), (len(content), 2)):
        home.put("app.jsonl", content[:end])
        imported = home.bring()
        assert (home.requests(), imported.skipped) == (known, Counter())


def test_a_row_of_a_table_may_be_written_in_two_parts(home: Home) -> None:
    begin = b"2026-11-01,claude-sonnet-4-6,10,"
    content = b"time,model,input_tokens,output_tokens\n" + begin + b"5\n" + begin + b"512"
    for end in range(content.index(b"5\n") - 2, len(content) + 1, 3):
        home.put("app.csv", content[:end])
        home.bring()
    assert (home.requests(), home.tokens().output_tokens) == (2, 517)
    home.put("app.csv", content + b"\n" + begin + b"1\n")
    home.bring()
    assert (home.requests(), home.tokens().output_tokens) == (3, 518)


def test_what_was_pruned_does_not_come_back_with_a_file_that_has_grown(home: Home) -> None:
    records = [transcript(1, 5), single(2), transcript(3, 5), single(4)]
    home.put("app.jsonl", lines(records))
    home.bring()
    home.ledger.prune(NOW + timedelta(days=40))
    home.put("app.jsonl", lines([*records, transcript(5, 5), single(6)]))
    assert (home.bring().new, home.requests()) == (2, 6)


def test_a_response_that_grows_keeps_its_largest_counts(home: Home) -> None:
    states = [transcript(1, 1), transcript(1, 7), transcript(2, 3), transcript(1, 9)]
    for end in range(1, 5):
        home.put("session.jsonl", lines(states[:end]))
        home.bring()
    assert (home.requests(), home.tokens().output_tokens) == (2, 12)


def test_a_transcript_says_which_project_and_branch_it_is_of(home: Home) -> None:
    unusual = {"snapshot": {"messageId": "m"}}
    inner = {"type": "assistant", "timestamp": at(3), "message": transcript(3, 5)["message"]}
    progress = {**transcript(3, 5), "type": "progress", "data": {"type": "agent_progress", "message": inner}}
    del progress["message"]
    home.put("session.jsonl", lines([transcript(1, 5), transcript(2, 5, **unusual), progress]))
    assert home.bring().new == 3
    assert {(dimensions.feature, dimensions.tags) for _, dimensions in home.rows()} == {
        ("claude-code", (("branch", "main"), ("project", "shop")))
    }


def test_what_a_record_says_of_itself_is_carried_over(home: Home) -> None:
    more = {"user_id": "u1", "workspace": "w", "key": "k", "tags": {"team": "red"}, "outcome": "error"}
    home.put("app.jsonl", lines([single(1, **more), single(1, model="<synthetic>"), single(1, model="gpt-5")]))
    imported = home.bring()
    ((_, its),) = home.rows()
    assert (its.feature, its.user_id, its.workspace, its.key, its.tags) == (
        "search",
        "u1",
        "w",
        "k",
        (("team", "red"),),
    )
    assert [sums.errors for sums in home.rows().values()] == [1]
    assert (imported.skipped, imported.not_claude) == ({Skipped.SYNTHETIC.value: 1}, {"gpt-5": 1})


def test_an_id_that_a_gateway_repeats_counts_in_its_session_alone(home: Home) -> None:
    records = [single(1, id="chatcmpl-1", request_id="r", session=session) for session in "aab"]
    home.put("app.jsonl", lines(records))
    assert (home.bring().new, home.requests()) == (2, 2)


def test_a_response_counts_once_whether_it_is_sent_or_imported(home: Home) -> None:
    def request(kind: str, model: str, tokens: int) -> Line:
        return {"type": kind, "model": model, "input_tokens": tokens, "output_tokens": 1}

    iterations = [
        request("compaction", MODEL, 200_001),
        request("message", MODEL, 10),
        request("fallback_message", "claude-haiku-4-5", 7),
        request("advisor_message", "claude-haiku-4-5", 5),
    ]
    usage = {"input_tokens": 17, "output_tokens": 2, "iterations": iterations}
    record = {"time": at(1), "feature": "search", "model": MODEL, "id": "msg_1", "usage": usage}
    home.ledger.append(events_in(record, NOW, lambda: "made"), NOW)
    before = home.rows()
    home.put("app.jsonl", lines([record]))
    home.bring()
    assert home.rows() == before


def test_a_stream_whose_end_comes_later_is_read_with_its_beginning(home: Home) -> None:
    message = {"id": "msg_1", "type": "message", "model": MODEL, "usage": {"input_tokens": 9, "output_tokens": 1}}
    events = [
        {"ts": at(1), "type": "message_start", "message": message},
        {"ts": at(1), "type": "message_delta", "usage": {"output_tokens": 50}},
    ]
    for end in (1, 2):
        home.put("stream.jsonl", lines(events[:end]))
        home.bring()
    assert (home.requests(), home.tokens()) == (1, TokenCounts(9, output_tokens=50))


def test_a_report_of_anthropic_is_refused_with_the_reason(home: Home) -> None:
    row = {"starting_at": at(1), "model": MODEL, "uncached_input_tokens": 5, "output_tokens": 5}
    home.put("report.json", json.dumps({"data": [{"results": [row]}], "has_more": False}).encode())
    imported = home.bring()
    assert (imported.new, imported.records) == (0, 0)
    assert imported.skipped == {"a report of Anthropic's own sums, which the bot reads from Anthropic itself": 1}


def result(session: str, output: int) -> Line:
    usage = {MODEL: {"inputTokens": 3, "outputTokens": output, "cacheReadInputTokens": 100}}
    return {"type": "result", "session_id": session, "timestamp": at(9), "modelUsage": usage, "total_cost_usd": 1}


@pytest.mark.parametrize("order", [("calls", "sum"), ("sum", "calls"), ("both",)])
def test_the_sum_of_a_session_counts_only_without_its_calls(home: Home, order: tuple[str, ...]) -> None:
    calls, last = [transcript(1, 5), transcript(2, 6)], [result("s1", 11), result("other", 4)]
    contents = {"calls": calls, "sum": last, "both": [*calls, *last]}
    for name in order:
        home.put(f"{name}.jsonl", lines(contents[name]))
        home.bring(home.folder / f"{name}.jsonl")
    assert (home.requests(), home.tokens().output_tokens) == (3, 15)


def test_a_damaged_file_counts_as_far_as_it_can_be_read_and_is_read_again(home: Home) -> None:
    content = gzip.compress(lines([single(number % 1000, nth=number) for number in range(5_000)]))
    home.put("app.jsonl.gz", content[: len(content) // 2])
    imported = home.bring()
    assert len(imported.unreadable) == 1
    assert 0 < home.requests() < 5_000
    home.put("app.jsonl.gz", content)
    assert (home.bring().unreadable, home.requests()) == ([], 5_000)


def test_running_totals_come_to_what_each_session_ended_with(home: Home) -> None:
    records = totals("a", [100, 250, 400, 900, 1000]) + totals("b", [50, 60, 70, 80, 95])
    home.put("totals.jsonl", lines(records))
    imported = home.bring()
    assert (home.tokens().output_tokens, home.requests(), imported.running_totals) == (1095, 2, 8)
    days = Counter[str]()
    for (hour, _), sums in home.rows().items():
        days[hour.isoformat()] += sums.counts.output_tokens
    assert sum(days.values()) == 1095


def test_running_totals_go_on_in_the_next_file_and_begin_anew_after_a_restart(home: Home) -> None:
    home.put("app.jsonl.1", lines(totals("a", [100, 250, 400, 900, 50, 60])))
    home.bring()
    assert home.tokens().output_tokens == 960
    home.put("app.jsonl", lines(totals("a", [70, 90], begin=10)))
    home.bring()
    assert home.tokens().output_tokens == 990
    home.put("copy.jsonl", lines(totals("a", [100, 250, 400, 900, 50, 60]) + totals("a", [70, 90, 95], begin=10)))
    home.bring()
    assert (home.tokens().output_tokens, home.requests()) == (995, 2)


def test_the_beginning_of_a_running_total_is_taken_back_once_it_is_recognised(home_of_each_kind: Home) -> None:
    home = home_of_each_kind
    records = totals("a", [100, 250, 400, 900, 1000])
    snapshots = Snapshots(home.ledger, load_rate_card(), LedgerIndex)
    for end in range(1, len(records) + 1):
        home.put("totals.jsonl", lines(records[:end]))
        home.put("calls.jsonl", lines([single(number, id=f"msg_{number}") for number in range(end)]))
        added = home.bring()
        snapshots.current()
    assert (home.tokens().output_tokens, home.requests()) == (1000 + 5 * end, 1 + end)
    assert added.unreadable == []
    card, month = load_rate_card(), period_at(PeriodKind.MONTH, ZoneInfo("UTC"), NOW)
    spent = totals_of(Imported(by_hour=home.rows()), card).total.usd
    assert snapshots.current().spend(ORGANIZATION, month).total_usd == spent


Cut = tuple[list[Line], list[int], bool]

counts = st.integers(0, 2_000)
a_single = st.builds(
    lambda number, output, more: single(number, output_tokens=output, **more),
    st.integers(0, 400),
    counts,
    st.sampled_from([{}, {"session": "s9"}, {"id": "msg_7"}, {"id": "gw", "request_id": "r", "session": "s8"}]),
)
a_transcript = st.builds(transcript, st.integers(0, 6), counts)


@st.composite
def some_totals(draw: st.DrawFn) -> list[Line]:
    found: list[Line] = []
    for session in draw(st.lists(st.sampled_from("abc"), unique=True, min_size=1)):
        for _ in range(draw(st.integers(1, 2))):
            outputs = list(accumulate(draw(st.lists(st.integers(1, 500), min_size=1, max_size=8))))
            found += totals(session, outputs, begin=len(found))
    return found


@st.composite
def cut_logs(draw: st.DrawFn) -> Cut:
    kind = draw(st.sampled_from(["singles", "transcripts", "mixed", "totals"]))
    if kind == "totals":
        records = draw(some_totals())
    else:
        some = {"singles": a_single, "transcripts": a_transcript, "mixed": st.one_of(a_single, a_transcript)}[kind]
        records = draw(st.lists(some, min_size=1, max_size=25))
    size = len(lines(records))
    cuts = sorted(draw(st.lists(st.integers(0, size), max_size=5)))
    return records, cuts, draw(st.booleans())


@settings(max_examples=one_in(2), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=cut_logs())
def test_growing_in_any_steps_comes_to_the_same_ledger(tmp_path_factory: pytest.TempPathFactory, log: Cut) -> None:
    records, cuts, packs = log
    content = lines(records)
    with new_home(tmp_path_factory) as once, new_home(tmp_path_factory) as grown:
        once.put("app.jsonl", content)
        once.bring()
        for cut in (*cuts, len(content)):
            grown.put("app.jsonl", content[:cut])
            grown.bring()
        assert grown.rows() == once.rows()
        grown.put("copy.jsonl.gz" if packs else "copy.jsonl", gzip.compress(content) if packs else content)
        assert grown.bring().new == 0
        assert grown.rows() == once.rows()
        assert once.tokens() == priced_tokens(content)


@settings(max_examples=one_in(2), suppress_health_check=[HealthCheck.too_slow])
@given(records=st.lists(st.one_of(a_single, a_transcript), min_size=2, max_size=25), data=st.data())
def test_rotation_in_any_steps_comes_to_the_same_ledger(
    tmp_path_factory: pytest.TempPathFactory, records: list[Line], data: st.DataObject
) -> None:
    """The log is rotated at any line and imported at any moment; older files are compressed."""
    with new_home(tmp_path_factory) as once, new_home(tmp_path_factory) as rotated:
        # Two logs that begin with the same line are copies of one, so each line here has a time of its own.
        records = [{**record, "nth": nth} for nth, record in enumerate(records)]
        once.put("app.jsonl", lines(records))
        once.bring()
        logs: list[list[Line]] = [[]]
        for record in records:
            if data.draw(st.integers(0, 5)) == 0 and logs[-1]:
                logs.append([])
            logs[-1].append(record)
            if data.draw(st.integers(0, 4)) == 0:
                write_rotated(rotated, logs)
                rotated.bring()
        write_rotated(rotated, logs)
        rotated.bring()
        assert rotated.requests() == once.requests()
        assert rotated.tokens() == once.tokens()


def write_rotated(home: Home, logs: list[list[Line]]) -> None:
    for old in home.folder.iterdir():
        old.unlink()
    for age, log in enumerate(reversed(logs)):
        name = "app.jsonl" if not age else f"app.jsonl.{age}" if age == 1 else f"app.jsonl.{age}.gz"
        content = lines(log)
        home.put(name, gzip.compress(content) if name.endswith(".gz") else content)


def priced_tokens(content: bytes) -> TokenCounts:
    """Tokens counted by `price`."""
    tally = Tally(load_rate_card(), NOW.date())
    for call in read_calls(records_of(io.BytesIO(content))):
        if not isinstance(call, Skipped):
            tally.add(call, "app.jsonl")
    return tally.totals().total.counts


@pytest.mark.parametrize("year", ["9999", "2027"])
def test_a_record_from_the_future_is_left_out_with_the_reason(home: Home, year: str) -> None:
    """Every hour up to the latest event is known and kept: the year 9999 would be 70 million of them."""
    usage = {"input_tokens": 10, "output_tokens": 5}
    ahead = f"{year}-12-31T23:00:00Z"
    message = {"id": "msg_2", "type": "message", "role": "assistant", "model": MODEL, "usage": usage}
    home.put("usual.jsonl", json.dumps({"id": "msg_1", "time": ahead, "model": MODEL, **usage}).encode())
    home.put("without_id.jsonl", json.dumps({"time": ahead, "model": MODEL, **usage}).encode())
    line = {"type": "assistant", "sessionId": "s1", "cwd": "/a", "timestamp": ahead, "message": message}
    home.put("transcript.jsonl", json.dumps(line).encode())
    home.put("good.jsonl", json.dumps({"id": "msg_3", "time": NOW.isoformat(), "model": MODEL, **usage}).encode())
    imported = home.bring()
    assert (imported.new, +imported.skipped) == (1, {"a time more than a day ahead": 3})
    assert home.ledger.head().data.as_of == NOW


@pytest.mark.parametrize("modified", [0, 10**17])
def test_a_file_whose_own_time_cannot_be_is_put_into_the_range_of_times(home: Home, modified: int) -> None:
    path = home.put("app.jsonl", json.dumps({"model": MODEL, "input_tokens": 10, "output_tokens": 5}).encode())
    try:
        os.utime(path, (modified, modified))
    except OverflowError:
        pytest.skip("this file system stores no such time")
    home.bring()
    (row,) = home.ledger.read(datetime(2000, 1, 1, tzinfo=UTC), NOW + timedelta(days=1))
    assert datetime(2023, 1, 1, tzinfo=UTC) <= row.starts_at <= NOW


def test_on_a_slow_machine_a_transaction_gets_smaller_until_other_writers_get_their_turn() -> None:
    batch, sizes = BATCH, []
    for _ in range(6):
        batch = next_batch(batch, seconds=batch * HOLDS_SECONDS / LEAST_BATCH)
        sizes.append(batch)
    assert sizes == [8_000, 4_000, 4_000, 4_000, 4_000, 4_000]


def test_on_a_fast_machine_it_grows_to_the_size_that_costs_least() -> None:
    batch, sizes = LEAST_BATCH, []
    for _ in range(4):
        batch = next_batch(batch, seconds=0.1)
        sizes.append(batch)
    assert sizes == [8_000, 16_000, 16_000, 16_000]
