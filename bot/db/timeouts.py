"""How long the bot waits for its database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `busy`: the wait for another writer of an SQLite file. The others, except `pool`, are PostgreSQL's.

    `connect`: to establish a connection. `statement` and `lock`: the server's limits for a statement and for the wait
    for a lock. `idle`: the server's limit for an idle transaction, such as that of a frozen process. `unresponsive`:
    without a byte in either direction, before the connection is closed. `unanswered`: the same if the network reports
    unacknowledged packets. `pool`: the wait for one of the process's own connections.
    """

    busy: float = 5
    connect: int = 5
    statement: float = 15
    lock: float = 10
    idle: float = 30
    unresponsive: float = 17
    unanswered: float = 10
    pool: float = 10


LIMITS = Limits()
LEASE_LIMITS = Limits(busy=2, connect=3, statement=3, lock=3, idle=10, unresponsive=4, unanswered=4, pool=3)
"""Limits of the lease, which is lost if the database responds more slowly."""

MIGRATION_UNRESPONSIVE = 3600.0
"""Seconds that one statement of a migration may take."""

KEPT_CONNECTIONS = 6
"""Connections that stay open while idle, of at most one per thread."""
