"""Changing the fallback mode from chat, typed or clicked. Rights are checked here, at the moment of the change."""

import asyncio
import difflib

from bot.fallback.modes import DEGRADED, NORMAL, Mode
from bot.fallback.service import ModeState
from bot.message import Message
from bot.services import Services
from handlers.blocks.elements import escape, section
from handlers.blocks.fallback import already, mode_status, switched

ACTIONS = ("status", "on", "off")


async def fallback(services: Services, user: str, words: str) -> Message:
    """`fallback [status | on [MODE] [because …] | off]`."""
    action, _, rest = words.partition(" ")
    action = action.lower() or "status"
    if action == "status":
        return await asyncio.to_thread(_status, services)
    if action not in ACTIONS:
        nearest = difflib.get_close_matches(action, ACTIONS, n=1)
        hint = f" Did you mean `fallback {nearest[0]}`?" if nearest else ""
        return _sentence(f"`{escape(action)}` is not known here: use fallback status, on or off.{hint}")
    asked, reason = _mode_and_reason(rest)
    if action == "off":
        if asked:
            return _sentence(f"`fallback off` takes no mode: remove `{escape(asked)}`, or give a reason after because.")
        asked = NORMAL
    return await switch_to(services, user, asked or DEGRADED, reason)


async def switch_to(services: Services, user: str, name: str, reason: str) -> Message:
    """Switch, if this user may and there is such a mode; otherwise say why nothing was changed."""
    mode = services.fallback.modes.get(name.lower())
    if mode is None:
        names = ", ".join(services.fallback.modes)
        return _sentence(f"Nothing was changed: there is no mode `{escape(name)}`; the modes are {names}.")
    permission = await services.admins.may_switch(user)
    if permission.refusal is not None:
        await asyncio.to_thread(services.fallback.refused, user, "mode", f"{mode.name}: {permission.refusal}")
        return _sentence(permission.refusal)
    return await asyncio.to_thread(_switch, services, user, mode, reason)


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


def _sentence(text: str) -> Message:
    return Message(text, [section(text)])
