"""An incident as a letter: the alert's text without Slack's markup, its first line the title."""

from datetime import datetime, timedelta

from bot.alerts.facts import AlertFacts
from bot.budgets.budget import Level
from bot.budgets.decide import Status
from bot.message import Letter
from handlers.blocks.alert import alert_message
from handlers.blocks.elements import moment
from handlers.blocks.plain_text import plain_text

LATE = timedelta(minutes=10)

TOLD_ONCE = "If this limit is crossed again in the same period, only Slack shows it."


def letter(facts: AlertFacts, now: datetime) -> Letter:
    """The letter as it is sent at `now`; one that was decided more than ten minutes before says so."""
    title, _, body = plain_text(alert_message(facts, None).text).partition("\n")
    lines = [body]
    resolved = facts.status is Status.RESOLVED
    if resolved:
        lines.append(TOLD_ONCE)
    delay = now - facts.decided_at
    if delay > LATE:
        late = f"Late by {delay // timedelta(minutes=1)} minutes: this is how it stood at {moment(facts.decided_at)}."
        lines.insert(0, late)
    return Letter(title, "\n".join(lines), "resolved" if resolved else "hard" if facts.level is Level.HARD else "soft")
