"""An incident as a letter: the message's text without Slack's markup, its first line the title."""

from datetime import datetime, timedelta

from bot.alerts.facts import TestFacts
from bot.alerts.incident_facts import AlertFacts, IncidentFacts
from bot.alerts.rules import LATE
from bot.budgets.budget import Level
from bot.budgets.decide import Status
from bot.display import USD, Display
from bot.message import PlainMessage, Tone
from handlers.blocks.incident import incident_message
from handlers.blocks.plain_text import plain_text
from handlers.blocks.synthetic_alert import message_of_test
from handlers.deliveries import late_line

TOLD_ONCE = "If this limit is crossed again in the same period, only Slack shows it."

ALARMING = frozenset({Level.HARD, Level.SPIKE, Level.STALE, Level.DELIVERY})


def letter(
    facts: IncidentFacts | TestFacts,
    decided_at: datetime,
    now: datetime,
    *,
    display: Display = USD,
    late_after: timedelta = LATE,
) -> PlainMessage:
    """The letter as it is sent at `now`; one that was decided longer before than `late_after` says so."""
    message = message_of_test(facts) if isinstance(facts, TestFacts) else incident_message(facts, display=display)
    title, _, body = plain_text(message.text).partition("\n")
    lines = [body]
    if isinstance(facts, AlertFacts) and facts.status is Status.RESOLVED:
        lines.insert(0, TOLD_ONCE)
    late = late_line(decided_at, now, late_after)
    if late is not None:
        lines.insert(0, late)
    return PlainMessage(title, "\n".join(lines), _tone(facts))


def _tone(facts: IncidentFacts | TestFacts) -> Tone:
    if isinstance(facts, TestFacts):
        return "soft"
    if facts.status is Status.RESOLVED:
        return "resolved"
    return "hard" if facts.level in ALARMING else "soft"
