"""The snapshot of the ledger against a plain recomputation, with late, repeated and withdrawn events."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from bot.budgets.budget import ORGANIZATION, PeriodKind, Scope, ScopeKind, parse_scope, period_at, period_before
from bot.budgets.report import LOGGED_BY, GroupBy, report_of
from bot.budgets.snapshots import Snapshots
from bot.budgets.spend import ZERO, same_model
from bot.budgets.usage_index import LedgerIndex, scopes_of_labels
from bot.clock import HOUR, MINUTE
from bot.db.state import versions_of
from bot.ledger.model import Dimensions, Event, Labels
from bot.ledger.store import Change, SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.tokens import Terms, TokenCounts
from tests.databases import open_migrated, postgres_database
from tests.examples import one_in

CARD = load_rate_card()
BEGIN = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
SCOPES = tuple(
    map(
        parse_scope,
        (
            "organization",
            "feature:support",
            "feature:search",
            "user:u1",
            "tag:team=a",
            "tag:team=b",
            "model:haiku",
            "key:k1",
        ),
    )
)

DIMENSIONS = st.builds(
    Dimensions,
    model=st.sampled_from(("claude-opus-5-5", "claude-haiku-5-5", "experiment-1")),
    feature=st.sampled_from((None, "support", "search", "bulk")),
    user_id=st.sampled_from((None, "u1", "u2")),
    tags=st.sampled_from(((), (("team", "a"),), (("pr", "7"), ("team", "b")))),
    workspace=st.just(None),
    key=st.sampled_from((None, "k1")),
    terms=st.sampled_from((Terms(), Terms("batch", "us", None))),
    prompts_above=st.just(0),
)
COUNTS = st.builds(TokenCounts, *(st.integers(0, 60_000) for _ in range(5)), st.integers(0, 3))
EVENTS = st.tuples(st.integers(0, 12), DIMENSIONS, COUNTS, st.integers(0, 4 * 24 * 60))
"""Id, dimensions, counts and how many minutes ago."""

Step = tuple[int, list[tuple[int, Dimensions, TokenCounts, int]], list[int], bool]

STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.integers(0, 40 * 60),
        st.lists(EVENTS, max_size=5),
        st.lists(st.integers(0, 12), max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)
"""Minutes that pass, what is appended then, the ids that are withdrawn before, and whether another process does it."""


def counts(scope: Scope, dimensions: Dimensions) -> bool:
    if scope == ORGANIZATION:
        return True
    if scope.kind is ScopeKind.FEATURE:
        return dimensions.feature == scope.value
    if scope.kind is ScopeKind.MODEL:
        return same_model(scope.value or "", dimensions.model, CARD)
    labels = Labels(dimensions.user_id, dimensions.tags, dimensions.workspace, dimensions.key)
    return scope in scopes_of_labels(labels)


def usd(events: Sequence[Event]) -> Decimal:
    return sum(
        (
            cost_of(
                CARD,
                each.dimensions.model,
                each.counts,
                each.dimensions.terms,
                each.at.date(),
                prompt_tokens=each.counts.prompt_tokens,
            ).usd
            for each in events
        ),
        ZERO,
    )


def value_of(by: GroupBy, dimensions: Dimensions) -> str | None:
    if by is GroupBy.TAG:
        return dict(dimensions.tags).get("team")
    return dimensions.feature if by is GroupBy.FEATURE else dimensions.user_id


def play(engine: Engine, other: Engine, steps: list[Step]) -> None:
    here, elsewhere = SqlLedger(engine), SqlLedger(other)
    snapshots = Snapshots(here, CARD, LedgerIndex)
    stored: dict[str, Event] = {}
    now, first = BEGIN, None
    for minutes, events, withdrawn, by_other in steps:
        now += minutes * MINUTE
        logged: list[Event] = []
        change = Change(logged, [f"msg_{number}" for number in withdrawn])
        for event_id in change.withdrawn:
            stored.pop(event_id, None)
        for number, dimensions, tokens, ago in events:
            at_prompt = dimensions.at_prompt(tokens.prompt_tokens)
            event = Event(f"msg_{number}", now - ago * MINUTE, at_prompt, tokens)
            known = stored.get(event.id)
            logged.append(event)
            if known is None:
                stored[event.id] = event
                first = min(event.at, first or event.at)
            else:
                stored[event.id] = known.with_state(event)
        (elsewhere if by_other else here).change(lambda _, change=change: change, now)  # type: ignore[misc]
        if by_other:
            # As half a second later.
            versions_of(engine).changed()
        here.touch(now)
        snapshot = snapshots.current()
        if first is None:
            assert snapshot.as_of is None
            continue
        assert snapshot.as_of == now
        for zone in (ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata")):
            for kind in (PeriodKind.DAY, PeriodKind.MONTH):
                period = period_at(kind, zone, now)
                within = [each for each in stored.values() if period.starts_at <= each.at < period.ends_at]
                for scope in SCOPES:
                    mine = [each for each in within if counts(scope, each.dimensions)]
                    assert snapshot.spend(scope, period).total_usd == usd(mine), (scope, period)
        period = period_at(PeriodKind.MONTH, ZoneInfo("UTC"), now)
        for by in LOGGED_BY:
            report = report_of(snapshot, period, period_before(PeriodKind.MONTH, ZoneInfo("UTC"), period), by, "team")
            found = {} if report is None else {group.id: group.usd for group in report.groups}
            wanted: dict[str | None, list[Event]] = {}
            for each in stored.values():
                if period.starts_at <= each.at < period.ends_at and any(each.counts):
                    wanted.setdefault(value_of(by, each.dimensions), []).append(each)
            assert found == {value: usd(of_value) for value, of_value in wanted.items()}, by
        assert snapshot.known_hours(first.replace(minute=0), now) == -((first.replace(minute=0) - now) // HOUR)


@settings(
    max_examples=one_in(2),
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_the_snapshot_equals_a_plain_recomputation(
    steps: list[Step],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"
    engine, other = open_migrated(url), open_migrated(url)
    try:
        play(engine, other, steps)
    finally:
        engine.dispose()
        other.dispose()


@settings(max_examples=one_in(8), phases=(Phase.generate,))
@given(steps=STEPS)
def test_the_snapshot_equals_a_plain_recomputation_on_postgresql(
    steps: list[Step],
) -> None:
    with postgres_database() as url:
        engine, other = open_migrated(url), open_migrated(url)
        try:
            play(engine, other, steps)
        finally:
            engine.dispose()
            other.dispose()
