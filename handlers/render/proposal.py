"""A change that waits for a second person: its message with the two buttons, and how it ended."""

from bot.amounts import exact_span
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
from handlers.render.spend import cost_lines, saving_clause

APPROVE_ACTION = "proposal_approve"
REJECT_ACTION = "proposal_reject"


def proposal_message(proposal: Proposal) -> Message:
    """The proposal at its present step, for the alert channel."""
    return Message(
        [
            with_reason(_headline(proposal), proposal.reason),
            paragraph(*_saving(proposal), *cost_lines(proposal.costs), _progress(proposal)),
            buttons([_approve(proposal), _reject(proposal)] if proposal.status is ProposalStatus.OPEN else []),
            context(f"Asked {moment(proposal.asked_at)}"),
        ]
    )


def asked_message(proposal: Proposal) -> Message:
    """The answer to the person who asked."""
    lines = [
        f"Nothing is changed yet: fallback mode {shown(proposal.mode)} needs {_people(proposal.needed)} beside you.",
        f"It is asked for in the alert channel, until {moment(proposal.expires_at)}.",
    ]
    return Message([paragraph(*lines)])


def closed_message(proposal: Proposal) -> Message:
    """The answer to the person who clicked."""
    return said(_progress(proposal))


def _headline(proposal: Proposal) -> str:
    reason = sentence(proposal.reason) if proposal.reason.strip() else "no reason given"
    lasts = "" if proposal.lasts is None else f" for {exact_span(proposal.lasts)}"
    change = f"{shown(proposal.previous)} → {shown(proposal.mode)}{lasts}"
    return f"Asked for: fallback mode {change}, by {mention(proposal.asked_by)}: {reason}"


def _saving(proposal: Proposal) -> list[str]:
    for saving in proposal.savings:
        if saving.mode == proposal.mode:
            age = "" if proposal.as_of is None else f" (usage as of {moment(proposal.as_of)})"
            return [f"{shown(proposal.mode)}: at most {shown(saving.model)}; {saving_clause(saving)}{age}."]
    return [f"{shown(proposal.mode)}: what it saves is not known."]


def _progress(proposal: Proposal) -> str:
    who = "" if proposal.closed_by is None else mention(proposal.closed_by)
    match proposal.status:
        case ProposalStatus.DONE:
            return f"Approved by {', '.join(mention(user) for user in proposal.approved_by)} and switched."
        case ProposalStatus.REJECTED:
            return f"Rejected by {who}: nothing was changed."
        case ProposalStatus.EXPIRED:
            return f"Expired {moment(proposal.expires_at)}: nothing was changed."
        case ProposalStatus.VOID:
            return f"Void, because {sentence(proposal.why or '')}: nothing was changed. Ask again if it is wanted."
        case ProposalStatus.OPEN:
            left = proposal.needed - len(proposal.approved_by)
            so_far = ", ".join(mention(user) for user in proposal.approved_by)
            approved = f" Approved by {so_far}." if so_far else ""
            return f"Waits for {_people(left)}, until {moment(proposal.expires_at)}.{approved}"


def _people(count: int) -> str:
    return "the approval of another admin" if count == 1 else f"the approval of {count} other admins"


def _approve(proposal: Proposal) -> Block:
    mode = plain(proposal.mode, NAME_LIMIT)
    age = "" if proposal.as_of is None else f", as of {moment(proposal.as_of)}"
    saving = next((f"This {saving_clause(s)}{age}. " for s in proposal.savings if s.mode == proposal.mode), "")
    dialog = confirmation(
        f"Approve fallback mode {mode}?",
        f"{saving}The fallback mode becomes {mode} with the last approval that it needs. Services follow when they "
        "restart or reload their environment.",
        "Approve",
    )
    return button("Approve", APPROVE_ACTION, str(proposal.proposal_id), confirm=dialog, style="primary")


def _reject(proposal: Proposal) -> Block:
    dialog = confirmation("Reject this?", "Nothing is changed, and it cannot be approved any more.", "Reject")
    return button("Reject", REJECT_ACTION, str(proposal.proposal_id), confirm=dialog)
