"""How old the data is: a line below every answer, and above it where the data is stale."""

from datetime import datetime

from bot.messages import Message
from bot.phrases import span
from bot.usage.age import DataState, is_stale
from handlers.render.elements import context, moment, section

STALE = "STALE. "

NO_DATA = "No data yet: the first poll has not succeeded."


def age_line(data: DataState, now: datetime, poll_seconds: int) -> str:
    """As of when the usage is, which API it came from, and a loud word where it is stale."""
    if data.as_of is None:
        return NO_DATA
    age = f"Data as of {moment(data.as_of)} ({span(now - data.as_of)} old), from Anthropic's {data.source} API."
    return f"{STALE}{age}" if is_stale(data, now, poll_seconds) else age


def with_age(message: Message, line: str) -> Message:
    """The message with this line at its end, or at its beginning where the data is stale."""
    if line.startswith(STALE):
        return Message(f"{line}\n{message.text}", [section(f"*{line}*"), *message.blocks])
    return Message(f"{message.text}\n{line}", [*message.blocks, context(line)])
