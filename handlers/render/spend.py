"""Lines about spend and savings, shared by alerts, status and announcements."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from bot.amounts import cents_of, in_cents, percent, share, span, usd
from bot.budgets.budget import ORGANIZATION, LimitKind, in_period, period_name
from bot.budgets.budget_spend import BudgetSpend, NamedCause, NamedMover
from bot.budgets.savings import Saving, savings_of
from bot.budgets.spend import Spend
from bot.budgets.trend import CauseKind
from bot.display import Display
from bot.language import ENGLISH, language, locale, ntr, tr, tr_noop
from bot.listed import comma_list
from bot.messages import Block, Part
from bot.modes.consequences import Consequences
from bot.pricing.cost import Hidden
from handlers.render.parts import (
    NAME_LIMIT,
    bullets,
    buttons,
    model_label,
    moment,
    names,
    shown,
)
from handlers.render.raises import raised_note

SWITCH_ACTION = "fallback_switch"
DRAWN_FOR, DRAWN_OF = "switch-from:", " of budget:"
"""Parts of the id of a row of switch buttons, before the mode in force when it was drawn, and before the budget."""

ORGANIZATION_SCOPE = str(ORGANIZATION)

LITTLE_DATA = tr_noop("not known yet, since there are less than 6 hours of data")

WHOLE = Decimal(1)

BRIEF = 32
"""Characters of a name in a cause: the callers above have full names, and an edit has little room."""

MOST_WAYS_OUT = 6
"""Most modes that a message names; the chain alone has two."""


WHY_AT_LEAST = {
    Hidden.PROMPT: tr_noop(
        "Haiku 5.5 costs five times as much for prompts over 100,000 tokens, which sums do not show"
    ),
    Hidden.FAST_PRICE: tr_noop("a fast mode without a known price is counted at the standard one"),
    Hidden.TERMS: tr_noop(
        "Anthropic does not say here which tokens ran in fast mode, so all are counted as standard ones"
    ),
    Hidden.ROWS: tr_noop("some rows of Anthropic's report could not be read in full, which `doctor` names"),
}


def total(spend: Spend) -> str:
    """Sum of a report; with `at least` like `amount`."""
    return at_least(spend.total_usd) if spend.at_least else usd(spend.total_usd)


def amount(spend: BudgetSpend) -> str:
    """Spend; with `at least` if a price step per request cannot be seen."""
    return at_least(spend.spent_usd) if spend.at_least else usd(spend.spent_usd)


def at_least(sum_usd: Decimal) -> str:
    """`at least $12.00`."""
    return tr("at least {usd}", usd=usd(sum_usd))


def limits_line(spend: BudgetSpend) -> str:
    """`soft limit $400.00 (82%), hard limit $600.00 (55%, raised from $500.00 until 4 Dec 18:00 UTC)`."""
    limits = ((LimitKind.SOFT, spend.soft_usd), (LimitKind.HARD, spend.hard_usd))
    lines = []
    for kind, limit in limits:
        if limit is not None:
            notes = [percent(spend.spent_usd, limit), *raised_note(spend.raised, kind)]
            values = {"limit": usd(limit), "notes": comma_list(notes)}
            if kind is LimitKind.SOFT:
                lines.append(tr("soft limit {limit} ({notes})", **values))
            else:
                lines.append(tr("hard limit {limit} ({notes})", **values))
    return comma_list(lines)


def display_line(amount_usd: Decimal, display: Display) -> str | None:
    """The sum in the display currency; None for dollars without tax."""
    text = display.of(amount_usd)
    return None if text is None else tr("That is {amount}.", amount=text)


def display_lines(amount_usd: Decimal, display: Display) -> list[str]:
    """`display_line` as a list of at most one line."""
    line = display_line(amount_usd, display)
    return [] if line is None else [line]


def in_its_period(spend: BudgetSpend) -> str:
    """`in November`; with the year if the data is of another one."""
    return shown(in_period(spend.period, spend.as_of))


def its_period(spend: BudgetSpend) -> str:
    """`November`, `The week of 9 Nov`: for the beginning of a sentence."""
    return capitalized(shown(period_name(spend.period, spend.as_of)))


def capitalized(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def is_over(spend: BudgetSpend, at: datetime) -> bool:
    """Whether the period had ended at `at`."""
    return spend.ends_at <= at


def over_line(spend: BudgetSpend) -> str:
    """The line instead of the expected end, once the period is over."""
    return tr("{period} is over: it ended {end}.", period=its_period(spend), end=moment(spend.ends_at))


def stale_mark(spend: BudgetSpend) -> str:
    """First words of a message from stale data; empty if it is not stale."""
    return "" if spend.stale_at is None else tr("STALE, data is {age} old: ", age=_age(spend))


def parts_line(spend: "Parts") -> str:
    """Billed, computed and provisional parts of the sum; rounded, they add up to the sum as `usd` writes it.

    The billed part is the same in every message: the odd cent goes to the others.
    """
    if spend.attributed:
        return tr(
            "{usd} as Anthropic attributes it, after discounts and before credits", usd=usd(spend.report_only_usd)
        )
    parts = [spend.computed_usd, *(part for part in (spend.report_only_usd, spend.provisional_usd) if part)]
    billed = spend.billed_usd if spend.billed_days else Decimal(0)
    total = sum(parts, billed)
    computed, *others = in_cents(cents_of(total) - cents_of(billed), parts)
    written = []
    if spend.billed_days:
        written.append(
            ntr(
                "{usd} billed for {number} settled day",
                "{usd} billed for {number} settled days",
                spend.billed_days,
                usd=usd(billed),
            )
        )
    written.append(tr("{usd} computed from tokens and list prices", usd=usd(computed)))
    if spend.report_only_usd:
        written.append(tr("{usd} that only the cost report knows", usd=usd(others[0])))
    if spend.provisional_usd:
        written.append(_provisional(others[-1], spend.provisional_since))
    return " + ".join(written)


def _provisional(part: Decimal, since: datetime | None) -> str:
    if since is None:
        return tr("{usd} provisional, from your applications' log", usd=usd(part))
    return tr("{usd} provisional, from your applications' log since {since}", usd=usd(part), since=moment(since))


def attributed_age(spend: BudgetSpend) -> str:
    """Age of attributed data: Anthropic exports it hours apart."""
    if spend.stale_at is None:
        return tr("Complete up to {moment}: Anthropic attributes spend hours later.", moment=moment(spend.as_of))
    return tr("STALE: what Anthropic attributes is complete only up to {moment}.", moment=moment(spend.as_of))


class Parts(Protocol):
    """A sum of billed and computed parts."""

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
    """Expected end of the period, and its range."""
    end = moment(spend.ends_at)
    if spend.expected_usd is None:
        return tr("Expected end: {why}. The period ends {end}.", why=not_known(spend), end=end)
    if spend.low_usd is None or spend.high_usd is None:
        return tr("Expected end: {expected} by {end}.", expected=usd(spend.expected_usd), end=end)
    return tr(
        "Expected end: {expected} (range {low} to {high}) by {end}.",
        expected=usd(spend.expected_usd),
        low=usd(spend.low_usd),
        high=usd(spend.high_usd),
        end=end,
    )


def not_known(spend: BudgetSpend) -> str:
    """Why there is no forecast of the rest of the period."""
    if spend.stale_at is not None:
        return not_extrapolated(spend.as_of, spend.stale_at)
    return tr(LITTLE_DATA)


def not_extrapolated(as_of: datetime, now: datetime) -> str:
    """`not extrapolated, since the data is 12 h old`."""
    return tr("not extrapolated, since the data is {age} old", age=span(now - as_of))


def _age(spend: BudgetSpend) -> str:
    return span((spend.stale_at or spend.as_of) - spend.as_of)


def mover_line(mover: NamedMover) -> str:
    """`claude-opus-4-8 · search · key ingest-2: $41.00 in 24 h, the 24 h before $9.00`."""
    values = {"caller": caller(mover), "usd": usd(mover.usd)}
    if mover.since is not None:
        return tr("{caller}: {usd} logged since {since}", since=moment(mover.since), **values)
    if mover.before_usd is not None:
        line = tr("{caller}: {usd} in 24 h, the 24 h before {before}", before=usd(mover.before_usd), **values)
    elif is_new(mover):
        line = tr("{caller}: {usd} in 24 h, new", **values)
    else:
        line = tr("{caller}: {usd} in 24 h, nothing in the 24 h before", **values)
    return with_mode(line, mover)


def is_new(mover: NamedMover) -> bool:
    """Whether it was never seen before."""
    return mover.seen_before is False and not mover.by_mode


def with_mode(line: str, moved: NamedMover | NamedCause) -> str:
    """The line, with a note if only the fallback mode caused the usage."""
    return tr("{line} (moved here by the fallback mode)", line=line) if moved.by_mode else line


def caller(mover: NamedMover) -> str:
    """`claude-opus-4-8 · search · key ingest-2`."""
    who = f"{shown(model_label(mover.model))} · {shown(mover.workspace)}"
    if mover.logged:
        return who if mover.key is None else f"{who} · {shown(mover.key)}"
    return f"{who} · {named_key(mover.key)}"


def named_key(key: str | None, limit: int = NAME_LIMIT) -> str:
    """`key ingest-2`, or `no key`."""
    return tr("no key") if key is None else tr("key {key}", key=shown(key, limit))


def cause_line(cause: NamedCause) -> str:
    """`claude-opus-4-8 · key ingest-2: cache-read share fell from 92% to 31%, about $12.30`."""
    if cause.logged:
        who = shown(cause.workspace, BRIEF) + ("" if cause.key is None else f" · {shown(cause.key, BRIEF)}")
    elif cause.key is None:
        who = f"{shown(cause.workspace, BRIEF)}, {named_key(None)}"
    else:
        who = named_key(cause.key, BRIEF)
    values = {"who": f"{shown(model_label(cause.model), BRIEF)} · {who}", "changed": _what_changed(cause)}
    if cause.kind is CauseKind.NEW_MODEL:
        line = tr("{who}: {changed}", **values)
    else:
        line = tr("{who}: {changed}, about {usd}", usd=usd(cause.usd), **values)
    return with_mode(line, cause)


def _what_changed(cause: NamedCause) -> str:
    before, after = cause.before, cause.after
    match cause.kind:
        case CauseKind.NEW_MODEL:
            return tr("model first seen, {usd}", usd=usd(after))
        case CauseKind.CACHE_READ_FELL:
            values = {"before": share(before, WHOLE), "after": share(after, WHOLE)}
            return tr("cache-read share fell from {before} to {after}", **values)
        case CauseKind.BATCH_FELL:
            values = {"before": share(before, WHOLE), "after": share(after, WHOLE)}
            return tr("share in batches fell from {before} to {after}", **values)
        case CauseKind.CACHE_WRITES_1H_ROSE | CauseKind.OUTPUT_ROSE:
            values = {"before": usd(before), "after": usd(after)}
            return tr(_ROSE[cause.kind, _has_doubled(before, after)], **values)
        case CauseKind.TOKENS_ROSE:
            values = {"before": _tokens(before), "after": _tokens(after)}
            return tr(_ROSE[cause.kind, _has_doubled(before, after)], **values)
        case CauseKind.FAST_MODE:
            return tr("fast mode on")
        case CauseKind.US_ONLY:
            return tr("US-only inference on")


_ROSE = {
    (CauseKind.CACHE_WRITES_1H_ROSE, False): tr_noop("1-hour cache writes rose, {before} → {after}"),
    (CauseKind.CACHE_WRITES_1H_ROSE, True): tr_noop("1-hour cache writes doubled, {before} → {after}"),
    (CauseKind.OUTPUT_ROSE, False): tr_noop("output rose, {before} → {after}"),
    (CauseKind.OUTPUT_ROSE, True): tr_noop("output doubled, {before} → {after}"),
    (CauseKind.TOKENS_ROSE, False): tr_noop("tokens rose, {before} → {after}"),
    (CauseKind.TOKENS_ROSE, True): tr_noop("tokens doubled, {before} → {after}"),
}


def _has_doubled(before: Decimal, after: Decimal) -> bool:
    return 2 * before <= after < 3 * before


def _tokens(tokens: Decimal) -> str:
    if language() != ENGLISH:
        # Import lazily: English needs no Babel.
        from babel.numbers import format_compact_decimal

        return format_compact_decimal(tokens, locale=locale(), fraction_digits=1)
    for size, unit in ((1_000_000_000, " billion"), (1_000_000, " million"), (1_000, " thousand")):
        if tokens >= size:
            return f"{tokens / size:.1f}{unit}"
    return f"{tokens:.0f}"


def saving_clause(saving: Saving) -> str:
    """The saving of a mode, or that it would save nothing."""
    if saving.until is not None:
        end = tr("until it ends")
    elif saving.ends_at is None:
        end = tr("by the end of the period")
    else:
        # Budgets of other periods have other sums.
        end = tr("by the end of the period, {end}", end=moment(saving.ends_at))
    if saving.usd > 0:
        return tr("saves about {usd} {until}", usd=usd(saving.usd), until=end)
    if saving.usd < 0:
        return tr("costs about {usd} more {until}", usd=usd(-saving.usd), until=end)
    if saving.share:
        return tr("saves nothing {until}, since nothing more is expected to be spent", until=end)
    return tr("saves nothing at the present mix")


def aged_saving_clause(saving: Saving, as_of: datetime | None) -> str:
    """`saving_clause` with the age of the underlying usage."""
    clause = saving_clause(saving)
    return clause if as_of is None else tr("{saving} (usage as of {time})", saving=clause, time=moment(as_of))


def capped_saving_line(saving: Saving, as_of: datetime | None) -> str:
    """`degraded: at most Sonnet 5.5; saves about $120.00 until it ends (usage as of 23 Nov 14:05 UTC).`"""
    return tr(
        "{mode}: at most {model}; {saving}.",
        mode=shown(saving.mode),
        model=shown(model_label(saving.model)),
        saving=aged_saving_clause(saving, as_of),
    )


def saving_line(saving: Saving) -> str:
    """`degraded (at most Sonnet 5.5) saves about $120.00 by the end of the period`."""
    return tr(
        "{mode} (at most {model}) {saving}",
        mode=shown(saving.mode),
        model=shown(model_label(saving.model)),
        saving=saving_clause(saving),
    )


def others(savings: Sequence[Saving], mode: str) -> list[Saving]:
    """The modes to choose from while `mode` is in force."""
    return [saving for saving in savings if saving.mode != mode][:MOST_WAYS_OUT]


def ways_out(spend: BudgetSpend, mode: str) -> list[Saving]:
    """The modes that would save something while `mode` is in force."""
    return worthwhile(savings_of(spend, mode))[:MOST_WAYS_OUT]


def warning_lines(spend: BudgetSpend) -> list[str]:
    """Warnings about what makes the sum less exact."""
    lines = []
    if spend.assumed:
        lines.append(unknown_price_line(spend.assumed))
    if spend.at_least:
        lines.append(at_least_line(spend.hidden))
    return lines


def unknown_price_line(models: Sequence[str]) -> str:
    """Models that are counted at an assumed price."""
    return ntr(
        "Unknown price: {models} is not in the rate card and is counted at the highest rate known for the family, or "
        "of all models where the family is unknown.",
        "Unknown price: {models} are not in the rate card and are counted at the highest rate known for the family, or "
        "of all models where the family is unknown.",
        len(models),
        models=names(models),
    )


def at_least_line(hidden: Collection[Hidden]) -> str:
    """Why the true sum may be higher than the one shown."""
    # Alerts stored by an older version have no reasons.
    found = hidden or (Hidden.PROMPT, Hidden.FAST_PRICE)
    reasons = [tr(text) for reason, text in WHY_AT_LEAST.items() if reason in found]
    return tr("At least: {reasons}.", reasons=tr(", and ").join(reasons))


def switch_buttons(elements: Sequence[Block], present: str, budget: str = "") -> Part:
    """A row of switch buttons. `present`: the mode in force, kept in the row's id since old messages stay.

    `budget`: the budget whose savings its dialogs state, if not the organization's.
    """
    return buttons(elements, f"{DRAWN_FOR}{present}{DRAWN_OF if budget else ''}{budget}")


def drawn_for(block_id: str) -> str | None:
    """The mode in force when this row of switch buttons was drawn; None for any other row."""
    if not block_id.startswith(DRAWN_FOR):
        return None
    return block_id.removeprefix(DRAWN_FOR).partition(DRAWN_OF)[0]


def drawn_of(block_id: str) -> str:
    """The budget whose savings the dialogs of a row of switch buttons state; empty for the organization."""
    return block_id.partition(DRAWN_OF)[2] if block_id.startswith(DRAWN_FOR) else ""


def narrower(spend: BudgetSpend | None) -> str:
    """Name of the budget, if it counts less than the organization; otherwise empty."""
    return "" if spend is None or spend.scope == ORGANIZATION_SCOPE else spend.budget


def worthwhile(savings: Sequence[Saving]) -> list[Saving]:
    """The modes that would save something."""
    return [saving for saving in savings if saving.usd > 0]


def cost_lines(costs: Consequences | None) -> list[str]:
    """What a step to a cheaper model costs: a line for each effect; none if nothing is known."""
    if costs is None:
        return []
    model = shown(model_label(costs.model))
    lines = []
    if costs.retokenized:
        others = model_names(costs.retokenized)
        lines.append(
            tr("The same text is about 30% more tokens on {model} than on {others}.", model=model, others=others)
        )
    if costs.cached_tokens:
        lines.append(
            tr(
                "Caches start cold: of what is read from them now, {tokens} tokens in 24 h, each prefix is written "
                "again first.",
                tokens=f"{costs.cached_tokens:,}",
            )
        )
    if costs.cached_from is not None:
        lines.append(
            tr(
                "{model} caches prompts from {tokens} tokens on: shorter ones lose their cache.",
                model=model,
                tokens=f"{costs.cached_from:,}",
            )
        )
    if costs.options:
        lines.append(
            tr(
                "Options for thinking and tool_choice are others on {model} than on {others}: try a request.",
                model=model,
                others=model_names(costs.options),
            )
        )
    if costs.retires is not None:
        day = _day(costs.retires)
        lines.append(tr("{model} retires on {day}: have a newer model ready.", model=model, day=day))
    if costs.may_retire is not None:
        lines.append(tr("{model} may retire from {day} on.", model=model, day=_day(costs.may_retire)))
    return lines


def model_names(models: Sequence[str]) -> str:
    """Short names of models; the id if there is none."""
    return names([model_label(model) for model in models])


def _day(day: date) -> str:
    return day.isoformat()


NOTHING_STOPPED = tr_noop("Nothing has been stopped: only the limit in Anthropic's Console stops requests.")

INCIDENT_LIMIT = 200
"""A visible incident id is only cut if a budget's name is longer than settings allow."""


def callers(spend: BudgetSpend) -> list[Part]:
    """The largest callers of the last day, and the causes."""
    return [who_and_why(tr("Largest in the last day"), [mover_line(mover) for mover in spend.movers], spend.causes)]


def who_and_why(title: str, who: Sequence[str], causes: Sequence[NamedCause]) -> Part:
    """Callers under a title, then causes."""
    why = [tr("Why: {cause}", cause=cause_line(cause)) for cause in causes]
    return bullets(title if who else tr("What changed"), [*who, *why])
