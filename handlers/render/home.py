"""The Home tab as a view: today and the month first, then every budget, then what one can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.amounts import share
from bot.budgets.report import Report
from bot.display import USD, Display
from bot.messages import Block, Message
from bot.pricing.tokens import TokenCounts
from handlers.render.parts import button, buttons, context, heading, lead
from handlers.render.spend import display_lines, total

REFRESH_ACTION = "home_refresh"
ESTIMATE_ACTION = "home_estimate"

TRY = "Type `/claude-cost` in any channel: `estimate` before you build, `report` for who spends, `help` for the rest."


@dataclass(frozen=True, slots=True)
class Stretch:
    """A day or a month of the whole organization."""

    name: str
    report: Report

    @property
    def counts(self) -> TokenCounts:
        """All tokens of it."""
        return sum((group.counts for group in self.report.groups), TokenCounts())


def home_view(stretches: Sequence[Stretch], status: Message, display: Display = USD) -> Block:
    """`stretches`: those that something is known of. `status`: what `/claude-cost status` answers."""
    parts = [heading("What Claude costs"), *(lead(*_stretch_lines(each, display)) for each in stretches)]
    doing = buttons([button("Estimate a workload", ESTIMATE_ACTION, "home"), button("Refresh", REFRESH_ACTION, "home")])
    first = [block for part in [*parts, doing] for block in part.blocks]
    last = context(TRY).blocks
    return {"type": "home", "blocks": [*first, *status.blocks, *last]}


def _stretch_lines(stretch: Stretch, display: Display) -> list[str]:
    spend = stretch.report.spend
    lines = [f"{total(spend)} {stretch.name}", *display_lines(spend.total_usd, display)]
    if not stretch.report.known.complete:
        lines.append("INCOMPLETE: of some hours no usage is known here, so the true sum may be higher.")
    counts = stretch.counts
    if counts.prompt_tokens:
        rate = share(Decimal(counts.cache_read_input_tokens), Decimal(counts.prompt_tokens))
        lines.append(f"Cache hit rate: {rate} of all input was read from a cache.")
    return lines
