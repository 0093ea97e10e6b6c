"""What a step to a cheaper model costs, in short lines for announcement, status, answer and form."""

from datetime import date

from bot.modes.consequences import Consequences
from handlers.render.escape import names, shown


def cost_lines(costs: Consequences | None) -> list[str]:
    """One line for each thing that applies; none where nothing does, or nothing is known."""
    if costs is None:
        return []
    model = shown(costs.model)
    lines = []
    if costs.retokenized:
        lines.append(f"The same text is about 30% more tokens on {model} than on {names(costs.retokenized)}.")
    if costs.cached_tokens:
        lines.append(
            f"Caches start cold: of what is read from them now, {costs.cached_tokens:,} tokens in 24 h, each prefix is "
            "written anew first."
        )
    if costs.cached_from is not None:
        lines.append(f"{model} caches prompts from {costs.cached_from:,} tokens on: shorter ones lose their cache.")
    if costs.options:
        lines.append(
            f"Options for thinking and tool_choice are others on {model} than on {names(costs.options)}: try a request."
        )
    if costs.retires is not None:
        lines.append(f"{model} retires on {_day(costs.retires)}: have a newer model ready.")
    if costs.may_retire is not None:
        lines.append(f"{model} may retire from {_day(costs.may_retire)} on.")
    return lines


def _day(day: date) -> str:
    return day.isoformat()
