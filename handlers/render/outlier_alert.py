"""An unusual day of a user or feature as a message: the sum against what is usual first, then what it was spent on."""

from decimal import Decimal
from math import floor

from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.outlier import LOOK_BACK, OutlierAlert
from bot.amounts import day_name, usd
from bot.budgets.budget import period_name
from bot.language import ntr, tr, tr_noop
from bot.listed import labelled
from bot.messages import Message
from handlers.render.layout import age_part, incident_part, layout
from handlers.render.parts import bullets, paragraph, shown
from handlers.render.spend import caller


def outlier_message(alert: OutlierAlert) -> Message:
    """The day so far, or its final sum."""
    values = {"what": tr(WHAT[alert.what]), "who": shown(alert.id), "spent": usd(alert.usd), "against": _against(alert)}
    small_print = [age_part(alert.as_of)]
    if alert.status is not Status.OPEN:
        first = tr(
            "Outlier over, {what} {who}: {spent} on {day}{against}", day=day_name(alert.day, alert.as_of), **values
        )
        return layout(first, details=[incident_part(alert)], small_print=small_print)
    largest = [labelled(caller(mover), usd(mover.usd)) for mover in alert.callers]
    basis = tr(
        "As your applications log it, on the UTC day {day}. It is reported once a day, from {factor} times what is "
        "usual and {floor} on.",
        day=day_name(alert.day, alert.as_of),
        factor=f"{alert.factor:f}",
        floor=usd(alert.floor_usd),
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
    """The open alert in a list."""
    day, _, what = alert.identity.key.partition("/")
    return tr(
        "{what} {who} is far above what is usual on {day}",
        what=shown(tr(WHAT[what]) if what in WHAT else what),
        who=shown(alert.identity.subject),
        day=shown(period_name(day, alert.since)),
    )


WHAT = {"user": tr_noop("user"), "feature": tr_noop("feature")}


def _against(alert: OutlierAlert) -> str:
    """Comparison with what is usual; empty if nothing is known."""
    usual = alert.usual
    if alert.above_team and usual.members_usd:
        return tr(
            ", {times} times the median of its team {team} ({median}, {users} users)",
            times=_times(alert.usd, usual.members_usd),
            team=shown(usual.team or ""),
            median=usd(usual.members_usd),
            users=usual.members,
        )
    if not usual.own_usd:
        return ""
    times = _times(alert.usd, usual.own_usd)
    return tr(", {times} times its usual day ({usual})", times=times, usual=usd(usual.own_usd))


def _known(alert: OutlierAlert) -> list[str]:
    usual, lines = alert.usual, []
    if usual.own_usd is not None:
        lines.append(
            ntr(
                "Its usual day is the median of {number} day with usage in the {back} days before: {usual}.",
                "Its usual day is the median of {number} days with usage in the {back} days before: {usual}.",
                usual.days,
                back=LOOK_BACK,
                usual=usd(usual.own_usd),
            )
        )
    else:
        lines.append(
            ntr(
                "Its usual day is not known: there are {number} day with usage before this one.",
                "Its usual day is not known: there are {number} days with usage before this one.",
                usual.days,
            )
        )
    if usual.team is not None and usual.members_usd is not None:
        lines.append(
            tr(
                "The median of its team {team} is {median} ({users} users).",
                team=shown(usual.team),
                median=usd(usual.members_usd),
                users=usual.members,
            )
        )
    return lines


def _times(sum_: Decimal, usual: Decimal) -> str:
    """`6.1`, rounded down: less than five times must not show as 5.0."""
    tenths = floor(sum_ * 10 / usual)
    return f"{tenths // 10:,}.{tenths % 10}"
