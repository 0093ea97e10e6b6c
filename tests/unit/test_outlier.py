"""When the day of a user or feature is an outlier, and what it is held against."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.incident import Status
from bot.alerts.outlier import OutlierAlert, OutlierReason, OutlierRules, Usual, decide_outlier, usual_of
from handlers.rendering import headline

RULES = OutlierRules()
USD = st.decimals("0.01", 500, places=2)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def own(usd: str | int, days: int = 9) -> Usual:
    return Usual(own_usd=Decimal(usd), days=days)


def team(usd: str | int, own_usd: str | None = None) -> Usual:
    own = None if own_usd is None else Decimal(own_usd)
    return Usual(own_usd=own, team="search", members_usd=Decimal(usd), members=6)


@pytest.mark.parametrize(
    ("usd", "usual", "reason"),
    [
        ("49.99", own(10), None),
        ("50", own(10), OutlierReason.ABOVE_OWN),
        ("19.99", own(1), None),
        ("20", own(1), OutlierReason.ABOVE_OWN),
        ("400", Usual(days=4), None),
        ("50", team(10), OutlierReason.ABOVE_TEAM),
        ("50", team(10, "49.99"), OutlierReason.ABOVE_TEAM),
        ("60", team(10, "50"), None),
        ("250", team(10, "50"), OutlierReason.ABOVE_OWN),
    ],
    ids=[
        *("below the factor", "at the factor", "below the floor", "at the floor", "nothing to hold it against"),
        *("above the team", "above the team, not itself", "that much every day", "that much every day, and more"),
    ],
)
def test_an_outlier_is_far_above_its_own_days_or_above_its_team(
    usd: str, usual: Usual, reason: OutlierReason | None
) -> None:
    step = decide_outlier(Decimal(usd), usual, None, RULES)
    assert (None if step is None else step.reason) == reason


def test_the_usual_day_needs_five_days_and_a_team_four_members() -> None:
    days = [Decimal(usd) for usd in (3, 1, 200, 2)]
    assert usual_of(days, {"a": days[:3]}) == Usual(days=4)
    found = usual_of([*days, Decimal(4)], {"a": days, "b": [*days, Decimal(9)], "c": days[:1]})
    assert found == Usual(own_usd=Decimal(3), days=5, team="b", members_usd=Decimal(3), members=5)


@given(
    st.lists(USD, max_size=30),
    st.lists(USD, max_size=12),
    st.lists(USD, max_size=8),
    st.decimals("1.1", 9, places=1),
    USD,
)
def test_a_day_is_posted_once_at_most_never_below_the_floor_and_only_above_what_is_usual(
    sums: list[Decimal], days: list[Decimal], members: list[Decimal], factor: Decimal, floor_usd: Decimal
) -> None:
    rules, usual = OutlierRules(factor=factor, floor_usd=floor_usd), usual_of(days, {"search": members})
    status: Status | None = None
    posted = []
    for usd in sums:
        step = decide_outlier(usd, usual, status, rules)
        if step is not None:
            status = step.status
            posted.append(usd)
    assert len(posted) <= 1
    bounds = [each * factor for each in (usual.own_usd, usual.members_usd) if each is not None]
    assert all(usd >= floor_usd and any(usd >= bound for bound in bounds) for usd in posted)


def alert(usd: str, usual: Usual, **changes: object) -> OutlierAlert:
    values = {
        "status": Status.OPEN,
        "reason": "",
        "decided_at": NOW,
        "mode": "normal",
        "what": "user",
        "id": "dev-7",
        "day": date(2026, 11, 20),
        "usd": Decimal(usd),
        "usual": usual,
        "above_team": False,
        "factor": Decimal(5),
        "floor_usd": Decimal(20),
        "callers": (),
        "as_of": NOW,
    }
    return OutlierAlert(**(values | changes))  # type: ignore[arg-type]


def test_it_says_both_numbers() -> None:
    said = headline(alert("84.20", own("13.80")))
    assert said == "Outlier, user dev-7: $84.20 today, 6.1 times its usual day ($13.80)"
    assert headline(alert("49.99", own(10))).endswith("today, 4.9 times its usual day ($10.00)")
    of_team = headline(alert("50", team(10), above_team=True))
    assert of_team == "Outlier, user dev-7: $50.00 today, 5.0 times the median of its team search ($10.00, 6 users)"
    over = headline(alert("120", own("13.80"), status=Status.RESOLVED))
    assert over == "Outlier over, user dev-7: $120.00 on 20 Nov, 8.6 times its usual day ($13.80)"
