"""What answers have in common: how old the data is, above them where it is stale and otherwise below; and help."""

from collections.abc import Sequence
from datetime import datetime

from bot.messages import Message
from bot.phrases import span
from bot.usage.age import DataState, is_stale
from handlers.render.parts import code, context, escape, lead, moment, paragraph

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
        return Message([lead(line), *message.parts])
    return Message([*message.parts, context(line)])


def help_message(
    command: str, rows: Sequence[tuple[str, str]], unknown: str | None = None, nearest: str | None = None
) -> Message:
    """`rows`: what to type after the command, and what it does. `unknown`: a word that is no command."""
    lines = [f"`{command} {escape(usage)}`: {escape(meaning)}" for usage, meaning in rows]
    if unknown is not None:
        hint = f": did you mean `{command} {nearest}`?" if nearest else "."
        lines.insert(0, f"{code(unknown)} is not a command of mine{hint}")
    return Message([paragraph(*lines)])
