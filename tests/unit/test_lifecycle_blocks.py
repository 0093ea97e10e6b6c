"""Lifecycle of an alert in messages: lines and buttons on its message, replies in its thread, lines in status."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.decide import LimitReason
from bot.alerts.forecast import ForecastAlert, ForecastReason
from bot.alerts.incident import AlertKind, Identity, Status
from bot.alerts.lifecycle import Life, LifecycleStep, OpenAlert
from bot.alerts.limit import LimitAlert
from bot.alerts.notice_contents import Content, LifecycleEvent, Payload
from bot.budgets.budget import Limit, LimitKind
from bot.display import Display
from bot.messages import Message, in_utc
from bot.notify.model import Action, Notice
from bot.notify.slack_connection import Workspace
from handlers.render.forecast_alert import forecast_message
from handlers.render.lifecycle import life_message, open_alert_lines, with_life
from handlers.render.limit_alert import limit_message, limit_step_message
from handlers.render.spend import NOTHING_STOPPED
from handlers.rendering import Rendering, headline, plain_message
from tests.unit.test_blocks import (
    NOW,
    SPEND,
    alert,
    alerts,
    buttons,
    check,
    check_twin,
    hostile,
    hostile_spends,
    status,
    with_spend,
)

YEN = Display("JPY", Decimal(150), Decimal(10))
HOUR = timedelta(hours=1)
HELD = Life("U0ADMIN", NOW, "U0ADMIN", NOW + HOUR)

lives = st.builds(
    Life,
    st.sampled_from([None, "U0ADMIN"]),
    st.sampled_from([None, NOW]),
    st.sampled_from([None, "U0ADMIN"]),
    st.sampled_from([None, NOW + HOUR]),
    st.sampled_from([None, NOW]),
)
figures = st.decimals(0, 10**9, places=2)
forecasts = st.builds(
    lambda spend, status, low, expected, high, dated: ForecastAlert(
        limit=Limit(LimitKind.HARD, Decimal(600)),
        status=status,
        reason=ForecastReason.EXPECTED,
        decided_at=NOW,
        mode="normal",
        spend=spend,
        low_usd=low,
        expected_usd=expected,
        high_usd=high,
        crossed_at=NOW + 3 * HOUR if dated else None,
        crossed_earliest_at=NOW + HOUR if dated else None,
    ),
    hostile_spends,
    st.sampled_from([status for status in Status if status is not Status.WATCHED]),
    figures,
    figures,
    figures,
    st.booleans(),
)


def notice(facts: Payload, action: Action = "post", life: Life | None = None) -> Notice:
    return Notice(7, action, "", Content(facts, alert_id=7, life=life or Life()), 0, False, NOW, None)


def rendered(facts: Payload, action: Action = "post", late: timedelta = timedelta(0), **changes: Any) -> Message:
    rendering = Rendering([], Workspace(), changes.pop("display", YEN))
    return rendering.blocks(notice(facts, action, **changes), NOW + late)


def step(facts: LimitAlert, what: LifecycleStep, **changes: Any) -> LifecycleEvent:
    known = LifecycleEvent(step=what, by="U0ADMIN", at=NOW + HOUR / 2, until=None, since=NOW, about=facts)
    return replace(known, **changes)


# ---- the alert's own message


def test_a_new_alert_can_be_acknowledged_and_snoozed() -> None:
    message = with_life(limit_message(alert(), None), 7, Status.OPEN, Life())
    check(message)
    row = [(button["text"]["text"], button["value"]) for button in buttons(message) if button["value"] == "7"]
    assert row == [("Acknowledge", "7"), ("Snooze 1 h", "7"), ("Snooze 8 h", "7")]
    ids = [button["action_id"] for button in buttons(message)]
    assert len(set(ids)) == len(ids)


def test_it_says_who_has_it_below_its_first_line_and_offers_what_is_left() -> None:
    plain = limit_message(alert(), None)
    message = with_life(plain, 7, Status.OPEN, Life("U0ADMIN", NOW))
    check(message)
    first, second, *rest = message.text.splitlines()
    assert [first, *rest] == plain.text.splitlines()
    assert second == "Acknowledged by <@U0ADMIN> at 20 Nov 12:00 UTC"
    assert "Acknowledge" not in [button["text"]["text"] for button in buttons(message)]
    snoozed = with_life(plain, 7, Status.OPEN, HELD)
    assert "Snoozed until 20 Nov 13:00 UTC by <@U0ADMIN>" in snoozed.text
    assert "Acknowledge" not in [button["text"]["text"] for button in buttons(snoozed)]
    unowned = with_life(plain, 7, Status.OPEN, replace(HELD, acknowledged_by=None, acknowledged_at=None))
    assert "Acknowledge" in [button["text"]["text"] for button in buttons(unowned)]


def test_one_that_is_over_has_nothing_to_click() -> None:
    plain = limit_message(alert(status=Status.RESOLVED), None)
    assert with_life(plain, 7, Status.RESOLVED, HELD) == plain


either_level = st.one_of(
    alerts, alerts.map(lambda facts: replace(facts, limit=Limit(LimitKind.THRESHOLD, Decimal(300))))
)


@given(either_level, lives)
def test_with_its_life_every_alert_fits_into_slack_and_a_hard_one_ends_as_it_should(
    facts: LimitAlert, life: Life
) -> None:
    message = rendered(facts, life=life)
    check(message)
    assert len(message.blocks) <= 50
    if facts.level is LimitKind.HARD and facts.status is Status.OPEN:
        assert message.text.endswith(NOTHING_STOPPED)


@pytest.mark.parametrize("level", [LimitKind.SOFT, LimitKind.HARD])
def test_what_arrives_late_says_so_below_its_first_line_and_ends_as_ever(level: LimitKind) -> None:
    late = rendered(alert(level), late=timedelta(minutes=95))
    check(late)
    lines = late.text.splitlines()
    assert lines[0] == limit_message(alert(level), None).text.splitlines()[0]
    assert lines[1] == "Late by 95 min: this is how it stood at 20 Nov 12:00 UTC."
    assert lines[-1] == rendered(alert(level)).text.splitlines()[-1]


def test_the_letter_of_a_resolved_hard_limit_has_nothing_to_stop_any_more() -> None:
    resolved = plain_message(alert(LimitKind.HARD, Status.RESOLVED, LimitReason.FELL_BELOW), NOW, NOW)
    assert NOTHING_STOPPED not in resolved.body
    assert plain_message(alert(LimitKind.HARD), NOW, NOW).body.endswith(NOTHING_STOPPED)
    assert resolved.body.startswith("If this limit is crossed again")


def test_ten_minutes_are_not_late_and_an_edit_never_is() -> None:
    assert "Late" not in rendered(alert(), late=timedelta(minutes=10)).text
    assert "Late" not in rendered(alert(), "update", late=HOUR).text


def test_the_sum_is_shown_in_the_money_of_the_readers_too() -> None:
    line = "That is ¥61,875 without tax, ¥68,063 with 10% tax (at 150 JPY for 1 USD)."
    message = rendered(alert())
    check(message)
    check_twin(message)
    assert line in message.text.splitlines()
    assert line in str(message.blocks)
    assert line in plain_message(alert(), NOW, NOW, display=YEN).body
    assert "That is" not in rendered(alert(), display=Display()).text


# ---- thresholds


def threshold(status: Status = Status.OPEN, usd: int = 300, **spend: Any) -> LimitAlert:
    facts = alert(status=status, spend=with_spend(**spend))
    return replace(facts, limit=Limit(LimitKind.THRESHOLD, Decimal(usd)))


def test_a_threshold_says_which_share_it_is_and_what_comes_next() -> None:
    message = limit_message(threshold(spent_usd=Decimal(310)), None)
    check(message)
    check_twin(message)
    lines = message.text.splitlines()
    assert lines[0] == "$310.00 of $300.00 (103%): threshold 50% of $600.00 crossed, November"
    assert "The next limit is $400.00." in lines
    assert NOTHING_STOPPED not in message.text
    above = limit_message(threshold(usd=540, spent_usd=Decimal(550)), None)
    assert "The next limit is $600.00." in above.text


def test_a_threshold_that_is_passed_names_no_next_limit_since_that_may_be_passed_too() -> None:
    message = limit_message(threshold(Status.SUPERSEDED), None)
    assert message.text.startswith("$412.50 of $300.00 (137%): threshold 50% of $600.00 crossed, and the next one too")
    assert "next limit" not in message.text


# ---- replies


@pytest.mark.parametrize("facts", [alert(LimitKind.SOFT), alert(LimitKind.HARD), threshold()])
@pytest.mark.parametrize("what", LifecycleStep)
def test_no_reply_can_be_taken_for_the_alert(facts: LimitAlert, what: LifecycleStep) -> None:
    message = rendered(step(facts, what, until=NOW + HOUR), "reply")
    check(message)
    first = message.text.splitlines()[0]
    assert "soft limit" not in first
    assert "hard limit" not in first


@given(either_level)
def test_neither_can_a_reply_about_what_the_figures_did(facts: LimitAlert) -> None:
    message = rendered(facts, "reply")
    check(message)
    if "limit" not in facts.spend.period:
        assert " limit " not in message.text.splitlines()[0].replace("the next limit,", "")


def test_what_the_channel_hears_again_says_why_what_and_what_to_do() -> None:
    facts = alert(LimitKind.HARD)
    escalated = life_message(step(facts, LifecycleStep.ESCALATED), headline(facts))
    assert escalated.text.splitlines() == [
        "Nobody has acknowledged this for 30 min.",
        "$412.50 of $600.00 (68%): hard limit crossed, November",
        "That was as of 20 Nov 11:55 UTC; `/claude-cost status` shows how it stands now.",
        "Whoever takes it clicks Acknowledge at the alert above.",
        NOTHING_STOPPED,
    ]
    over = life_message(step(alert(), LifecycleStep.SNOOZE_OVER), headline(alert()))
    assert over.text.splitlines()[0] == "The snooze is over, and this still stands."
    assert NOTHING_STOPPED not in over.text


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (
            Status.SUPERSEDED,
            LimitReason.PASSED_BY_HARD,
            "Passed: $412.50 is spent, so the next limit, $600.00,",
        ),
        (Status.RESOLVED, LimitReason.FELL_BELOW, "Resolved: $412.50 is spent, below $400.00 again."),
        (Status.WITHDRAWN, LimitReason.LIMIT_CHANGED, "Withdrawn: $400.00 is not in force any more."),
        (Status.CLOSED, LimitReason.PERIOD_CLOSED, "Period closed: November is over. What was known last is $412.50."),
        (Status.OPEN, LimitReason.CROSSED_AGAIN, "Crossed again: $412.50 of $400.00 is spent."),
        (Status.OPEN, LimitReason.FELL_BELOW_HARD, "Open again: $412.50 of $400.00 is spent."),
    ],
)
def test_a_reply_says_what_the_figures_did_and_how_old_they_are(status: Status, reason: LimitReason, line: str) -> None:
    message = limit_step_message(alert(status=status, reason=reason))
    check(message)
    check_twin(message)
    assert message.text.startswith(line)
    assert message.text.endswith("Data as of 20 Nov 11:55 UTC.")


# ---- forecasts


@given(forecasts, lives)
def test_every_forecast_alert_fits_into_slack_whatever_the_names(facts: ForecastAlert, life: Life) -> None:
    check(rendered(facts, life=life))
    check(rendered(facts, "reply"))


def test_a_forecast_alert_says_the_sum_the_range_and_the_date() -> None:
    facts = ForecastAlert(
        limit=Limit(LimitKind.HARD, Decimal(600)),
        status=Status.OPEN,
        reason=ForecastReason.EXPECTED,
        decided_at=NOW,
        mode="normal",
        spend=with_spend(budget="b" * 60),
        low_usd=Decimal(610),
        expected_usd=Decimal(700),
        high_usd=Decimal(790),
        crossed_at=NOW + 48 * HOUR,
        crossed_earliest_at=NOW + 24 * HOUR,
    )
    message = forecast_message(facts)
    check_twin(message)
    lines = message.text.splitlines()
    assert lines[0] == f"Forecast $700.00 by the end of November, above $600.00 (116%), budget {'b' * 60}"
    assert "Range: $610.00 to $790.00 at the end of November." in lines
    assert lines[1] == "The hard limit of $600.00 is reached about 22 Nov 12:00 UTC, at the earliest 21 Nov 12:00 UTC."
    assert lines[-2:] == [f"Incident {'b' * 60}/2026-11/forecast/600 · open", "Data as of 20 Nov 11:55 UTC."]


# ---- status


def standing(
    kind: AlertKind = AlertKind.LIMIT,
    life: Life | None = None,
    limit: Limit | None = None,
    bound: Decimal | None = None,
    subject: str = "default",
    key: str = "2026-11",
) -> OpenAlert:
    return OpenAlert(Identity(kind, subject, key, limit), bound, NOW, life or Life())


def test_status_has_a_line_for_every_open_alert() -> None:
    lines = open_alert_lines(
        [
            standing(limit=Limit(LimitKind.HARD, Decimal(600))),
            standing(life=Life("U0ADMIN", NOW), limit=Limit(LimitKind.SOFT, Decimal(400))),
            standing(AlertKind.SPIKE, HELD, bound=Decimal(10)),
            standing(AlertKind.NO_DATA, Life(escalated_at=NOW)),
        ]
    )
    assert [in_utc(line) for line in lines] == [
        "• hard limit $600.00 of budget default in November: since 20 Nov 12:00 UTC, nobody has acknowledged it.",
        "• soft limit $400.00 of budget default in November: since 20 Nov 12:00 UTC, "
        "acknowledged by <@U0ADMIN> at 20 Nov 12:00 UTC.",
        "• spike in budget default, from $10.00 an hour: since 20 Nov 12:00 UTC, "
        "acknowledged by <@U0ADMIN> at 20 Nov 12:00 UTC, snoozed until 20 Nov 13:00 UTC by <@U0ADMIN>.",
        "• no data: since 20 Nov 12:00 UTC, reported again at 20 Nov 12:00 UTC, and nobody has acknowledged it yet.",
    ]


@given(st.lists(st.builds(standing, st.sampled_from(AlertKind), lives, subject=hostile, key=hostile), max_size=20))
def test_status_fits_into_slack_whatever_stands_open(open_alerts: list[OpenAlert]) -> None:
    for spends in ([], [SPEND]):
        message = status(spends, open_alerts=open_alerts)
        check(message)
        check_twin(message)
        assert ("Open alerts:" in message.text) == bool(open_alerts)
