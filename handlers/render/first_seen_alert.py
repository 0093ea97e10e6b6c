"""A new key, model or feature as a message: what it has spent first, then who has, then what is new besides."""

from bot.alerts.first_seen import FirstSeenAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.amounts import day_name, usd
from bot.language import tr
from bot.messages import Message
from handlers.render.layout import age_part, incident_part, layout
from handlers.render.parts import bullets, names, paragraph, shown
from handlers.render.spend import caller


def first_seen_message(alert: FirstSeenAlert) -> Message:
    """Something new at its present step."""
    values = {
        "what": alert.what,
        "name": shown(alert.name),
        "spent": usd(alert.usd),
        "day": day_name(alert.first_day, alert.as_of),
    }
    small_print = [age_part(alert.as_of)]
    if alert.status is not Status.OPEN:
        first = tr("New {what}: {name}, known for a week by now", **values)
        return layout(first, details=[incident_part(alert)], small_print=small_print)
    also = [tr("New with it: model {models}.", models=names(alert.models))] if alert.models else []
    return layout(
        tr("New {what}: {name} has spent {spent} in 24 h", **values),
        [tr("First used on {day}, and nothing of it is in the history before.", **values)],
        details=[
            paragraph(*also),
            bullets(tr("Largest in the last day"), [f"{caller(mover)}: {usd(mover.usd)}" for mover in alert.callers]),
            paragraph(_closing(alert)),
            incident_part(alert),
        ],
        small_print=small_print,
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
