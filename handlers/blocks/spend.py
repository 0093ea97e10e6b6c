"""Lines about spend that alerts, status and announcements have in common. Each line serves text and blocks alike."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

from bot.alerts.spend_facts import CauseFacts, MoverFacts, SavingFacts, SpendFacts
from bot.budgets.causes import CauseKind
from bot.display import Display
from bot.message import Block
from bot.money import percent, usd
from bot.pricing.cost import Hidden
from handlers.blocks.elements import button, confirmation, moment
from handlers.blocks.outside import NAME_LIMIT, names, plain, shown

SWITCH_ACTION = "fallback_switch"

WHOLE = Decimal(1)

BRIEF = 32
"""Characters of a name in a cause: the callers above it have their names in full, and an edit has little room."""

MOST_WAYS_OUT = 6
"""Modes that a message names; the chain alone has two."""


WHY_AT_LEAST = {
    Hidden.PROMPT: "Haiku 5.5 costs five times as much for prompts over 100,000 tokens, which sums do not show",
    Hidden.FAST_PRICE: "a fast mode without a known price is counted at the standard one",
    Hidden.TERMS: "Anthropic does not say here which tokens ran in fast mode, so all are counted as standard ones",
    Hidden.ROWS: "some rows of Anthropic's report could not be read in full, which `doctor` names",
}


def amount(spend: SpendFacts) -> str:
    """What was spent; with `at least` where a price step per request cannot be seen."""
    return f"at least {usd(spend.spent_usd)}" if spend.at_least else usd(spend.spent_usd)


def limits_line(spend: SpendFacts) -> str:
    """`soft limit $400.00 (82%), hard limit $600.00 (55%)`."""
    limits = (("soft", spend.soft_usd), ("hard", spend.hard_usd))
    return ", ".join(
        f"{level} limit {usd(limit)} ({percent(spend.spent_usd, limit)})"
        for level, limit in limits
        if limit is not None
    )


def display_line(amount_usd: Decimal, display: Display) -> str | None:
    """The sum above it in the money that people want to read it in; None where that is dollars without tax."""
    text = display.of(amount_usd)
    return None if text is None else f"That is {text}."


def display_lines(amount_usd: Decimal, display: Display) -> list[str]:
    """The same as a list, to stand among other lines."""
    line = display_line(amount_usd, display)
    return [] if line is None else [line]


def is_over(spend: SpendFacts, at: datetime) -> bool:
    """Whether the period had ended at this moment."""
    return spend.ends_at <= at


def over_line(spend: SpendFacts) -> str:
    """Instead of the pace, once there is nothing left to come."""
    return f"The period {shown(spend.period)} is over: it ended {moment(spend.ends_at)}."


def parts_line(spend: SpendFacts) -> str:
    """How much of the sum is billed and how much computed."""
    parts = []
    if spend.billed_days:
        days = "1 settled day" if spend.billed_days == 1 else f"{spend.billed_days} settled days"
        parts.append(f"{usd(spend.billed_usd)} billed for {days}")
    parts.append(f"{usd(spend.computed_usd)} computed from tokens and list prices")
    if spend.report_only_usd:
        parts.append(f"{usd(spend.report_only_usd)} that only the cost report knows")
    return " + ".join(parts)


def pace_line(spend: SpendFacts) -> str:
    """Where the last 24 hours lead."""
    end = moment(spend.ends_at)
    if spend.pace_usd is None:
        return f"Pace: not known yet, since there are less than 6 hours of data. The period ends {end}."
    return f"Pace: {usd(spend.pace_usd)} by {end} if the last 24 hours go on."


def mover_line(mover: MoverFacts) -> str:
    """`claude-opus-4-8 · search · key ingest-2: $41.00 in 24 h, the 24 h before $9.00`."""
    before = "new" if mover.before_usd is None else f"the 24 h before {usd(mover.before_usd)}"
    return f"{caller(mover)}: {usd(mover.usd)} in 24 h, {before}"


def caller(mover: MoverFacts) -> str:
    """`claude-opus-4-8 · search · key ingest-2`."""
    who = f"{shown(mover.model)} · {shown(mover.workspace)}"
    return who + (" · no key" if mover.key is None else f" · key {shown(mover.key)}")


def cause_line(cause: CauseFacts) -> str:
    """`claude-opus-4-8 · key ingest-2: cache-read share fell from 92% to 31%, about $12.30`."""
    workspace_or_key = (
        f"{shown(cause.workspace, BRIEF)}, no key" if cause.key is None else f"key {shown(cause.key, BRIEF)}"
    )
    explained = "" if cause.kind is CauseKind.NEW_MODEL else f", about {usd(cause.usd)}"
    return f"{shown(cause.model, BRIEF)} · {workspace_or_key}: {_what_changed(cause)}{explained}"


def _what_changed(cause: CauseFacts) -> str:
    before, after = cause.before, cause.after
    match cause.kind:
        case CauseKind.NEW_MODEL:
            return f"model first seen, {usd(after)}"
        case CauseKind.CACHE_READ_FELL:
            return f"cache-read share fell from {percent(before, WHOLE)} to {percent(after, WHOLE)}"
        case CauseKind.BATCH_FELL:
            return f"share in batches fell from {percent(before, WHOLE)} to {percent(after, WHOLE)}"
        case CauseKind.CACHE_WRITES_1H_ROSE:
            return f"1-hour cache writes {_rose(before, after)}, {usd(before)} → {usd(after)}"
        case CauseKind.OUTPUT_ROSE:
            return f"output {_rose(before, after)}, {usd(before)} → {usd(after)}"
        case CauseKind.TOKENS_ROSE:
            return f"tokens {_rose(before, after)}, {_count(before)} → {_count(after)}"
        case CauseKind.FAST_MODE:
            return "fast mode on"
        case CauseKind.US_ONLY:
            return "US-only inference on"


def _rose(before: Decimal, after: Decimal) -> str:
    return "doubled" if 2 * before <= after < 3 * before else "rose"


def _count(tokens: Decimal) -> str:
    for size, unit in ((1_000_000_000, " billion"), (1_000_000, " million"), (1_000, " thousand")):
        if tokens >= size:
            return f"{tokens / size:.1f}{unit}"
    return f"{tokens:.0f}"


def saving_clause(saving: SavingFacts) -> str:
    """What a mode would save, or that it would not."""
    end = "by the end of the period" if saving.until is None else "until it ends"
    if saving.usd > 0:
        return f"saves about {usd(saving.usd)} {end}"
    if saving.usd == 0:
        return "saves nothing at the present mix"
    return f"costs about {usd(-saving.usd)} more {end}"


def saving_line(saving: SavingFacts) -> str:
    """`degraded (at most claude-sonnet-5-5) saves about $120.00 by the end of the period`."""
    return f"{shown(saving.mode)} (at most {shown(saving.model)}) {saving_clause(saving)}"


def ways_out(savings: Sequence[SavingFacts], mode: str) -> list[SavingFacts]:
    """The modes to choose from while `mode` is in force."""
    return [saving for saving in savings if saving.mode != mode][:MOST_WAYS_OUT]


def warning_lines(spend: SpendFacts) -> list[str]:
    """What makes the sum less exact than it looks, loudly."""
    lines = []
    if spend.assumed:
        verb = "is" if len(spend.assumed) == 1 else "are"
        lines.append(
            f"Unknown price: {names(spend.assumed)} {verb} not in the rate card and {verb} counted at the dearest rate "
            "known for the family, or of all models where the family is unknown."
        )
    if spend.at_least:
        lines.append(at_least_line(spend.hidden))
    return lines


def at_least_line(hidden: Collection[Hidden]) -> str:
    """Why the true sum may be higher than the one shown."""
    # Alerts that an older version has stored do not say why.
    found = hidden or (Hidden.PROMPT, Hidden.FAST_PRICE)
    return f"At least: {', and '.join(text for reason, text in WHY_AT_LEAST.items() if reason in found)}."


def switch_button(saving: SavingFacts) -> Block:
    """A button that switches to a mode, behind a dialog that states the saving."""
    dialog = confirmation(
        f"Switch to fallback mode {plain(saving.mode, NAME_LIMIT)}?",
        f"This {saving_clause(saving)}. Services may then use at most {plain(saving.model, NAME_LIMIT)}. "
        "Running processes follow when they restart or reload their environment.",
        f"Switch to {saving.mode}",
        danger=True,
    )
    return button(
        f"Switch to {saving.mode}", f"{SWITCH_ACTION}:{saving.mode}", saving.mode, confirm=dialog, style="danger"
    )


def worthwhile(savings: Sequence[SavingFacts]) -> list[SavingFacts]:
    """The modes that would save something."""
    return [saving for saving in savings if saving.usd > 0]
