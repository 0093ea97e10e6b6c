"""A destination that takes no alerts, reported at the others."""

from bot.alerts.decide import Status
from bot.alerts.model import DeliveryAlert
from bot.messages import Message
from handlers.render.elements import context, header, local_moment, moment, section
from handlers.render.escape import code, sentence, shown


def delivery_message(facts: DeliveryAlert) -> Message:
    """What does not arrive where, since when and why; or that it does again."""
    name = shown(facts.destination)
    if facts.status is Status.OPEN:
        title = f"No alerts reach {facts.destination}"
        first = f"No alerts reach {name}: {facts.count} waiting since {moment(facts.since)}."
        second = f"The reason: {sentence(facts.error)} They are kept, and sent as soon as it takes them."
    elif facts.status is Status.WITHDRAWN:
        title = f"{facts.destination} is not configured any more"
        first = f"{name} is not configured any more: what waited for it since {moment(facts.since)} is not sent."
        second = "It is kept, and sent if the destination comes back under the same name."
    else:
        title = f"Alerts reach {facts.destination} again"
        first = f"Alerts reach {name} again, since {moment(facts.decided_at)}."
        second = f"None had since {moment(facts.since)}. What waited is sent, and says that it is late."
    blocks = [
        header(title),
        section(f"{first}\n{second}"),
        context(f"Incident {code(facts.incident)} · {local_moment(facts.decided_at)}"),
    ]
    return Message("\n".join([first, second, f"Incident {shown(facts.incident)} · {moment(facts.decided_at)}"]), blocks)
