"""The messages of no data, drift and new periods: they fit into Slack, say all of it in words, and let nothing in."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from bot.alerts.day_drift import DayDrift, DriftCause, ModelDrift
from bot.alerts.drift import DriftAlert
from bot.alerts.incident import Status
from bot.alerts.model import AlertPayload
from bot.alerts.new_period import BegunPeriod, NewPeriodAlert
from bot.alerts.no_data import NoDataAlert, NoDataReason
from bot.alerts.notice_contents import dumped, parsed
from bot.budgets.budget_spend import KnownSum
from bot.messages import in_utc
from handlers.render.drift_alert import truth_lines
from handlers.rendering import REPORTED_ONCE, incident_message, plain_message
from tests.unit.test_blocks import AS_OF, LONGEST_EDIT, MOST_TEXT, NOW, SPEND, check, check_twin, hostile, with_spend

SINCE = NOW - timedelta(minutes=32)


def incident(status: Status = Status.OPEN, mode: str = "normal") -> dict[str, Any]:
    return {
        "status": status,
        "reason": NoDataReason.MISSING,
        "decided_at": NOW,
        "mode": mode,
    }


def stale(status: Status = Status.OPEN, name: str = "default", **changes: Any) -> NoDataAlert:
    known = KnownSum(budget=name, period="2026-11", spent_usd=Decimal("412.50"), limit_usd=Decimal(600))
    values: dict[str, Any] = {
        "began_at": SINCE,
        "since": SINCE,
        "because": "HTTP 500.",
        "as_of": SINCE,
        "sums": (known,) * 7,
    }
    return NoDataAlert(**incident(status), **(values | changes))


def drift(
    status: Status = Status.OPEN,
    name: str = "claude-opus-4-8",
    billed_usd: Decimal = Decimal("10.01"),
    unexplained_usd: Decimal = Decimal("6.93"),
    *,
    by_model: bool = True,
) -> DriftAlert:
    causes = dict.fromkeys(DriftCause, Decimal(-1))
    model = ModelDrift(name, Decimal("1.97"), Decimal("8.90"), Decimal("6.93"))
    rest = ModelDrift(None, Decimal(0), Decimal(0), unexplained_usd - 12 * model.unexplained_usd, causes)
    day = DayDrift(date(2026, 11, 17), Decimal("3.08"), billed_usd, None, by_model, (*(model,) * 12, rest))
    return DriftAlert(**incident(status), drift=day, report_read_at=NOW, as_of=AS_OF)


def period(name: str = "default", mode: str = "normal", **changes: Any) -> NewPeriodAlert:
    values: dict[str, Any] = {
        "budget": name,
        "scope": name,
        "period_kind": "month",
        "key": "2026-12",
        "new_ends_at": datetime.fromisoformat("2027-01-01T00:00:00+00:00"),
        "soft_usd": None,
        "hard_usd": Decimal(600),
        "last": with_spend(budget=name, scope=name, expected_usd=None, movers=(), shares=()),
        "unbilled_days": 2,
        "missing_hours": 3,
        "before": KnownSum(budget=name, period="2026-10", spent_usd=Decimal(375), limit_usd=None),
        "as_of": AS_OF,
    }
    return NewPeriodAlert(**incident(mode=mode), **(values | changes))


def begun(name: str, usd: int = 50, *, unsure: bool = False) -> BegunPeriod:
    return BegunPeriod(
        budget=name,
        last_usd=Decimal(usd),
        last_limit_usd=Decimal(200),
        unsure=unsure,
        soft_usd=Decimal(100),
        hard_usd=Decimal(250),
    )


def every(name: str) -> list[AlertPayload]:
    return [
        stale(name=name, because=name),
        stale(Status.RESOLVED, name, missing_hours=2),
        drift(name=name),
        drift(Status.RESOLVED, name),
        period(name),
        period(name, mode=name or "degraded"),
        period(name, others=(begun(name, unsure=True),) * 3),
    ]


@given(hostile)
def test_they_fit_into_slack_and_let_nothing_in_from_outside(name: str) -> None:
    for facts in every(name):
        never_edited = isinstance(facts, NewPeriodAlert)
        check(incident_message(facts, None), most_text=MOST_TEXT if never_edited else LONGEST_EDIT)


def test_whoever_sees_only_the_text_misses_nothing() -> None:
    for facts in every("default"):
        check_twin(incident_message(facts, None))


@given(hostile)
def test_what_is_kept_in_the_outbox_is_read_back_as_it_was(name: str) -> None:
    for facts in every(name):
        kept = dumped(facts)
        assert parsed(kept) == facts


def first_line(facts: AlertPayload) -> str:
    return incident_message(facts, None).text.partition("\n")[0]


@pytest.mark.parametrize(
    ("facts", "line", "incident_id"),
    [
        (stale(), "No data for 32 min", "data/2026-11-20T11:28Z/stale/0"),
        (
            stale(as_of=None),
            "No data yet, for 32 min",
            "data/2026-11-20T11:28Z/stale/0",
        ),
        (
            drift(),
            "Bill and usage differ for 17 Nov: $10.01 billed, $3.08 computed, $6.93 unexplained (69% of the bill)",
            "bill/2026-11-17/drift/0",
        ),
        (
            period(),
            "New month: November ended at $412.50, budget default",
            "default/2026-12/period/0",
        ),
    ],
)
def test_the_first_line_says_what_it_is_and_the_last_which(facts: AlertPayload, line: str, incident_id: str) -> None:
    message = incident_message(facts, None)
    assert message.text.splitlines()[0] == line
    assert incident_id == facts.incident
    assert incident_id in "\n".join(message.text.splitlines()[-3:])


def test_a_day_that_is_not_billed_at_all_has_no_share() -> None:
    facts = drift(billed_usd=Decimal(0), unexplained_usd=Decimal("-3.08"))
    assert first_line(facts).endswith("$0.00 billed, $3.08 computed, -$3.08 unexplained")
    assert "has no list prices" in incident_message(facts, None).text


def test_a_new_period_says_how_sure_the_last_total_is_and_how_it_compares() -> None:
    text = incident_message(period(), None).text
    assert "so far: 2 days are not yet billed." in text
    assert "INCOMPLETE: of 3 hours of it no usage is known here" in text
    assert "The month before, October: $375.00, so this is +10%." in text
    assert "Fallback mode: normal." in text
    whole = period(unbilled_days=0, missing_hours=0, before=None, last=SPEND)
    assert "so far" not in incident_message(whole, None).text


def test_a_letter_of_what_is_no_limit_does_not_speak_of_one() -> None:
    written = plain_message(stale(Status.RESOLVED), NOW, NOW)
    assert written.tone == "resolved"
    assert REPORTED_ONCE not in written.body
    assert written.title.startswith("Data again after")


def test_without_a_settled_day_status_says_so_and_when_the_bill_was_read() -> None:
    assert truth_lines([], None) == [
        "Computed against billed: no settled day to compare yet; cost report not read yet."
    ]
    (line,) = truth_lines([], NOW)
    assert in_utc(line).endswith("cost report read 20 Nov 12:00 UTC.")


def test_budgets_that_begin_together_have_a_line_each_and_many_are_counted() -> None:
    text = incident_message(period(others=(begun("search"), begun("answers", 20, unsure=True))), None).text
    assert "It begins for 3 budgets. The other 2:" in text
    assert "• search ended at $50.00, 25% of $200.00; now soft $100.00 and hard $250.00" in text
    assert "• answers ended at $20.00 so far, 10% of $200.00; now soft $100.00 and hard $250.00" in text
    assert "Sums with “so far” can still change" in text
    many = incident_message(period(others=(begun("<" * 80, unsure=True),) * 70), None)
    assert "and 20 more" in many.text
    check(many, most_text=MOST_TEXT)
