"""Raises, changes and expectations in the database: each step once, with its notice or not at all."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, event, func, select

from bot.budgets.budget import CHAT, ORGANIZATION, Budget, LimitKind, PeriodKind
from bot.budgets.calendar import parse_entry
from bot.budgets.calendar_store import CalendarStore, expect, take_back
from bot.budgets.raise_store import NotPossibleError, Raises, RaiseStore, Wish
from bot.budgets.raises import Raise, RaiseState
from bot.budgets.store import Budgets, BudgetStore
from bot.clock import DAY, HOUR, MINUTE
from bot.db.schema import audit, budget_changes, notices, raises
from bot.db.state import audited
from bot.sandbox.clock import HandClock
from tests.databases import NOW

ADMIN, OTHER = "U0ADMIN", "U0OTHER"
TEAM = Budget("team", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), Decimal(400), Decimal(700), "the environment")


class CrashError(Exception):
    """Stands for the end of the process."""


@contextmanager
def crash_at(engine: Engine, statement: str) -> Iterator[None]:
    """The process ends when it is about to execute this."""

    def before(connection: object, cursor: object, text: str, *rest: object) -> None:
        if text.startswith(statement):
            raise CrashError

    event.listen(engine, "before_cursor_execute", before)
    try:
        with pytest.raises(CrashError):
            yield
    finally:
        event.remove(engine, "before_cursor_execute", before)


class Team:
    """The service with its budgets, as each copy of the bot has them."""

    def __init__(self, engine: Engine, clock: HandClock) -> None:
        self.clock = clock
        self.store = RaiseStore(engine)
        self.budgets = Budgets([TEAM], BudgetStore(engine), clock, raises=self.store)
        self.raises = Raises(self.store, self.budgets.effective, lambda budget, now: Decimal(750), clock)

    def wish(self, usd: int = 900, until: timedelta = 2 * DAY) -> Wish:
        budget = self.budgets.effective("team")
        assert budget is not None
        return Wish(budget, LimitKind.HARD, Decimal(usd), self.clock() + until, False, "the import runs")

    def hard_usd(self) -> Decimal | None:
        budget = self.budgets.effective("team")
        return None if budget is None else budget.hard_usd


def number(engine: Engine, table: object) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]


def sent(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(notices.c.action, notices.c.facts).order_by(notices.c.id))
        return [(row.action, row.facts.get("state", row.facts["kind"])) for row in rows]


def test_a_raise_is_in_force_at_once_in_every_copy_and_ends_once_with_one_word_in_the_channel(engine: Engine) -> None:
    clock = HandClock(NOW)
    team, copy = Team(engine, clock), Team(engine, clock)
    assert copy.hard_usd() == 700
    team.raises.start(team.wish(), ADMIN)
    assert [team.hard_usd(), copy.hard_usd()] == [900, 900]
    clock.advance(2 * DAY)
    # The limit ends by the clock, even before it is recorded.
    assert [team.hard_usd(), copy.hard_usd()] == [700, 700]
    for each in (team, copy, team):
        each.raises.expire()
    assert sent(engine) == [("post", "active"), ("update", "ended"), ("broadcast", "ended")]
    assert team.hard_usd() == 700


def test_a_bot_that_was_away_ends_a_raise_at_its_time(engine: Engine) -> None:
    clock = HandClock(NOW)
    Team(engine, clock).raises.start(Team(engine, clock).wish(until=HOUR), ADMIN)
    clock.advance(3 * DAY)
    after = Team(engine, clock)
    after.raises.expire()
    [ended] = after.store.recent(clock())
    assert ended.ended_at == NOW + HOUR
    assert after.hard_usd() == 700


@pytest.mark.parametrize("statement", ["INSERT INTO notices", "INSERT INTO budget_changes", "INSERT INTO audit"])
def test_a_kill_between_state_and_notice_leaves_neither(engine: Engine, statement: str) -> None:
    clock = HandClock(NOW)
    team = Team(engine, clock)
    with crash_at(engine, statement):
        team.raises.start(team.wish(), ADMIN)
    assert [number(engine, table) for table in (raises, notices, budget_changes, audit)] == [0, 0, 0, 0]
    team.raises.start(team.wish(), ADMIN)
    clock.advance(2 * DAY)
    with crash_at(engine, statement):
        team.raises.expire()
    assert sent(engine) == [("post", "active")]
    team.raises.expire()
    assert sent(engine)[1:] == [("update", "ended"), ("broadcast", "ended")]


@pytest.mark.parametrize("statement", ["INSERT INTO notices", "INSERT INTO budget_changes"])
def test_a_kill_between_a_change_of_a_budget_and_its_announcement_leaves_neither(
    engine: Engine, statement: str
) -> None:
    store = BudgetStore(engine)
    mine = replace(TEAM, name="mine", origin=CHAT)
    with crash_at(engine, statement):
        store.set(mine, None, ADMIN, NOW)
    assert store.all() == ()
    assert store.set(mine, None, ADMIN, NOW)
    change_id = store.history.newest_id("mine")
    with crash_at(engine, statement):
        store.undo(change_id, ADMIN, NOW)
    assert [one.budget for one in store.all()] == [mine]
    assert store.undo(change_id, ADMIN, NOW) == ("done", "mine")
    assert store.undo(change_id, ADMIN, NOW) == ("already", "mine")
    assert store.undo(999, ADMIN, NOW) == ("unknown", "")
    assert store.all() == ()


def test_of_several_clicks_at_once_one_decides(engine: Engine) -> None:
    clock = HandClock(NOW)
    asked = Team(engine, clock).raises.ask(Team(engine, clock).wish(), OTHER)
    outcomes: list[str] = []

    def click(decide: Callable[[int, str], Raise]) -> None:
        try:
            outcomes.append(decide(asked.raise_id, ADMIN).state)
        except NotPossibleError as error:
            outcomes.append(f"not: {'' if error.present is None else error.present.state}")

    copies = [Team(engine, clock).raises for _ in range(4)]
    clicks = [
        threading.Thread(target=click, args=[copy.approve if at % 2 else copy.decline])
        for at, copy in enumerate(copies)
    ]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join()
    [decided] = [outcome for outcome in outcomes if not outcome.startswith("not: ")]
    assert sorted(outcomes) == sorted([decided, *[f"not: {decided}"] * 3])
    assert [state for _, state in sent(engine)] == ["asked", decided]


def test_a_newer_raise_replaces_the_one_before_and_cancelling_brings_the_limit_back(engine: Engine) -> None:
    clock = HandClock(NOW)
    team = Team(engine, clock)
    first = team.raises.start(team.wish(900), ADMIN)
    clock.advance(HOUR)
    second = team.raises.start(team.wish(800), OTHER)
    assert second.base_usd == 700
    assert team.hard_usd() == 800
    replaced = team.store.find(first.raise_id)
    assert replaced is not None
    assert (replaced.state, replaced.closed_by) == (RaiseState.REPLACED, OTHER)
    clock.advance(MINUTE)
    team.raises.cancel(second.raise_id, ADMIN)
    assert team.hard_usd() == 700
    with pytest.raises(NotPossibleError):
        team.raises.cancel(second.raise_id, ADMIN)
    with pytest.raises(NotPossibleError):
        team.raises.approve(0, ADMIN)


def test_what_is_asked_about_a_budget_that_is_removed_is_closed_with_it(engine: Engine) -> None:
    clock = HandClock(NOW)
    team = Team(engine, clock)
    mine = replace(TEAM, name="mine", origin=CHAT)
    assert team.budgets.set(mine, team.budgets.version("mine"), ADMIN)
    wish = replace(team.wish(), budget=mine)
    asked, started = team.raises.ask(wish, OTHER), team.raises.start(wish, ADMIN)
    raised = team.budgets.effective("mine")
    assert raised is not None
    assert raised.hard_usd == 900
    assert team.budgets.remove("mine", team.budgets.version("mine"), ADMIN)
    states = [found.state for each in (asked, started) if (found := team.store.find(each.raise_id)) is not None]
    assert states == [RaiseState.VOID, RaiseState.CANCELLED]
    assert team.budgets.set(mine, team.budgets.version("mine"), ADMIN)
    anew = team.budgets.effective("mine")
    assert anew is not None
    assert anew.hard_usd == 700
    assert [entry.action for entry in team.budgets.history("mine")][:2] == ["set", "removed"]


def test_the_calendar_is_kept_and_what_is_expected_is_expected_once(engine: Engine) -> None:
    mine, other = CalendarStore(engine), CalendarStore(engine)
    entry = parse_entry('"夜の *batch*" every fri 22:00 for 6h zone=Asia/Tokyo for=key:k', date(2026, 11, 18))
    assert mine.add(entry, ADMIN, NOW) is None
    assert other.add(entry, ADMIN, NOW) == entry
    [kept] = mine.plans(NOW).kept
    assert (kept.entry, kept.added_by) == (entry, ADMIN)
    assert mine.plans(NOW) is mine.plans(NOW)
    with audited(engine) as connection:
        first = expect(connection, "team", None, OTHER, NOW + HOUR, NOW)
    with audited(engine) as connection:
        second = expect(connection, "team", None, ADMIN, NOW + DAY, NOW + MINUTE)
    mine.changed()
    assert [each.ends_at for each in mine.plans(NOW).expected] == [NOW + MINUTE, NOW + DAY]
    with audited(engine) as connection:
        assert take_back(connection, first.id, OTHER, NOW + 2 * MINUTE) is None
        assert take_back(connection, second.id, OTHER, NOW + 2 * MINUTE) is not None
        assert take_back(connection, second.id, OTHER, NOW + 2 * MINUTE) is None
    mine.changed()
    assert not any(each.holds(NOW + 3 * MINUTE) for each in mine.plans(NOW).expected)
    assert mine.remove(entry.name, ADMIN, NOW)
    assert not mine.remove(entry.name, ADMIN, NOW)
