"""The fallback mode: its announcement, its state, and answers to switching."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.savings import Saving
from bot.fallback.impact import ModeImpact, Overview, OwnSaving
from bot.fallback.service import Auto, ModeState
from bot.fallback.targets.base import Target, TargetView
from bot.language import tr, tr_noop
from bot.listed import comma_list
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
    model_label,
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
    aged_saving_clause,
    capped_saving_line,
    cost_lines,
    not_known,
    others,
    switch_buttons,
    worthwhile,
)
from handlers.render.verification import verification_line

FORM_ACTION = "fallback_form"

FOLLOWS = tr_noop(
    "One that asks over HTTP, or through the client, follows at once. "
    "Until usage shows it, the mode is written, not switched."
)
SERVED = tr_noop("HTTP, its stream and OFREP: served from the database, so that they cannot drift.")

PATH_LIMIT = 400
VARIABLE_LIMIT = 200
MOST_VARIABLES = 15
MOST_TARGETS = 5

DETAIL_LIMIT = 300
REFUSED, PROPOSAL = "refused", "proposal"

_MENTION = re.compile(r"&lt;@([UW][A-Z0-9]+)&gt;")
"""Admins in a refusal, as mentions in Slack's form."""

UNTIL = " until="


def announcement(
    facts: ModeAnnouncement, targets: Sequence[Target], written_at: datetime | None, write_error: str | None
) -> Message:
    """A change of the mode, for the alert channel, with the name of every target."""
    details, line = list(dict.fromkeys(tr(target.follows) for target in targets)), ""
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
            fold(tr("Details"), [paragraph(*details, *([tr(FOLLOWS)] if targets and write_error is None else []))]),
            small_print,
        ]
    )


def end_warning(facts: ModeEnding) -> Message:
    """Warning in the thread of a mode that will end soon."""
    line = tr(
        "Fallback mode {mode} ends {end}, because {why}: services may then use their own default model again.",
        mode=shown(facts.mode),
        end=moment(facts.ends_at),
        why=shown(tr(facts.because)),
    )
    command = code(f"/claude-cost fallback on {facts.mode} for 2h", PATH_LIMIT)
    return Message([lead(line, tr("To keep it, an admin types {command}.", command=command))])


def switched(
    state: ModeState, previous: str, previous_until: datetime | None, impact: ModeImpact, own: OwnSaving | None = None
) -> Message:
    """The answer to a switch, with a way back. `own`: saving of the budget whose button was clicked."""
    mode = state.mode.name
    lines = [tr("Fallback mode {previous} → {mode}.", previous=shown(previous), mode=shown(mode))]
    if mode == previous:
        lines = [tr("Fallback mode {mode} stays on.", mode=shown(mode))]
    else:
        lines += _both_savings(own, impact) or _saving_lines(
            mode, impact.savings, impact.as_of, why_unknown(impact.spend)
        )
        lines += cost_lines(impact.costs)
    lines += [*_end_lines(state.ends), tr("It is announced in the alert channel.")]
    if state.write_error is not None:
        lines.append(_not_written(state.write_error))
    return Message([paragraph(*lines), buttons([_way_back(mode, previous, previous_until)])])


def _both_savings(own: OwnSaving | None, impact: ModeImpact) -> list[str]:
    """Savings for the budget whose button was clicked and for the widest one; empty if they are the same."""
    widest = impact.spend
    if own is None or widest is None or own.budget == widest.budget:
        return []
    whole = next((each for each in impact.savings if each.mode == own.saving.mode), None)
    lines = [
        tr(
            "{mode}: at most {model}.",
            mode=shown(own.saving.mode),
            model=shown(model_label(own.saving.model)),
        )
    ]
    of_each = [(own.budget, own.saving, own.as_of), *([] if whole is None else [(widest.budget, whole, widest.as_of)])]
    return lines + [
        "• " + tr("Budget {budget}: it {saving}.", budget=shown(name), saving=aged_saving_clause(saving, as_of))
        for name, saving, as_of in of_each
    ]


def already(state: ModeState) -> Message:
    """The answer if the requested mode is already in force."""
    text = tr("Nothing was changed: fallback mode {mode} is already on.", mode=shown(state.mode.name))
    first = paragraph(text)
    return Message([first, *_state(state)])


def not_cheaper(mode: str, saving: Saving, as_of: datetime | None) -> str:
    """Why a mode that would save nothing is refused."""
    return tr(
        "Nothing was changed: {mode} would not be cheaper for what the team uses now. "
        "With at most {model}, it {saving}.",
        mode=shown(mode),
        model=shown(model_label(saving.model)),
        saving=aged_saving_clause(saving, as_of),
    )


