"""Lines about spend and savings that alerts, status and announcements have in common."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from bot.amounts import cents_of, count, in_cents, percent, share, span, usd
from bot.budgets.budget import in_period, period_name
from bot.budgets.budget_spend import BudgetSpend, NamedCause, NamedMover
from bot.budgets.savings import Saving, savings_of
from bot.budgets.spend import Spend
from bot.budgets.trend import CauseKind
from bot.display import Display
from bot.language import tr
from bot.messages import Block, Part
from bot.modes.consequences import Consequences
from bot.pricing.cost import Hidden
from handlers.render.parts import (
    bullets,
    buttons,
    moment,
    names,
    shown,
)
from handlers.render.raises import raised_note

SWITCH_ACTION = "fallback_switch"
DRAWN_FOR = "switch-from:"
"""In the id of a row of switch buttons, before the mode that was in force when it was drawn."""

LITTLE_DATA = "not known yet, since there are less than 6 hours of data"

COMPUTED = "computed from tokens and list prices"

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


def total(spend: Spend) -> str:
    """The sum of a report; with `at least` as `amount`."""
    return f"at least {usd(spend.total_usd)}" if spend.at_least else usd(spend.total_usd)


def amount(spend: BudgetSpend) -> str:
    """What was spent; with `at least` where a price step per request cannot be seen."""
    return f"at least {usd(spend.spent_usd)}" if spend.at_least else usd(spend.spent_usd)


def limits_line(spend: BudgetSpend) -> str:
    """`soft limit $400.00 (82%), hard limit $600.00 (55%, raised from $500.00 until 4 Dec 18:00 UTC)`."""
    limits = (("soft", spend.soft_usd), ("hard", spend.hard_usd))
    lines = []
    for level, limit in limits:
        if limit is not None:
            notes = [percent(spend.spent_usd, limit), *raised_note(spend.raised, level)]
            lines.append(f"{level} limit {usd(limit)} ({', '.join(notes)})")
    return ", ".join(lines)


def display_line(amount_usd: Decimal, display: Display) -> str | None:
    """The sum above it in the money that people want to read it in; None where that is dollars without tax."""
    text = display.of(amount_usd)
    return None if text is None else f"That is {text}."


def display_lines(amount_usd: Decimal, display: Display) -> list[str]:
    """The same as a list of no or one line."""
    line = display_line(amount_usd, display)
    return [] if line is None else [line]


def in_its_period(spend: BudgetSpend) -> str:
    """`in November`; with the year where the data is of another one."""
    return shown(in_period(spend.period, spend.as_of))


def its_period(spend: BudgetSpend) -> str:
    """`November`, `The week of 9 Nov`: at the beginning of a sentence."""
    return capitalized(shown(period_name(spend.period, spend.as_of)))


def capitalized(text: str) -> str:
    """With a capital at the beginning of a sentence; the rest as it is."""
    return text[:1].upper() + text[1:]


def is_over(spend: BudgetSpend, at: datetime) -> bool:
    """Whether the period had ended at this moment."""
    return spend.ends_at <= at


def over_line(spend: BudgetSpend) -> str:
    """Instead of the expected end, once there is nothing left to come."""
    return f"{its_period(spend)} is over: it ended {moment(spend.ends_at)}."


def stale_mark(spend: BudgetSpend) -> str:
    """What a message from stale data says before anything else; empty where it is not stale."""
    return "" if spend.stale_at is None else f"STALE, data is {_age(spend)} old: "


def parts_line(spend: "Parts") -> str:
    """How much of the sum is billed, computed and provisional; the parts add up to the sum as `usd` writes it.

    The billed part is the same in every message: an odd cent goes to the others.
    """
    if spend.attributed:
        return tr(
            "{usd} as Anthropic attributes it, after discounts and before credits", usd=usd(spend.report_only_usd)
        )
    parts = [(spend.computed_usd, COMPUTED)]
    if spend.report_only_usd:
        parts.append((spend.report_only_usd, "that only the cost report knows"))
    if spend.provisional_usd:
        since = "" if spend.provisional_since is None else f" since {moment(spend.provisional_since)}"
        parts.append((spend.provisional_usd, f"provisional, from your applications' log{since}"))
    billed = spend.billed_usd if spend.billed_days else Decimal(0)
    total = sum((part for part, _ in parts), billed)
    written = in_cents(cents_of(total) - cents_of(billed), [part for part, _ in parts])
    first = [f"{usd(billed)} billed for {count(spend.billed_days, 'settled day')}"] if spend.billed_days else []
    return " + ".join([*first, *(f"{usd(part)} {what}" for part, (_, what) in zip(written, parts, strict=True))])


def attributed_age(spend: BudgetSpend) -> str:
    """How old the data of a budget is that counts what Anthropic itself attributes: it is exported hours apart."""
    if spend.stale_at is None:
        return tr("Complete up to {moment}: Anthropic attributes spend hours later.", moment=moment(spend.as_of))
    return tr("STALE: what Anthropic attributes is complete only up to {moment}.", moment=moment(spend.as_of))


class Parts(Protocol):
    """A sum that is put together of what is billed and what is computed."""

    @property
    def billed_usd(self) -> Decimal: ...
    @property
    def billed_days(self) -> int: ...
    @property
    def computed_usd(self) -> Decimal: ...
    @property
    def report_only_usd(self) -> Decimal: ...
    @property
    def provisional_usd(self) -> Decimal: ...
    @property
    def provisional_since(self) -> datetime | None: ...
    @property
    def attributed(self) -> bool: ...


def end_line(spend: BudgetSpend) -> str:
    """Where the period ends by the forecast, and in which range."""
    end = moment(spend.ends_at)
    if spend.expected_usd is None:
        return f"Expected end: {not_known(spend)}. The period ends {end}."
    range_ = ""
    if spend.low_usd is not None and spend.high_usd is not None:
        range_ = f" (range {usd(spend.low_usd)} to {usd(spend.high_usd)})"
    return f"Expected end: {usd(spend.expected_usd)}{range_} by {end}."


def not_known(spend: BudgetSpend) -> str:
    """Why nothing is said of the rest of the period."""
    if spend.stale_at is not None:
        return not_extrapolated(spend.as_of, spend.stale_at)
    return LITTLE_DATA


def not_extrapolated(as_of: datetime, now: datetime) -> str:
    """`not extrapolated, since the data is 12 h old`."""
    return f"not extrapolated, since the data is {span(now - as_of)} old"


def _age(spend: BudgetSpend) -> str:
    return span((spend.stale_at or spend.as_of) - spend.as_of)


def mover_line(mover: NamedMover) -> str:
    """`claude-opus-4-8 · search · key ingest-2: $41.00 in 24 h, the 24 h before $9.00`."""
    if mover.since is not None:
        return f"{caller(mover)}: {usd(mover.usd)} logged since {moment(mover.since)}"
    before = nothing_before(mover, "24 h") if mover.before_usd is None else f"the 24 h before {usd(mover.before_usd)}"
    return f"{caller(mover)}: {usd(mover.usd)} in 24 h, {before}{by_mode(mover)}"


def nothing_before(mover: NamedMover, stretch: str) -> str:
    """`new` only for what was never seen."""
    return "new" if mover.seen_before is False and not mover.by_mode else f"nothing in the {stretch} before"


def by_mode(moved: NamedMover | NamedCause) -> str:
    """For usage that the fallback mode, and nothing else, has moved."""
    return " (moved here by the fallback mode)" if moved.by_mode else ""


def caller(mover: NamedMover) -> str:
    """`claude-opus-4-8 · search · key ingest-2`."""
    who = f"{shown(mover.model)} · {shown(mover.workspace)}"
    if mover.logged:
        return who if mover.key is None else f"{who} · {shown(mover.key)}"
    return who + (" · no key" if mover.key is None else f" · key {shown(mover.key)}")


def cause_line(cause: NamedCause) -> str:
    """`claude-opus-4-8 · key ingest-2: cache-read share fell from 92% to 31%, about $12.30`."""
    if cause.logged:
        who = shown(cause.workspace, BRIEF) + ("" if cause.key is None else f" · {shown(cause.key, BRIEF)}")
    else:
        who = f"{shown(cause.workspace, BRIEF)}, no key" if cause.key is None else f"key {shown(cause.key, BRIEF)}"
    explained = "" if cause.kind is CauseKind.NEW_MODEL else f", about {usd(cause.usd)}"
    return f"{shown(cause.model, BRIEF)} · {who}: {_what_changed(cause)}{explained}{by_mode(cause)}"


def _what_changed(cause: NamedCause) -> str:
    before, after = cause.before, cause.after
    match cause.kind:
        case CauseKind.NEW_MODEL:
            return f"model first seen, {usd(after)}"
        case CauseKind.CACHE_READ_FELL:
            return f"cache-read share fell from {share(before, WHOLE)} to {share(after, WHOLE)}"
        case CauseKind.BATCH_FELL:
            return f"share in batches fell from {share(before, WHOLE)} to {share(after, WHOLE)}"
        case CauseKind.CACHE_WRITES_1H_ROSE:
            return f"1-hour cache writes {_rose(before, after)}, {usd(before)} → {usd(after)}"
        case CauseKind.OUTPUT_ROSE:
            return f"output {_rose(before, after)}, {usd(before)} → {usd(after)}"
        case CauseKind.TOKENS_ROSE:
            return f"tokens {_rose(before, after)}, {_tokens(before)} → {_tokens(after)}"
        case CauseKind.FAST_MODE:
            return "fast mode on"
        case CauseKind.US_ONLY:
            return "US-only inference on"


def _rose(before: Decimal, after: Decimal) -> str:
    return "doubled" if 2 * before <= after < 3 * before else "rose"


def _tokens(tokens: Decimal) -> str:
    for size, unit in ((1_000_000_000, " billion"), (1_000_000, " million"), (1_000, " thousand")):
        if tokens >= size:
            return f"{tokens / size:.1f}{unit}"
    return f"{tokens:.0f}"


def saving_clause(saving: Saving) -> str:
    """What a mode would save, or that it would not."""
    end = "until it ends"
    if saving.until is None:
        # Budgets of other periods say other sums.
        end = "by the end of the period" + ("" if saving.ends_at is None else f", {moment(saving.ends_at)}")
    if saving.usd > 0:
        return f"saves about {usd(saving.usd)} {end}"
    if saving.usd < 0:
        return f"costs about {usd(-saving.usd)} more {end}"
    if saving.share:
        return f"saves nothing {end}, since nothing more is expected to be spent"
    return "saves nothing at the present mix"


def saving_line(saving: Saving) -> str:
    """`degraded (at most claude-sonnet-5-5) saves about $120.00 by the end of the period`."""
    return f"{shown(saving.mode)} (at most {shown(saving.model)}) {saving_clause(saving)}"


def others(savings: Sequence[Saving], mode: str) -> list[Saving]:
    """The modes to choose from while `mode` is in force."""
    return [saving for saving in savings if saving.mode != mode][:MOST_WAYS_OUT]


def ways_out(spend: BudgetSpend, mode: str) -> list[Saving]:
    """The modes that would save something while `mode` is in force."""
    return worthwhile(savings_of(spend, mode))[:MOST_WAYS_OUT]


def warning_lines(spend: BudgetSpend) -> list[str]:
    """What makes the sum less exact than it looks, loudly."""
    lines = []
    if spend.assumed:
        lines.append(unknown_price_line(spend.assumed))
    if spend.at_least:
        lines.append(at_least_line(spend.hidden))
    return lines


def unknown_price_line(models: Sequence[str]) -> str:
    """Which models are counted at a price that is assumed."""
    verb = "is" if len(models) == 1 else "are"
    return (
        f"Unknown price: {names(models)} {verb} not in the rate card and {verb} counted at the highest rate known for "
        "the family, or of all models where the family is unknown."
    )


def at_least_line(hidden: Collection[Hidden]) -> str:
    """Why the true sum may be higher than the one shown."""
    # Alerts that an older version has stored do not say why.
    found = hidden or (Hidden.PROMPT, Hidden.FAST_PRICE)
    return f"At least: {', and '.join(text for reason, text in WHY_AT_LEAST.items() if reason in found)}."


def switch_buttons(elements: Sequence[Block], present: str) -> Part:
    """A row of switch buttons. `present`: the mode in force, which the row says too, since it stays in old messages."""
    return buttons(elements, f"{DRAWN_FOR}{present}")


def drawn_for(block_id: str) -> str | None:
    """The mode that was in force when this row of switch buttons was drawn; None for any other row."""
    return block_id.removeprefix(DRAWN_FOR) if block_id.startswith(DRAWN_FOR) else None


def worthwhile(savings: Sequence[Saving]) -> list[Saving]:
    """The modes that would save something."""
    return [saving for saving in savings if saving.usd > 0]


def cost_lines(costs: Consequences | None) -> list[str]:
    """What a step to a cheaper model costs: a line for each thing that applies; none where nothing is known."""
    if costs is None:
        return []
    model = shown(costs.model)
    lines = []
    if costs.retokenized:
        lines.append(f"The same text is about 30% more tokens on {model} than on {names(costs.retokenized)}.")
    if costs.cached_tokens:
        lines.append(
            f"Caches start cold: of what is read from them now, {costs.cached_tokens:,} tokens in 24 h, each prefix is "
            "written again first."
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


NOTHING_STOPPED = "Nothing has been stopped: only the limit in Anthropic's Console stops requests."

INCIDENT_LIMIT = 200
"""A visible incident id is only cut where a budget's name is longer than settings let it be."""


def callers(spend: BudgetSpend) -> list[Part]:
    """The largest callers of the last day, and what changed."""
    return [who_and_why("Largest in the last day", [mover_line(mover) for mover in spend.movers], spend.causes)]


def who_and_why(title: str, who: Sequence[str], causes: Sequence[NamedCause]) -> Part:
    """Callers under a title, then causes."""
    return bullets(title if who else "What changed", [*who, *(f"Why: {cause_line(cause)}" for cause in causes)])
