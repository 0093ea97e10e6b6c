"""`/claude-cost status`: every budget, the mode, and how old it all is."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.alerts.facts import SpendFacts
from bot.fallback.service import ModeState
from bot.message import Block, Message
from bot.money import percent, usd
from bot.usage.age import DataState, is_stale
from handlers.blocks.elements import context, escape, moment, section
from handlers.blocks.fallback import mode_line
from handlers.blocks.spend import amount, assumed_line, at_least_line, mover_line, pace_line, parts_line

BAR_CELLS = 20


def status_message(
    spends: Sequence[SpendFacts],
    data: DataState,
    mode: ModeState,
    delivery_error: str | None,
    now: datetime,
    poll_seconds: int,
) -> Message:
    """`spends` is empty before the first poll. `delivery_error`: why alerts are waiting, where they are."""
    age = _age_lines(data, now, poll_seconds)
    lines = []
    blocks: list[Block] = []
    for spend in spends:
        part = _budget_lines(spend)
        lines += part
        blocks.append(section("\n".join([f"*{part[0]}*", *part[1:]])))
    if not spends:
        blocks.append(section(f"*{age[0]}*"))
    closing = [mode_line(mode), *(age if spends else age[1:])]
    if mode.write_error is not None:
        closing.append(escape(mode.write_error))
    if delivery_error is not None:
        closing.append(f"Alerts are waiting: {escape(delivery_error)}")
    blocks.append(context("\n".join(closing)))
    return Message("\n".join([*lines, *([] if spends else age[:1]), *closing]), blocks)


def _budget_lines(spend: SpendFacts) -> list[str]:
    limits = [
        f"{level} limit {usd(limit)} ({percent(spend.spent_usd, limit)})"
        for level, limit in (("soft", spend.soft_usd), ("hard", spend.hard_usd))
        if limit is not None
    ]
    highest = spend.hard_usd or spend.soft_usd
    lines = [f"{amount(spend)} in {spend.period}: budget {escape(spend.budget)}, {escape(spend.scope)}"]
    if highest is not None:
        full = min(BAR_CELLS, int(spend.spent_usd * BAR_CELLS / highest))
        lines.append(f"`{'█' * full}{'░' * (BAR_CELLS - full)}` " + ", ".join(limits))
    lines += [f"{parts_line(spend)}.", pace_line(spend)]
    lines += [f"• {mover_line(mover)}" for mover in spend.movers]
    return lines + [line for line in (assumed_line(spend), at_least_line(spend)) if line is not None]


def _age_lines(data: DataState, now: datetime, poll_seconds: int) -> list[str]:
    lines = []
    if data.as_of is None:
        lines.append("No data yet: the first poll has not succeeded.")
    else:
        age = f"Data as of {moment(data.as_of)} ({_ago(now - data.as_of)} old), from Anthropic's {data.source} API"
        stale = is_stale(data.as_of, now, poll_seconds)
        lines.append(f"STALE. {age}." if stale else f"{age}.")
    if data.error is not None:
        since = "" if data.error_since is None else f" since {moment(data.error_since)}"
        lines.append(f"Polling fails{since}: {escape(data.error)}")
    if data.billed_error is not None:
        lines.append(f"No cost report, so all days are computed: {escape(data.billed_error)}")
    return lines


def _ago(age: timedelta) -> str:
    minutes = max(0, int(age.total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
