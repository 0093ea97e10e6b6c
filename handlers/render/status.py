"""`/claude-cost status`: every budget, the mode, and how old it all is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial

from bot.alerts.lifecycle import OpenAlert
from bot.amounts import count
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.scopes import Unmatched
from bot.clock import DAY
from bot.display import USD, Display
from bot.fallback.service import ModeState
from bot.messages import Message
from bot.notify.store import Waiting
from bot.usage.model import DataState
from handlers.render.budget import unmatched_line
from handlers.render.fallback import mode_line
from handlers.render.lifecycle import open_alert_lines
from handlers.render.parts import (
    SECTION_LIMIT,
    STALE,
    age_line,
    context,
    fitting,
    lead,
    moment,
    paragraph,
    sentence,
    shown,
    with_age,
)
from handlers.render.spend import (
    amount,
    attributed_age,
    cause_line,
    display_lines,
    end_line,
    in_its_period,
    is_over,
    limits_line,
    mover_line,
    over_line,
    parts_line,
    warning_lines,
)

BAR_CELLS = 20

SHOWN_FOR = 7 * DAY
"""How long a change of source is shown, since it can move the numbers."""

FULL_ROOM = 7500
"""Characters for budgets shown in full; Slack was seen to refuse messages of some 13,200 in all."""


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
    in_full: Callable[[BudgetSpend], BudgetSpend] | None = None,
) -> Message:
    """`spends` is empty before the first poll. `delivery_error`: why alerts are waiting, where they are.

    `destinations`: the further destinations at which alerts are waiting. `truth`: lines on computed against billed.
    `open_alerts`: the oldest first. `unmatched`: budgets whose scope matches nothing. `in_full`: adds to one
    that is shown in full what `spends` need not have: expected end, callers and causes.

    The budget nearest to its limit comes first; callers that several budgets share are shown once. Where the budgets
    are too many for one message, the later ones have one line each. Stale data is reported before anything else.
    """
    age = age_line(data, now, poll_seconds)
    stale = age.startswith(STALE)
    spends = sorted(spends, key=share_of_limit, reverse=True)
    closing = [mode_line(mode), *truth, *_change_of_source(data, now), *problem_lines(data, mode, delivery_error)]
    closing += waiting_lines(destinations)
    closing += [unmatched_line(each) for each in unmatched]
    opened = [lead("Open alerts:", *open_alert_lines(open_alerts))] if open_alerts else []
    if not spends:
        return Message([lead(age), *opened, context(*closing)])
    asked: Iterator[BudgetSpend] = iter(spends) if in_full is None else map(in_full, spends)
    if stale:
        asked = map(partial(_not_extrapolated, now=now), asked)
    parts = [lead(*lines) for lines in fitting(_all_budget_lines(asked, now, display), FULL_ROOM)]
    # What is in most danger, and what is open, first.
    parts[1:1] = opened
    parts.append(paragraph(*_in_short(spends[len(parts) - len(opened) :])))
    if not stale:
        closing.insert(1, age)
    message = Message([*parts, context(*closing)])
    return with_age(message, age) if stale else message


def _all_budget_lines(spends: Iterable[BudgetSpend], now: datetime, display: Display) -> Iterator[list[str]]:
    """Of each budget; the same callers and causes only once, at the first budget."""
    named: list[tuple[object, ...]] = []
    for spend in spends:
        lines = _budget_lines(spend, now, display)
        why = [f"• {mover_line(mover)}" for mover in spend.movers] + [f"• Why: {cause_line(c)}" for c in spend.causes]
        if why and (spend.movers, spend.causes) not in named:
            named.append((spend.movers, spend.causes))
            lines += why
        yield lines + warning_lines(spend)


def _in_short(rest: Sequence[BudgetSpend]) -> list[str]:
    """A line for each, as many as fit into one section."""
    lines = [f"• {_headline(spend)} {limits_line(spend)}" for spend in rest]
    short = [line for [line] in fitting(([line] for line in lines), SECTION_LIMIT - 60)]
    more = len(lines) - len(short)
    return [*short, f"and {more} more budgets, further from their limits."] if more else short


def _not_extrapolated(spend: BudgetSpend, now: datetime) -> BudgetSpend:
    return spend if spend.stale_at is not None else spend.not_extrapolated(now)


def share_of_limit(spend: BudgetSpend) -> Decimal:
    """How near to its limit a budget is; none without one."""
    limit = spend.hard_usd or spend.soft_usd
    return Decimal(0) if limit is None else spend.spent_usd / limit


def _headline(spend: BudgetSpend) -> str:
    return f"{amount(spend)} {in_its_period(spend)}: budget {shown(spend.budget)}, {shown(spend.scope)}"


def _budget_lines(spend: BudgetSpend, now: datetime, display: Display) -> list[str]:
    lines = [_headline(spend), *display_lines(spend.spent_usd, display)]
    highest = spend.hard_usd or spend.soft_usd
    if highest is not None:
        full = min(BAR_CELLS, max(0, int(spend.spent_usd * BAR_CELLS / highest)))
        lines.append(f"`{'█' * full}{'░' * (BAR_CELLS - full)}` {limits_line(spend)}")
    lines.append(f"{parts_line(spend)}.")
    if spend.attributed:
        lines.append(attributed_age(spend))
    if is_over(spend, now):
        lines.append(f"{over_line(spend)} Of the new one nothing is known yet.")
    else:
        lines.append(end_line(spend))
    return lines


def _change_of_source(data: DataState, now: datetime) -> list[str]:
    if data.changed_at is None or data.changed_from is None or now - data.changed_at > SHOWN_FOR:
        return []
    return [
        f"Read from the {data.changed_from} API until {moment(data.changed_at)}, since then from the {data.source} API."
    ]


def problem_lines(data: DataState, mode: ModeState, delivery_error: str | None) -> list[str]:
    """What does not work, each with why."""
    lines = []
    if data.error is not None:
        since = "" if data.error_since is None else f" since {moment(data.error_since)}"
        lines.append(f"Polling fails{since}: {sentence(data.error)}")
    if data.billed_error is not None:
        lines.append(f"The cost report cannot be read, so newer days are computed: {sentence(data.billed_error)}")
    if mode.write_error is not None:
        lines.append(sentence(mode.write_error))
    if delivery_error is not None:
        lines.append(f"Alerts are waiting: {sentence(delivery_error)}")
    return lines


def waiting_lines(destinations: Sequence[Waiting]) -> list[str]:
    """Where alerts are waiting, and why."""
    return [
        f"{shown(waiting.destination)}: {count(waiting.count, 'alert')} waiting since {moment(waiting.since)}, "
        f"because {sentence(waiting.error)}."
        for waiting in destinations
    ]
