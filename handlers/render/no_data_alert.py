"""Missing data as a message: since when and why, then what is known, then what to do."""

from datetime import datetime

from bot.alerts.incident import ATTRIBUTION, Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.no_data import NoDataAlert
from bot.amounts import count, percent, span, usd
from bot.budgets.budget import in_period
from bot.budgets.budget_spend import KnownSum
from bot.language import tr, tr_noop
from bot.messages import Message
from handlers.render.parts import context, heading, lead, moment, paragraph, sentence, shown

MOST_SUMS = 5

ATTRIBUTION_NOT_ZERO = tr_noop(
    "That is not zero: requests and their cost go on. Budgets of a product, group, agent or actor fire no alert until "
    "it comes again; every other budget is watched as before."
)

NOT_ZERO = "What has been spent since is not known here, and it is not zero: requests and their cost go on."
WHAT_TO_DO = (
    "The bot keeps trying and reports here when data comes again; `/claude-cost doctor` shows which link fails. Until "
    "then it sees no limit crossed: only the limit in Anthropic's Console holds."
)


def no_data_message(alert: NoDataAlert) -> Message:
    """No data, or data again: since when and why, then what is known, then what to do."""
    if alert.source == ATTRIBUTION:
        return _attribution_message(alert)
    over = alert.status is Status.RESOLVED
    age = "" if alert.as_of is None else f" · data as of {moment(alert.as_of)}"
    return Message(
        [
            heading("Data again" if over else "No data"),
            lead(_again(alert) if over else f"{_missing(alert)}: {sentence(alert.because)}"),
            paragraph(*(_after(alert) if over else [NOT_ZERO, *_known(alert, "Last known"), WHAT_TO_DO])),
            context(f"Incident {shown(alert.incident)}{age}"),
        ]
    )


def no_data_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    if alert.identity.subject == ATTRIBUTION:
        return tr("no data on what Anthropic attributes")
    return "no data"


def _attribution_message(alert: NoDataAlert) -> Message:
    since, long, why = moment(alert.since), span(alert.decided_at - alert.since), sentence(alert.because)
    if alert.status is Status.RESOLVED:
        title = tr("Attributed spend is known again")
        first = tr(
            "What Anthropic attributes is known again; it was missing since {since} ({long}).", since=since, long=long
        )
        more = _known(alert, tr("Spend is now"))
    elif alert.status is Status.WITHDRAWN:
        title = tr("No data on attributed spend: not needed any more")
        first, more = tr("No budget counts a product, group, agent or actor any more."), []
    else:
        title = tr("No data on attributed spend")
        first = tr(
            "Nothing is known since {since} ({long}) of what Anthropic attributes: {why}",
            since=since,
            long=long,
            why=why,
        )
        more = [tr(ATTRIBUTION_NOT_ZERO), *_known(alert, tr("Last known"))]
    age = [] if alert.as_of is None else [tr("Complete up to {moment}.", moment=moment(alert.as_of))]
    return Message(
        [
            heading(title),
            lead(first),
            paragraph(*more),
            context(tr("Incident {id}", id=shown(alert.incident)), *age),
        ]
    )


def _missing(alert: NoDataAlert) -> str:
    yet = " yet," if alert.as_of is None else ""
    return f"No data{yet} since {moment(alert.since)} ({span(alert.decided_at - alert.since)})"


def _again(alert: NoDataAlert) -> str:
    away = span(alert.decided_at - alert.since)
    return f"Data again since {moment(alert.decided_at)}: it was missing from {moment(alert.since)} on ({away})"


def _after(alert: NoDataAlert) -> list[str]:
    if alert.missing_hours:
        hours = count(alert.missing_hours, "hour")
        lines = [f"INCOMPLETE: of {hours} since then no usage is known here, so the true sum may be higher."]
    else:
        lines = ["Nothing known is missing: the usage of every hour since then has been read."]
    return [*lines, *_known(alert, "Spend is now")]


def _known(alert: NoDataAlert, title: str) -> list[str]:
    if not alert.sums:
        return []
    listed = "; ".join(_sum(known, alert.decided_at) for known in alert.sums[:MOST_SUMS])
    more = len(alert.sums) - MOST_SUMS
    return [f"{title}: {listed}{f'; and {more} more budgets' if more > 0 else ''}."]


def _sum(known: KnownSum, now: datetime) -> str:
    limit = known.limit_usd
    of = "" if limit is None else f" of {usd(limit)} ({percent(known.spent_usd, limit)})"
    return f"{usd(known.spent_usd)}{of} {shown(in_period(known.period, now))}, budget {shown(known.budget)}"
