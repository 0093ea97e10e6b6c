"""Raised limits: the note beside a limit, the button and form, a raise's message, and answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bot.alerts.incident import Status
from bot.alerts.model import AlertPayload, BudgetAlert
from bot.amounts import usd
from bot.budgets.budget import Budget, LimitKind, RaisedLimit
from bot.budgets.parsing import budget_words
from bot.budgets.raises import LONGEST_REASON, Raise, RaiseState
from bot.fallback.admins import NotAnOwner
from bot.language import tr, tr_noop
from bot.messages import Block, Message, Part
from handlers.render.fields import plain_label, select_field, text_field
from handlers.render.parts import (
    NAME_LIMIT,
    button,
    buttons,
    channel_mention,
    confirmation,
    context,
    lead,
    mention,
    moment,
    paragraph,
    plain,
    said,
    sentence,
    shown,
    with_reason,
)

OPEN_ACTION = "raise_open"
APPROVE_ACTION = "raise_approve"
DECLINE_ACTION = "raise_decline"
CANCEL_ACTION = "raise_cancel"
WHICH_ACTION = "raise_which"
FORM = "raise_limit"
TO, UNTIL, OTHER, REASON = "to", "until", "other", "because"

LIMIT_NAMES = {
    LimitKind.SOFT: tr_noop("soft limit"),
    LimitKind.HARD: tr_noop("hard limit"),
}
CHOICES = {
    "4h": tr_noop("For 4 hours"),
    "today": tr_noop("Until the end of today"),
    "tomorrow": tr_noop("Until the end of tomorrow"),
    "2d": tr_noop("For 2 days"),
    "7d": tr_noop("For a week"),
    "period": tr_noop("Until the budget's period ends"),
}
"""Durations of a raise in the form, by the words that are typed."""


def raised_note(raised: Sequence[RaisedLimit], kind: str) -> list[str]:
    """`raised from $700.00 until 4 Dec 18:00 UTC`, for one limit; empty if it is not raised."""
    return [
        tr("raised from {base} until {until}", base=usd(each.base_usd), until=moment(each.until))
        for each in raised
        if each.kind == kind
    ]


def raised_lines(raised: Sequence[RaisedLimit]) -> list[str]:
    """A sentence for each raised limit."""
    return [
        tr(
            "The {limit} of {usd} is raised from {base} until {until}.",
            limit=tr(LIMIT_NAMES[each.kind]),
            usd=usd(each.usd),
            base=usd(each.base_usd),
            until=moment(each.until),
        )
        for each in raised
    ]


def with_raise_button(message: Message, payload: AlertPayload) -> Message:
    """An open alert about a limit, with the button that raises it."""
    limit = payload.identity.limit
    if payload.status is not Status.OPEN or limit is None or not isinstance(payload, BudgetAlert):
        return message
    if payload.ends_at <= payload.decided_at:
        return message
    kind = limit.kind
    if kind is LimitKind.THRESHOLD:
        kind = LimitKind.SOFT if payload.spend.hard_usd is None else LimitKind.HARD
    return with_quiet_button(message, raise_button(payload.subject, kind))


def raise_button(budget: str, kind: LimitKind) -> Block:
    """Button that opens the form about one limit of a budget."""
    return button(tr("Raise this limit"), OPEN_ACTION, f"{kind} {budget}")


def which_button() -> Block:
    """Button that asks which budget's limit to raise."""
    return button(tr("Raise a limit"), WHICH_ACTION, "budget")


def with_quiet_button(message: Message, *elements: Block) -> Message:
    """A message with further buttons at the end of its last row of plain ones, or in their own row."""
    parts = list(message.parts)
    for at in range(len(parts) - 1, -1, -1):
        last = parts[at].blocks[-1] if parts[at].blocks else {}
        if last.get("type") == "actions" and all("confirm" not in each for each in last["elements"]):
            row = {**last, "elements": [*last["elements"], *elements]}
            parts[at] = Part(parts[at].text, [*parts[at].blocks[:-1], row])
            return Message(parts)
    at = len(parts)
    while at > 1 and all(block["type"] == "context" for block in parts[at - 1].blocks):
        at -= 1
    return Message([*parts[:at], buttons(elements), *parts[at:]])


@dataclass(frozen=True, slots=True)
class Carried:
    """State carried by the form: where its answer goes, which limit it is about, and the budget as words."""

    response_url: str
    limit: LimitKind
    words: str

    def packed(self) -> str:
        """The state as private metadata."""
        return json.dumps({"response_url": self.response_url, "limit": self.limit, "budget": self.words})


