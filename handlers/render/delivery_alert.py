"""A destination that takes no alerts, reported at the others."""

from bot.alerts.delivery import DeliveryAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.messages import Message
from handlers.render.parts import context, heading, lead, moment, paragraph, sentence, shown


def delivery_message(alert: DeliveryAlert) -> Message:
    """What does not arrive where, since when and why; or that it does again. Reported at the other destinations."""
    name = shown(alert.destination)
    if alert.status is Status.OPEN:
        title = f"No alerts reach {alert.destination}"
        first = f"No alerts reach {name}: {alert.count} waiting since {moment(alert.since)}."
        second = f"The reason: {sentence(alert.error)} They are kept, and sent as soon as it takes them."
    elif alert.status is Status.WITHDRAWN:
        title = f"{alert.destination} is not configured any more"
        first = f"{name} is not configured any more: what waited for it since {moment(alert.since)} is not sent."
        second = "It is kept, and sent if the destination comes back under the same name."
    else:
        title = f"Alerts reach {alert.destination} again"
        first = f"Alerts reach {name} again, since {moment(alert.decided_at)}."
        second = f"None had since {moment(alert.since)}. What waited is sent, and says that it is late."
    small_print = context(f"Incident {shown(alert.incident)} · {moment(alert.decided_at)}")
    return Message([heading(title), lead(first), paragraph(second), small_print])


def delivery_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    return f"{shown(alert.identity.subject)} takes no alerts"
