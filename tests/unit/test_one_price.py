"""One record has one price: `price`, what `import` says, the ledger, its reports, its budgets and provisional spend."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from bot.budgets.budget import ORGANIZATION, PeriodKind, Scope, ScopeKind, period_at, period_before
from bot.budgets.focus import Charge, focus_rows
from bot.budgets.live import LiveSource
from bot.budgets.logged_requests import coverage_from
from bot.budgets.report import GroupBy, cache_uses, report_of
from bot.budgets.snapshots import Snapshots
from bot.budgets.spend import ZERO
from bot.budgets.usage_index import LedgerIndex
from bot.cli.import_files import import_files, totals_of
from bot.cli.price import price
from bot.clock import HOUR
from bot.db.schema import metadata
from bot.ledger.intake import Intake
from bot.ledger.model import SEVERAL, Dimensions, Event, prompts_above
from bot.ledger.store import SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.cost import unit_prices
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.pricing.totals import UNKNOWN, Totals
from bot.usage.logs.files import find_files
from bot.usage.model import DataState, Read, UsageReading, UsageRow
from bot.usage.store import UsageStore
from tests.databases import open_migrated, postgres_database
from tests.examples import one_in

CARD = load_rate_card()
FIRST, NOW = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 4, 12, tzinfo=UTC)
MONTH = period_at(PeriodKind.MONTH, ZoneInfo("UTC"), NOW)
HAIKU = "claude-haiku-5-5"
"""Five times as expensive for prompts of more than 100,000 tokens."""

Line = dict[str, Any]

prompts = st.one_of(st.integers(0, 60_000), st.sampled_from([49_999, 50_000, 50_001, 100_000, 100_001, 2_000_000]))
blocks = st.fixed_dictionaries(
    {
        "input_tokens": prompts,
        "output_tokens": st.integers(0, 30_000),
        "cache_read_input_tokens": prompts,
        "cache_creation_input_tokens": st.integers(0, 30_000),
    },
    optional={
        "cache_creation": st.fixed_dictionaries(
            {"ephemeral_5m_input_tokens": st.integers(0, 9_000), "ephemeral_1h_input_tokens": st.integers(0, 9_000)}
        ),
        "server_tool_use": st.fixed_dictionaries({"web_search_requests": st.integers(0, 3)}),
    },
)
terms = st.fixed_dictionaries(
    {},
    optional={
        "service_tier": st.sampled_from(["standard", "batch", "priority"]),
        "inference_geo": st.sampled_from(["us", "global"]),
        "speed": st.sampled_from(["fast", "standard"]),
    },
)
models = st.sampled_from([HAIKU, HAIKU, "claude-opus-5-5", "claude-opus-4-6", "claude-sonnet-4-5", "claude-next-9"])
records = st.lists(
    st.tuples(
        models,
        st.sampled_from(["support", "search", None]),
        st.integers(0, 2 * 24 * 60),
        terms,
        st.lists(blocks, min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=12,
)
"""Model, feature, minute, terms, and the states that were logged of the response."""

Response = tuple[str, str | None, int, Line, list[Line]]


def lines_of(responses: Sequence[Response]) -> list[Line]:
    found: list[Line] = []
    for number, (model, feature, minute, billed_as, states) in enumerate(responses):
        for usage in states:
            line: Line = {"id": f"msg_{number:04}", "model": model, "user_id": "u1", "usage": usage | billed_as}
            line["time"] = (FIRST + timedelta(minutes=minute)).isoformat()
            found.append(line if feature is None else line | {"feature": feature})
    return found


def agrees(snapshots: Snapshots, usage: UsageStore, totals: Totals) -> None:
    """Assert that all answers of the ledger agree with `price`."""
    snapshot, usd = snapshots.current(), totals.total.usd
    by_feature = {None if name == UNKNOWN else name: one.usd for name, one in totals.by_feature.items() if one.usd}
    for by, wanted in ((GroupBy.FEATURE, by_feature), (GroupBy.USER, {"u1": usd} if usd else {})):
        report = report_of(snapshot, MONTH, period_before(PeriodKind.MONTH, ZoneInfo("UTC"), MONTH), by)
        assert report is not None
        assert {group.id: group.usd for group in report.groups if group.usd} == wanted
        assert any(group.at_least for group in report.groups) == bool(totals.at_least)
    for feature in ("support", "search"):
        spend = snapshot.spend(Scope(ScopeKind.FEATURE, feature), MONTH)
        assert spend.total_usd == by_feature.get(feature, ZERO)
    live = LiveSource(snapshots).beside(Snapshots(usage, CARD).current()).spend(ORGANIZATION, MONTH)
    assert (live.provisional_usd, live.total_usd) == (usd, usd)
    if usd:
        assert live.at_least == bool(totals.at_least)


def without_data(engine: Engine) -> UsageStore:
    """Anthropic's data ends before anything is logged."""
    usage = UsageStore(engine)
    reading = UsageReading(Read("1h", FIRST - HOUR, FIRST), (), None)
    usage.save([reading], "admin", FIRST, DataState(as_of=FIRST, source="admin", polled_at=FIRST), None)
    return usage


