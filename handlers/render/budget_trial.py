"""`/claude-cost budget try` and `budget suggest`: alerts that would have been posted, and limits with their reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.alerts.incident import AlertKind
from bot.alerts.replay import Replay, ReplayedAlert
from bot.amounts import usd
from bot.budgets.budget import Budget, LimitKind, PeriodKind, period_name
from bot.budgets.suggestion import Pace, Suggestion
from bot.clock import DAY, HOUR
from bot.language import ntr, tr, tr_noop
from bot.messages import Block, Message, Part, in_utc
from handlers.render.budget import CONFIRM_FIRST, described
from handlers.render.parts import buttons, context, lead, moment, paragraph, sentence, shown, table

MOST_ROWS = 20

LIMIT_NAMES: Mapping[LimitKind, str] = {
    LimitKind.SOFT: tr_noop("soft limit {limit}"),
    LimitKind.HARD: tr_noop("hard limit {limit}"),
    LimitKind.THRESHOLD: tr_noop("mark {limit}"),
}

EACH: Mapping[PeriodKind, str] = {
    PeriodKind.DAY: tr_noop("Each day: soft {soft}, hard {hard}"),
    PeriodKind.WEEK: tr_noop("Each week: soft {soft}, hard {hard}"),
    PeriodKind.MONTH: tr_noop("Each month: soft {soft}, hard {hard}"),
}

FROM_PAST: Mapping[PeriodKind, str] = {
    PeriodKind.DAY: tr_noop(
        "Of the last {number} complete days 9 in 10 came to {usual} or less, the dearest to {dearest}."
    ),
    PeriodKind.WEEK: tr_noop(
        "Of the last {number} complete weeks 9 in 10 came to {usual} or less, the dearest to {dearest}."
    ),
    PeriodKind.MONTH: tr_noop(
        "Of the last {number} complete months 9 in 10 came to {usual} or less, the dearest to {dearest}."
    ),
}

FROM_PACE: Mapping[PeriodKind, str] = {
    PeriodKind.DAY: tr_noop("Too few complete days are known: the pace is {pace} a day."),
    PeriodKind.WEEK: tr_noop("Too few complete weeks are known: at {pace} a day, 7 days come to {usual}."),
    PeriodKind.MONTH: tr_noop("Too few complete months are known: at {pace} a day, 30 days come to {usual}."),
}


@dataclass(frozen=True, slots=True)
class Proposed:
    """A suggestion as a budget, what it would have reported, and the button that sets it."""

    suggestion: Suggestion
    budget: Budget
    replay: Replay
    button: Block


def no_history(scope: str) -> str:
    """The answer if no usage is stored."""
    return tr("No data yet: no usage of {scope} is stored that a budget could be tried on.", scope=shown(scope))


def unknown_scope(scope: str, why: str) -> str:
    """The answer if the scope matches nothing."""
    return tr("{scope} would count nothing: {why}", scope=shown(scope), why=sentence(why))


def trial_message(
    budget: Budget, replay: Replay, notes: Sequence[str], elements: Sequence[Block], now: datetime
) -> Message:
    """Which alerts would have been posted when. `notes`: sentences about setting it."""
    alerts = replay.alerts
    first = ntr(
        "Budget {name} would have sent {number} alert in {stretch}",
        "Budget {name} would have sent {number} alerts in {stretch}",
        len(alerts),
        name=shown(budget.name),
        stretch=_stretch(replay),
    )
    rows = [_cells(alert, now) for alert in alerts[:MOST_ROWS]]
    more = len(alerts) - len(rows)
    closing = [] if more <= 0 else [ntr("and {number} more", "and {number} more", more)]
    return Message(
        [
            lead(first, tr("{budget}.", budget=described(budget)), *([counts_line(replay)] if alerts else [])),
            table((tr("When"), tr("Alert"), tr("Spent by then"), tr("Period")), rows, _in_words),
            paragraph(*closing, *_doubts(replay), *notes),
            buttons(elements),
            context(*([tr(CONFIRM_FIRST)] if elements else []), _how(replay)),
        ]
    )


def suggestions_message(scope: str, found: Sequence[Proposed], pace: Pace) -> Message:
    """A suggestion for each kind of period."""
    if not found:
        return Message(
            [
                lead(
                    ntr(
                        "{scope} spent nothing in the last {number} day, so no limit is proposed.",
                        "{scope} spent nothing in the last {number} days, so no limit is proposed.",
                        pace.days,
                        scope=shown(scope),
                    )
                )
            ]
        )
    parts: list[Part] = [lead(tr("Limits for {scope}, from what it has cost", scope=shown(scope)))]
    for each in found:
        suggestion = each.suggestion
        limits = tr(EACH[suggestion.period], soft=usd(suggestion.soft_usd), hard=usd(suggestion.hard_usd))
        parts += [
            lead(limits, _reason(suggestion), _would_have(each.replay)),
            buttons([each.button], f"suggested:{suggestion.period}"),
        ]
    replay = found[0].replay
    return Message([*parts, paragraph(*_doubts(replay)), context(tr(CONFIRM_FIRST), _how(replay))])


def counts_line(replay: Replay) -> str:
    """Number of alerts by level."""
    return tr(
        "Soft limit: {soft}, hard limit: {hard}, forecast: {forecast}, spike: {spike}, marks on the way: {marks}.",
        soft=replay.count(LimitKind.SOFT),
        hard=replay.count(LimitKind.HARD),
        forecast=replay.count(AlertKind.FORECAST),
        spike=replay.count(AlertKind.SPIKE),
        marks=replay.count(LimitKind.THRESHOLD),
    )


def _would_have(replay: Replay) -> str:
    return ntr(
        "{number} alert in {stretch}: soft {soft}, hard {hard}, forecast {forecast}, spike {spike}.",
        "{number} alerts in {stretch}: soft {soft}, hard {hard}, forecast {forecast}, spike {spike}.",
        len(replay.alerts),
        stretch=_stretch(replay),
        soft=replay.count(LimitKind.SOFT),
        hard=replay.count(LimitKind.HARD),
        forecast=replay.count(AlertKind.FORECAST),
        spike=replay.count(AlertKind.SPIKE),
    )


def _reason(suggestion: Suggestion) -> str:
    if suggestion.dearest_usd is None:
        return tr(FROM_PACE[suggestion.period], pace=usd(suggestion.pace.usd_a_day), usual=usd(suggestion.usual_usd))
    return tr(
        FROM_PAST[suggestion.period],
        number=suggestion.periods,
        usual=usd(suggestion.usual_usd),
        dearest=usd(suggestion.dearest_usd),
    )


def _stretch(replay: Replay) -> str:
    length = replay.until - replay.since
    if length < 2 * DAY:
        return ntr("the last hour", "the last {number} hours", max(length // HOUR, 1))
    return ntr("the last day", "the last {number} days", length // DAY)


def _doubts(replay: Replay) -> list[str]:
    lines = []
    if not replay.is_whole:
        lines.append(
            tr(
                "Only {stretch} are known: usage is stored since {since}.",
                stretch=_stretch(replay),
                since=moment(replay.since),
            )
        )
    if replay.missing_hours:
        lines.append(
            ntr(
                "INCOMPLETE: of {number} hour of it no usage is known here, which counts as none.",
                "INCOMPLETE: of {number} hours of it no usage is known here, which count as none.",
                replay.missing_hours,
            )
        )
    return lines


def _how(replay: Replay) -> str:
    return tr(
        "Stored usage, replayed hour by hour through the rules that watch budgets. A spike of less than an hour does "
        "not show, and a wider budget may report one instead. Forecasts know only what is stored since {since}.",
        since=moment(replay.history_since),
    )


def _cells(alert: ReplayedAlert, now: datetime) -> list[str]:
    return [in_utc(moment(alert.at)), _what(alert), usd(alert.spent_usd), period_name(alert.period, now)]


def _what(alert: ReplayedAlert) -> str:
    if alert.usd_per_hour is not None:
        return tr("spike, {rate} an hour", rate=usd(alert.usd_per_hour))
    limit = "" if alert.limit is None else usd(alert.limit.usd)
    if alert.expected_usd is not None:
        return tr("forecast {expected}, above {limit}", expected=usd(alert.expected_usd), limit=limit)
    kind = LimitKind.SOFT if alert.limit is None else alert.limit.kind
    return tr(LIMIT_NAMES[kind], limit=limit)


def _in_words(cells: Sequence[str]) -> str:
    when, what, spent, period = cells
    return tr("• {when}: {what}, with {spent} spent ({period})", when=when, what=what, spent=spent, period=period)
