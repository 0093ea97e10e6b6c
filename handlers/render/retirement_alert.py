"""A retirement or price change of a model as a message; digests share its lines."""

from collections.abc import Mapping
from datetime import date

from bot.alerts.lifecycle import OpenAlert
from bot.alerts.retirement import RetirementAlert
from bot.amounts import change, usd
from bot.budgets.model_news import ChangedPrice, PriceChange, Retirement
from bot.language import ntr, tr, tr_noop
from bot.listed import comma_list
from bot.messages import Message
from handlers.render.parts import context, lead, moment, shown
from handlers.render.spend import INCIDENT_LIMIT

PRICE_NAMES: Mapping[str, str] = {
    "input": tr_noop("input"),
    "cache_write_5m": tr_noop("5-minute cache write"),
    "cache_write_1h": tr_noop("1-hour cache write"),
    "cache_read": tr_noop("cache read"),
    "output": tr_noop("output"),
    "fast_input": tr_noop("fast input"),
    "fast_output": tr_noop("fast output"),
}


def retirement_message(alert: RetirementAlert) -> Message:
    """The announcement, then its effect on the team's usage."""
    on = alert.decided_at.date()
    lines: list[str] = []
    if alert.retires is not None:
        lines = [retires_line(alert.retires, on), successor_line(alert.retires)]
    elif alert.price is not None:
        lines = [price_line(alert.price, on), price_effect(alert.price)]
    first, *rest = lines or [shown(alert.model)]
    small_print = tr(
        "Incident {incident} · data as of {moment}",
        incident=shown(alert.incident, INCIDENT_LIMIT),
        moment=moment(alert.as_of),
    )
    return Message([lead(first, *rest), context(small_print)])


def retirement_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    return tr("news about model {model}", model=shown(alert.identity.subject))


def retires_line(found: Retirement, on: date) -> str:
    """The last day, and how far away it is. `on`: UTC day of today."""
    left = (found.last_day - on).days
    day = day_text(found.last_day)
    if left < 0:
        return tr("{model} has retired on {day}, and was used", model=found.name, day=day)
    if not left:
        return tr("{model} retires today, {day}", model=found.name, day=day)
    return ntr(
        "{model} retires on {day}, in {number} day",
        "{model} retires on {day}, in {number} days",
        left,
        model=found.name,
        day=day,
    )


def successor_line(found: Retirement) -> str:
    """The successor, with its cost for the same text."""
    if found.successor is None or found.successor_usd is None:
        return tr(
            "It cost {usd} in the last {days} days; no newer model of its family is known.",
            usd=usd(found.usd),
            days=found.days,
        )
    changed = change(found.successor_usd, found.usd)
    if changed is None:
        return tr("Its successor is {successor}.", successor=found.successor)
    return tr(
        "Its successor is {successor}: what cost {usd} in the last {days} days would cost {after} there ({change}).",
        successor=found.successor,
        usd=usd(found.usd),
        days=found.days,
        after=usd(found.successor_usd),
        change=changed,
    )


def price_line(found: PriceChange, on: date) -> str:
    """Which prices change, and when."""
    prices = comma_list([_price(each) for each in found.prices]) or tr("long prompts")
    day = day_text(found.first_day)
    if on < found.first_day:
        return tr("Prices of {model} change on {day}: {prices}", model=found.name, day=day, prices=prices)
    return tr("Prices of {model} changed on {day}: {prices}", model=found.name, day=day, prices=prices)


def price_effect(found: PriceChange) -> str:
    """Effect on the team's usage."""
    changed = change(found.usd_after, found.usd_before)
    values = {"days": str(found.days), "before": usd(found.usd_before), "after": usd(found.usd_after)}
    if changed is None:
        return tr("The usage of {days} days costs {before} at the old prices and {after} at the new ones.", **values)
    return tr(
        "The usage of {days} days costs {before} at the old prices and {after} at the new ones ({change}).",
        change=changed,
        **values,
    )


def day_text(day: date) -> str:
    """`2027-01-22`: with the year, since it may be far away."""
    return day.isoformat()


def _price(each: ChangedPrice) -> str:
    none = tr("none")
    before, after = (none if usd_ is None else usd(usd_) for usd_ in (each.before, each.after))
    return tr("{kind} {before} → {after}", kind=tr(PRICE_NAMES[each.kind]), before=before, after=after)
