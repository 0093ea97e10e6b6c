"""How long the bot waits for its database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds. `busy`: for another writer of an SQLite file. The others but `pool` are PostgreSQL's.

    `connect`: until a connection stands. `statement` and `lock`: what the server allows one statement, and one lock
    that it waits for. `idle`: what it allows a transaction in which nothing happens, as of a process that is frozen.
    `silence`: without a byte from the server or to it, after which the connection is given up. `unanswered`: the same
    where the network itself says that nothing arrives. `pool`: for one of the process's own connections.
    """

    busy: float = 5
    connect: int = 5
    statement: float = 15
    lock: float = 10
    idle: float = 30
    silence: float = 17
    unanswered: float = 10
    pool: float = 10


LIMITS = Limits()
LEASE_LIMITS = Limits(busy=2, connect=3, statement=3, lock=3, idle=10, silence=4, unanswered=4, pool=3)
"""For the lease, which is lost where the database answers more slowly."""

MIGRATION_SILENCE = 3600.0
"""Seconds that a migration may take for one statement."""

KEPT_CONNECTIONS = 6
"""Of the most that there may be, one for each thread: so many stay open when nobody uses them."""
