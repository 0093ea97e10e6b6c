"""A digest as a message: the sum and how final it is, its rows, the budgets, changes, and possible savings."""

from collections.abc import Iterator, Mapping, Sequence

from bot.amounts import change, percent, usd, usd_parts
from bot.budgets.budget import LOGGED, LimitKind, parse_scope, period_name
from bot.budgets.budget_spend import BudgetSpend, NamedMover
from bot.digests.cheaper import Cheaper, Option, Way
from bot.digests.content import REST
from bot.digests.model import Digest, EstimatePace
from bot.display import USD, Display
from bot.language import ntr, tr, tr_noop
from bot.listed import labelled
from bot.messages import Message, Part
from handlers.render.digest_settings import settings_button
from handlers.render.logged_requests import NONE
from handlers.render.parts import bullets, buttons, context, fitting, heading, lead, moment, paragraph, shown, table
from handlers.render.raises import raised_note
from handlers.render.retirement_alert import price_effect, price_line, retires_line, successor_line
from handlers.render.spend import (
    at_least_line,
    caller,
    capitalized,
    cause_line,
    display_lines,
    mover_line,
    parts_line,
    total,
    unknown_price_line,
)

TITLES: Mapping[str, str] = {
    "day": tr_noop("Daily digest"),
    "week": tr_noop("Weekly digest"),
    "month": tr_noop("Month close"),
}

LIST_ROOM = 2_600
"""Characters of one list, out of the 13,200 that Slack takes in a message."""

ROWS_ARE: Mapping[str, str] = {"model": tr_noop("Model"), "feature": tr_noop("Feature")}


def digest_message(digest: Digest, display: Display = USD) -> Message:
    """The digest, for a channel or on request."""
    first, *rest = _lead(digest)
    title = tr("So far") if digest.running else tr(TITLES[digest.every])
    return Message(
        [
            heading(tr("{title}: {period}", title=title, period=_period(digest))),
            lead(first, *display_lines(digest.spend.total_usd, display), *rest),
            *_rows(digest),
            bullets(tr("Budgets"), _few([_budget_line(spend, digest) for spend in digest.budgets])),
            _changes(digest),
            *_cheaper(digest.cheaper),
            bullets(tr("Estimates against use"), [_estimate_line(each) for each in digest.estimates]),
            bullets(tr("Models and prices"), _few(list(_news(digest)))),
            buttons([settings_button(digest.rule)]),
            context(_small_print(digest)),
        ]
    )


def _few(lines: Sequence[str]) -> list[str]:
    """As many lines as leave room for the rest of the message; the others are counted."""
    shown_ones = [line for [line] in fitting(([line] for line in lines), LIST_ROOM)]
    more = len(lines) - len(shown_ones)
    return [*shown_ones, tr("and {number} more", number=more)] if more else shown_ones


def _period(digest: Digest) -> str:
    return capitalized(shown(period_name(digest.period.key, digest.decided_at)))


def _lead(digest: Digest) -> Iterator[str]:
    spend = digest.spend
    yield tr("{period}: {spent} spent", period=_period(digest), spent=total(spend))
    if digest.budget is not None:
        yield tr("This is about budget {budget} alone.", budget=shown(digest.budget))
    elif digest.scope is not None:
        yield tr("This is about {scope} alone.", scope=shown(digest.scope))
    if digest.missing_hours:
        yield ntr(
            "INCOMPLETE: of {number} hour of it no usage is known here, which counts as none.",
            "INCOMPLETE: of {number} hours of it no usage is known here, which count as none.",
            digest.missing_hours,
        )
    yield tr("{parts}.", parts=parts_line(spend))
    yield from _sure(digest)
    if digest.before_usd is not None and digest.before is not None:
        yield _compared(digest)
    if spend.assumed:
        yield unknown_price_line(spend.assumed)
    if spend.hidden:
        yield at_least_line(spend.hidden)


def _sure(digest: Digest) -> Iterator[str]:
    """Lines on whether the sum can still change."""
    if digest.running:
        yield tr("These days still run: this is as of {moment}.", moment=moment(digest.as_of))
    elif digest.logged or (digest.scope is not None and parse_scope(digest.scope).kind in LOGGED):
        yield tr("This is what applications have logged; no bill is split that way.")
    elif digest.unbilled_days:
        yield ntr(
            "Provisional: the bill for the last day may still change.",
            "Provisional: the bill for the last {number} days may still change.",
            digest.unbilled_days,
        )
    else:
        yield tr("Settled: the bill of each of these days is final.")


def _compared(digest: Digest) -> str:
    before = digest.before_usd
    if before is None or digest.before is None:
        return ""
    name = shown(period_name(digest.before, digest.decided_at))
    changed = change(digest.computed_usd, before)
    if changed is None:
        return tr(
            "At list prices {now}, and {usd} in {before}.", now=usd(digest.computed_usd), usd=usd(before), before=name
        )
    return tr(
        "At list prices {now}, and {usd} in the same stretch of {before}: {change}.",
        now=usd(digest.computed_usd),
        usd=usd(before),
        before=name,
        change=changed,
    )


