"""The verification of a mode change, from usage in a database to what its notice says."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from bot.budgets.snapshots import Snapshots
from bot.clock import DAY, HOUR, floor_hour
from bot.fallback.verifier import UsageVerifier, report_of, verification_report
from bot.modes.consequences import Ceiling
from bot.modes.verification import VerificationState, VerificationTarget, needed_since, report_due, verify
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.usage.model import DataState, Read, UsageReading, UsageRow
from bot.usage.store import UsageStore
from bot.usage.store_reads import Name

CARD = load_rate_card()
MINUTE = timedelta(minutes=1)
SINCE = datetime(2026, 11, 20, 12, 20, tzinfo=UTC)
OPUS, SONNET = "claude-opus-4-8", "claude-sonnet-5-5"
WATCH = VerificationTarget("degraded", Ceiling(SONNET, (SONNET,), ("claude-opus-5-5", SONNET)), SINCE)


def calls(first: datetime, count: int, model: str, workspace: str = "w1", key: str | None = "k1") -> list[UsageRow]:
    counts = TokenCounts(output_tokens=20_000)
    return [UsageRow(first + index * MINUTE, model, workspace, key, STANDARD, counts) for index in range(count)]


def store_with(engine: Engine, as_of: datetime, rows: list[UsageRow]) -> UsageStore:
    store = UsageStore(engine)
    first = floor_hour(SINCE) - HOUR
    read = Read("1m", first, floor_hour(as_of) + HOUR)
    state = DataState(as_of=as_of, source="admin", polled_at=as_of)
    store.save([UsageReading(read, tuple(rows), None)], "admin", as_of, state, None)
    return store


def verifier(store: UsageStore) -> UsageVerifier:
    return UsageVerifier(store, Snapshots(store, CARD), CARD)


def test_before_the_first_poll_nothing_is_known(engine: Engine) -> None:
    assert verifier(UsageStore(engine)).look(WATCH) is None


def test_a_change_that_is_followed_is_confirmed_from_what_the_polls_have_stored(engine: Engine) -> None:
    rows = [*calls(SINCE - 60 * MINUTE, 64, OPUS), *calls(SINCE + 4 * MINUTE, 16, SONNET)]
    found = verifier(store_with(engine, SINCE + 20 * MINUTE, rows)).look(WATCH)
    assert found is not None
    assert (found.state, found.took) == (VerificationState.CONFIRMED, 4 * MINUTE)


def test_who_still_calls_is_shown_by_name_and_stored_by_id(engine: Engine) -> None:
    rows = [
        *calls(SINCE - 60 * MINUTE, 95, OPUS),
        *(row for number in range(4) for row in calls(SINCE, 35, OPUS, f"w2{number}", None)),
    ]
    store = store_with(engine, SINCE + 35 * MINUTE, rows)
    store.save_names([Name("workspace", "w1", "billing-prod"), Name("key", "k1", "ingest-2", "w1")], SINCE)
    found = verifier(store).look(WATCH)
    assert found is not None
    report = report_due(found, WATCH, [], dismissed=False, now=SINCE + 40 * MINUTE)
    assert report is not None
    facts = verification_report(found, report, WATCH, 7, store.names())
    assert facts.state is VerificationState.NO_EFFECT
    assert [(each.workspace, each.key) for each in facts.callers] == [
        ("billing-prod", "ingest-2"),
        ("w20", None),
        ("w21", None),
    ]
    assert facts.more_callers == 2
    assert report_of(facts) == report


@pytest.mark.parametrize("minutes", [20, 35, 200])
def test_the_proof_is_that_of_the_rows_in_the_database_whatever_kinds_of_tokens_and_terms(
    engine: Engine, minutes: int
) -> None:
    terms = Terms("batch", "us", None)
    rows = [
        UsageRow(each.starts_at, each.model, each.workspace_id, each.api_key_id, terms, TokenCounts(7, 6, 5, 4, 3, 2))
        for each in calls(SINCE - 70 * MINUTE, 70, OPUS, "w2", None)
    ]
    rows += [*calls(SINCE - 70 * MINUTE, 75, OPUS), *calls(SINCE + 5 * MINUTE, minutes - 5, SONNET)]
    as_of = SINCE + minutes * MINUTE
    store = store_with(engine, as_of, rows)
    since = needed_since(WATCH)
    found = verifier(store).look(WATCH)
    assert found == verify(WATCH, store.buckets(since, as_of), store.hours(since), as_of, CARD)
    assert found is not None
    assert found.before is not None
    assert found.before.tokens == 70 * 25 + 70 * 20_000


def test_what_a_later_poll_adds_is_seen_at_the_next_look(engine: Engine) -> None:
    first = [*calls(SINCE - 60 * MINUTE, 65, OPUS)]
    store = store_with(engine, SINCE + 5 * MINUTE, first)
    looks = verifier(store)
    assert looks.look(WATCH) is not None
    store_with(engine, SINCE + 20 * MINUTE, [*first, *calls(SINCE + 5 * MINUTE, 15, SONNET)])
    found = looks.look(WATCH)
    assert found is not None
    assert (found.state, found.took) == (VerificationState.CONFIRMED, 5 * MINUTE)


def test_a_change_of_days_ago_is_held_against_usage_that_only_the_database_holds(engine: Engine) -> None:
    as_of = SINCE + 4 * DAY
    rows = [*calls(SINCE - 60 * MINUTE, 60, OPUS, "w7", "k7"), *calls(SINCE, 40, SONNET, "w8", None)]
    store = store_with(engine, as_of, rows)
    since = needed_since(WATCH)
    found = verifier(store).look(WATCH)
    assert found == verify(WATCH, store.buckets(since, as_of), store.hours(since), as_of, CARD)
    assert found is not None
    assert found.before is not None
    assert found.before.tokens == 60 * 20_000
