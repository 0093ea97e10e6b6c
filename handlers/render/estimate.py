"""An estimate as a message: what cannot work, the number, cheaper options, the lines; and saved estimates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.amounts import cents_of, in_cents, percent, span, usd
from bot.budgets.planned import Planned
from bot.language import tr, tr_noop
from bot.listed import clauses, comma_list, sentences
from bot.messages import Message
from bot.pricing.estimate import Estimate
from bot.pricing.estimate_text import PER, advice_lines, closing_lines, headline, line_words, routing_words
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

WORDS_LIMIT = 300
MOST_KEPT = 20


MOST_WAYS = 2
"""Most ways to save shown at once; the others are folded."""


@dataclass(frozen=True, slots=True)
class Besides:
    """Lines (mrkdwn) about budgets and saving: shown at once, and folded."""

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
    """Drop titles without lines below them."""
    below = [*lines[1:], ""]
    return [line for line, after in zip(lines, below, strict=True) if line.startswith(" ") or after.startswith(" ")]


def _line_in_words(cells: Sequence[str]) -> str:
    kind, tokens, price, dollars = cells
    return tr(
        "{kind}: {tokens} tokens × {price} per million = {usd}", kind=kind, tokens=tokens, price=price, usd=dollars
    )


def planned_in_short(plan: Planned) -> str:
    """Effect on the running period if it begins now, in one line."""
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


ADDED: dict[str, str] = {
    "day": tr_noop("begun now, {usd} more in this day: expected end {before} → {after}, {share} of {limit}."),
    "week": tr_noop("begun now, {usd} more in this week: expected end {before} → {after}, {share} of {limit}."),
    "month": tr_noop("begun now, {usd} more in this month: expected end {before} → {after}, {share} of {limit}."),
}
"""Sentences by kind of period."""


def planned_line(plan: Planned) -> str:
    """Share of the limit that a whole period of it takes, and where the running period would end with it."""
    limit = usd(plan.limit_usd)
    raised = raised_note(plan.raised, plan.raised[-1].kind) if plan.raised else []
    whole = tr(
        "Budget {name}: {usd} ({share} of {limit})",
        name=shown(plan.budget),
        usd=tr(PER[plan.period.value], count=usd(plan.whole_usd)),
        share=percent(plan.whole_usd, plan.limit_usd),
        limit=comma_list([limit, *raised]),
    )
    return clauses([whole, _expected_end(plan)])


def _expected_end(plan: Planned) -> str:
    if plan.total_usd is None or plan.expected_usd is None:
        if plan.stale_at is None:
            return tr("its expected end is not known yet, since there are less than 6 hours of data.")
        return tr(
            "its expected end is not extrapolated, since the data is {age} old.",
            age=span(plan.stale_at - plan.as_of),
        )
    # The expected end is shown elsewhere too, so rounding goes to the added sum.
    cents = cents_of(plan.total_usd) - cents_of(plan.expected_usd)
    [added] = in_cents(cents, [plan.added_usd])
    return tr(
        ADDED[plan.period.value],
        usd=usd(added),
        before=usd(plan.expected_usd),
        after=usd(plan.total_usd),
        share=percent(plan.total_usd, plan.limit_usd),
        limit=usd(plan.limit_usd),
    )


def kept_list(kept: Sequence[KeptEstimate], pace: Callable[[KeptEstimate], Decimal | None]) -> list[str]:
    """One line each, at most the newest `MOST_KEPT`. `pace`: USD a month of the usage it is compared with."""
    if not kept:
        return [
            tr("No estimate is kept: add as=NAME to one, as in `estimate sonnet requests=1k in=2000 out=500 as=demo`.")
        ]
    newest = sorted(kept, key=lambda one: one.kept_at, reverse=True)[:MOST_KEPT]
    lines = [comma_list([_kept_cost(one, pace), code(one.words, WORDS_LIMIT)]) for one in newest]
    more = len(kept) - len(newest)
    return lines if more <= 0 else [*lines, tr("and {number} older ones", number=more)]


def _kept_cost(kept: KeptEstimate, pace: Callable[[KeptEstimate], Decimal | None]) -> str:
    name, estimated = code(kept.name), usd(kept.monthly_usd)
    if kept.scope is None:
        return tr("{name}: {usd} a month", name=name, usd=estimated)
    scope, monthly = shown(kept.scope), pace(kept)
    if monthly is None:
        return tr(
            "{name}: {usd} a month estimated, pace not known yet ({scope})", name=name, usd=estimated, scope=scope
        )
    return tr(
        "{name}: {usd} a month estimated, on pace for {pace} ({scope})",
        name=name,
        usd=estimated,
        pace=usd(monthly),
        scope=scope,
    )


def bound_line(kept: KeptEstimate, doubt: str | None) -> list[str]:
    """The scope that it is compared with, if any. `doubt`: why there is no usage of it, one sentence."""
    why = [] if doubt is None else [sentence(doubt)]
    if kept.scope is None:
        return [sentences([tr("It is compared with no usage."), *why])] if why else []
    line = tr("`estimate show {name}` compares it with the usage of {scope}.", name=kept.name, scope=shown(kept.scope))
    return [sentences([line, *why])]


def kept_line(kept: KeptEstimate, replaced: KeptEstimate | None) -> str:
    """The line for an estimate that was saved, and what it replaced."""
    line = tr(
        "Kept as {name}, with the prices checked on {day}.", name=code(kept.name), day=kept.rates_checked.isoformat()
    )
    if replaced is None:
        return line
    before = tr("It replaces {usd} a month of {when}.", usd=usd(replaced.monthly_usd), when=moment(replaced.kept_at))
    return sentences([line, before])


def dropped(kept: KeptEstimate) -> str:
    """The line for a removed estimate, with the words that restore it."""
    return tr("{name} is dropped. It was {words}.", name=code(kept.name), words=code(kept.words, WORDS_LIMIT))


def kept_message(kept: KeptEstimate, now: Estimate) -> Message:
    """Its cost when it was saved, and today."""
    then = tr(
        "{name}, kept by {who} on {when}: {usd} a month at the prices checked on {day}.",
        name=code(kept.name),
        who=mention(kept.kept_by),
        when=moment(kept.kept_at),
        usd=usd(kept.monthly_usd),
        day=kept.rates_checked.isoformat(),
    )
    return Message([paragraph(then, tr("Today:")), *estimate_message(now).parts])
