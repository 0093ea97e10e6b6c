"""`/claude-cost status`: every budget, the mode, and the age of all of it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from bot.alerts.lifecycle import OpenAlert
from bot.amounts import percent, usd
from bot.budgets.budget import period_name
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.scopes import Unmatched
from bot.clock import DAY
from bot.display import USD, Display
from bot.fallback.service import ModeState
from bot.language import ntr, tr
from bot.messages import Message, Part
from bot.notify.store import UnreachableChannel, Waiting
from bot.usage.model import DataState
from handlers.render.budget import unmatched_line
from handlers.render.fallback import mode_line
from handlers.render.layout import budget_clause, layout, ways_out_lines, ways_out_row, why_lines
from handlers.render.lifecycle import open_alert_lines
from handlers.render.parts import (
    STALE,
    age_line,
    channel_mention,
    context,
    fitting,
    fold,
    lead,
    moment,
    paragraph,
    sentence,
    shown,
    warning,
    with_age,
)
from handlers.render.raises import raised_lines
from handlers.render.spend import (
    amount,
    at_least_line,
    attributed_age,
    capitalized,
    cause_line,
    display_lines,
    end_line,
    in_its_period,
    is_over,
    limits_line,
    mover_line,
    over_line,
    parts_line,
    unknown_price_line,
)

BAR_CELLS = 10

MOST_IN_FULL = 5
"""Most budgets shown on more than one line."""

DETAILS_ROOM, IN_SHORT_ROOM = 3500, 4200
"""Characters for the details of sums, and for budgets on one line; Slack was seen to reject messages of some 13,200 in
all.
"""

SHOWN_FOR = 7 * DAY
"""How long a change of source is shown, since it can change the numbers."""


def status_message(
    spends: Sequence[BudgetSpend],
    data: DataState,
    mode: ModeState,
    delivery_error: str | None,
    now: datetime,
    poll_seconds: int,
    destinations: Sequence[Waiting] = (),
    display: Display = USD,
    truth: Sequence[str] = (),
    open_alerts: Sequence[OpenAlert] = (),
    unmatched: Sequence[Unmatched] = (),
    in_full: Callable[[BudgetSpend, bool], BudgetSpend] | None = None,
    unreachable: Sequence[UnreachableChannel] = (),
) -> Message:
    """`spends`: empty before the first poll. `delivery_error`: why alerts wait, if they do.

    `destinations`: further destinations at which alerts wait. `truth`: lines on computed against billed. `open_alerts`:
    oldest first. `unmatched`: budgets whose scope matches nothing. `in_full`: completes spend that is shown in full:
    expected end, callers, causes and savings. `unreachable`: channels of budgets to which the bot cannot post.

    The budget nearest to its limit comes first; callers are named once. If there are too many budgets for one message,
    the later ones have one line each. Stale data is reported before anything else.
    """
    age = age_line(data, now, poll_seconds)
    stale = age.startswith(tr(STALE))
    spends = sorted(spends, key=share_of_limit, reverse=True)
    small_print = [mode_line(mode), *([] if stale else [age]), *problem_lines(data, mode, delivery_error)]
    small_print += waiting_lines(destinations)
    small_print += [*map(unmatched_line, unmatched), *map(unreachable_line, unreachable)]
    opened = [lead(tr("Open alerts:"), *open_alert_lines(open_alerts))] if open_alerts else []
    further = [*truth, *_change_of_source(data, now)]
    if not spends:
        small_print = [line for line in small_print if line != age]
        return Message([lead(age), *opened, fold(tr("Details"), [paragraph(*further)]), context(*small_print)])
    full, stale_as_of = _in_full(spends, in_full), data.as_of if stale else None
    if stale:
        full = [_not_extrapolated(spend, now, data.as_of) for spend in full]
    worst = full[0]
    message = layout(
        _first(worst),
        why_lines(worst.causes, worst.movers),
        ways_out_row(worst, mode.mode.name) if _in_danger(worst, now) else None,
        [
            paragraph(*_standing(worst, now, display, stale_as_of)),
            *(lead(_first(spend), *_standing(spend, now, display, stale_as_of)) for spend in full[1:]),
            paragraph(*_in_short(spends[len(full) :])),
            *opened,
            warning(*dict.fromkeys(unknown_price_line(spend.assumed) for spend in full if spend.assumed)),
        ],
        [
            *_details(full, named=len(spends) > 1),
            *([ways_out_lines(worst, mode.mode.name)] if _in_danger(worst, now) else []),
            paragraph(*further),
        ],
        [context(*small_print)],
    )
    return with_age(message, age) if stale else message


def _in_full(
    spends: Sequence[BudgetSpend], completed: Callable[[BudgetSpend, bool], BudgetSpend] | None
) -> list[BudgetSpend]:
    shown = spends[:MOST_IN_FULL]
    return list(shown) if completed is None else [completed(spend, spend is shown[0]) for spend in shown]


def _details(full: Sequence[BudgetSpend], *, named: bool) -> list[Part]:
    """How each sum is made up, and its callers; the same callers and causes only once, at the first budget."""
    seen: list[tuple[object, ...]] = []
    groups = []
    for spend in full:
        parts = tr("{scope}: {parts}.", scope=shown(spend.scope), parts=parts_line(spend))
        lines = [tr("Budget {budget}, {parts}", budget=shown(spend.budget), parts=parts) if named else parts]
        if (spend.movers or spend.causes) and (spend.movers, spend.causes) not in seen:
            seen.append((spend.movers, spend.causes))
            lines += [f"• {mover_line(mover)}" for mover in spend.movers]
            lines += [f"• {tr('Why: {cause}.', cause=cause_line(cause))}" for cause in spend.causes]
        groups.append([*lines, *([at_least_line(spend.hidden)] if spend.at_least else [])])
    return [paragraph(*lines) for lines in fitting(groups, DETAILS_ROOM)]


def _first(spend: BudgetSpend) -> str:
    highest = spend.hard_usd or spend.soft_usd or Decimal(1)
    return tr(
        "{spent} of {limit} ({share}), {period}{budget}",
        spent=capitalized(amount(spend)),
        limit=usd(highest),
        share=percent(spend.spent_usd, highest),
        period=shown(period_name(spend.period, spend.as_of)),
        budget=budget_clause(spend),
    )


def _standing(spend: BudgetSpend, now: datetime, display: Display, stale_as_of: datetime | None) -> list[str]:
    """The bar, and the expected end. `stale_as_of`: age of Anthropic's data, if stale."""
    lines = [*display_lines(spend.spent_usd, display), *_bar(spend)]
    if _is_newer(spend, stale_as_of):
        lines.append(tr("Logged by your applications, as of {moment}.", moment=moment(spend.as_of)))
    if spend.attributed:
        lines.append(attributed_age(spend))
    lines += raised_lines(spend.raised)
    if is_over(spend, now):
        return [*lines, tr("{over} Of the new one nothing is known yet.", over=over_line(spend))]
    return [*lines, end_line(spend)]


