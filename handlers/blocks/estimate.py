"""An estimate as a message: the number first, the lines, what would be cheaper, and the notes."""

from bot.message import Block, Message
from bot.money import usd
from bot.pricing.estimate import Estimate
from bot.pricing.estimate_text import alternative_words, estimate_text, line_words, workload_line
from handlers.blocks.elements import context, section


def estimate_message(estimate: Estimate) -> Message:
    """Blocks with the terminal's text as their twin."""
    lines = []
    for line in estimate.lines:
        kind, tokens, price, dollars = line_words(line)
        lines.append(f"• {kind}: {tokens} tokens × {price} per million = {dollars}")
    others = [f"• {alternative_words(other, estimate)}" for other in estimate.alternatives]
    blocks: list[Block] = [
        section(f"*{usd(estimate.monthly_usd)} a month*\n{workload_line(estimate)}"),
        section("\n".join(lines)),
        section("*Otherwise*\n" + "\n".join(others)),
        context("\n".join(estimate.notes)),
    ]
    return Message(estimate_text(estimate), blocks)
