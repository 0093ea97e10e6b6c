"""A change that waits for a second person: its message with the two buttons, and how it ended."""

from bot.amounts import exact_span
from bot.fallback.approvals import void_because
from bot.language import ntr, tr
from bot.listed import comma_list
from bot.messages import Block, Message
from bot.modes.model import Proposal, ProposalStatus
from handlers.render.parts import (
    NAME_LIMIT,
    button,
    buttons,
    confirmation,
    context,
    mention,
    moment,
    paragraph,
    plain,
    said,
    sentence,
    shown,
    with_reason,
)
from handlers.render.spend import capped_saving_line, cost_lines, saving_clause

APPROVE_ACTION = "proposal_approve"
REJECT_ACTION = "proposal_reject"


def proposal_message(proposal: Proposal) -> Message:
    """The proposal at its present step, for the alert channel."""
    return Message(
        [
            with_reason(_headline(proposal), proposal.reason),
            paragraph(*_saving(proposal), *cost_lines(proposal.costs), _progress(proposal)),
            buttons([_approve(proposal), _reject(proposal)] if proposal.status is ProposalStatus.OPEN else []),
            context(tr("Asked {time}", time=moment(proposal.asked_at))),
        ]
    )


def asked_message(proposal: Proposal) -> Message:
    """The answer to the requester."""
    lines = [
        ntr(
            "Nothing is changed yet: fallback mode {mode} needs the approval of another admin beside you.",
            "Nothing is changed yet: fallback mode {mode} needs the approval of {number} other admins beside you.",
            proposal.needed,
            mode=shown(proposal.mode),
        ),
        tr("It is asked for in the alert channel, until {time}.", time=moment(proposal.expires_at)),
    ]
    return Message([paragraph(*lines)])


def closed_message(proposal: Proposal) -> Message:
    """The answer to the person who clicked."""
    return said(_progress(proposal))


def _headline(proposal: Proposal) -> str:
    values = {
        "previous": shown(proposal.previous),
        "mode": shown(proposal.mode),
        "user": mention(proposal.asked_by),
        "why": sentence(proposal.reason) if proposal.reason.strip() else tr("no reason given"),
    }
    if proposal.lasts is None:
        return tr("Asked for: fallback mode {previous} → {mode}, by {user}: {why}", **values)
    span = exact_span(proposal.lasts)
    return tr("Asked for: fallback mode {previous} → {mode} for {span}, by {user}: {why}", span=span, **values)


def _saving(proposal: Proposal) -> list[str]:
    for saving in proposal.savings:
        if saving.mode == proposal.mode:
            return [capped_saving_line(saving, proposal.as_of)]
    return [tr("{mode}: what it saves is {why}.", mode=shown(proposal.mode), why=tr("not known"))]


def _progress(proposal: Proposal) -> str:
    who = "" if proposal.closed_by is None else mention(proposal.closed_by)
    match proposal.status:
        case ProposalStatus.DONE:
            return tr("Approved by {users} and switched.", users=_approvers(proposal))
        case ProposalStatus.REJECTED:
            return tr("Rejected by {user}: nothing was changed.", user=who)
        case ProposalStatus.EXPIRED:
            return tr("Expired {time}: nothing was changed.", time=moment(proposal.expires_at))
        case ProposalStatus.VOID:
            why = sentence(void_because(proposal))
            return tr("Void, because {why}: nothing was changed. Ask again if it is wanted.", why=why)
        case ProposalStatus.OPEN:
            waits = ntr(
                "Waits for the approval of another admin, until {time}.",
                "Waits for the approval of {number} other admins, until {time}.",
                proposal.needed - len(proposal.approved_by),
                time=moment(proposal.expires_at),
            )
            if not proposal.approved_by:
                return waits
            return tr("{waits} Approved by {users}.", waits=waits, users=_approvers(proposal))


def _approvers(proposal: Proposal) -> str:
    return comma_list([mention(user) for user in proposal.approved_by])


def _approve(proposal: Proposal) -> Block:
    mode = plain(proposal.mode, NAME_LIMIT)
    text = tr(
        "The fallback mode becomes {mode} with the last approval that it needs. Services follow when they restart or "
        "reload their environment.",
        mode=mode,
    )
    saving = next((saving_clause(each) for each in proposal.savings if each.mode == proposal.mode), None)
    if saving is not None and proposal.as_of is None:
        text = tr("This {saving}. {text}", saving=saving, text=text)
    elif saving is not None and proposal.as_of is not None:
        text = tr("This {saving}, as of {time}. {text}", saving=saving, time=moment(proposal.as_of), text=text)
    dialog = confirmation(tr("Approve fallback mode {mode}?", mode=mode), text, tr("Approve"))
    return button(tr("Approve"), APPROVE_ACTION, str(proposal.proposal_id), confirm=dialog, style="primary")


def _reject(proposal: Proposal) -> Block:
    text = tr("Nothing is changed, and it cannot be approved any more.")
    dialog = confirmation(tr("Reject this?"), text, tr("Reject"))
    return button(tr("Reject"), REJECT_ACTION, str(proposal.proposal_id), confirm=dialog)