def _bar(spend: BudgetSpend) -> list[str]:
    """Used share of the highest limit, with the limit's name beside the bar."""
    highest = spend.hard_usd or spend.soft_usd
    if highest is None:
        return []
    full = min(BAR_CELLS, max(0, int(spend.spent_usd * BAR_CELLS / highest)))
    values = {"bar": "▰" * full + "▱" * (BAR_CELLS - full), "share": percent(spend.spent_usd, highest)}
    if spend.hard_usd is None:
        return [tr("{bar} {share} of the soft limit, {soft}", soft=usd(highest), **values)]
    if spend.soft_usd is None:
        return [tr("{bar} {share} of the hard limit, {hard}", hard=usd(highest), **values)]
    values |= {"soft": usd(spend.soft_usd), "soft_share": percent(spend.spent_usd, spend.soft_usd)}
    return [
        tr(
            "{bar} {share} of the hard limit, {hard}; {soft_share} of the soft limit, {soft}",
            hard=usd(highest),
            **values,
        )
    ]


def _in_danger(spend: BudgetSpend, now: datetime) -> bool:
    """Whether a limit is crossed or expected to be."""
    limit = spend.soft_usd or spend.hard_usd
    if limit is None or is_over(spend, now):
        return False
    return max(spend.spent_usd, spend.expected_usd or Decimal(0)) >= limit


