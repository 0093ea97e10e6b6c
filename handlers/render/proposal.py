"""A change that waits for a second person: its message with the two buttons, and how it ended."""

from bot.messages import Block, Message
from bot.modes.model import Proposal, ProposalStatus
from bot.phrases import exact_span
from handlers.render.elements import actions, button, confirmation, context, moment, section
from handlers.render.escape import NAME_LIMIT, mention, plain, sentence, shown
from handlers.render.fallback import bold_with_reason
from handlers.render.fallback_costs import cost_lines
from handlers.render.spend import saving_clause

APPROVE_ACTION = "proposal_approve"
REJECT_ACTION = "proposal_reject"


def proposal_message(facts: Proposal) -> Message:
    """The proposal at its present step, for the alert channel."""
    lines = [_headline(facts), *_saving(facts), *cost_lines(facts.costs), _standing(facts)]
    blocks: list[Block] = [*bold_with_reason(lines[0], facts.reason), section("\n".join(lines[1:]))]
    if facts.status is ProposalStatus.OPEN:
        blocks.append(actions([_approve(facts), _reject(facts)]))
    asked = f"Asked {moment(facts.asked_at)}"
    return Message("\n".join([*lines, asked]), [*blocks, context(asked)])


def asked_message(facts: Proposal) -> Message:
    """The answer to whoever asked."""
    lines = [
        f"Nothing is changed yet: fallback mode {shown(facts.mode)} needs {_people(facts.needed)} beside you.",
        f"It is asked for in the alert channel, until {moment(facts.expires_at)}.",
    ]
    return Message("\n".join(lines), [section("\n".join(lines))])


def closed_message(facts: Proposal) -> Message:
    """The answer to whoever clicked."""
    return Message(_standing(facts), [section(_standing(facts))])


def _headline(facts: Proposal) -> str:
    reason = sentence(facts.reason) if facts.reason.strip() else "no reason given"
    lasts = "" if facts.lasts is None else f" for {exact_span(facts.lasts)}"
    change = f"{shown(facts.previous)} → {shown(facts.mode)}{lasts}"
    return f"Asked for: fallback mode {change}, by {mention(facts.asked_by)}: {reason}"


def _saving(facts: Proposal) -> list[str]:
    for saving in facts.savings:
        if saving.mode == facts.mode:
            age = "" if facts.as_of is None else f" (usage as of {moment(facts.as_of)})"
            return [f"{shown(facts.mode)}: at most {shown(saving.model)}; {saving_clause(saving)}{age}."]
    return [f"{shown(facts.mode)}: what it saves is not known."]


def _standing(facts: Proposal) -> str:
    who = "" if facts.closed_by is None else mention(facts.closed_by)
    match facts.status:
        case ProposalStatus.DONE:
            return f"Approved by {', '.join(mention(user) for user in facts.approved_by)} and switched."
        case ProposalStatus.REJECTED:
            return f"Rejected by {who}: nothing was changed."
        case ProposalStatus.EXPIRED:
            return f"Expired {moment(facts.expires_at)}: nothing was changed."
        case ProposalStatus.VOID:
            return (
                f"Void, because {sentence(facts.why or '')}: nothing was changed. Ask again where it is still wanted."
            )
        case ProposalStatus.OPEN:
            left = facts.needed - len(facts.approved_by)
            so_far = ", ".join(mention(user) for user in facts.approved_by)
            approved = f" Approved by {so_far}." if so_far else ""
            return f"Waits for {_people(left)}, until {moment(facts.expires_at)}.{approved}"


def _people(count: int) -> str:
    return "the approval of another admin" if count == 1 else f"the approval of {count} other admins"


def _approve(facts: Proposal) -> Block:
    mode = plain(facts.mode, NAME_LIMIT)
    age = "" if facts.as_of is None else f", as of {moment(facts.as_of)}"
    saving = next((f"This {saving_clause(s)}{age}. " for s in facts.savings if s.mode == facts.mode), "")
    dialog = confirmation(
        f"Approve fallback mode {mode}?",
        f"{saving}The fallback mode becomes {mode} with the last approval that it needs. Services follow when they "
        "restart or reload their environment.",
        "Approve",
    )
    return button("Approve", APPROVE_ACTION, str(facts.proposal_id), confirm=dialog, style="primary")


def _reject(facts: Proposal) -> Block:
    dialog = confirmation("Reject this?", "Nothing is changed, and it cannot be approved any more.", "Reject")
    return button("Reject", REJECT_ACTION, str(facts.proposal_id), confirm=dialog)
