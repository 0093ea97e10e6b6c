"""The fallback mode: its announcement, its state, and the answers to who switches it."""

from collections.abc import Sequence
from datetime import datetime

from bot.alerts.facts import ModeFacts, SavingFacts
from bot.fallback.modes import NORMAL
from bot.fallback.service import ModeState
from bot.message import Block, Message
from handlers.blocks.elements import actions, button, confirmation, context, local_moment, moment, section, sections
from handlers.blocks.outside import NAME_LIMIT, code, mention, names, plain, sentence, shown
from handlers.blocks.spend import SWITCH_ACTION, saving_clause, switch_button, ways_out, worthwhile

FOLLOWS = (
    "A file switches nothing by itself: a service that reads it follows when it restarts or reloads its environment; "
    "one that asks over HTTP, or through the client, follows at once. "
    "Until usage shows it, the mode is written, not switched."
)

PATH_LIMIT = 400
VARIABLE_LIMIT = 200
MOST_VARIABLES = 15


def announcement(facts: ModeFacts, path: str, written_at: datetime | None, write_error: str | None) -> Message:
    """A change of the mode, for the alert channel. `path`: the env file."""
    if facts.written:
        path_code = code(path, PATH_LIMIT)
        lines = [f"Fallback mode {shown(facts.mode)}: {path_code} could not be written before; now it is."]
    else:
        lines = [
            f"Fallback mode {shown(facts.previous)} → {shown(facts.mode)}, by {_who(facts.by)}: {_why(facts.reason)}",
            *_saving_lines(facts.mode, facts.savings, facts.as_of),
        ]
    lines.append(_target_line(path, written_at, write_error))
    if write_error is None:
        lines.append(FOLLOWS)
    blocks: list[Block] = [section(f"*{lines[0]}*"), section("\n".join(lines[1:]))]
    if not facts.written:
        blocks.append(actions([_undo(facts.previous)]))
    blocks.append(context(f"Changed {local_moment(facts.changed_at)}"))
    return Message("\n".join([*lines, f"Changed {moment(facts.changed_at)}"]), blocks)


def switched(state: ModeState, previous: str, savings: Sequence[SavingFacts], as_of: datetime | None) -> Message:
    """The answer to whoever switched, with a way back."""
    mode = state.mode.name
    lines = [
        f"Fallback mode {shown(previous)} → {shown(mode)}.",
        *_saving_lines(mode, savings, as_of),
        "It is announced in the alert channel.",
    ]
    if state.write_error is not None:
        lines.append(f"NOT written yet, the bot keeps trying: {sentence(state.write_error)}")
    return Message("\n".join(lines), [section("\n".join(lines)), actions([_undo(previous)])])


def already(state: ModeState, path: str) -> Message:
    """The answer when the mode asked for is the one in force."""
    lines = [f"Nothing was changed: fallback mode {shown(state.mode.name)} is already on.", *_state(state, path)]
    return Message("\n".join(lines), sections(lines))


def mode_status(state: ModeState, path: str, savings: Sequence[SavingFacts], as_of: datetime | None) -> Message:
    """The answer to `fallback status`."""
    lines = [f"Fallback mode: {shown(state.mode.name)}.", *_state(state, path)]
    others = ways_out(savings, state.mode.name)
    lines += [line for saving in others for line in _saving_lines(saving.mode, [saving], as_of)]
    blocks = sections([f"*{lines[0]}*", *lines[1:]])
    buttons = [switch_button(saving) for saving in worthwhile(others)]
    if state.mode.name != NORMAL:
        buttons = [_back("Back to normal", NORMAL)]
    if buttons:
        blocks.append(actions(buttons))
    return Message("\n".join(lines), blocks)


def mode_line(state: ModeState) -> str:
    """One line about the mode, for every status."""
    name = shown(state.mode.name)
    if state.changed_at is None:
        return f"Fallback mode: {name}, never changed"
    follows = "NOT written" if state.write_error is not None or state.written_at is None else "written"
    return f"Fallback mode: {name} since {moment(state.changed_at)} by {_who(state.changed_by or '')}, {follows}"


def _state(state: ModeState, path: str) -> list[str]:
    lines = []
    if state.changed_at is not None:
        who = _who(state.changed_by or "")
        lines.append(f"Since {moment(state.changed_at)}, by {who}: {_why(state.reason or '')}")
    lines.append(_target_line(path, state.written_at, state.write_error))
    variables = [code(f"{name}={value}", VARIABLE_LIMIT) for name, value in state.mode.variables.items()]
    lines += variables[:MOST_VARIABLES]
    if len(variables) > MOST_VARIABLES:
        lines.append(f"and {len(variables) - MOST_VARIABLES} more variables.")
    if state.overridden:
        outside = names(state.overridden)
        lines.append(f"Careful: other lines of the file set {outside} too, and services may read those instead.")
    return lines


def _target_line(path: str, written_at: datetime | None, write_error: str | None) -> str:
    if write_error is not None:
        return f"NOT written yet, the bot keeps trying: {sentence(write_error)}"
    if written_at is None:
        return f"Target: {code(path, PATH_LIMIT)}."
    return f"Written to {code(path, PATH_LIMIT)} at {moment(written_at)}."


def _saving_lines(mode: str, savings: Sequence[SavingFacts], as_of: datetime | None) -> list[str]:
    name = shown(mode)
    for saving in savings:
        if saving.mode == mode:
            age = f" (usage as of {moment(as_of)})" if as_of is not None else ""
            return [f"{name}: at most {shown(saving.model)}; {saving_clause(saving)}{age}."]
    if mode == NORMAL:
        return ["Services use their own default model again."]
    if savings:
        return [f"{name}: what it saves is not known, since it names no model."]
    return [f"{name}: what it saves is not known yet, since there are less than 6 hours of data."]


def _undo(previous: str) -> Block:
    return _back(f"Undo: back to {previous}", previous)


def _back(label: str, mode: str) -> Block:
    name = plain(mode, NAME_LIMIT)
    dialog = confirmation(
        f"Fallback mode back to {name}?",
        f"The fallback mode becomes {name}. Services follow when they restart or reload their environment.",
        f"Back to {name}",
    )
    return button(label, f"{SWITCH_ACTION}:{mode}", mode, confirm=dialog)


def _who(user: str) -> str:
    return mention(user) if user else "nobody"


def _why(reason: str) -> str:
    return sentence(reason) if reason.strip() else "no reason given"