def _in_short(rest: Sequence[BudgetSpend]) -> list[str]:
    """One line each, as many as fit."""
    lines = [f"• {_headline(spend)}" for spend in rest]
    short = [line for [line] in fitting(([line] for line in lines), IN_SHORT_ROOM)]
    more = len(lines) - len(short)
    return [*short, tr("and {number} more budgets, further from their limits.", number=more)] if more else short


def _not_extrapolated(spend: BudgetSpend, now: datetime, as_of: datetime | None) -> BudgetSpend:
    """`as_of`: age of the stale data."""
    is_known = _is_newer(spend, as_of) or spend.stale_at is not None
    return spend if is_known else spend.not_extrapolated(now)


def _is_newer(spend: BudgetSpend, stale_as_of: datetime | None) -> bool:
    """Whether it counts logged usage, which goes on while Anthropic's data is stale."""
    return stale_as_of is not None and spend.as_of > stale_as_of


def share_of_limit(spend: BudgetSpend) -> Decimal:
    """Used share of a budget's limit; zero without one."""
    limit = spend.hard_usd or spend.soft_usd
    return Decimal(0) if limit is None else spend.spent_usd / limit


def _headline(spend: BudgetSpend) -> str:
    return tr(
        "{spent} {when}: budget {budget}, {scope} {limits}",
        spent=amount(spend),
        when=in_its_period(spend),
        budget=shown(spend.budget),
        scope=shown(spend.scope),
        limits=limits_line(spend),
    )


def _change_of_source(data: DataState, now: datetime) -> list[str]:
    if data.changed_at is None or data.changed_from is None or now - data.changed_at > SHOWN_FOR:
        return []
    return [
        tr(
            "Read from the {before} API until {time}, since then from the {source} API.",
            before=data.changed_from,
            time=moment(data.changed_at),
            source=data.source,
        )
    ]


def problem_lines(data: DataState, mode: ModeState, delivery_error: str | None) -> list[str]:
    """What does not work, each with why."""
    lines = []
    if data.error is not None:
        error = sentence(data.error)
        if data.error_since is None:
            lines.append(tr("Polling fails: {error}", error=error))
        else:
            lines.append(tr("Polling fails since {since}: {error}", since=moment(data.error_since), error=error))
    if data.billed_error is not None:
        error = sentence(data.billed_error)
        lines.append(tr("The cost report cannot be read, so newer days are computed: {error}", error=error))
    if mode.write_error is not None:
        lines.append(sentence(mode.write_error))
    if delivery_error is not None:
        lines.append(tr("Alerts are waiting: {error}", error=sentence(delivery_error)))
    return lines


def unreachable_line(one: UnreachableChannel) -> str:
    """A budget's channel to which the bot cannot post, and where its alerts go instead."""
    return tr(
        "{channel} cannot be reached since {since}, so its alerts come to the main channel. {why}",
        channel=channel_mention(one.channel),
        since=moment(one.since),
        why=sentence(one.error),
    )


def waiting_lines(destinations: Sequence[Waiting]) -> list[str]:
    """Where alerts wait, and why."""
    return [
        ntr(
            "{destination}: {number} alert waiting since {since}, because {error}.",
            "{destination}: {number} alerts waiting since {since}, because {error}.",
            waiting.count,
            destination=shown(waiting.destination),
            since=moment(waiting.since),
            error=sentence(waiting.error),
        )
        for waiting in destinations
    ]
