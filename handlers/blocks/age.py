"""How old the data is: a line below every answer."""

from datetime import datetime, timedelta

from bot.message import Message
from bot.usage.age import DataState, is_stale
from handlers.blocks.elements import context, moment

NO_DATA = "No data yet: the first poll has not succeeded."


def age_line(data: DataState, now: datetime, poll_seconds: int) -> str:
    """As of when the usage is, which API it came from, and a loud word where it is stale."""
    if data.as_of is None:
        return NO_DATA
    age = f"Data as of {moment(data.as_of)} ({ago(now - data.as_of)} old), from Anthropic's {data.source} API."
    return f"STALE. {age}" if is_stale(data, now, poll_seconds) else age


def with_age(message: Message, line: str) -> Message:
    """The message with this line at its end."""
    return Message(f"{message.text}\n{line}", [*message.blocks, context(line)])


def ago(age: timedelta) -> str:
    """`32 min`, `5 h`, `3 days`; rounded down."""
    minutes = max(0, int(age.total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
