"""An unusual day of a user or a feature as a message: the sum against what is usual first, then what it went into."""

from decimal import Decimal
from math import floor

from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.outlier import LOOK_BACK, OutlierAlert
from bot.amounts import count, day_name, usd
from bot.budgets.budget import period_name
from bot.language import tr
from bot.messages import Message
from handlers.render.layout import age_part, incident_part, layout
from handlers.render.parts import bullets, paragraph, shown
from handlers.render.spend import caller


def outlier_message(alert: OutlierAlert) -> Message:
    """The day so far, or what it came to."""
    values = {"what": alert.what, "who": shown(alert.id), "spent": usd(alert.usd), "against": _against(alert)}
    small_print = [age_part(alert.as_of)]
    if alert.status is not Status.OPEN:
        first = tr(
            "Outlier over, {what} {who}: {spent} on {day}{against}", day=day_name(alert.day, alert.as_of), **values
        )
        return layout(first, details=[incident_part(alert)], small_print=small_print)
    largest = [f"{caller(mover)}: {usd(mover.usd)}" for mover in alert.callers]
    basis = (
        f"As your applications log it, on the UTC day {day_name(alert.day, alert.as_of)}. It is reported once a day, "
        f"from {alert.factor:f} times what is usual and {usd(alert.floor_usd)} on."
    )
    return layout(
        tr("Outlier, {what} {who}: {spent} today{against}", **values),
        [tr("Mostly {caller}.", caller=largest[0])] if largest else [],
        details=[
            paragraph(*_known(alert), *_hidden(alert)),
            bullets(tr("Largest today"), largest),
            paragraph(basis),
            incident_part(alert),
        ],
        small_print=small_print,
    )


def _hidden(alert: OutlierAlert) -> list[str]:
    return [tr("Who this is, admins see with `/claude-cost report today by user`.")] if alert.hidden else []


def outlier_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    day, _, what = alert.identity.key.partition("/")
    when = shown(period_name(day, alert.since))
    return f"{shown(what)} {shown(alert.identity.subject)} is far above what is usual on {when}"


def _against(alert: OutlierAlert) -> str:
    """Empty where nothing is known to hold it against."""
    usual = alert.usual
    if alert.above_team and usual.members_usd:
        team = f"the median of its team {shown(usual.team or '')}"
        return (
            f", {_times(alert.usd, usual.members_usd)} times {team} ({usd(usual.members_usd)}, {usual.members} users)"
        )
    return f", {_times(alert.usd, usual.own_usd)} times its usual day ({usd(usual.own_usd)})" if usual.own_usd else ""


def _known(alert: OutlierAlert) -> list[str]:
    usual, lines = alert.usual, []
    if usual.own_usd is not None:
        days = count(usual.days, "day")
        lines.append(
            f"Its usual day is the median of {days} with usage in the {LOOK_BACK} days before: {usd(usual.own_usd)}."
        )
    else:
        lines.append(f"Its usual day is not known: there are {count(usual.days, 'day')} with usage before this one.")
    if usual.team is not None and usual.members_usd is not None:
        lines.append(f"The median of its team {shown(usual.team)} is {usd(usual.members_usd)} ({usual.members} users).")
    return lines


def _times(sum_: Decimal, usual: Decimal) -> str:
    """`6.1`, rounded down: what is not yet five times as much is not called so."""
    tenths = floor(sum_ * 10 / usual)
    return f"{tenths // 10:,}.{tenths % 10}"