def carried(view: Mapping[str, Any]) -> Carried:
    """State of a submitted form. Raises ValueError if forged."""
    try:
        packed = json.loads(str(view.get("private_metadata") or ""))
        return Carried(str(packed["response_url"]), LimitKind(packed["limit"]), str(packed["budget"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("no such form") from None


def raise_form(budget: Budget, kind: LimitKind, base_usd: Decimal, asks: bool, response_url: str) -> Block:
    """`base_usd`: the limit without raises. `asks`: an admin has to approve."""
    choices = {value: tr(text) for value, text in CHOICES.items()}
    first = tr(
        "The {limit} of budget {budget} is {usd}.",
        limit=tr(LIMIT_NAMES[kind]),
        budget=shown(budget.name),
        usd=usd(base_usd),
    )
    if budget.channel is not None and asks:
        then = tr("An admin has to approve this in {channel}.", channel=channel_mention(budget.channel))
    elif budget.channel is not None:
        there = channel_mention(budget.channel)
        then = tr("The raise takes effect at once and is announced in {channel}.", channel=there)
    elif asks:
        then = tr("An admin has to approve this in the alert channel.")
    else:
        then = tr("The raise takes effect at once and is announced in the alert channel.")
    return {
        "type": "modal",
        "callback_id": FORM,
        "private_metadata": Carried(response_url, kind, budget_words(budget)).packed(),
        "title": plain_label(tr("Raise a limit")),
        "submit": plain_label(tr("Ask") if asks else tr("Raise")),
        "close": plain_label(tr("Cancel")),
        "blocks": [
            *paragraph(first, then).blocks,
            text_field(TO, tr("New limit in USD"), _higher(base_usd), {}),
            select_field(UNTIL, tr("Until when"), choices, "tomorrow"),
            text_field(OTHER, tr("Or another time"), tr("fri, 3d, 2026-12-01"), {}, optional=True),
            text_field(REASON, tr("Why"), "", {}, optional=True, longest=LONGEST_REASON),
        ],
    }


def raise_message(raised: Raise) -> Message:
    """A raise at its present step, for the alert channel."""
    first = with_reason(_with_reason(_headline(raised), raised.reason), raised.reason)
    lines = [] if raised.spent_usd is None else [_spent(raised)]
    return Message([first, paragraph(*lines, _progress(raised)), buttons(_buttons(raised)), _small(raised)])


def raise_answer(raised: Raise) -> Message:
    """The answer to whoever requested, approved, declined or ended it."""
    if raised.state is RaiseState.ASKED and raised.channel is not None:
        return said(
            tr(
                "An admin has to approve this: the request is in {channel} until {until}.",
                channel=channel_mention(raised.channel),
                until=moment(raised.expires_at),
            )
        )
    if raised.state is RaiseState.ASKED:
        text = tr(
            "An admin has to approve this: the request is in the alert channel until {until}.",
            until=moment(raised.expires_at),
        )
        return said(text)
    return Message([paragraph(_headline(raised), _progress(raised))])


def not_possible(raised: Raise | None) -> Message:
    """The answer to a late or forged click."""
    if raised is None:
        return said(tr("Nothing was changed: the bot does not know this raise."))
    return said(tr("Nothing was changed: {state}", state=_progress(raised)))


def not_an_owner(budget: str, why: NotAnOwner) -> Message:
    """The answer to somebody who may not ask for more of a budget, naming those who may."""
    values = {"budget": shown(budget), "owners": ", ".join(map(mention, why.owners))}
    if why.not_yet:
        return said(
            tr(
                "Nothing was asked: Slack has not said yet which workspace the bot belongs to, and only the owners of "
                "budget {budget} ({owners}) and admins there may ask to raise its limits. Try again in a minute.",
                **values,
            )
        )
    if why.unread:
        clauses = tr("; ").join(map(str, why.unread))
        return said(
            tr(
                "Nothing was asked: only the owners of budget {budget} ({owners}) and admins may ask to raise its "
                "limits; {why}.",
                why=clauses,
                **values,
            )
        )
    return said(
        tr(
            "Nothing was asked: only the owners of budget {budget} ({owners}) and admins may ask to raise its limits.",
            **values,
        )
    )


def _headline(raised: Raise) -> str:
    values = {
        "limit": tr(LIMIT_NAMES[raised.limit]),
        "budget": shown(raised.budget),
        "base": usd(raised.base_usd),
        "usd": usd(raised.usd),
        "until": moment(raised.until),
        "who": mention(raised.asked_by),
    }
    match raised.state:
        case RaiseState.ACTIVE | RaiseState.REPLACED:
            return tr("Raised: the {limit} of budget {budget} is {usd} instead of {base} until {until}.", **values)
        case RaiseState.ENDED if raised.with_period:
            return tr("Raise ended with the period: the {limit} of budget {budget} is {base} again.", **values)
        case RaiseState.ENDED if raised.spent_usd is not None and raised.spent_usd >= raised.base_usd:
            values["spent"] = usd(raised.spent_usd)
            return tr(
                "{spent} of {base}: the raise has ended, and the {limit} of budget {budget} is crossed.", **values
            )
        case RaiseState.ENDED | RaiseState.CANCELLED:
            return tr("Raise ended: the {limit} of budget {budget} is {base} again.", **values)
        case _:
            return tr(
                "{who} asks to raise the {limit} of budget {budget} from {base} to {usd} until {until}.", **values
            )


def _with_reason(headline: str, reason: str) -> str:
    return tr("{headline} Reason: {reason}", headline=headline, reason=sentence(reason)) if reason.strip() else headline


def _spent(raised: Raise) -> str:
    limit = raised.base_usd if raised.state in (RaiseState.ENDED, RaiseState.CANCELLED) else raised.usd
    spent = raised.spent_usd or Decimal(0)
    return tr("Spent in this period: {spent} of {limit}.", spent=usd(spent), limit=usd(limit))


def _progress(raised: Raise) -> str:
    closed_by, approved_by = mention(raised.closed_by or ""), mention(raised.approved_by or "")
    match raised.state:
        case RaiseState.ASKED:
            return tr("It waits for an admin until {until}.", until=moment(raised.expires_at))
        case RaiseState.ACTIVE if raised.approved_by not in (None, raised.asked_by):
            return tr("Approved by {who}.", who=approved_by)
        case RaiseState.ACTIVE:
            return tr("Raised by {who}.", who=approved_by)
        case RaiseState.ENDED:
            return tr("Its time was over {at}.", at=moment(raised.until))
        case RaiseState.REPLACED:
            return tr("A newer raise by {who} has replaced it.", who=closed_by)
        case RaiseState.CANCELLED if raised.closed_by is None:
            return tr("It has ended, because there is no such budget any more.")
        case RaiseState.CANCELLED:
            return tr("{who} has ended it before its time.", who=closed_by)
        case RaiseState.DECLINED:
            return tr("{who} has declined it.", who=closed_by)
        case RaiseState.EXPIRED:
            return tr("Nobody has approved it in time.")
        case RaiseState.VOID:
            return tr("It was closed, because the budget was changed. Ask again if it is still needed.")


def _small(raised: Raise) -> Part:
    if raised.with_period and raised.state in (RaiseState.ASKED, RaiseState.ACTIVE):
        return context(tr("It ends with the budget's period, at the latest."))
    return context()


def _buttons(raised: Raise) -> list[Block]:
    value, name = str(raised.raise_id), plain(raised.budget, NAME_LIMIT)
    if raised.state is RaiseState.ASKED:
        dialog = confirmation(
            tr("Raise the limit of {budget}?", budget=name),
            tr("It becomes {usd} instead of {base}.", usd=usd(raised.usd), base=usd(raised.base_usd)),
            tr("Approve"),
        )
        approve = button(tr("Approve"), APPROVE_ACTION, value, confirm=dialog, style="primary")
        return [approve, button(tr("Decline"), DECLINE_ACTION, value)]
    if raised.state is RaiseState.ACTIVE:
        dialog = confirmation(
            tr("End the raise of {budget}?", budget=name),
            tr("The limit becomes {base} again.", base=usd(raised.base_usd)),
            tr("End it now"),
        )
        return [button(tr("End it now"), CANCEL_ACTION, value, confirm=dialog)]
    return []


def _higher(base_usd: Decimal) -> str:
    return f"{(base_usd * Decimal('1.25')).quantize(Decimal(1)):f}"


def budget_missing(name: str) -> Message:
    """The answer if the budget no longer exists."""
    return said(tr("Nothing was changed: there is no budget {budget}.", budget=shown(name)))


def opens_not(budget: str) -> Message:
    """The answer if Slack opens no form."""
    first = tr("The form could not be opened. Type it instead:")
    return Message([lead(first, f"`/claude-cost budget raise {shown(budget)} to=900 until=2d because …`")])