def play(folder: Path, engine: Engine, sent: Engine, lines: Sequence[Line], parts: int) -> None:
    log = folder / "app.jsonl"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    wanted = price([str(log)], CARD, lambda: NOW).totals
    for each in (engine, sent):
        with each.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))

    usage = without_data(engine)
    imported = import_files(engine, SqlLedger(engine), find_files([str(log)]), CARD, lambda: NOW)
    assert totals_of(imported, CARD).total.usd == wanted.total.usd
    ledger = SqlLedger(engine)
    ledger.touch(NOW)
    agrees(Snapshots(ledger, CARD, LedgerIndex), usage, wanted)

    # The same records over HTTP, in several requests: states of one response meet in the database.
    ledger, usage = SqlLedger(sent), without_data(sent)
    snapshots, intake = Snapshots(ledger, CARD, LedgerIndex), Intake(ledger)
    for first in range(parts):
        body = "\n".join(json.dumps(line) for line in lines[first::parts]).encode()
        if body:
            intake.take(body, NOW, is_gzip=False, is_lines=True)
            snapshots.current()
    ledger.touch(NOW)
    agrees(snapshots, usage, wanted)
    agrees(Snapshots(ledger, CARD, LedgerIndex), usage, wanted)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """One for imported events, one for sent ones."""
    with ExitStack() as stack:
        sqlite = f"sqlite:///{tmp_path}"
        url = stack.enter_context(postgres_database()) if request.param == "postgresql" else f"{sqlite}/sent.db"
        engines = open_migrated(f"{sqlite}/imported.db"), open_migrated(url)
        for engine in engines:
            stack.callback(engine.dispose)
        yield engines


@settings(
    max_examples=one_in(2),
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(responses=records, parts=st.integers(1, 4))
def test_every_answer_has_the_price_of_the_record(
    responses: list[Response], parts: int, databases: tuple[Engine, Engine], tmp_path: Path
) -> None:
    play(tmp_path, *databases, lines_of(responses), parts)


def haiku(number: int, prompt: int, minutes: int = 0, requests: int = 1) -> Event:
    above = prompts_above(prompt) if requests == 1 else SEVERAL
    dimensions = Dimensions(HAIKU, "support", prompts_above=above)
    return Event(f"msg_{number}", NOW - timedelta(minutes=minutes), dimensions, TokenCounts(prompt), requests=requests)


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    return SqlLedger(open_migrated(f"sqlite:///{tmp_path}/claude-cost.db"))


def test_a_long_prompt_is_exact_and_a_sum_of_requests_is_at_least(ledger: SqlLedger) -> None:
    snapshots = Snapshots(ledger, CARD, LedgerIndex)
    ledger.append([haiku(1, 100_000), haiku(2, 100_001)], NOW)
    spend = snapshots.current().spend(Scope(ScopeKind.FEATURE, "support"), MONTH)
    assert (spend.total_usd, spend.at_least) == (Decimal("0.01") + Decimal("0.0500005"), False)
    ledger.append([haiku(3, 500_000, requests=7)], NOW)
    spend = snapshots.current().spend(Scope(ScopeKind.FEATURE, "support"), MONTH)
    assert (spend.total_usd, spend.at_least) == (Decimal("0.1100005"), True)


def test_a_prompt_that_grows_beyond_the_step_takes_its_sums_along(ledger: SqlLedger) -> None:
    ledger.append([haiku(1, 60_000)], NOW)
    ledger.append([haiku(1, 120_000)], NOW + HOUR)
    (row,) = [row for row in ledger.read(NOW - HOUR, NOW + 2 * HOUR) if any(row.sums.counts)]
    assert (row.dimensions.prompts_above, row.sums.counts[0], row.sums.requests) == (100_000, 120_000, 1)
    assert row.starts_at == NOW


def test_logs_do_not_exceed_anthropics_count_by_the_length_of_prompts(ledger: SqlLedger, tmp_path: Path) -> None:
    engine = open_migrated(f"sqlite:///{tmp_path}/claude-cost.db")
    ledger.append([haiku(1, 150_000, 90)], NOW)
    ledger.touch(NOW)
    hour = NOW - 2 * HOUR
    row = UsageRow(hour, HAIKU, "default", None, STANDARD, TokenCounts(150_000))
    usage = UsageStore(engine)
    state = DataState(as_of=NOW, source="admin", polled_at=NOW)
    usage.save([UsageReading(Read("1h", hour, NOW), (row,), None)], "admin", NOW, state, None)
    found = coverage_from(
        Snapshots(usage, CARD).current(),
        Snapshots(ledger, CARD, LedgerIndex).current(),
        hour,
        NOW,
        usage.totals(hour, NOW),
        ledger.totals(hour, NOW),
    )
    (model,) = found.models
    assert model.counted_usd == model.logged_usd == Decimal("0.015")
    assert not model.is_beyond


def test_columns_of_focus_and_cache_savings_know_long_prompts() -> None:
    charge = Charge(NOW.date(), HAIKU, TokenCounts(10, 0, 0, 200_000, 5), STANDARD, 100_001)
    rows = {row["SkuPriceId"]: Decimal(row["ListCost"]) for row in focus_rows(charge, CARD)}
    long = unit_prices(CARD, HAIKU, STANDARD, NOW.date(), 100_001).usd_per_token
    assert rows == {
        f"{HAIKU}/input/above-100000": 10 * long[0],
        f"{HAIKU}/cache_read/above-100000": 200_000 * long[3],
        f"{HAIKU}/output/above-100000": 5 * long[4],
    }
    (use,) = cache_uses([("support", HAIKU, STANDARD, 100_001, charge.counts)], CARD, NOW.date())
    assert use.saved_usd == 200_000 * (long[0] - long[3])
