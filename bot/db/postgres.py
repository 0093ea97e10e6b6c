"""PostgreSQL: connections that give up on a server that does not answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.abc import RV, PQGen
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext

from bot.db.timeouts import KEPT_CONNECTIONS, MIGRATION_UNRESPONSIVE, Limits
from bot.threads import MOST_CONNECTIONS

KEEPALIVE = {"keepalives": "1", "keepalives_idle": "5", "keepalives_interval": "3", "keepalives_count": "3"}
READ_ONLY = "25006"
"""PostgreSQL's error code for a write in a read-only session."""
SESSION_LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


class ImpatientConnection(psycopg.Connection[Any]):
    """Closes if the server sends nothing for `unresponsive` seconds while a response is due.

    libpq waits forever. The network's own time-outs do not notice a server, or a proxy before it, that still
    acknowledges packets.
    """

    unresponsive = Limits().unresponsive

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Like psycopg's. Raises `psycopg.OperationalError` after `unresponsive` seconds."""
        return super().wait(self._listening(gen), interval, timeout)

    def _listening(self, gen: PQGen[RV]) -> PQGen[RV]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard = now
                elif now - heard > self.unresponsive:
                    gen.close()
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has not answered for {self.unresponsive:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: RV = end.value
            return answer


def connect_postgres(url: URL, limits: Limits) -> Engine:
    """An engine, before migrations. Options in the URL override `limits`."""
    wanted = {
        "connect_timeout": str(limits.connect),
        "tcp_user_timeout": str(int(limits.unanswered * 1000)),
        **KEEPALIVE,
    }
    arguments = {name: value for name, value in wanted.items() if name not in url.query}
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=limits.pool,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
        pool_use_lifo=True,
        connect_args=arguments,
    )
    settings = _session_settings(url, limits)

    def open_connection(dialect: Any, record: Any, args: Any, parameters: Any) -> ImpatientConnection:
        connection = ImpatientConnection.connect(*args, **parameters)
        connection.unresponsive = limits.unresponsive
        return connection

    def limit_session(connection: ImpatientConnection, record: Any) -> None:
        # Not as connection options, which poolers such as PgBouncer reject.
        if settings:
            asked = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, false)")] * len(settings))
            connection.execute(sql.SQL("SELECT {}").format(asked), [word for pair in settings.items() for word in pair])
            connection.commit()

    event.listen(engine, "do_connect", open_connection)
    event.listen(engine, "connect", limit_session)
    event.listen(engine, "handle_error", _leave_a_standby)
    return engine


def _leave_a_standby(context: ExceptionContext) -> None:
    """Drop open connections to a read-only server: after a fail-over another one accepts writes."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


@contextmanager
def without_limits(connection: Connection) -> Iterator[None]:
    """Run this transaction without statement limits."""
    for name in SESSION_LIMITS:
        connection.execute(text(f"SET LOCAL {name} = 0"))
    driver = connection.connection.driver_connection
    if not isinstance(driver, ImpatientConnection):
        yield
        return
    before = driver.unresponsive
    driver.unresponsive = MIGRATION_UNRESPONSIVE
    try:
        yield
    finally:
        driver.unresponsive = before


def _session_settings(url: URL, limits: Limits) -> dict[str, str]:
    wanted = (limits.statement, limits.lock, limits.idle)
    options = str(url.query.get("options", ""))
    limited = zip(SESSION_LIMITS, wanted, strict=True)
    return {name: str(int(seconds * 1000)) for name, seconds in limited if name not in options}
