"""Budgets from chat: stored exactly, changed only if nobody was faster, and beside the configured ones."""

import threading
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select

from bot.budgets.budget import CHAT, Budget, PeriodKind, Weekday, parse_scope
from bot.budgets.store import Budgets, BudgetStore, KeptBudget
from bot.db.schema import audit
from bot.db.state import CHECK_SECONDS
from bot.doctor.check import State
from bot.doctor.database import judge_budgets
from bot.sandbox.clock import HandClock
from tests.databases import NOW

ADMIN, OTHER = "U0ADMIN", "U0OTHER"
SEARCH = Budget(
    name="search",
    scope=parse_scope("workspace:wrkspc_1"),
    period=PeriodKind.WEEK,
    zone=ZoneInfo("Asia/Tokyo"),
    soft_usd=None,
    hard_usd=Decimal("99.5"),
    origin=CHAT,
    week_starts=Weekday.SATURDAY,
    thresholds=(50, 90),
)
CONFIGURED = replace(SEARCH, name="all", origin="/etc/cost.toml", scope=parse_scope("organization"))


def audited(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(audit.c.actor, audit.c.outcome, audit.c.detail).order_by(audit.c.id)).all()
    return [(row.actor, row.outcome, row.detail) for row in rows]


def test_a_budget_is_kept_exactly_with_who_set_it(engine: Engine) -> None:
    store = BudgetStore(engine)
    assert store.set(SEARCH, None, ADMIN, NOW)
    assert store.all() == (KeptBudget(SEARCH, ADMIN, NOW),)
    later = replace(SEARCH, hard_usd=None, soft_usd=Decimal(10), thresholds=())
    assert store.set(later, SEARCH, OTHER, NOW + timedelta(hours=1))
    assert store.all() == (KeptBudget(later, OTHER, NOW + timedelta(hours=1)),)
    assert store.remove(later, ADMIN, NOW)
    assert store.all() == ()
    assert [(actor, outcome) for actor, outcome, _ in audited(engine)] == [
        (ADMIN, "done"),
        (OTHER, "done"),
        (ADMIN, "done"),
    ]
    assert audited(engine)[0][2].startswith("new -> search scope=workspace:wrkspc_1 period=week soft=none hard=99.5 ")
    assert audited(engine)[2][2].endswith(" -> removed")


def test_whoever_saw_an_older_budget_changes_nothing(engine: Engine) -> None:
    store = BudgetStore(engine)
    changed = replace(SEARCH, hard_usd=Decimal(1))
    assert not store.set(changed, SEARCH, ADMIN, NOW)
    store.set(SEARCH, None, ADMIN, NOW)
    assert not store.set(changed, None, OTHER, NOW)
    assert not store.remove(changed, OTHER, NOW)
    assert [one.budget for one in store.all()] == [SEARCH]
    assert len(audited(engine)) == 1


def test_of_two_who_set_the_same_name_at_once_one_reads_that_he_was_late(engine: Engine) -> None:
    store = BudgetStore(engine)
    start = threading.Barrier(4)
    done: list[bool] = []

    def set_one(amount: int) -> None:
        start.wait()
        done.append(store.set(replace(SEARCH, hard_usd=Decimal(amount)), None, ADMIN, NOW))

    threads = [threading.Thread(target=set_one, args=(amount,)) for amount in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False, False, False, True]
    assert len(store.all()) == len(audited(engine)) == 1


def test_the_budgets_in_force_are_the_configured_ones_and_those_from_chat(engine: Engine) -> None:
    budgets = Budgets([CONFIGURED], BudgetStore(engine), HandClock(NOW))
    assert budgets.in_force() == (CONFIGURED,)
    assert budgets.set(SEARCH, budgets.version("search"), ADMIN)
    assert budgets.in_force() == (CONFIGURED, SEARCH)
    assert budgets.remove("search", budgets.version("search"), ADMIN)
    assert budgets.in_force() == (CONFIGURED,)


def test_what_another_copy_has_set_is_in_force_here_within_a_second(engine: Engine) -> None:
    mine, other = (Budgets([CONFIGURED], BudgetStore(engine), HandClock(NOW)) for _ in range(2))
    assert mine.in_force() == (CONFIGURED,)
    assert other.set(SEARCH, other.version("search"), ADMIN)
    time.sleep(CHECK_SECONDS)
    assert mine.in_force() == (CONFIGURED, SEARCH)
    assert other.remove("search", other.version("search"), ADMIN)
    time.sleep(CHECK_SECONDS)
    assert mine.in_force() == (CONFIGURED,)


def test_a_configured_budget_wins_over_one_from_chat_that_had_its_name_before(engine: Engine) -> None:
    before = Budgets([], BudgetStore(engine), HandClock(NOW))
    taken = replace(CONFIGURED, origin=CHAT, hard_usd=Decimal(5))
    assert before.set(taken, before.version(taken.name), ADMIN)
    after = Budgets([CONFIGURED], BudgetStore(engine), HandClock(NOW))
    assert after.in_force() == (CONFIGURED,)
    assert not after.set(replace(taken, hard_usd=Decimal(6)), after.version(taken.name), ADMIN)
    check = judge_budgets(after.kept(), [CONFIGURED])
    assert check.state is State.WARN
    assert "/etc/cost.toml sets one of that name" in check.text
    assert after.remove("all", after.version(taken.name), ADMIN)
    assert judge_budgets(after.kept(), [CONFIGURED]).text == "1 budget is in force, 0 of them set in chat."


def test_channel_owners_and_team_are_kept_exactly_too(engine: Engine) -> None:
    store = BudgetStore(engine)
    owned = replace(SEARCH, team="search", channel="C0SEARCH", owners=("U0ADA", "S0TEAM"), mention=("soft", "hard"))
    assert store.set(owned, None, ADMIN, NOW)
    assert store.all()[0].budget == owned
    silent = replace(owned, team=None, channel=None, owners=(), mention=())
    assert store.set(silent, owned, ADMIN, NOW)
    assert store.all()[0].budget == silent
    assert not store.set(owned, owned, ADMIN, NOW)
