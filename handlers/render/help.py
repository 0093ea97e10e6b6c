"""The list of subcommands."""

from collections.abc import Sequence

from bot.messages import Message
from handlers.render.elements import sections
from handlers.render.escape import code, escape


def help_message(
    command: str, rows: Sequence[tuple[str, str]], unknown: str | None = None, nearest: str | None = None
) -> Message:
    """`rows`: what to type after the command, and what it does. `unknown`: the word that nobody understood."""
    lines = []
    if unknown is not None:
        hint = f": did you mean `{command} {nearest}`?" if nearest else "."
        lines.append(f"{code(unknown)} is not a command of mine{hint}")
    lines += [f"`{command} {escape(usage)}`: {escape(meaning)}" for usage, meaning in rows]
    return Message("\n".join(lines), sections(lines))
