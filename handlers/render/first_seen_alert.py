"""A new key, model or feature as a message: what it has spent first, then who has, then what is new besides."""

from bot.alerts.first_seen import FirstSeenAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.amounts import usd
from bot.messages import Message
from handlers.render.parts import bullets, context, heading, lead, moment, names, paragraph, shown
from handlers.render.spend import INCIDENT_LIMIT, caller


def first_seen_message(alert: FirstSeenAlert) -> Message:
    """Something new at its present step."""
    above, title = heading(f"New {alert.what}: {alert.name}"), f"New {alert.what}: {shown(alert.name)}"
    small_print = context(f"Incident {shown(alert.incident, INCIDENT_LIMIT)} · data as of {moment(alert.as_of)}")
    if alert.status is not Status.OPEN:
        return Message([above, lead(f"{title}, known for a week by now"), small_print])
    why = f"First used on {alert.first_day}, and nothing of it is in the history before."
    also = [f"New with it: model {names(alert.models)}."] if alert.models else []
    return Message(
        [
            above,
            lead(f"{title} has spent {usd(alert.usd)} in 24 h"),
            paragraph(why, *also),
            bullets("Largest in the last day", [f"{caller(mover)}: {usd(mover.usd)}" for mover in alert.callers]),
            paragraph(_closing(alert)),
            small_print,
        ]
    )


def first_seen_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    return f"{shown(alert.identity.key)} {shown(alert.name or alert.identity.subject)} is new"


def _closing(alert: FirstSeenAlert) -> str:
    source = "as your applications log it" if alert.what == "feature" else "as Anthropic counts it"
    return (
        f"Each new {alert.what} is reported once, from {usd(alert.floor_usd)} in 24 h on, {source}. "
        "If it is expected, acknowledge it."
    )
