"""Changing the fallback mode from chat, typed or clicked. Rights are checked here, at the moment of the change."""

import asyncio
import difflib

from bot.fallback.modes import DEGRADED, NORMAL, Mode
from bot.fallback.service import ModeState
from bot.message import Message
from bot.services import Services
from handlers.blocks.age import age_line, with_age
from handlers.blocks.elements import section
from handlers.blocks.fallback import already, mode_status, switched
from handlers.blocks.outside import code, names

ACTIONS = ("status", "on", "off")


async def fallback(services: Services, user: str, words: str) -> Message:
    """`fallback [status | on [MODE] [because …] | off]`."""
    action, rest = [*words.split(maxsplit=1), "", ""][:2]
    action = action.lower() or "status"
    if action == "status":
        return await _dated(services, await asyncio.to_thread(_status, services))
    if action not in ACTIONS:
        known = f"{code(action)} is not known here: use fallback status, on or off."
        return await _sentence(services, known + _hint(services, action))
    asked, reason = _mode_and_reason(rest)
    if action == "off":
        if asked:
            return await _sentence(
                services, f"`fallback off` takes no mode: remove {code(asked)}, or give a reason after because."
            )
        asked = NORMAL
    return await switch_to(services, user, asked or DEGRADED, reason)


async def switch_to(services: Services, user: str, name: str, reason: str) -> Message:
    """Switch, if this user may and there is such a mode; otherwise say why nothing was changed."""
    mode = services.fallback.modes.get(name.lower())
    if mode is None:
        modes = names(list(services.fallback.modes))
        return await _sentence(services, f"Nothing was changed: there is no mode {code(name)}; the modes are {modes}.")
    permission = await services.admins.may_switch(user)
    if permission.refusal is not None:
        await asyncio.to_thread(services.fallback.refused, user, "mode", f"{mode.name}: {permission.refusal}")
        return await _sentence(services, permission.refusal)
    return await _dated(services, await asyncio.to_thread(_switch, services, user, mode, reason))


async def age_of_data(services: Services) -> str:
    """The line below every answer that says how old the data is."""
    data = await asyncio.to_thread(services.usage.data_state)
    return age_line(data, services.clock(), services.poll_seconds)


def _hint(services: Services, action: str) -> str:
    if action in services.fallback.modes:
        meant = "off" if action == NORMAL else f"on {action}"
    else:
        nearest = difflib.get_close_matches(action, ACTIONS, n=1)
        meant = nearest[0] if nearest else ""
    return f" Did you mean `fallback {meant}`?" if meant else ""


def _switch(services: Services, user: str, mode: Mode, reason: str) -> Message:
    before = services.fallback.state()
    path = str(services.fallback.target.path)
    if before.mode.name == mode.name:
        return already(before, path)
    savings, as_of = services.review.savings(services.clock())
    after: ModeState = services.fallback.switch(mode, user, reason, savings, as_of)
    return switched(after, before.mode.name, savings, as_of)


def _status(services: Services) -> Message:
    savings, as_of = services.review.savings(services.clock())
    return mode_status(services.fallback.state(), str(services.fallback.target.path), savings, as_of)


def _mode_and_reason(rest: str) -> tuple[str, str]:
    words = rest.split()
    lowered = [word.lower() for word in words]
    if "because" in lowered:
        at = lowered.index("because")
        return " ".join(words[:at]), " ".join(words[at + 1 :])
    return " ".join(words), ""


async def _dated(services: Services, message: Message) -> Message:
    return with_age(message, await age_of_data(services))


async def _sentence(services: Services, text: str) -> Message:
    return await _dated(services, Message(text, [section(text)]))
