"""From a notice in the outbox to the message that is sent: which renderer it is, and what only delivery knows."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from bot.alerts.facts import LifeFacts, TestFacts
from bot.alerts.incident_facts import AlertFacts, IncidentFacts, PeriodFacts, not_extrapolated
from bot.alerts.mode_facts import ModeEndFacts, ProofFacts, ProposalFacts
from bot.alerts.rules import LATE
from bot.display import Display
from bot.fallback.target import Target
from bot.message import Message
from bot.notify.store import Notice
from bot.phrases import span
from bot.slack_connection import Workspace
from handlers.blocks.elements import context, moment, section
from handlers.blocks.fallback import announcement, end_warning
from handlers.blocks.incident import headline, incident_message
from handlers.blocks.life import life_message, step_message, with_life
from handlers.blocks.proof import proof_message
from handlers.blocks.proposal import proposal_message
from handlers.blocks.synthetic_alert import message_of_test


def renderer(
    targets: Sequence[Target],
    workspace: Workspace,
    display: Display,
    late_after: timedelta = LATE,
    is_stale: Callable[[datetime], bool] = lambda now: False,
) -> Callable[[Notice, datetime], Message]:
    """`targets`: where the fallback mode is written. `display`: the money in which limits' sums are told too.

    `late_after`: what is sent later than this after it was decided says so. `is_stale`: whether data is, without I/O;
    a reply about an alert extrapolates nothing from it.
    """

    def render(notice: Notice, now: datetime) -> Message:
        facts = notice.facts
        if isinstance(facts, IncidentFacts):
            # Its figures have their age; what is drawn anew from stale data has said so when it was decided.
            link = None if notice.related is None else workspace.permalink(notice.related)
            message = _of_incident(notice, facts, link, display)
        elif isinstance(facts, LifeFacts):
            message = life_message(
                facts, headline(not_extrapolated(facts.about, now) if is_stale(now) else facts.about)
            )
        elif isinstance(facts, TestFacts):
            message = message_of_test(facts)
        elif isinstance(facts, ProofFacts):
            message = proof_message(facts)
        elif isinstance(facts, ModeEndFacts):
            message = end_warning(facts)
        elif isinstance(facts, ProposalFacts):
            message = proposal_message(facts)
        else:
            message = announcement(facts, targets, notice.written_at, notice.write_error)
        late = None if notice.action == "update" else late_line(notice.created_at, now, late_after)
        return message if late is None else _with_late(message, late)

    return render


def late_line(decided_at: datetime, now: datetime, late_after: timedelta) -> str | None:
    """What is sent later than `late_after` says so, and how it is to be read."""
    delay = now - decided_at
    if delay <= late_after:
        return None
    return f"Late by {span(delay)}: this is how it stood at {moment(decided_at)}."


def _with_late(message: Message, late: str) -> Message:
    """Below the first line: what stands last in an alert is to stay there."""
    first, *rest = message.text.split("\n")
    return Message("\n".join([first, late, *rest]), [*message.blocks[:1], context(late), *message.blocks[1:]])


def _of_incident(notice: Notice, facts: IncidentFacts, link: str | None, display: Display) -> Message:
    if notice.action == "reply":
        if isinstance(facts, AlertFacts):
            return step_message(facts)
        text = headline(facts)
        return Message(text, [section(text)])
    message = incident_message(facts, link, display)
    if notice.alert_id is None or isinstance(facts, PeriodFacts):
        return message
    return with_life(message, notice.alert_id, facts.status, notice.life)
