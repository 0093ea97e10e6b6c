"""How much of Anthropic's figures applications have logged, in lines of a report."""

from bot.budgets.coverage import Coverage, Gap
from bot.money import share, usd
from bot.phrases import count
from handlers.render.parts import moment, shown

MOST_GAPS = 3
MOST_MODELS = 4
UNKNOWN = "From the usage log of your applications alone: Anthropic's figures of this time are not known here."


def coverage_lines(coverage: Coverage | None) -> list[str]:
    """What share is logged, what is in no log, and what only logs have. None: no closed hour is known."""
    if coverage is None:
        return [UNKNOWN]
    if not coverage.known.complete:
        missing = coverage.known.of_hours - coverage.known.hours
        return [
            f"From the usage log of your applications. Anthropic's figures lack {count(missing, 'hour')} of this time, "
            "so no share is given."
        ]
    until, counted = moment(coverage.until), coverage.counted_usd
    lines = [f"Anthropic counted nothing in the closed hours up to {until}."]
    if counted:
        lines = [
            f"Applications logged {share(coverage.covered_usd, counted)} of the {usd(counted)} that Anthropic counted "
            f"in the closed hours up to {until}{_by_model(coverage)}."
        ]
    if coverage.gaps:
        gaps = [_gap(gap) for gap in coverage.gaps[:MOST_GAPS]]
        if len(coverage.gaps) > MOST_GAPS:
            gaps.append(f"and {len(coverage.gaps) - MOST_GAPS} more")
        lines.append(f"In no log: {'; '.join(gaps)}.")
    beyond = [
        f"{shown(each.model)} {usd(each.logged_usd)} against {usd(each.counted_usd)}"
        for each in coverage.models
        if each.is_beyond
    ]
    if beyond:
        more = f" and {len(beyond) - MOST_GAPS} more" if len(beyond) > MOST_GAPS else ""
        lines.append(f"Logs have more than Anthropic counted: {', '.join(beyond[:MOST_GAPS])}{more}.")
    return lines


def _by_model(coverage: Coverage) -> str:
    counted = [each for each in coverage.models if each.counted_usd]
    if len(counted) < 2:
        return ""
    named = [f"{shown(each.model)} {share(each.covered_usd, each.counted_usd)}" for each in counted[:MOST_MODELS]]
    return f" ({', '.join(named)}{', …' if len(counted) > MOST_MODELS else ''})"


def _gap(gap: Gap) -> str:
    who = "usage without a key" if gap.key is None else f"key {shown(gap.key)}"
    part = gap.missing * 100 // gap.counted
    return f"{who}: {'at least ' if gap.at_least else ''}{max(1, part)}% of its {shown(gap.model)} tokens"
