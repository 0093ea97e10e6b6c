"""`/claude-cost report by product`, `group`, `agent`, `actor` and `organization`: spend as Anthropic attributes it."""

from collections import Counter
from collections.abc import Sequence

from bot.amounts import shares, usd, usd_parts
from bot.budgets.budget import in_period, period_name
from bot.budgets.spend import ZERO
from bot.display import USD, Display
from bot.language import ntr, tr, tr_noop
from bot.listed import sentences
from bot.messages import Message
from bot.usage.model import Attributed, AttributedBy, AttributedRow
from handlers.render.logged_requests import NONE, heading_of, nobody, noun
from handlers.render.parts import lead, moment, paragraph, said, table
from handlers.render.report import MOST_ROWS, short
from handlers.render.spend import display_lines

CLAUDE_CODE_COVERS = tr_noop(
    "From Claude Code's report, since the analytics API cannot be used here: Anthropic's estimates for Claude Code "
    "alone, without its use over Bedrock, Vertex, Foundry or AWS, and without every other use of the API."
)


def attributed_message(found: Attributed, key: str, display: Display = USD, more: Sequence[str] = ()) -> Message:
    """The sum and its source first, then the rows. `key`: of the period. `more`: lines after the first one."""
    if not found.rows:
        none = tr("Anthropic attributes no spend of {period} so far.", period=period_name(key, found.ends_at))
        return said(sentences([none, *more, _source(found)]))
    first = tr(
        "{spent} {when}, from {since} to {until}, by {by}",
        spent=tr("at least {usd}", usd=usd(found.usd)) if found.odd else usd(found.usd),
        when=in_period(key, found.ends_at),
        since=moment(found.starts_at),
        until=moment(found.ends_at),
        by=noun(found.by),
    )
    rows, left_out = found.rows[:MOST_ROWS], found.rows[MOST_ROWS:]
    cells, closing = _cells(found, rows, left_out)
    return Message(
        [
            lead(first, *display_lines(found.usd, display), *more, _source(found), *_warnings(found)),
            table(_headings(found), cells, lambda row: _in_words(row, _has_shares(found))),
            paragraph(*closing),
        ]
    )


def _source(found: Attributed) -> str:
    if found.origin == "claude_code":
        return tr(CLAUDE_CODE_COVERS)
    at_list = None if found.list_usd is None or found.list_usd == found.usd else usd(found.list_usd)
    if found.refreshed_at is None:
        if at_list is None:
            return tr("From Anthropic's analytics API: after discounts, before credits.")
        return tr("From Anthropic's analytics API: after discounts, before credits; {usd} at list prices.", usd=at_list)
    until = moment(found.refreshed_at)
    if at_list is None:
        return tr(
            "From Anthropic's analytics API, complete up to {until}: after discounts, before credits.", until=until
        )
    return tr(
        "From Anthropic's analytics API, complete up to {until}: after discounts, before credits; {usd} at list "
        "prices.",
        until=until,
        usd=at_list,
    )


def _warnings(found: Attributed) -> list[str]:
    lines = []
    if found.by is AttributedBy.GROUP:
        lines.append(
            tr("Somebody in several groups counts in each of them, so the rows may add up to more than the sum above.")
        )
    if found.on_plans_usd:
        lines.append(
            tr("{usd} of it was used on subscriptions, which are not billed by tokens.", usd=usd(found.on_plans_usd))
        )
    if found.odd:
        lines.append(
            ntr(
                "{number} row of Anthropic's answer cannot be read: the true sum may differ.",
                "{number} rows of Anthropic's answer cannot be read: the true sum may differ.",
                found.odd,
            )
        )
    return lines


def _has_shares(found: Attributed) -> bool:
    return found.by is not AttributedBy.GROUP


def _headings(found: Attributed) -> list[str]:
    share = [tr("Share")] if _has_shares(found) else []
    return [heading_of(found.by), tr("USD"), *share, tr("Tokens in"), tr("Tokens out")]


def _cells(
    found: Attributed, rows: Sequence[AttributedRow], left_out: Sequence[AttributedRow]
) -> tuple[list[list[str]], list[str]]:
    """The rows, and lines about those left out."""
    parts = [row.usd for row in rows]
    if left_out:
        parts.append(sum((row.usd for row in left_out), ZERO))
    whole = _has_shares(found)
    amounts = usd_parts(found.usd, parts) if whole else [usd(part) for part in parts]
    percents = (shares(parts) if min(parts) >= 0 else None) or [NONE] * len(parts)
    labels = _labels(found, rows)
    cells = [
        [label, amount, *([percent] if whole else []), _tokens(row.tokens_in), _tokens(row.tokens_out)]
        for row, label, amount, percent in zip(rows, labels, amounts, percents, strict=False)
    ]
    if not left_out:
        return cells, []
    number, amount = len(left_out), amounts[-1]
    if not whole:
        return cells, [tr("and {number} more, {usd}", number=number, usd=amount)]
    return cells, [tr("and {number} more, {usd} ({share})", number=number, usd=amount, share=percents[-1])]


def _labels(found: Attributed, rows: Sequence[AttributedRow]) -> list[str]:
    """Names, or else ids; both if a name is ambiguous."""
    names = Counter(row.who.name for row in found.rows)
    return [_label(row, found.by, twice=names[row.who.name] > 1) for row in rows]


def _label(row: AttributedRow, by: AttributedBy, *, twice: bool) -> str:
    if row.who.id is None:
        return row.who.name or nobody(by)
    if row.who.name is None:
        return row.who.id
    return f"{row.who.name} ({row.who.id})" if twice else row.who.name


def _tokens(tokens: int | None) -> str:
    return NONE if tokens is None else short(tokens)


def _in_words(cells: Sequence[str], has_shares: bool) -> str:
    who, amount, *share, tokens_in, tokens_out = cells
    detail = tr("{tokens_in} tokens in, {tokens_out} out", tokens_in=tokens_in, tokens_out=tokens_out)
    if not has_shares:
        return tr("• {who}: {amount}, {detail}", who=who, amount=amount, detail=detail)
    return tr("• {who}: {amount} ({share}), {detail}", who=who, amount=amount, share=share[0], detail=detail)
