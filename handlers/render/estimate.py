"""An estimate as a message: what cannot work, the number, what would be cheaper, the lines and the notes."""

from collections.abc import Sequence

from bot.budgets.planned import Planned
from bot.messages import Block, Message
from bot.money import cents_of, in_cents, percent, usd
from bot.pricing.estimate import Estimate
from bot.pricing.estimate_text import (
    advice_lines,
    closing_lines,
    estimate_text,
    line_words,
    routing_words,
    workload_line,
)
from bot.pricing.throughput_text import verdict_lines
from handlers.render.elements import context, section
from handlers.render.escape import escape, shown
from handlers.render.spend import LITTLE_DATA, not_extrapolated
from handlers.render.table import table

HEADINGS = ("Tokens", "a month", "USD per million", "USD")


def estimate_message(estimate: Estimate, more: Sequence[str]) -> Message:
    """Blocks with the terminal's text as their twin. `more`: lines (mrkdwn) about budgets and what was kept."""
    routing = routing_words(estimate)
    lead = [escape(problem) for problem in estimate.problems]
    lead += [f"*{usd(estimate.monthly_usd)} a month*", escape(workload_line(estimate.workload))]
    lead += [] if routing is None else [escape(routing)]
    rows = [line_words(line, estimate) for line in estimate.lines]
    blocks: list[Block] = [
        section("\n".join(lead)),
        section(escape("\n".join(advice_lines(estimate)))),
        *([table(HEADINGS, rows)] if rows else []),
        *([section("\n".join(["*Budgets with it*", *more]))] if more else []),
        context(escape("\n".join([*verdict_lines(estimate.fit), *closing_lines(estimate)]))),
    ]
    return Message("\n\n".join([escape(estimate_text(estimate)), *(["\n".join(more)] if more else [])]), blocks)


def lines_section(estimate: Estimate) -> Block:
    """The lines for a modal, where Slack shows no table."""
    rows = [line_words(line, estimate) for line in estimate.lines]
    lines = [f"• {kind}: {tokens} tokens × {price} per million = {dollars}" for kind, tokens, price, dollars in rows]
    return section(escape("\n".join(lines)) or "Without tokens there is nothing to pay for.")


def planned_line(plan: Planned) -> str:
    """What a whole period of it takes of the limit, and where the running period would end with it."""
    name, limit = shown(plan.budget), usd(plan.limit_usd)
    line = (
        f"Budget {name}: {usd(plan.whole_usd)} a {plan.period} ({percent(plan.whole_usd, plan.limit_usd)} of {limit})"
    )
    if plan.total_usd is None or plan.expected_usd is None:
        why = LITTLE_DATA if plan.stale_at is None else not_extrapolated(plan.as_of, plan.stale_at)
        return f"{line}; its expected end is {why}."
    share = percent(plan.total_usd, plan.limit_usd)
    # The expected end is told elsewhere too, so that what is added takes the odd cent.
    cents = cents_of(plan.total_usd) - cents_of(plan.expected_usd)
    [added] = in_cents(cents, [plan.added_usd])
    return (
        f"{line}; begun now, {usd(added)} more in this {plan.period}: expected end "
        f"{usd(plan.expected_usd)} → {usd(plan.total_usd)}, {share} of {limit}."
    )
