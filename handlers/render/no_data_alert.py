"""Missing data as a message: since when and why, then what is known, then what to do."""

from datetime import datetime

from bot.alerts.incident import ATTRIBUTION, Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.no_data import NoDataAlert
from bot.amounts import percent, span, usd
from bot.budgets.budget import in_period
from bot.budgets.budget_spend import KnownSum
from bot.language import ntr, spoken, tr, tr_noop
from bot.listed import comma_list
from bot.messages import Message
from handlers.render.layout import age_part, incident_part, layout
from handlers.render.parts import context, moment, paragraph, sentence, shown

MOST_SUMS = 5

ATTRIBUTION_NOT_ZERO = tr_noop(
    "That is not zero: requests and their cost go on. Budgets by {dimensions} fire no alert until it comes again; "
    "every other budget is watched as before."
)

NOT_ZERO = tr_noop("What has been spent since is not known here, and it is not zero: requests and their cost go on.")
WHAT_TO_DO = tr_noop(
    "The bot keeps trying and reports here when data comes again; `/claude-cost doctor` shows which link fails. Until "
    "then it sees no limit crossed: only the limit in Anthropic's Console holds."
)


def no_data_message(alert: NoDataAlert) -> Message:
    """No data, or data again: for how long and why, then what is known, then what to do."""
    if alert.source == ATTRIBUTION:
        return _attribution_message(alert)
    age = [] if alert.as_of is None else [age_part(alert.as_of)]
    away = span(alert.decided_at - alert.since)
    if alert.status is Status.RESOLVED:
        again = tr("It was missing from {start} to {end}.", start=moment(alert.since), end=moment(alert.decided_at))
        return layout(
            tr("Data again after {span}", span=away),
            [again, *_missing_hours(alert)],
            details=[paragraph(*_known(alert, tr("Spend is now"))), incident_part(alert)],
            small_print=age,
        )
    yet = alert.as_of is None
    return layout(
        tr("No data yet, for {span}", span=away) if yet else tr("No data for {span}", span=away),
        [tr("Since {time}: {error}", time=moment(alert.since), error=_first_sentence(alert.because))],
        visible=[paragraph(tr(NOT_ZERO))],
        details=[
            paragraph(sentence(alert.because), *_known(alert, tr("Last known")), tr(WHAT_TO_DO)),
            incident_part(alert),
        ],
        small_print=age,
    )


def no_data_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    if alert.identity.subject == ATTRIBUTION:
        return tr("no data on what Anthropic attributes")
    return tr("no data")


def _attribution_message(alert: NoDataAlert) -> Message:
    away = span(alert.decided_at - alert.since)
    age = [] if alert.as_of is None else [context(tr("Complete up to {moment}.", moment=moment(alert.as_of)))]
    by = comma_list(alert.dimensions)
    if alert.status is Status.RESOLVED:
        return layout(
            tr("Attributed spend is known again after {span}", span=away),
            [tr("It was missing from {start} to {end}.", start=moment(alert.since), end=moment(alert.decided_at))],
            details=[paragraph(*_known(alert, tr("Spend is now"))), incident_part(alert)],
            small_print=age,
        )
    if alert.status is Status.WITHDRAWN:
        return layout(
            tr("No data on attributed spend: not needed any more"),
            [tr("No budget counts a product, group, agent or actor any more.")],
            details=[incident_part(alert)],
            small_print=age,
        )
    return layout(
        tr("No data on spend by {dimensions} for {span}", dimensions=by, span=away),
        [tr("Since {time}: {error}", time=moment(alert.since), error=_first_sentence(alert.because))],
        visible=[paragraph(tr(ATTRIBUTION_NOT_ZERO, dimensions=by))],
        details=[paragraph(sentence(alert.because), *_known(alert, tr("Last known"))), incident_part(alert)],
        small_print=age,
    )


def _first_sentence(because: str) -> str:
    """The first sentence; quotes of each source, with addresses, are in the details."""
    first, point, _ = spoken(because).partition(tr(". "))
    return sentence(f"{first}{point.strip()}")


def _missing_hours(alert: NoDataAlert) -> list[str]:
    if alert.missing_hours:
        return [
            ntr(
                "INCOMPLETE: of {number} hour since then no usage is known here, so the true sum may be higher.",
                "INCOMPLETE: of {number} hours since then no usage is known here, so the true sum may be higher.",
                alert.missing_hours,
            )
        ]
    return [tr("Nothing known is missing: the usage of every hour since then has been read.")]


def _known(alert: NoDataAlert, title: str) -> list[str]:
    if not alert.sums:
        return []
    listed = "; ".join(_sum(known, alert.decided_at) for known in alert.sums[:MOST_SUMS])
    more = len(alert.sums) - MOST_SUMS
    if more > 0:
        return [tr("{title}: {sums}; and {number} more budgets.", title=title, sums=listed, number=more)]
    return [tr("{title}: {sums}.", title=title, sums=listed)]


def _sum(known: KnownSum, now: datetime) -> str:
    limit = known.limit_usd
    values = {
        "spent": usd(known.spent_usd),
        "when": shown(in_period(known.period, now)),
        "budget": shown(known.budget),
    }
    if limit is None:
        return tr("{spent} {when}, budget {budget}", **values)
    share = percent(known.spent_usd, limit)
    return tr("{spent} of {limit} ({share}) {when}, budget {budget}", limit=usd(limit), share=share, **values)