def mode_status(state: ModeState, auto: Auto, overview: Overview) -> Message:
    """The answer to `fallback status`."""
    found = others(overview.savings, state.mode.name)
    lines = [_auto_line(auto)]
    if not found:
        lines.append(tr("What a mode saves is {why}.", why=why_unknown(overview.spend)))
    for saving in found:
        lines += _saving_lines(saving.mode, [saving], overview.as_of)
        lines += [f"• {line}" for line in cost_lines(overview.costs.get(saving.mode))]
    switches = list(_switches(worthwhile(found), overview, state.mode.name))
    if state.mode.name != NORMAL:
        switches = [_back(tr("Back to normal"), NORMAL, None)]
    return Message(
        [
            lead(tr("Fallback mode: {mode}.", mode=shown(state.mode.name))),
            *_state(state),
            paragraph(*lines),
            switch_buttons([*switches, button(tr("Change…"), FORM_ACTION, "open")], state.mode.name),
        ]
    )


def _switches(savings: Sequence[Saving], overview: Overview, mode: str) -> Sequence[Block]:
    row = switch_row(savings, overview.spend, overview.as_of, mode)
    return [element for block in row.blocks for element in block["elements"]]


def history_message(entries: Sequence[AuditEntry]) -> Message:
    """Who did or tried what, when and why; newest first."""
    if not entries:
        return said(tr("The fallback mode was never changed, and no change was refused."))
    parts = [lead(tr("The last changes of the fallback mode, and refusals; the newest first."))]
    for as_typed, alike in groupby(entries, _is_drawn_as_typed):
        if as_typed:
            # Show typed text verbatim, below who did it and when.
            parts += [Part(f"• {_entry(e)}", [section(f"• {_entry_lead(e)}"), typed(_detail(e))]) for e in alike]
        else:
            parts.append(paragraph(*(f"• {_entry(entry)}" for entry in alike)))
    return Message(parts)


def _is_drawn_as_typed(entry: AuditEntry) -> bool:
    return has_markup(entry.detail) and not _is_ours(entry)


def why_unknown(spend: BudgetSpend | None) -> str:
    """Why savings are unknown: a clause that follows `is`."""
    if spend is None:
        return tr("not known yet, since there is no budget with data")
    if spend.expected_usd is None:
        return not_known(spend)
    return tr("not known for this mode") if spend.shares else tr("not known, since nothing was used")


def costs_more(mode: str, present: str, drawn_for: str, impact: ModeImpact) -> str:
    """Why a click on an old button is refused: the mode would cost more than the one in force now."""
    mine = next((saving for saving in impact.savings if saving.mode == mode), None)
    values = {
        "then": shown(drawn_for),
        "present": shown(present),
        "mode": shown(mode),
        "command": code(f"/claude-cost fallback on {mode}", PATH_LIMIT),
    }
    if mine is None or mine.usd >= 0:
        return tr(
            "Nothing was changed: this button is from when fallback mode {then} was in force. Now {present} is, and "
            "{mode} costs more than that. To switch to it all the same, type {command}.",
            **values,
        )
    return tr(
        "Nothing was changed: this button is from when fallback mode {then} was in force. Now {present} is, and {mode} "
        "costs more than that: it {costs}. To switch to it all the same, type {command}.",
        costs=aged_saving_clause(mine, impact.as_of),
        **values,
    )


def mode_line(state: ModeState) -> str:
    """One line about the mode, for every status."""
    name = shown(state.mode.name)
    if state.changed_at is None:
        return tr("Fallback mode: {mode}, never changed", mode=name)
    if state.write_error is not None or state.written_at is None:
        follows = tr("NOT written")
    else:
        proved = state.verification is not None and state.verification.state is VerificationState.CONFIRMED
        follows = tr("switched") if proved else tr("written")
    values = {"mode": name, "since": moment(state.changed_at), "user": _who(state.changed_by or ""), "state": follows}
    if state.ends is None:
        return tr("Fallback mode: {mode} since {since} by {user}, {state}", **values)
    end = moment(state.ends.at)
    return tr("Fallback mode: {mode} since {since} by {user}, {state}, ends {end}", end=end, **values)


