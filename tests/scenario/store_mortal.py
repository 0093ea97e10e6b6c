"""Stores in processes that are killed at a chosen commit: `python -m tests.scenario.store_mortal URL`.

Each line on the standard input asks for one life: a deed, its database, and the commit that is its last. Each life is a
fork; what every one of them would do for the first time is done before, on a database of its own. The line that answers
says how the process has ended and how many commits it had.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from bot.alerts.asks import Ask, AskStore, Wanted
from bot.alerts.lifecycle import AdminRequest
from bot.budgets.budget import CHAT, ORGANIZATION, Budget, PeriodKind
from bot.budgets.calendar import parse_entry
from bot.budgets.calendar_store import CalendarStore, expect, take_back
from bot.budgets.greeting_store import Greeter
from bot.budgets.store import BudgetStore
from bot.clock import HOUR
from bot.db.engine import connect
from bot.db.state import audited
from bot.usage.model import DataState
from tests import compiled_once

NOW = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
ADMIN, OTHER = "U0ADMIN", "U0OTHER"
ENTRY = parse_entry("batch every fri 22:00 for 6h", date(2026, 11, 18))
LONGER = replace(ENTRY, lasts=7 * HOUR)
TEAM = Budget("team", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), Decimal(400), Decimal(700), CHAT)
LARGER = replace(TEAM, hard_usd=Decimal(900))


def _greet(engine: Engine) -> None:
    data = DataState()
    greeter = Greeter(engine, lambda: data, lambda: [TEAM], [ADMIN])
    greeter.prepare()
    data = DataState(as_of=NOW)
    greeter.look(NOW, "normal")


def _expect(engine: Engine) -> None:
    with audited(engine) as connection:
        expect(connection, "team", None, OTHER, NOW + HOUR, NOW)


def _take_back(engine: Engine) -> None:
    with audited(engine) as connection:
        take_back(connection, 1, ADMIN, NOW)


def _ask(engine: Engine) -> None:
    def request(incident: str) -> AdminRequest:
        named = {"incident": incident, "by": OTHER, "admins": (ADMIN,), "mode": "", "previous": "normal"}
        return AdminRequest(**named, saving=None, as_of=None, command="/claude-cost budget set")  # type: ignore[arg-type]

    AskStore(engine).ask(Ask(Wanted.COMMAND, "budget set"), request, OTHER, NOW)


def _undo(engine: Engine) -> None:
    BudgetStore(engine).undo(BudgetStore(engine).history.newest_id("team"), ADMIN, NOW)


DEEDS: dict[str, Callable[[Engine], object]] = {
    "greet": _greet,
    "add to the calendar": lambda engine: CalendarStore(engine).add(ENTRY, ADMIN, NOW),
    "change the calendar": lambda engine: CalendarStore(engine).add(LONGER, ADMIN, NOW),
    "remove from the calendar": lambda engine: CalendarStore(engine).remove(ENTRY.name, ADMIN, NOW),
    "expect": _expect,
    "expect no more": _take_back,
    "set a budget": lambda engine: BudgetStore(engine).set(TEAM, None, ADMIN, NOW),
    "change a budget": lambda engine: BudgetStore(engine).set(LARGER, TEAM, ADMIN, NOW),
    "undo it": _undo,
    "remove a budget": lambda engine: BudgetStore(engine).remove(TEAM, ADMIN, NOW),
    "ask an admin": _ask,
}
"""Actions in the order of a story: each builds on those before."""


class Commits:
    """Counts the commits of this process, which dies at number `fatal`: before it or, if `after`, after it."""

    def __init__(self, fatal: int | None, after: bool) -> None:
        self.count = 0
        self._fatal = fatal
        self._after = after

    def watch(self) -> None:
        event.listen(Engine, "commit", self._about_to)
        event.listen(Pool, "checkin", self._over)

    def _about_to(self, connection: object) -> None:
        self.count += 1
        if self.count == self._fatal and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def _over(self, connection: object, record: object) -> None:
        if self.count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def _live(life: dict[str, object], tells: int) -> None:
    engine = connect(str(life["url"]))
    fatal = life["fatal"]
    commits = Commits(fatal if isinstance(fatal, int) else None, bool(life["after"]))
    commits.watch()
    DEEDS[str(life["deed"])](engine)
    os.write(tells, str(commits.count).encode())


def main(warm: str) -> None:
    """Fork a process for every line. `warm`: the address of a migrated database, for everything that is done once."""
    compiled_once.register()
    engine = connect(warm)
    for deed in DEEDS.values():
        deed(engine)
    engine.dispose()
    for line in sys.stdin:
        hears, tells = os.pipe()
        child = os.fork()
        if not child:
            _live(json.loads(line), tells)
            os._exit(0)
        os.close(tells)
        _, status = os.waitpid(child, 0)
        count = os.read(hears, 20).decode()
        os.close(hears)
        sys.stdout.write(json.dumps({"ended": os.waitstatus_to_exitcode(status), "commits": int(count or 0)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
