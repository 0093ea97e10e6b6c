"""Counts and lengths of time for people: one way of saying each."""

from datetime import date, datetime, timedelta

from bot.clock import DAY, HOUR, MINUTE


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 settled day`, `1,200 settled days`. `plural`: where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def day_name(day: date, now: datetime) -> str:
    """`14 Nov`; with its year where that is not the one of `now`."""
    return f"{day.day} {day:%b}" + ("" if day.year == now.year else f" {day.year}")


def span(length: timedelta) -> str:
    """`less than 1 min`, `32 min`, `5 h`, `3 days`, rounded down: minutes below two hours, hours below two days.

    A length below zero counts as none.
    """
    if length < MINUTE:
        return "less than 1 min"
    if length < 2 * HOUR:
        return f"{length // MINUTE} min"
    return f"{length // HOUR} h" if length < 2 * DAY else count(length // DAY, "day")


def exact_span(length: timedelta) -> str:
    """`5 min`, `1 h 30 min`, `3 days 4 h`: a length that somebody has chosen, to the minute."""
    days, rest = divmod(max(length, timedelta()), DAY)
    minutes = rest // MINUTE
    parts = [count(days, "day")] if days else []
    if minutes >= 60:
        parts.append(f"{minutes // 60} h")
        minutes %= 60
    if minutes or not parts:
        parts.append(f"{minutes} min")
    return " ".join(parts)
