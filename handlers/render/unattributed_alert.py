"""Spend that is in no log as a message: its share first, then its callers."""

from collections.abc import Mapping

from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.unattributed import UnattributedAlert, UnattributedReason, UnloggedPart
from bot.amounts import share, usd
from bot.language import tr, tr_noop
from bot.messages import Message
from handlers.render.layout import incident_part, layout
from handlers.render.parts import bullets, context, model_label, moment, paragraph, shown

WHAT_TO_DO = tr_noop(
    "Who uses those keys is not known here: have the applications send what they use, or look the key up in "
    "Anthropic's Console. `report by key` shows all of it."
)


REASONS: Mapping[str, str] = {
    UnattributedReason.NOT_WATCHED: tr_noop("it is not watched any more"),
    UnattributedReason.NOTHING_LOGGED: tr_noop("nothing has been logged for a week"),
}


def unattributed_message(alert: UnattributedAlert) -> Message:
    """The share that no log explains, or that logs explain enough again."""
    small_print = [context(tr("Closed hours up to {time}.", time=moment(alert.until)))]
    if alert.status is Status.WITHDRAWN:
        reason = tr(REASONS[alert.reason]) if alert.reason in REASONS else alert.reason
        first = tr("Spend in no log: {reason}", reason=reason)
        return layout(first, details=[incident_part(alert)], small_print=small_print)
    if alert.status is not Status.OPEN:
        first = tr("Resolved: {share}", share=_share(alert))
        return layout(first, details=[incident_part(alert)], small_print=small_print)
    if alert.reason == UnattributedReason.ABOVE_AGAIN:
        first = tr("Spend in no log again: {share}", share=_share(alert))
    else:
        first = tr("Spend in no log: {share}", share=_share(alert))
    missing = [_part(part) for part in alert.parts]
    return layout(
        first,
        [tr("Mostly {part}.", part=missing[0])] if missing else [],
        details=[bullets(tr("Missing"), missing), paragraph(tr(WHAT_TO_DO), _bounds(alert)), incident_part(alert)],
        small_print=small_print,
    )


def unattributed_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    return tr("too much spend is in no log of an application")


def _share(alert: UnattributedAlert) -> str:
    if not alert.counted_usd:
        return tr("Anthropic counted nothing in the 24 h to {until}", until=moment(alert.until))
    return tr(
        "{share} of what Anthropic counted in the 24 h to {until}, {missing} of {counted}",
        share=share(alert.missing_usd, alert.counted_usd),
        until=moment(alert.until),
        missing=usd(alert.missing_usd),
        counted=usd(alert.counted_usd),
    )


def _part(part: UnloggedPart) -> str:
    values = {
        "who": tr("usage without a key") if part.key is None else tr("key {key}", key=shown(part.key)),
        "share": f"{part.percent}%",
        "model": shown(model_label(part.model)),
        "usd": usd(part.usd),
    }
    if part.at_least:
        return tr("{who}: at least {share} of its {model} tokens are in no log, about {usd}", **values)
    return tr("{who}: {share} of its {model} tokens are in no log, about {usd}", **values)


def _bounds(alert: UnattributedAlert) -> str:
    clear = alert.limit_percent * alert.clear_percent / 100
    return tr(
        "It is reported from {share} and {floor} on, and resolved below {clear}.",
        share=f"{alert.limit_percent:f}%",
        floor=usd(alert.floor_usd),
        clear=f"{clear.normalize():f}%",
    )
