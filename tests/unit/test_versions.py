"""Every change has a version of its own, whoever makes changes at once."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from sqlalchemy import Connection, Engine

from bot.db.state import ALERTS, StateStore, bump
from bot.usage.store import next_version

ALMOST_AT_ONCE = 0.3
"""Seconds in which the second change has begun, and waits for the first one."""


@pytest.mark.parametrize("earlier", [0, 1])
def test_two_copies_that_change_something_at_once_count_two_changes(engine: Engine, earlier: int) -> None:
    """Also for the very first changes, when there is no row yet that the second could wait for."""

    def change(connection: Connection) -> None:
        next_version(connection, billed=False)
        bump(connection, ALERTS)

    def second() -> None:
        with engine.begin() as connection:
            change(connection)

    for _ in range(earlier):
        second()
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            change(connection)
            other = pool.submit(second)
            wait([other], ALMOST_AT_ONCE)
        other.result(30)
    stored = StateStore(engine)
    assert stored.get(ALERTS) == earlier + 2
    assert stored.get("usage_version")["usage"] == earlier + 2
