"""Asking the admins for what somebody may not do: one message that mentions them, where the click belongs.

The request and its audit entry are one transaction. Nobody asks twice for the same within a day.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Table, func, select

from bot.alerts.incident import Status
from bot.alerts.lifecycle import AdminRequest
from bot.alerts.notice_contents import copy_in, enqueue, in_slack, newest_payload
from bot.budgets.change_store import OF_BUDGETS
from bot.budgets.raises import RaiseState
from bot.clock import DAY
from bot.db.schema import alerts, budget_changes, notices, proposals, raises
from bot.db.state import audited, keep, locked
from bot.modes.model import ProposalStatus

ACTION = "ask admin"
"""Name of the action in the audit trail."""

MOST_ASKED = 10
"""Requests of one person within a day."""

LONGEST_WORDS = 1500
"""Characters of a command that a button carries."""

_KEY = "asking the admins"
_ID = re.compile(r"[0-9]{1,18}")


class Place(StrEnum):
    """Where the request goes: to the thread of a message, or to a channel."""

    ALERT = "alert"
    RAISE = "raise"
    PROPOSAL = "proposal"
    CHANGE = "change"
    CHANNEL = "channel"


class Wanted(StrEnum):
    """Kind of request. `OTHER_MODE`: another fallback mode, whichever. `DECISION`: a click in the message above."""

    MODE = "mode"
    OTHER_MODE = "other"
    COMMAND = "command"
    DECISION = "decision"


_DECIDED_AT = frozenset({Place.RAISE, Place.PROPOSAL, Place.CHANGE})
_NEEDS_WORDS = frozenset({Wanted.MODE, Wanted.COMMAND})


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of a button to the admins. `place_id`: id of the row that owns the thread. `words`: mode or command."""

    wanted: Wanted
    words: str = ""
    place: Place = Place.CHANNEL
    place_id: int = 0

    def packed(self) -> str:
        """The value of its button."""
        return f"{self.place}:{self.place_id} {self.wanted} {self.words}".rstrip()


def unpacked(value: str) -> Ask | None:
    """The request in a button's value; None if the value is forged."""
    where, _, what = value.partition(" ")
    place, _, id_ = where.partition(":")
    wanted, _, words = what.partition(" ")
    try:
        ask = Ask(Wanted(wanted), words.strip(), Place(place), int(id_) if _ID.fullmatch(id_) else -1)
    except ValueError:
        return None
    if (ask.wanted is Wanted.DECISION) != (ask.place in _DECIDED_AT) or len(words) > LONGEST_WORDS or ask.place_id < 0:
        return None
    return ask if bool(ask.words) == (ask.wanted in _NEEDS_WORDS) else None


Outcome = Literal["done", "already", "many", "over", "unknown"]
"""`over`: what it is about is closed. `unknown`: there is no such thing. `many`: this person has asked too often."""


class AskStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(
        self, ask: Ask, request: Callable[[str], AdminRequest], by: str, now: datetime, channel: str | None = None
    ) -> Outcome:
        """Post what `by` asks of the admins.

        `request`: makes the message from the visible id of its subject. `channel`: for an alert, where it was
        clicked: that copy gets the message; otherwise the budget's channel, None for the main one.
        """
        step = f"ask:{_short(by)}"
        with audited(self._engine) as connection:
            # Two clicks at once ask once.
            locked(connection, _KEY, True)
            about, owner, outcome = _subject(connection, ask, by)
            if outcome is not None:
                return outcome
            mine = notices.c.step == step, in_slack
            known = select(notices.c.id).where(*mine, notices.c.about == about)
            if ask.place is Place.CHANNEL:
                known = known.where(notices.c.created_at > now - DAY)
            if connection.execute(known.limit(1)).first() is not None:
                return "already"
            lately = select(func.count()).select_from(notices).where(*mine, notices.c.created_at > now - DAY)
            if connection.execute(lately).scalar_one() >= MOST_ASKED:
                return "many"
            wanted = request(about)
            if ask.place is Place.CHANNEL:
                enqueue(connection, "post", wanted, now, step=step, channel=channel)
            else:
                own = copy_in(connection, ask.place_id, channel) if ask.place is Place.ALERT else None
                enqueue(connection, "reply", wanted, now, step=step, channel=own, **owner)
            keep(connection, now, by, ACTION, "done", ask.words or about, incident=about)
        return "done"


def _subject(connection: Connection, ask: Ask, by: str) -> tuple[str, dict[str, Any], Outcome | None]:
    """The visible id of what is asked about, its column of notices, and why nothing can be asked about it."""
    if ask.place is Place.CHANNEL:
        return f"ask/{_short(f'{by} {ask.wanted} {ask.words}')}", {}, None
    if ask.place is Place.ALERT:
        row = connection.execute(select(alerts).where(alerts.c.id == ask.place_id).with_for_update()).one_or_none()
        about = None if row is None else newest_payload(connection, ask.place_id)
        if row is None or about is None:
            return "", {}, "unknown"
        return about.incident, {"alert_id": ask.place_id}, None if row.status == Status.OPEN else "over"
    table, column, is_open = _DECIDED[ask.place]
    found = connection.execute(select(is_open).select_from(table).where(table.c.id == ask.place_id)).one_or_none()
    if found is None:
        return "", {}, "unknown"
    posts = select(notices.c.about).where(notices.c[column] == ask.place_id, in_slack).limit(1)
    about = connection.execute(posts).scalar_one_or_none()
    if about is None:
        return "", {}, "unknown"
    return about, {column: ask.place_id}, None if found[0] else "over"


_DECIDED: dict[Place, tuple[Table, str, ColumnElement[Any]]] = {
    Place.RAISE: (raises, "raise_id", raises.c.state.in_((RaiseState.ASKED, RaiseState.ACTIVE))),
    Place.PROPOSAL: (proposals, "proposal_id", proposals.c.status == ProposalStatus.OPEN),
    Place.CHANGE: (
        budget_changes,
        "budget_change_id",
        budget_changes.c.undone_by.is_(None) & budget_changes.c.action.in_(OF_BUDGETS),
    ),
}
"""For each place: its table, its column in `notices`, and the condition that a decision is still open."""


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
