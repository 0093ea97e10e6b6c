"""When spend that is in no log is reported, and why its alert does not flap."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.incident import Status, minute_key
from bot.alerts.store import NewestIncident
from bot.alerts.unattributed import RETURNS_WITHIN, UnattributedReason, UnattributedRules, decide_unattributed
from bot.clock import DAY, HOUR

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULES = UnattributedRules(enabled=True)
BEGAN = NOW - 3 * DAY


def newest(status: Status, changed: timedelta = timedelta(0)) -> NewestIncident:
    return NewestIncident(minute_key(BEGAN), status, NOW - changed)


@pytest.mark.parametrize(
    ("counted", "missing", "reason"),
    [
        ("100", "29.99", None),
        ("100", "30", UnattributedReason.ABOVE),
        ("50", "19.99", None),
        ("50", "20", UnattributedReason.ABOVE),
        ("0", "0", None),
    ],
)
def test_it_is_reported_from_both_bounds_on(counted: str, missing: str, reason: UnattributedReason | None) -> None:
    found = decide_unattributed(Decimal(counted), Decimal(missing), None, RULES, NOW)
    assert (None if found is None else found[0].reason) == reason
    assert found is None or (found[0].post and found[1] == NOW)


@pytest.mark.parametrize(
    ("counted", "missing", "over"),
    [("100", "24", False), ("100", "23.99", True), ("20", "16", False), ("20", "15.99", True), ("0", "0", True)],
)
def test_it_is_resolved_well_below_either_bound(counted: str, missing: str, over: bool) -> None:
    found = decide_unattributed(Decimal(counted), Decimal(missing), newest(Status.OPEN), RULES, NOW)
    assert (found is not None) is over
    if found is not None:
        assert (found[0].status, found[1]) == (Status.RESOLVED, BEGAN)


def test_what_comes_back_within_a_day_is_the_same_incident() -> None:
    for changed, began in ((RETURNS_WITHIN - HOUR, BEGAN), (RETURNS_WITHIN, NOW)):
        found = decide_unattributed(Decimal(100), Decimal(90), newest(Status.RESOLVED, changed), RULES, NOW)
        assert found is not None
        assert found[1] == began


USD = st.decimals(0, 200, places=2)


@given(st.lists(st.tuples(USD, USD, st.integers(1, 30)), max_size=30))
def test_no_incident_is_new_twice_within_a_day_and_none_opens_below_the_bounds(
    looks: list[tuple[Decimal, Decimal, int]],
) -> None:
    now, known = NOW, None
    begun = []
    for logged, missing, hours in looks:
        now += hours * HOUR
        found = decide_unattributed(logged + missing, missing, known, RULES, now)
        if found is None:
            continue
        step, began_at = found
        assert known is None or step.status is not known.status
        if step.status is Status.OPEN:
            assert missing >= RULES.floor_usd
            assert missing * 100 >= RULES.limit_percent * (logged + missing)
            if began_at == now:
                begun.append(now)
        known = NewestIncident(minute_key(began_at), step.status, now)
    assert all(later - earlier >= RETURNS_WITHIN for earlier, later in pairwise(begun))
