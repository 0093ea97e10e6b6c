"""The test alert."""

from bot.alerts.model import SyntheticAlert
from bot.messages import Message
from handlers.render.parts import context, heading, lead, mention, moment, paragraph, shown

NOTHING = "nothing was spent and no limit is crossed"


def synthetic_alert_message(alert: SyntheticAlert) -> Message:
    """Who asked for it, and how to recognise a repeat. It looks like no real alert: no sum, no limit, test first."""
    return Message(
        [
            heading("Test alert"),
            lead(f"Test alert: {NOTHING}."),
            paragraph(f"{mention(alert.by)} asked for it. It came the way of real alerts, so those arrive here too."),
            context(f"Incident {shown(alert.incident)} · asked for {moment(alert.requested_at)}"),
        ]
    )
