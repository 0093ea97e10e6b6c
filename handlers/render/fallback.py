"""The fallback mode: its announcement, its state, and the answers to who switches it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.savings import Saving
from bot.fallback.impact import ModeImpact, Overview
from bot.fallback.service import Auto, ModeState
from bot.fallback.targets.base import Target, TargetView
from bot.language import tr
from bot.messages import Block, Message, Part
from bot.mode import NORMAL
from bot.modes.changes import AuditEntry, Cause, End
from bot.modes.model import ModeAnnouncement, ModeEnding
from bot.modes.verification import VerificationState
from handlers.render.layout import switch_row
from handlers.render.parts import (
    NAME_LIMIT,
    button,
    buttons,
    code,
    confirmation,
    context,
    fold,
    has_markup,
    lead,
    mention,
    moment,
    paragraph,
    plain,
    said,
    section,
    sentence,
    shown,
    typed,
    with_reason,
)
from handlers.render.spend import (
    SWITCH_ACTION,
    cost_lines,
    not_known,
    others,
    saving_clause,
    switch_buttons,
    worthwhile,
)
from handlers.render.verification import proof_line

FORM_ACTION = "fallback_form"

FOLLOWS = (
    "One that asks over HTTP, or through the client, follows at once. "
    "Until usage shows it, the mode is written, not switched."
)
SERVED = "HTTP, its stream and OFREP: served from the database, so that they cannot drift."

PATH_LIMIT = 400
VARIABLE_LIMIT = 200
MOST_VARIABLES = 15
MOST_TARGETS = 5

DETAIL_LIMIT = 300
REFUSED, PROPOSAL = "refused", "proposal"

_MENTION = re.compile(r"&lt;@([UW][A-Z0-9]+)&gt;")
"""A refusal names the admins in the form in which Slack shows them."""

UNTIL = " until="


def announcement(
    facts: ModeAnnouncement, targets: Sequence[Target], written_at: datetime | None, write_error: str | None
) -> Message:
    """A change of the mode, for the alert channel, with the name of every target."""
    details, line = list(dict.fromkeys(target.follows for target in targets)), ""
    if facts.written:
        first = lead(tr("Fallback mode {mode}: it could not be written before; now it is.", mode=shown(facts.mode)))
    else:
        first = with_reason(_headline(facts), facts.reason)
        if facts.mode != facts.previous:
            line = " ".join(_saving_lines(facts.mode, facts.savings, facts.as_of))
            details = [*cost_lines(facts.costs), *details]
        if facts.automatic:
            details.insert(0, _automatic_line(facts.mode))
    if write_error is not None:
        follows = tr("NOT written yet, the bot keeps trying; `/claude-cost doctor` says where and why.")
    elif written_at is None:
        follows = tr("Not written yet.")
    else:
        follows = tr("Written at {time}, not switched until usage shows it.", time=moment(written_at))
    back = [] if facts.written else [_way_back(facts.mode, facts.previous, facts.previous_until)]
    small_print = context(tr("Changed {time}", time=moment(facts.changed_at)))
    return Message(
        [
            first,
            paragraph(*filter(None, [" ".join([line, *_end_lines(_end(facts))]).strip(), follows])),
            buttons(back),
            fold(tr("Details"), [paragraph(*details, *([FOLLOWS] if targets and write_error is None else []))]),
            small_print,
        ]
    )


def end_warning(facts: ModeEnding) -> Message:
    """Below the announcement of a mode that will end soon."""
    line = (
        f"Fallback mode {shown(facts.mode)} ends {moment(facts.ends_at)}, because {shown(facts.because)}: services may "
        "then use their own default model again."
    )
    command = code(f"/claude-cost fallback on {facts.mode} for 2h", PATH_LIMIT)
    return Message([lead(line, f"To keep it, an admin types {command}.")])


def switched(state: ModeState, previous: str, previous_until: datetime | None, impact: ModeImpact) -> Message:
    """The answer to a switch, with a way back."""
    mode = state.mode.name
    lines = [f"Fallback mode {shown(previous)} → {shown(mode)}."]
    if mode == previous:
        lines = [f"Fallback mode {shown(mode)} stays on."]
    else:
        lines += _saving_lines(mode, impact.savings, impact.as_of, why_unknown(impact.spend))
        lines += cost_lines(impact.costs)
    lines += [*_end_lines(state.ends), "It is announced in the alert channel."]
    if state.write_error is not None:
        lines.append(f"NOT written yet, the bot keeps trying: {sentence(state.write_error)}")
    return Message([paragraph(*lines), buttons([_way_back(mode, previous, previous_until)])])


def already(state: ModeState) -> Message:
    """The answer when the mode asked for is the one in force."""
    first = paragraph(f"Nothing was changed: fallback mode {shown(state.mode.name)} is already on.")
    return Message([first, *_state(state)])


def not_cheaper(mode: str, saving: Saving, as_of: datetime | None) -> str:
    """Why a mode is refused that would save nothing."""
    age = "" if as_of is None else f" (usage as of {moment(as_of)})"
    return (
        f"Nothing was changed: {shown(mode)} would not be cheaper for what the team uses now. With at most "
        f"{shown(saving.model)}, it {saving_clause(saving)}{age}."
    )


def mode_status(state: ModeState, auto: Auto, overview: Overview) -> Message:
    """The answer to `fallback status`."""
    found = others(overview.savings, state.mode.name)
    lines = [_auto_line(auto)]
    if not found:
        lines.append(f"What a mode saves is {why_unknown(overview.spend)}.")
    for saving in found:
        lines += _saving_lines(saving.mode, [saving], overview.as_of)
        lines += [f"• {line}" for line in cost_lines(overview.costs.get(saving.mode))]
    switches = list(_switches(worthwhile(found), overview, state.mode.name))
    if state.mode.name != NORMAL:
        switches = [_back("Back to normal", NORMAL, None)]
    return Message(
        [
            lead(f"Fallback mode: {shown(state.mode.name)}."),
            *_state(state),
            paragraph(*lines),
            switch_buttons([*switches, button("Change…", FORM_ACTION, "open")], state.mode.name),
        ]
    )


def _switches(savings: Sequence[Saving], overview: Overview, mode: str) -> Sequence[Block]:
    row = switch_row(savings, overview.spend, overview.as_of, mode)
    return [element for block in row.blocks for element in block["elements"]]


def history_message(entries: Sequence[AuditEntry]) -> Message:
    """Who did or tried what, when and why; the newest first."""
    if not entries:
        return said("The fallback mode was never changed, and no change was refused.")
    parts = [lead("The last changes of the fallback mode, and refusals; the newest first.")]
    for as_typed, alike in groupby(entries, _is_drawn_as_typed):
        if as_typed:
            # What a person typed is drawn as typed, below who did it and when.
            parts += [Part(f"• {_entry(e)}", [section(f"• {_entry_lead(e)}"), typed(_detail(e))]) for e in alike]
        else:
            parts.append(paragraph(*(f"• {_entry(entry)}" for entry in alike)))
    return Message(parts)


def _is_drawn_as_typed(entry: AuditEntry) -> bool:
    return has_markup(entry.detail) and not _is_ours(entry)


def why_unknown(spend: BudgetSpend | None) -> str:
    """Why nothing is said of what a mode saves: a clause that follows `is`."""
    if spend is None:
        return "not known yet, since there is no budget with data"
    if spend.expected_usd is None:
        return not_known(spend)
    return "not known, since nothing was used" if not spend.shares else "not known for this mode"


def costs_more(mode: str, present: str, drawn_for: str, impact: ModeImpact) -> str:
    """Why a click on an old button is refused: beside the mode that is in force by now it would cost more."""
    mine = next((saving for saving in impact.savings if saving.mode == mode), None)
    age = "" if impact.as_of is None else f" (usage as of {moment(impact.as_of)})"
    costs = "" if mine is None or mine.usd >= 0 else f": it {saving_clause(mine)}{age}"
    command = code(f"/claude-cost fallback on {mode}", PATH_LIMIT)
    return (
        f"Nothing was changed: this button is from when fallback mode {shown(drawn_for)} was in force. Now "
        f"{shown(present)} is, and {shown(mode)} costs more than that{costs}. To switch to it all the same, type "
        f"{command}."
    )


def mode_line(state: ModeState) -> str:
    """One line about the mode, for every status."""
    name = shown(state.mode.name)
    if state.changed_at is None:
        return f"Fallback mode: {name}, never changed"
    if state.write_error is not None or state.written_at is None:
        follows = "NOT written"
    else:
        proved = state.proof is not None and state.proof.state is VerificationState.CONFIRMED
        follows = "switched" if proved else "written"
    line = f"Fallback mode: {name} since {moment(state.changed_at)} by {_who(state.changed_by or '')}, {follows}"
    return line if state.ends is None else f"{line}, ends {moment(state.ends.at)}"


def mode_and_until(value: str) -> tuple[str, datetime | None]:
    """What a button that switches says: the mode, and when it ends where that is known.

    A value that no button of ours has is the name of no mode.
    """
    mode, _, until = value.partition(UNTIL)
    if not until:
        return mode, None
    try:
        ends = datetime.fromisoformat(until)
    except ValueError:
        return value, None
    return (value, None) if ends.tzinfo is None else (mode, ends)


def _headline(facts: ModeAnnouncement) -> str:
    who = f"{_who(facts.by)}: {_why(facts.reason)}"
    if facts.approved_by:
        approved = ", ".join(_who(user) for user in facts.approved_by)
        who = f"{_who(facts.by)}, approved by {approved}: {_why(facts.reason)}"
    if facts.mode == facts.previous:
        return f"Fallback mode {shown(facts.mode)} stays on, by {who}"
    return f"Fallback mode {shown(facts.previous)} → {shown(facts.mode)}, by {who}"


def _automatic_line(mode: str) -> str:
    off = "" if mode == NORMAL else " or with `/claude-cost fallback off`"
    return (
        "Automatic, since stepping down by itself is on; `/claude-cost fallback auto off` ends that. An admin can undo "
        f"it below{off}: what a person chooses holds until there is another alert."
    )


def _end(facts: ModeAnnouncement) -> End | None:
    if facts.until is not None:
        return End(facts.until, Cause.TIME)
    return None if facts.returns_at is None else End(facts.returns_at, Cause.PERIOD)


def _end_lines(end: End | None) -> list[str]:
    if end is None:
        return []
    if end.cause is Cause.TIME:
        return [f"Ends {moment(end.at)}, then normal again."]
    return [f"Returns to normal at the start of the next period, {moment(end.at)}."]


def _state(state: ModeState) -> list[Part]:
    parts = []
    if state.changed_at is not None:
        since = f"Since {moment(state.changed_at)}, by {_who(state.changed_by or '')}: {_why(state.reason or '')}"
        parts.append(with_reason(since, state.reason or "", bold=False))
    lines = [*_end_lines(state.ends), *(_target_line(target) for target in state.targets[:MOST_TARGETS])]
    if state.served:
        lines.append(SERVED)
    if state.mode.ceiling is not None and state.written_at is not None:
        lines.append(proof_line(state.proof))
    variables = [code(f"{name}={value}", VARIABLE_LIMIT) for name, value in state.mode.variables.items()]
    lines += variables[:MOST_VARIABLES]
    if len(variables) > MOST_VARIABLES:
        lines.append(f"and {len(variables) - MOST_VARIABLES} more variables.")
    lines += [sentence(doubt) for target in state.targets[:MOST_TARGETS] for doubt in target.doubts]
    return [*parts, paragraph(*lines)]


def _target_line(target: TargetView) -> str:
    line = _written_line(code(target.name, PATH_LIMIT), target.written_at, target.error)
    if target.repaired_at is None:
        return line
    return f"{line} Others had changed it; it was put right at {moment(target.repaired_at)}."


def _written_line(places: str, written_at: datetime | None, write_error: str | None) -> str:
    if write_error is not None:
        return f"NOT written yet, the bot keeps trying: {sentence(write_error)}"
    return f"Target: {places}." if written_at is None else f"Written to {places} at {moment(written_at)}."


def _places(listed: Sequence[str]) -> str:
    return ", ".join(code(name, PATH_LIMIT) for name in listed[:MOST_TARGETS])


def _auto_line(auto: Auto) -> str:
    word = "on" if auto.on else "off"
    if auto.said is None:
        return f"Stepping down by itself: {word}, as in the settings."
    return f"Stepping down by itself: {word}, said by {_who(auto.said.by)} {moment(auto.said.at)}."


def _saving_lines(mode: str, savings: Sequence[Saving], as_of: datetime | None, why: str = "not known") -> list[str]:
    name = shown(mode)
    for saving in savings:
        if saving.mode == mode:
            age = f" (usage as of {moment(as_of)})" if as_of is not None else ""
            return [f"{name}: at most {shown(saving.model)}; {saving_clause(saving)}{age}."]
    if mode == NORMAL:
        return ["Services use their own default model again."]
    if savings:
        return [f"{name}: what it saves is not known, since it names no model."]
    return [f"{name}: what it saves is {why}."]


def _way_back(mode: str, previous: str, until: datetime | None) -> Block:
    if mode == previous:
        return _back("Back to normal", NORMAL, None)
    return _back(f"Undo: back to {previous}", previous, until)


def _back(label: str, mode: str, until: datetime | None) -> Block:
    name = plain(mode, NAME_LIMIT)
    ends = "" if until is None else f" It ends {moment(until)}, as before."
    dialog = confirmation(
        f"Fallback mode back to {name}?",
        f"The fallback mode becomes {name}.{ends} Services follow when they restart or reload their environment.",
        f"Back to {name}",
    )
    value = mode if until is None else f"{mode}{UNTIL}{until.astimezone(UTC).isoformat()}"
    return button(label, f"{SWITCH_ACTION}:{mode}", value, confirm=dialog)


def _who(user: str) -> str:
    return mention(user) if user else "nobody"


def _why(reason: str) -> str:
    return sentence(reason) if reason.strip() else "no reason given"


def _entry(entry: AuditEntry) -> str:
    detail = shown(_detail(entry), DETAIL_LIMIT)
    if _is_ours(entry):
        detail = _MENTION.sub(r"<@\1>", detail)
    return f"{_entry_lead(entry)}{detail}"


def _is_ours(entry: AuditEntry) -> bool:
    """Whether the detail is a refusal in our own words; that of a rejected proposal holds the reason that was typed."""
    return entry.outcome == REFUSED and entry.action != PROPOSAL


def _entry_lead(entry: AuditEntry) -> str:
    what = "" if entry.action == "mode" else f"{shown(entry.action)} "
    refused = "" if entry.outcome == "done" else f"{shown(entry.outcome)}, "
    return f"{moment(entry.at)} · {mention(entry.actor)} · {refused}{what}"


def _detail(entry: AuditEntry) -> str:
    return entry.detail.rstrip(": ").replace("->", "→", 1)
