"""`/claude-cost report by product`, `group`, `agent`, `actor` and `organization`: spend as Anthropic attributes it."""

from collections import Counter
from collections.abc import Sequence

from bot.amounts import count, shares, usd, usd_parts
from bot.budgets.budget import in_period, period_name
from bot.budgets.spend import ZERO
from bot.display import USD, Display
from bot.messages import Message
from bot.usage.model import Attributed, AttributedBy, AttributedRow
from handlers.render.logged_requests import NONE
from handlers.render.parts import lead, moment, paragraph, said, table
from handlers.render.report import MOST_ROWS, short
from handlers.render.spend import display_lines

CLAUDE_CODE_COVERS = (
    "From Claude Code's report, since the analytics API cannot be used here: Anthropic's estimates for Claude Code "
    "alone, without its use over Bedrock, Vertex, Foundry or AWS, and without every other use of the API."
)


def attributed_message(found: Attributed, key: str, display: Display = USD, more: Sequence[str] = ()) -> Message:
    """The sum first, where it comes from, then the rows. `key`: of the period. `more`: lines after the first one."""
    if not found.rows:
        return said(
            " ".join(
                [f"Anthropic attributes no spend of {period_name(key, found.ends_at)} so far.", *more, _source(found)]
            )
        )
    sum_ = f"at least {usd(found.usd)}" if found.odd else usd(found.usd)
    when = in_period(key, found.ends_at)
    first = f"{sum_} {when}, from {moment(found.starts_at)} to {moment(found.ends_at)}, by {found.by}"
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
        return CLAUDE_CODE_COVERS
    upto = "" if found.refreshed_at is None else f", complete up to {moment(found.refreshed_at)}"
    if found.list_usd is None or found.list_usd == found.usd:
        return f"From Anthropic's analytics API{upto}: after discounts, before credits."
    return (
        f"From Anthropic's analytics API{upto}: after discounts, before credits; {usd(found.list_usd)} at list prices."
    )


def _warnings(found: Attributed) -> list[str]:
    lines = []
    if found.by is AttributedBy.GROUP:
        lines.append(
            "Somebody in several groups counts in each of them, so the rows may add up to more than the sum above."
        )
    if found.on_plans_usd:
        lines.append(f"{usd(found.on_plans_usd)} of it was used on subscriptions, which are not billed by tokens.")
    if found.odd:
        lines.append(f"{count(found.odd, 'row')} of Anthropic's answer cannot be read: the true sum may differ.")
    return lines


def _has_shares(found: Attributed) -> bool:
    return found.by is not AttributedBy.GROUP


def _headings(found: Attributed) -> list[str]:
    share = ["Share"] if _has_shares(found) else []
    return [found.by.value.capitalize(), "USD", *share, "Tokens in", "Tokens out"]


def _cells(
    found: Attributed, rows: Sequence[AttributedRow], left_out: Sequence[AttributedRow]
) -> tuple[list[list[str]], list[str]]:
    """The rows, and lines about those that are left out."""
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
    return cells, [f"and {len(left_out)} more, {amounts[-1]}{f' ({percents[-1]})' if whole else ''}"]


def _labels(found: Attributed, rows: Sequence[AttributedRow]) -> list[str]:
    """Names, or else ids; of several with one name, both."""
    names = Counter(row.who.name for row in found.rows)
    return [_label(row, found.by, twice=names[row.who.name] > 1) for row in rows]


def _label(row: AttributedRow, by: AttributedBy, *, twice: bool) -> str:
    if row.who.id is None:
        return row.who.name or f"no {by}"
    if row.who.name is None:
        return row.who.id
    return f"{row.who.name} ({row.who.id})" if twice else row.who.name


def _tokens(tokens: int | None) -> str:
    return NONE if tokens is None else short(tokens)


def _in_words(cells: Sequence[str], has_shares: bool) -> str:
    who, amount, *share, tokens_in, tokens_out = cells
    part = f" ({share[0]})" if has_shares else ""
    return f"• {who}: {amount}{part}, {tokens_in} tokens in, {tokens_out} out"