def mode_and_until(value: str) -> tuple[str, datetime | None]:
    """The mode in a button's value, and its end if known.

    A value of no button of ours gives the name of no mode.
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
    who = _who(facts.by)
    if facts.approved_by:
        approved = comma_list([_who(user) for user in facts.approved_by])
        who = tr("{user}, approved by {approved}", user=who, approved=approved)
    values = {"mode": shown(facts.mode), "who": who, "why": _why(facts.reason)}
    if facts.mode == facts.previous:
        return tr("Fallback mode {mode} stays on, by {who}: {why}", **values)
    return tr("Fallback mode {previous} → {mode}, by {who}: {why}", previous=shown(facts.previous), **values)


def _automatic_line(mode: str) -> str:
    if mode == NORMAL:
        return tr(
            "Automatic, since stepping down by itself is on; `/claude-cost fallback auto off` ends that. An admin can "
            "undo it below: what a person chooses holds until there is another alert."
        )
    return tr(
        "Automatic, since stepping down by itself is on; `/claude-cost fallback auto off` ends that. An admin can undo "
        "it below or with `/claude-cost fallback off`: what a person chooses holds until there is another alert."
    )


def _end(facts: ModeAnnouncement) -> End | None:
    if facts.until is not None:
        return End(facts.until, Cause.TIME)
    return None if facts.returns_at is None else End(facts.returns_at, Cause.PERIOD)


def _end_lines(end: End | None) -> list[str]:
    if end is None:
        return []
    if end.cause is Cause.TIME:
        return [tr("Ends {end}, then normal again.", end=moment(end.at))]
    return [tr("Returns to normal at the start of the next period, {end}.", end=moment(end.at))]


def _state(state: ModeState) -> list[Part]:
    parts = []
    if state.changed_at is not None:
        since = tr(
            "Since {since}, by {user}: {why}",
            since=moment(state.changed_at),
            user=_who(state.changed_by or ""),
            why=_why(state.reason or ""),
        )
        parts.append(with_reason(since, state.reason or "", bold=False))
    lines = [*_end_lines(state.ends), *(_target_line(target) for target in state.targets[:MOST_TARGETS])]
    if state.served:
        lines.append(tr(SERVED))
    if state.mode.ceiling is not None and state.written_at is not None:
        lines.append(verification_line(state.verification))
    variables = [code(f"{name}={value}", VARIABLE_LIMIT) for name, value in state.mode.variables.items()]
    lines += variables[:MOST_VARIABLES]
    if len(variables) > MOST_VARIABLES:
        lines.append(tr("and {number} more variables.", number=len(variables) - MOST_VARIABLES))
    lines += [sentence(doubt) for target in state.targets[:MOST_TARGETS] for doubt in target.doubts]
    return [*parts, paragraph(*lines)]


def _target_line(target: TargetView) -> str:
    line = _written_line(code(target.name, PATH_LIMIT), target.written_at, target.error)
    if target.repaired_at is None:
        return line
    return tr("{line} Others had changed it; it was put right at {time}.", line=line, time=moment(target.repaired_at))


def _written_line(places: str, written_at: datetime | None, write_error: str | None) -> str:
    if write_error is not None:
        return _not_written(write_error)
    if written_at is None:
        return tr("Target: {places}.", places=places)
    return tr("Written to {places} at {time}.", places=places, time=moment(written_at))


def _not_written(error: str) -> str:
    return tr("NOT written yet, the bot keeps trying: {error}", error=sentence(error))


def _places(listed: Sequence[str]) -> str:
    return comma_list([code(name, PATH_LIMIT) for name in listed[:MOST_TARGETS]])


def _auto_line(auto: Auto) -> str:
    word = tr("on") if auto.on else tr("off")
    if auto.said is None:
        return tr("Stepping down by itself: {word}, as in the settings.", word=word)
    return tr(
        "Stepping down by itself: {word}, said by {user} {time}.",
        word=word,
        user=_who(auto.said.by),
        time=moment(auto.said.at),
    )


def _saving_lines(mode: str, savings: Sequence[Saving], as_of: datetime | None, why: str | None = None) -> list[str]:
    name = shown(mode)
    for saving in savings:
        if saving.mode == mode:
            return [capped_saving_line(saving, as_of)]
    if mode == NORMAL:
        return [tr("Services use their own default model again.")]
    if savings:
        return [tr("{mode}: what it saves is not known, since it names no model.", mode=name)]
    return [tr("{mode}: what it saves is {why}.", mode=name, why=why or tr("not known"))]


def _way_back(mode: str, previous: str, until: datetime | None) -> Block:
    if mode == previous:
        return _back(tr("Back to normal"), NORMAL, None)
    return _back(tr("Undo: back to {mode}", mode=previous), previous, until)


def _back(label: str, mode: str, until: datetime | None) -> Block:
    name = plain(mode, NAME_LIMIT)
    if until is None:
        text = tr(
            "The fallback mode becomes {mode}. Services follow when they restart or reload their environment.",
            mode=name,
        )
    else:
        text = tr(
            "The fallback mode becomes {mode}. It ends {end}, as before. Services follow when they restart or reload "
            "their environment.",
            mode=name,
            end=moment(until),
        )
    dialog = confirmation(tr("Fallback mode back to {mode}?", mode=name), text, tr("Back to {mode}", mode=name))
    value = mode if until is None else f"{mode}{UNTIL}{until.astimezone(UTC).isoformat()}"
    return button(label, f"{SWITCH_ACTION}:{mode}", value, confirm=dialog)


def _who(user: str) -> str:
    return mention(user) if user else tr("nobody")


def _why(reason: str) -> str:
    return sentence(reason) if reason.strip() else tr("no reason given")


def _entry(entry: AuditEntry) -> str:
    detail = shown(_detail(entry), DETAIL_LIMIT)
    if _is_ours(entry):
        detail = _MENTION.sub(r"<@\1>", detail)
    return f"{_entry_lead(entry)}{detail}"


def _is_ours(entry: AuditEntry) -> bool:
    """Whether the detail is our own text; a rejected proposal has the typed reason."""
    return entry.outcome == REFUSED and entry.action != PROPOSAL


def _entry_lead(entry: AuditEntry) -> str:
    what = "" if entry.action == "mode" else f"{shown(entry.action)} "
    refused = "" if entry.outcome == "done" else f"{shown(entry.outcome)}, "
    return f"{moment(entry.at)} · {mention(entry.actor)} · {refused}{what}"


def _detail(entry: AuditEntry) -> str:
    return entry.detail.rstrip(": ").replace("->", "→", 1)
