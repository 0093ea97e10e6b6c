"""Help by example: three lines to try, and all commands behind a click."""

from collections.abc import Sequence

from bot.language import tr, tr_noop
from bot.listed import labelled
from bot.messages import Message, Part
from bot.typed_text import nearest as nearest_of
from handlers.render.parts import code, escape, fold, paragraph, said

COMMAND = "/claude-cost"

EXAMPLES = (
    ("status", tr_noop("what is spent against every budget, and where it will end")),
    ("estimate sonnet requests=100k in=2000 out=500", tr_noop("what a workload would cost before you build it")),
    ("fallback on for 2h", tr_noop("a cheaper model for two hours; for admins")),
)
"""What to try first: what to type after the command, and what it does."""

Rows = Sequence[tuple[str, str]]
"""What to type after the command, and what it does."""


def examples() -> list[str]:
    """A line for each of `EXAMPLES`."""
    return [f"• `{COMMAND} {words}`: {tr(meaning)}" for words, meaning in EXAMPLES]


def help_message(rows: Rows) -> Message:
    """The examples, and every command folded."""
    more = tr(
        "A form for a new budget: `{command} budget set`. A question: `{command} what did we spend this week?`",
        command=COMMAND,
    )
    return Message([paragraph(tr("For example:"), *examples(), more), _all(rows)])


def not_known_message(rows: Rows, unknown: str, nearest: str | None) -> Message:
    """The same below one sentence about a word that is no command. `nearest`: the command that may be meant."""
    if nearest is None:
        first = tr("{word} is not a command of mine.", word=code(unknown))
    else:
        meant = f"`{COMMAND} {nearest}`"
        first = tr("{word} is not a command of mine: did you mean {meant}?", word=code(unknown), meant=meant)
    return Message([paragraph(first), *help_message(rows).parts])


def command_help(row: tuple[str, str], examples: Sequence[str]) -> Message:
    """One command with its examples, nothing folded."""
    shown = [f"• `{COMMAND} {escape(example)}`" for example in examples]
    return Message([paragraph(*_lines([row]), *([tr("For example:"), *shown] if shown else []))])


def unknown_action(command: str, typed: str, known: Sequence[str], use: str) -> Message:
    """`typed` is no action of this command. `use`: how to type the known ones, a clause."""
    near = nearest_of(typed, known)
    if near is None:
        return said(tr("{word} is not known here: {use}.", word=code(typed), use=use))
    text = tr(
        "{word} is not known here: {use}. Did you mean `{command} {near}`?",
        word=code(typed),
        use=use,
        command=command,
        near=near,
    )
    return said(text)


def _all(rows: Rows) -> Part:
    return fold(tr("All commands"), [paragraph(*_lines(rows))])


def _lines(rows: Rows) -> list[str]:
    return [labelled(f"`{COMMAND} {escape(usage)}`", escape(meaning)) for usage, meaning in rows]
