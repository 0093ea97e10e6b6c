"""`/claude-cost fallback`: showing and changing the mode. Rights are checked here, at the moment of the change."""

from datetime import datetime, timedelta
from functools import partial

from bot.actor import Person
from bot.fallback.service import ModeState
from bot.messages import Message
from bot.mode import DEGRADED, NORMAL, Mode
from bot.modes.expiry import Cause
from bot.modes.parsing import DurationError, duration, switch_words
from bot.services import Services
from bot.typed_text import first_word, nearest, words_in
from handlers.render.fallback import already, costs_more, history_message, mode_status, not_cheaper, switched
from handlers.render.parts import code, moment, names, said, sentence, shown
from handlers.render.proposal import asked_message
from handlers.requests import Request

ACTIONS = ("status", "on", "off", "auto", "history")
MOST_HISTORY = 15


async def fallback_command(services: Services, request: Request) -> Message:
    """`fallback [status | on [MODE] [for TIME] [because …] | off [because …] | auto on|off | history]`."""
    action, rest = first_word(request.typed)
    action = action.lower() or "status"
    if action in ("status", "history"):
        if more := words_in(rest):
            return said(f"{code(more[0])} is not known here: `fallback {action}` takes no words.")
        return await services.threads.commands(_status if action == "status" else _history, services)
    if action == "auto":
        return await _auto(services, request.person, rest)
    if action not in ACTIONS:
        known = f"{code(action)} is not known here: use fallback status, on, off, auto or history."
        return said(known + _hint(services, action))
    try:
        asked = switch_words(rest)
    except DurationError as error:
        return said(f"Nothing was changed: {sentence(str(error))}")
    if action == "on":
        wrong = _not_a_mode(services, asked.mode.split()) if asked.mode else None
        if wrong is not None:
            return said(wrong)
        return await switch_to(services, request.person, asked.mode or DEGRADED, asked.reason, lasts=asked.lasts)
    if asked.mode or asked.lasts is not None:
        extra = code(asked.mode) if asked.mode else "the time"
        return said(f"`fallback off` takes no mode and no time: remove {extra}, or give a reason after because.")
    return await switch_to(services, request.person, NORMAL, asked.reason)


async def switch_to(
    services: Services,
    person: Person,
    name: str,
    reason: str,
    *,
    lasts: timedelta | None = None,
    until: datetime | None = None,
    drawn_for: str | None = None,
) -> Message:
    """Switch, if this user may and there is such a mode; otherwise say why nothing was changed.

    `lasts`: for how long. `until`: instead of it, for the way back to a mode that had an end; one that is past is none.
    `drawn_for`: the mode that was in force when the button was drawn that was clicked; None for what is typed.
    """
    mode = services.fallback.modes.get(name.lower())
    if mode is None:
        modes = names(list(services.fallback.modes))
        return said(f"Nothing was changed: there is no mode {code(name)}; the modes are {modes}.")
    permission = await services.admins.may_switch(person)
    if permission.refusal is not None:
        services.fallback.refused(person.id, "mode", f"{mode.name}: {permission.refusal}")
        return said(permission.refusal)
    if mode.name == NORMAL and lasts is not None:
        return said("Nothing was changed: normal takes no time, since it does not end by itself.")
    return await services.threads.commands(_switch, services, person.id, mode, reason, lasts, until, drawn_for)


def _not_a_mode(services: Services, words: list[str]) -> str | None:
    """Why the words after `fallback on` are refused, where they are more than a mode or a time."""
    word = words[-1] if len(words) < 2 else words[1]
    try:
        duration(word)
    except DurationError:
        if len(words) < 2:
            return None
        hint = ""
    else:
        meant = "" if len(words) < 2 else words[0].lower()
        known = not meant or meant in services.fallback.modes
        hint = f" Did you mean `fallback on{meant and f' {shown(meant)}'} for {shown(word)}`?" if known else ""
    return (
        f"Nothing was changed: {code(word)} is not known here. Give a time after for, and a reason after because.{hint}"
    )


def _hint(services: Services, action: str) -> str:
    meant = nearest(action, ACTIONS)
    if action in services.fallback.modes:
        meant = "off" if action == NORMAL else f"on {action}"
    return f" Did you mean `fallback {meant}`?" if meant else ""


def _switch(
    services: Services,
    user: str,
    mode: Mode,
    reason: str,
    lasts: timedelta | None,
    until: datetime | None,
    drawn_for: str | None,
) -> Message:
    fallback, now = services.fallback, services.clock()
    before = fallback.in_force()
    ends = now + lasts if lasts is not None else until
    if ends is not None and ends <= now:
        ends = None
    if before.mode.name == mode.name and ends in (None, before.until):
        return already(fallback.state())
    prospect = services.prospects.of(mode, ends)
    if prospect.not_cheaper is not None:
        text = not_cheaper(mode.name, prospect.not_cheaper, prospect.as_of)
        fallback.refused(user, "mode", f"{mode.name}: {text}")
        return said(text)
    if drawn_for not in (None, before.mode.name) and prospect.steps_back:
        return said(costs_more(mode.name, before.mode.name, drawn_for or "", prospect))
    if services.approvals.are_needed(mode):
        left = None if ends is None else ends - now
        return asked_message(services.approvals.ask(mode, user, reason, left, prospect))
    after = fallback.switch(mode, user, reason, prospect.savings, prospect.as_of, costs=prospect.costs, until=ends)
    # At once, so that no open alert offers what is in force by now.
    services.lifecycle.show_mode(after.mode.name, now, partial(services.review.spend_by_name, now=now))
    return switched(after, before.mode.name, before.until, prospect)


def _status(services: Services) -> Message:
    fallback = services.fallback
    return mode_status(fallback.state(), fallback.auto(), services.prospects.overview())


def _history(services: Services) -> Message:
    return history_message(services.fallback.history(MOST_HISTORY))


async def _auto(services: Services, person: Person, words: str) -> Message:
    listed = [word.lower() for word in words_in(words)]
    word = "".join(listed[:1])
    if extra := listed[1:]:
        return said(f"Nothing was changed: {code(extra[0])} is not known here: use `fallback auto on` or `… off`.")
    if word not in ("on", "off"):
        return said("Nothing was changed: use `fallback auto on` or `fallback auto off`.")
    permission = await services.admins.may_switch(person, "say whether the chain steps down by itself")
    if permission.refusal is not None:
        services.fallback.refused(person.id, "auto", f"{word}: {permission.refusal}")
        return said(permission.refusal)
    await services.threads.commands(services.fallback.set_auto, person.id, on=word == "on")
    if word == "on":
        levels = names(sorted(services.fallback.rules.auto_levels))
        return said(f"From now on the chain steps down by itself at an alert of these levels: {levels}.")
    state = await services.threads.commands(services.fallback.state)
    return said(f"From now on the chain does not step down by itself.{_what_remains(state)}")


def _what_remains(state: ModeState) -> str:
    """What still happens by itself once the chain does not step down any more."""
    if state.ends is None:
        return " The mode changes only when an admin changes it."
    name, at = shown(state.mode.name), moment(state.ends.at)
    why = "its time is over then" if state.ends.cause is Cause.TIME else "a new period begins then"
    return f" Fallback mode {name} still returns to normal by itself {at}, because {why}; `fallback off` ends it now."
