"""Changes of budgets: the announcement in the channel with its Undo, and `budget history`."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from bot.amounts import usd
from bot.budgets.budget import Budget
from bot.budgets.change_store import CHANGED, OF_BUDGETS, RAISED, SET, BudgetChange, HistoryEntry, budget_from
from bot.budgets.parsing import BudgetWordsError
from bot.budgets.raises import RaiseState
from bot.budgets.store import Undo
from bot.language import tr, tr_noop
from bot.listed import labelled
from bot.messages import Block, Message
from handlers.render.budget import changes, described
from handlers.render.parts import (
    NAME_LIMIT,
    button,
    buttons,
    confirmation,
    context,
    fitting,
    lead,
    mention,
    moment,
    paragraph,
    plain,
    said,
    sentence,
    shown,
)
from handlers.render.raises import LIMIT_NAMES

UNDO_ACTION = "budget_undo"
ROOM = 9000
"""Longest history, in characters."""

STEPS = {
    RAISED: tr_noop("{who} has raised the {limit}: {base} → {usd} until {until}"),
    RaiseState.ASKED: tr_noop("{who} has asked to raise the {limit}: {base} → {usd} until {until}"),
    RaiseState.ENDED: tr_noop("The raise of the {limit} has ended: {usd} → {base}"),
    RaiseState.REPLACED: tr_noop("{who} has replaced the raise of the {limit} to {usd}"),
    RaiseState.CANCELLED: tr_noop("{who} has ended the raise of the {limit}: {usd} → {base}"),
    RaiseState.DECLINED: tr_noop("{who} has declined the raise of the {limit} to {usd}"),
    RaiseState.EXPIRED: tr_noop("The request to raise the {limit} to {usd} has expired"),
    RaiseState.VOID: tr_noop("The request to raise the {limit} to {usd} was closed"),
}
"""Sentences for steps of raises in the history."""


def change_message(change: BudgetChange) -> Message:
    """Who changed what, for the alert channel."""
    small = context(tr("Changed {at}", at=moment(change.at)))
    if change.undone_by is not None:
        undone = tr("{who} has undone this.", who=mention(change.undone_by))
        return Message([lead(_headline(change), *_lines(change)), paragraph(undone), small])
    return Message([lead(_headline(change), *_lines(change)), buttons([_undo(change)]), small])


def undo_answer(outcome: Undo, name: str) -> Message:
    """The answer to a click on Undo."""
    match outcome:
        case "done":
            return said(tr("Budget {budget} is set back: the channel is notified.", budget=shown(name)))
        case "already":
            return said(tr("Nothing was changed: this was undone already."))
        case "changed":
            text = tr(
                "Nothing was changed: budget {budget} was changed since. `budget history` shows how.",
                budget=shown(name),
            )
            return said(text)
        case "unknown":
            return said(tr("Nothing was changed: the bot does not know this change."))


def history_message(entries: Sequence[HistoryEntry], name: str | None) -> Message:
    """Who changed what and when; newest first."""
    if not entries:
        if name is None:
            return said(tr("No budget was ever changed in Slack."))
        return said(tr("Budget {budget} was never changed in Slack.", budget=shown(name)))
    title = (
        tr("Changes of budgets, the newest first.")
        if name is None
        else tr("Changes of budget {budget}, the newest first.", budget=shown(name))
    )
    lines = fitting(([f"• {_entry(entry)}"] for entry in entries), ROOM)
    return Message([lead(title), paragraph(*(line for group in lines for line in group))])


def _headline(change: BudgetChange) -> str:
    values = {"budget": shown(change.budget), "who": mention(change.by)}
    if change.before is None:
        return tr("Budget {budget} was set by {who}", **values)
    if change.after is None:
        return tr("Budget {budget} was removed by {who}", **values)
    return tr("Budget {budget} was changed by {who}", **values)


def _lines(change: BudgetChange) -> list[str]:
    before, after = _budget(change.before), _budget(change.after)
    if before is not None and after is not None:
        return changes(before, after)
    return [f"• {described(budget)}" for budget in (before, after) if budget is not None]


def _budget(words: str | None) -> Budget | None:
    try:
        return budget_from(words)
    except BudgetWordsError:
        # Written by another version.
        return None


def _undo(change: BudgetChange) -> Block:
    dialog = confirmation(
        tr("Undo this change of {budget}?", budget=plain(change.budget, NAME_LIMIT)),
        tr("The budget becomes what it was before."),
        tr("Undo"),
    )
    return button(tr("Undo"), UNDO_ACTION, str(change.change_id), confirm=dialog)


def _entry(entry: HistoryEntry) -> str:
    what = _of_budget(entry) if entry.action in OF_BUDGETS else _of_raise(entry)
    line = labelled(f"{moment(entry.at)} · {shown(entry.budget)}", what)
    if entry.reason.strip():
        line = tr("{line}. Reason: {reason}", line=line, reason=sentence(entry.reason))
    if entry.undone_by is not None:
        line = tr("{line} (undone by {who})", line=line, who=mention(entry.undone_by))
    return line


def _of_budget(entry: HistoryEntry) -> str:
    who, before, after = mention(entry.by), _budget(entry.before), _budget(entry.after)
    if entry.action == CHANGED and before is not None and after is not None:
        listed = "; ".join(line.removeprefix("• ") for line in changes(before, after))
        return tr("{who} has changed it: {changes}", who=who, changes=listed)
    if entry.action == SET:
        return tr("{who} has set it: {budget}", who=who, budget="" if after is None else described(after))
    return tr("{who} has removed it: {budget}", who=who, budget="" if before is None else described(before))


def _of_raise(entry: HistoryEntry) -> str:
    kind, base = _limit(entry.before)
    _, rest = _limit(entry.after)
    amount, _, until = rest.partition(" until=")
    name = next((text for limit, text in LIMIT_NAMES.items() if limit == kind), kind)
    step = STEPS.get(entry.action)
    if step is None:
        return shown(entry.action)
    return tr(
        step,
        who=mention(entry.by),
        limit=tr(name),
        base=_usd(base),
        usd=_usd(amount),
        until=moment(datetime.fromisoformat(until)) if until else "",
    )


def _limit(words: str | None) -> tuple[str, str]:
    kind, _, rest = (words or "").partition("=")
    return kind, rest


def _usd(text: str) -> str:
    try:
        return usd(Decimal(text))
    except InvalidOperation:
        return shown(text)
