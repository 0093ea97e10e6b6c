"""Every change has a version of its own, whoever makes changes at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import Connection, Engine

from bot.store.remembered import RememberedStore
from bot.store.usage import _next_version
from bot.store.versions import ALERTS, BUDGETS, bump
from tests.databases import database_url, engine

__all__ = ["database_url", "engine"]


@pytest.mark.parametrize("earlier", [0, 1])
def test_two_copies_that_change_something_at_once_count_two_changes(engine: Engine, earlier: int) -> None:
    """Also where they are the first ones of all, when there is no row yet that the second could wait for."""

    def change(connection: Connection) -> None:
        bump(connection, ALERTS)
        _next_version(connection, billed=False)

    def second() -> None:
        with engine.begin() as connection:
            begun.set()
            change(connection)

    for _ in range(earlier):
        with engine.begin() as connection:
            change(connection)
    begun = Event()
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            change(connection)
            other = pool.submit(second)
            begun.wait(0.3)
        other.result(30)
    stored = RememberedStore(engine)
    assert stored.get(ALERTS) == earlier + 2
    assert stored.get("usage_version")["usage"] == earlier + 2
    assert stored.get(BUDGETS) is None
