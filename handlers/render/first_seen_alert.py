"""A new key, model or feature as a message: its spend first, then who used it, then what else is new."""

from bot.alerts.first_seen import FirstSeenAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.amounts import day_name, usd
from bot.language import tr, tr_noop
from bot.listed import labelled
from bot.messages import Message
from handlers.render.layout import age_part, incident_part, layout
from handlers.render.parts import bullets, model_label, paragraph, shown
from handlers.render.spend import caller, model_names


def first_seen_message(alert: FirstSeenAlert) -> Message:
    """Something new, at its present step."""
    what, day = tr(WHAT[alert.what]), day_name(alert.first_day, alert.as_of)
    values = {"what": what, "name": _name(alert.what, alert.name), "spent": usd(alert.usd), "day": day}
    small_print = [age_part(alert.as_of)]
    if alert.status is not Status.OPEN:
        first = tr("New {what}: {name}, known for a week by now", **values)
        return layout(first, details=[incident_part(alert)], small_print=small_print)
    also = [tr("New with it: model {models}.", models=model_names(alert.models))] if alert.models else []
    return layout(
        tr("New {what}: {name} has spent {spent} in 24 h", **values),
        [tr("First used on {day}, and nothing of it is in the history before.", **values)],
        details=[
            paragraph(*also),
            bullets(
                tr("Largest in the last day"), [labelled(caller(mover), usd(mover.usd)) for mover in alert.callers]
            ),
            paragraph(_closing(alert)),
            incident_part(alert),
        ],
        small_print=small_print,
    )


def first_seen_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    what, name = alert.identity.key, alert.name or alert.identity.subject
    return tr("{what} {name} is new", what=shown(tr(WHAT[what]) if what in WHAT else what), name=_name(what, name))


def _name(what: str, name: str) -> str:
    return shown(model_label(name) if what == "model" else name)


WHAT = {"key": tr_noop("key"), "model": tr_noop("model"), "feature": tr_noop("feature")}

CLOSING = {
    "key": tr_noop(
        "Each new key is reported once, from {floor} in 24 h on, as Anthropic counts it. If it is expected, "
        "acknowledge it."
    ),
    "model": tr_noop(
        "Each new model is reported once, from {floor} in 24 h on, as Anthropic counts it. If it is expected, "
        "acknowledge it."
    ),
    "feature": tr_noop(
        "Each new feature is reported once, from {floor} in 24 h on, as your applications log it. If it is expected, "
        "acknowledge it."
    ),
}


def _closing(alert: FirstSeenAlert) -> str:
    return tr(CLOSING[alert.what], floor=usd(alert.floor_usd))
