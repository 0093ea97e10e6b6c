"""Alert about a failing destination, reported at the others."""

from bot.alerts.delivery import DeliveryAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.language import tr
from bot.messages import Message
from handlers.render.layout import incident_part, layout
from handlers.render.parts import context, moment, paragraph, sentence, shown


def delivery_message(alert: DeliveryAlert) -> Message:
    """What does not arrive where, since when and why; or its recovery. Reported at the other destinations."""
    values = {"name": shown(alert.destination), "since": moment(alert.since)}
    if alert.status is Status.OPEN:
        first = tr("No alerts reach {name}: {count} waiting", count=f"{alert.count:,}", **values)
        why = tr("Since {since}: {error}", error=sentence(alert.error), **values)
        kept = tr("They are kept, and sent as soon as it takes them.")
    elif alert.status is Status.WITHDRAWN:
        first = tr("{name} is not configured any more", **values)
        why = tr("What waited for it since {since} is not sent.", **values)
        kept = tr("It is kept, and sent if the destination comes back under the same name.")
    else:
        first = tr("Alerts reach {name} again", **values)
        why = tr("None had since {since}.", **values)
        kept = tr("What waited is sent, and says that it is late.")
    at = context(tr("Since {time}", time=moment(alert.decided_at)))
    return layout(first, [why], details=[paragraph(kept), incident_part(alert)], small_print=[at])


def delivery_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    return tr("{destination} takes no alerts", destination=shown(alert.identity.subject))
