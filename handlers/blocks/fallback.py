"""The fallback mode: its announcement, its state, and the answers to who switches it."""

from datetime import datetime

from bot.alerts.facts import ModeFacts, SavingFacts
from bot.fallback.modes import NORMAL
from bot.fallback.service import ModeState
from bot.message import Block, Message
from handlers.blocks.elements import actions, button, confirmation, context, escape, local_moment, moment, section
from handlers.blocks.spend import SWITCH_ACTION, saving_clause, switch_button, worthwhile

FOLLOWS = (
    "A file switches nothing by itself: each service follows when it restarts or reloads its environment. "
    "Until usage shows it, the mode is written, not switched."
)


def announcement(facts: ModeFacts, path: str, written_at: datetime | None, write_error: str | None) -> Message:
    """A change of the mode, for the alert channel. `path`: the env file."""
    if facts.written:
        lines = [f"Fallback mode {escape(facts.mode)}: `{escape(path)}` could not be written before; now it is."]
    else:
        lines = [
            f"Fallback mode {escape(facts.previous)} → {escape(facts.mode)}, by {_who(facts.by)}: {_why(facts.reason)}",
            *_saving_lines(facts.mode, facts.savings, facts.as_of),
        ]
    lines.append(_target_line(path, written_at, write_error))
    if write_error is None:
        lines.append(FOLLOWS)
    blocks: list[Block] = [section(f"*{lines[0]}*"), section("\n".join(lines[1:]))]
    if not facts.written:
        blocks.append(actions([_undo(facts)]))
    blocks.append(context(f"Changed {local_moment(facts.changed_at)}"))
    return Message("\n".join([*lines, f"Changed {moment(facts.changed_at)}"]), blocks)


def switched(state: ModeState, previous: str, savings: tuple[SavingFacts, ...], as_of: datetime | None) -> Message:
    """The answer to whoever switched, with a way back."""
    mode = state.mode.name
    lines = [
        f"Fallback mode {escape(previous)} → {escape(mode)}.",
        *_saving_lines(mode, savings, as_of),
        "It is announced in the alert channel.",
    ]
    if state.write_error is not None:
        lines.append(state.write_error)
    blocks = [section("\n".join(lines)), actions([_back_to(previous)])]
    return Message("\n".join(lines), blocks)


def already(state: ModeState, path: str) -> Message:
    """The answer when the mode asked for is the one in force."""
    return _plain(
        [f"Nothing was changed: fallback mode {escape(state.mode.name)} is already on.", *_state(state, path)]
    )


def mode_status(state: ModeState, path: str, savings: tuple[SavingFacts, ...], as_of: datetime | None) -> Message:
    """The answer to `fallback status`."""
    lines = [f"Fallback mode: {escape(state.mode.name)}.", *_state(state, path)]
    others = [saving for saving in savings if saving.mode != state.mode.name]
    lines += [line for saving in others for line in _saving_lines(saving.mode, (saving,), as_of)]
    blocks: list[Block] = [section("\n".join([f"*{lines[0]}*", *lines[1:]]))]
    buttons = [switch_button(saving) for saving in worthwhile(tuple(others))]
    if state.mode.name != NORMAL:
        buttons = [_back_to(NORMAL)]
    if buttons:
        blocks.append(actions(buttons))
    return Message("\n".join(lines), blocks)


def mode_line(state: ModeState) -> str:
    """One line about the mode, for every status."""
    name = escape(state.mode.name)
    if state.changed_at is None:
        return f"Fallback mode: {name}, never changed"
    follows = "written" if state.write_error is None else "NOT written"
    return f"Fallback mode: {name} since {moment(state.changed_at)} by {_who(state.changed_by or '')}, {follows}"


def _state(state: ModeState, path: str) -> list[str]:
    lines = []
    if state.changed_at is not None:
        who = _who(state.changed_by or "")
        lines.append(f"Since {moment(state.changed_at)}, by {who}: {_why(state.reason or '')}")
    lines.append(_target_line(path, state.written_at, state.write_error))
    lines += [f"`{escape(name)}={escape(value)}`" for name, value in state.mode.variables.items()]
    if state.overridden:
        names = ", ".join(escape(name) for name in state.overridden)
        lines.append(f"Careful: other lines of the file set {names} too, and services may read those instead.")
    return lines


def _target_line(path: str, written_at: datetime | None, write_error: str | None) -> str:
    if write_error is not None:
        return f"NOT written yet, the bot keeps trying: {escape(write_error)}"
    if written_at is None:
        return f"Target: `{escape(path)}`."
    return f"Written to `{escape(path)}` at {moment(written_at)}."


def _saving_lines(mode: str, savings: tuple[SavingFacts, ...], as_of: datetime | None) -> list[str]:
    age = f" (usage as of {moment(as_of)})" if as_of is not None else ""
    for saving in savings:
        if saving.mode == mode:
            return [f"{escape(mode)}: at most {escape(saving.model)}; {saving_clause(saving)}{age}."]
    if mode == NORMAL:
        return ["Services use their own default model again."]
    return [f"{escape(mode)}: what it saves is not known yet, since there are less than 6 hours of data."]


def _undo(facts: ModeFacts) -> Block:
    return button(
        f"Undo: back to {facts.previous}",
        f"{SWITCH_ACTION}:{facts.previous}",
        facts.previous,
        confirm=_return_dialog(facts.previous),
    )


def _back_to(mode: str) -> Block:
    label = f"Undo: back to {mode}" if mode != NORMAL else "Back to normal"
    return button(label, f"{SWITCH_ACTION}:{mode}", mode, confirm=_return_dialog(mode))


def _return_dialog(mode: str) -> dict[str, object]:
    text = f"Services follow when they restart or reload their environment. The fallback mode becomes {mode}."
    return confirmation(f"Fallback mode back to {mode}?", text, f"Back to {mode}")


def _who(user: str) -> str:
    return f"<@{user}>" if user else "nobody"


def _why(reason: str) -> str:
    return escape(reason) or "no reason given"


def _plain(lines: list[str]) -> Message:
    return Message("\n".join(lines), [section("\n".join(lines))])
