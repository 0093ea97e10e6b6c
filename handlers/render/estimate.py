"""An estimate as a message: what cannot work, the number, what would be cheaper, the lines; and those that are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.amounts import cents_of, in_cents, percent, usd
from bot.budgets.planned import Planned
from bot.language import tr
from bot.messages import Message
from bot.pricing.estimate import Estimate
from bot.pricing.estimate_text import advice_lines, closing_lines, headline, line_words, routing_words
from bot.pricing.store import KeptEstimate
from bot.pricing.throughput import verdict_lines
from handlers.render.parts import (
    code,
    escape,
    figure,
    fold,
    mention,
    moment,
    paragraph,
    sentence,
    shown,
    warning,
)
from handlers.render.raises import raised_note
from handlers.render.spend import LITTLE_DATA, not_extrapolated

WORDS_LIMIT = 300
MOST_KEPT = 20


MOST_WAYS = 2
"""To save that are shown at once; the others are folded."""


@dataclass(frozen=True, slots=True)
class Besides:
    """Lines (mrkdwn) about budgets and what was kept: what is shown at once, and what is folded."""

    shown: Sequence[str] = ()
    folded: Sequence[str] = ()


def estimate_message(estimate: Estimate, besides: Besides = Besides()) -> Message:  # it is frozen
    """What cannot work comes before the number, then the number, the cheapest ways, and the rest folded."""
    routing = routing_words(estimate)
    ways = sorted(estimate.advice, key=lambda advice: advice.monthly_usd)[:MOST_WAYS]
    lines = [f"• {escape(way.sentence)}" for way in ways] or [escape(estimate.recommendation)]
    others = [line for line in advice_lines(estimate) if line.strip() not in {way.sentence for way in ways}]
    bill = [f"• {escape(_line_in_words(line_words(line, estimate)))}" for line in estimate.lines]
    closing = [*verdict_lines(estimate.fit), *closing_lines(estimate)]
    return Message(
        [
            warning(*map(escape, estimate.problems)),
            figure(escape(headline(estimate)), *([] if routing is None else [escape(routing)])),
            paragraph(*([tr("Cheaper:")] if ways else []), *lines),
            paragraph(*besides.shown),
            fold(
                tr("In detail"),
                [
                    paragraph(*bill),
                    paragraph(*map(escape, _without_titles(others))) if estimate.advice else paragraph(),
                    paragraph(*besides.folded),
                    paragraph(*map(escape, closing)),
                ],
            ),
        ]
    )


def _without_titles(lines: Sequence[str]) -> list[str]:
    """Without a title below which nothing is left."""
    below = [*lines[1:], ""]
    return [line for line, after in zip(lines, below, strict=True) if line.startswith(" ") or after.startswith(" ")]


def _line_in_words(cells: Sequence[str]) -> str:
    kind, tokens, price, dollars = cells
    return f"{kind}: {tokens} tokens × {price} per million = {dollars}"


def planned_in_short(plan: Planned) -> str:
    """What begins now does to the running period, in one line."""
    name, limit = shown(plan.budget), usd(plan.limit_usd)
    if plan.total_usd is None or plan.expected_usd is None:
        share = percent(plan.whole_usd, plan.limit_usd)
        return tr("Budget {name}: {share} of {limit} in a whole period.", name=name, share=share, limit=limit)
    return tr(
        "Budget {name}: expected end {before} → {after}, {share} of {limit}.",
        name=name,
        before=usd(plan.expected_usd),
        after=usd(plan.total_usd),
        share=percent(plan.total_usd, plan.limit_usd),
        limit=limit,
    )


def planned_line(plan: Planned) -> str:
    """What a whole period of it takes of the limit, and where the running period would end with it."""
    name, limit = shown(plan.budget), usd(plan.limit_usd)
    raised = raised_note(plan.raised, plan.raised[-1].kind) if plan.raised else []
    line = (
        f"Budget {name}: {usd(plan.whole_usd)} a {plan.period} ({percent(plan.whole_usd, plan.limit_usd)} of "
        f"{', '.join([limit, *raised])})"
    )
    if plan.total_usd is None or plan.expected_usd is None:
        why = LITTLE_DATA if plan.stale_at is None else not_extrapolated(plan.as_of, plan.stale_at)
        return f"{line}; its expected end is {why}."
    share = percent(plan.total_usd, plan.limit_usd)
    # The expected end is shown elsewhere too, so that what is added takes the odd cent.
    cents = cents_of(plan.total_usd) - cents_of(plan.expected_usd)
    [added] = in_cents(cents, [plan.added_usd])
    return (
        f"{line}; begun now, {usd(added)} more in this {plan.period}: expected end "
        f"{usd(plan.expected_usd)} → {usd(plan.total_usd)}, {share} of {limit}."
    )


def kept_list(kept: Sequence[KeptEstimate], pace: Callable[[KeptEstimate], Decimal | None]) -> list[str]:
    """One line for each; the newest `MOST_KEPT` where there are more. `pace`: USD a month of what it is bound to."""
    if not kept:
        return ["No estimate is kept: add as=NAME to one, as in `estimate sonnet requests=1k in=2000 out=500 as=demo`."]
    newest = sorted(kept, key=lambda one: one.kept_at, reverse=True)[:MOST_KEPT]
    lines = [
        f"{code(one.name)}: {usd(one.monthly_usd)} a month{_pace_clause(one, pace)}, {code(one.words, WORDS_LIMIT)}"
        for one in newest
    ]
    more = len(kept) - len(newest)
    return lines if more <= 0 else [*lines, f"and {more} older ones"]


def _pace_clause(kept: KeptEstimate, pace: Callable[[KeptEstimate], Decimal | None]) -> str:
    if kept.scope is None:
        return ""
    monthly = pace(kept)
    known = "pace not known yet" if monthly is None else f"on pace for {usd(monthly)}"
    return f" estimated, {known} ({shown(kept.scope)})"


def bound_line(kept: KeptEstimate, doubt: str | None) -> list[str]:
    """Whose usage it is compared with, if anybody's. `doubt`: why there is none of it, one sentence."""
    if kept.scope is None:
        return [] if doubt is None else [f"It is compared with no usage. {sentence(doubt)}"]
    line = f"`estimate show {kept.name}` compares it with the usage of {shown(kept.scope)}."
    return [line if doubt is None else f"{line} {sentence(doubt)}"]


def kept_line(kept: KeptEstimate, replaced: KeptEstimate | None) -> str:
    """That an estimate is kept now, and what it replaced."""
    line = f"Kept as {code(kept.name)}, with the prices checked on {kept.rates_checked.isoformat()}."
    if replaced is None:
        return line
    return f"{line} It replaces {usd(replaced.monthly_usd)} a month of {moment(replaced.kept_at)}."


def dropped(kept: KeptEstimate) -> str:
    """That it is forgotten, with the words that bring it back."""
    return f"{code(kept.name)} is dropped. It was {code(kept.words, WORDS_LIMIT)}."


def kept_message(kept: KeptEstimate, now: Estimate) -> Message:
    """What it cost when it was kept, and what it costs today."""
    then = (
        f"{code(kept.name)}, kept by {mention(kept.kept_by)} on {moment(kept.kept_at)}: {usd(kept.monthly_usd)} "
        f"a month at the prices checked on {kept.rates_checked.isoformat()}."
    )
    return Message([paragraph(then, "Today:"), *estimate_message(now).parts])