def _rows(digest: Digest) -> list[Part]:
    if not digest.rows:
        return []
    amounts = usd_parts(digest.rows_usd, [row.usd for row in digest.rows])
    cells = []
    for row, amount in zip(digest.rows, amounts, strict=True):
        label = tr("others") if row.label == REST else row.label or tr("none of them")
        cells.append([label, amount, NONE if row.before_usd is None else usd(row.before_usd)])
    together = (
        tr("By feature, as applications log it: {usd} together.", usd=usd(digest.rows_usd))
        if digest.by == "feature"
        else tr("By model, at list prices: {usd} together.", usd=usd(digest.rows_usd))
    )
    return [paragraph(together), table((tr(ROWS_ARE[digest.by]), tr("USD"), tr("Before")), cells, _row_in_words)]


def _row_in_words(cells: Sequence[str]) -> str:
    who, amount, before = cells
    if before == NONE:
        return tr("• {who}: {amount}", who=who, amount=amount)
    return tr("• {who}: {amount}, before {before}", who=who, amount=amount, before=before)


def _budget_line(spend: BudgetSpend, digest: Digest) -> str:
    line = _against_limit(spend, digest)
    raised = raised_note(spend.raised, LimitKind.HARD if spend.hard_usd else LimitKind.SOFT)
    return tr("{line} ({raised})", line=line, raised=raised[-1]) if raised else line


def _against_limit(spend: BudgetSpend, digest: Digest) -> str:
    name, period = shown(spend.budget), shown(period_name(spend.period, digest.decided_at))
    spent = f"≥ {usd(spend.spent_usd)}" if spend.at_least else usd(spend.spent_usd)
    limit = spend.hard_usd or spend.soft_usd
    if limit is None:
        return tr("{name}: {spent}, {period}", name=name, spent=spent, period=period)
    share = percent(spend.spent_usd, limit)
    if spend.expected_usd is None:
        return tr(
            "{name}: {spent} of {limit} ({share}), {period}",
            name=name,
            spent=spent,
            limit=usd(limit),
            share=share,
            period=period,
        )
    return tr(
        "{name}: {spent} of {limit} ({share}), {period}, expected end {expected}",
        name=name,
        spent=spent,
        limit=usd(limit),
        share=share,
        period=period,
        expected=usd(spend.expected_usd),
    )


def _changes(digest: Digest) -> Part:
    lines = [mover_line(mover) if digest.of_last_day else _moved(mover) for mover in digest.movers]
    lines += [tr("Why: {cause}", cause=cause_line(cause)) for cause in digest.causes]
    return bullets(tr("Largest in the last day") if digest.of_last_day else tr("What changed"), lines)


def _moved(mover: NamedMover) -> str:
    who, now = caller(mover), usd(mover.usd)
    if mover.before_usd is None:
        return tr("{who}: {now}, nothing before", who=who, now=now)
    changed = change(mover.usd, mover.before_usd)
    if changed is None:
        return tr("{who}: {now}, before {before}", who=who, now=now, before=usd(mover.before_usd))
    return tr(
        "{who}: {now}, before {before} ({change})", who=who, now=now, before=usd(mover.before_usd), change=changed
    )


def _cheaper(found: Sequence[Cheaper]) -> list[Part]:
    if not found:
        return []
    lines = [labelled(shown(each.caller), " · ".join(_option(option) for option in each.options)) for each in found]
    return [
        bullets(tr("Savings on the table"), lines),
        context(
            tr(
                "Each saving is by itself, for the same tokens at list prices: batches where answers can wait up to a "
                "day, a cache where half of the uncached input repeats and 90% of that is found in it, a smaller model "
                "where its answers are good enough."
            )
        ),
    ]


def _option(option: Option) -> str:
    saved = usd(option.usd)
    if option.way is Way.BATCH:
        return tr("in batches {usd} less", usd=saved)
    if option.way is Way.CACHE:
        return tr("cached {usd} less", usd=saved)
    if option.model is None:
        return tr("on smaller models {usd} less", usd=saved)
    return tr("on {model} {usd} less", model=shown(option.model), usd=saved)


def _estimate_line(each: EstimatePace) -> str:
    changed = change(each.monthly_usd, each.estimated_usd)
    if changed is None:
        return tr(
            "{name}: estimated {estimated} a month, pace {pace}",
            name=shown(each.name),
            estimated=usd(each.estimated_usd),
            pace=usd(each.monthly_usd),
        )
    return tr(
        "{name}: estimated {estimated} a month, pace {pace} ({change})",
        name=shown(each.name),
        estimated=usd(each.estimated_usd),
        pace=usd(each.monthly_usd),
        change=changed,
    )


def _news(digest: Digest) -> Iterator[str]:
    on = digest.decided_at.date()
    for price in digest.prices:
        yield tr("{first}. {second}", first=price_line(price, on), second=price_effect(price))
    for each in digest.retirements:
        yield tr("{first}. {second}", first=retires_line(each, on), second=successor_line(each))


def _small_print(digest: Digest) -> str:
    return tr(
        "UTC days from {since} to {until} · data as of {moment}",
        since=moment(digest.period.starts_at),
        until=moment(digest.period.ends_at),
        moment=moment(digest.as_of),
    )
