"""Print the size of a year of SQLite: usage by 1, 50 and 5,000 keys, and the messages of a thousand alerts.

Each key calls two models in eight hours of every day. Of 5,000 keys a few days are written, and the rest is
extrapolated.

    python benchmarks/year_size.py
"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from bot.cli.output import show
from bot.db.engine import open_database
from bot.db.retention import Retention, prune
from bot.db.schema import TOKENS, alerts, notices, usage, usage_days, usage_hours

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = 365
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5")
ACTIVE_HOURS = 8
ALERTS, EDITS = 1000, 5
FACTS = {"kind": "limit", "spend": "x" * 2500}
"""As long as the stored payload of a limit's alert with its causes."""

WRITTEN_DAYS = {1: YEAR, 50: 60, 5000: 2}
AT_ONCE = 20_000


def size(engine: Engine) -> int:
    with engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("VACUUM")
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def of_day(day: datetime, keys: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    for hour in range(24):
        at = day + timedelta(hours=hour)
        yield usage_hours, {"hour": at, "source": "admin", "width": "1h", "read_at": at}
        for key in range(keys if hour < ACTIVE_HOURS else 0):
            for model in MODELS:
                yield usage, {"hour": at, "starts_at": at, **of_key(key, model)}
    for key in range(keys):
        for model in MODELS:
            terms = dict.fromkeys(("service_tier", "inference_geo", "speed"), "standard")
            yield usage_days, {"day": day.date(), **of_key(key, model), **terms}


def of_key(key: int, model: str) -> dict[str, Any]:
    counts = dict.fromkeys(TOKENS, 1000003 * (key + 1))
    return {"model": model, "workspace_id": f"wrkspc_{key % 20:024}", "api_key_id": f"apikey_{key:024}", **counts}


def usage_bytes(folder: Path, keys: int) -> tuple[int, int]:
    """Rows and bytes of a year."""
    engine = open_database(f"sqlite:///{folder / f'{keys}.db'}")
    empty, rows, days = size(engine), 0, WRITTEN_DAYS[keys]
    for number in range(days):
        pending: dict[Any, list[dict[str, Any]]] = {usage_hours: [], usage: [], usage_days: []}
        for table, row in of_day(FIRST + timedelta(days=number), keys):
            pending[table].append(row)
        with engine.begin() as connection:
            for table, values in pending.items():
                rows += len(values)
                for start in range(0, len(values), AT_ONCE):
                    connection.execute(insert(table), values[start : start + AT_ONCE])
    grown = size(engine) - empty
    engine.dispose()
    return rows * YEAR // days, grown * YEAR // days


def message_bytes(folder: Path) -> tuple[int, int]:
    """Bytes of a year of alerts and their messages, as written, and after the retention."""
    engine = open_database(f"sqlite:///{folder / 'messages.db'}")
    empty, later = size(engine), FIRST + timedelta(days=800)
    with engine.begin() as connection:
        for number in range(ALERTS):
            alert = {"kind": "limit", "subject": f"team {number}", "key": "2026-01", "limit_kind": "soft"}
            moments = {"opened_at": FIRST, "changed_at": FIRST, "first_opened_at": FIRST}
            connection.execute(insert(alerts).values(**alert, limit_usd=400, status="resolved", **moments))
            actions = ["post", *["update"] * EDITS]
            connection.execute(insert(notices), [message(number + 1, action) for action in actions])
        connection.execute(insert(notices), message(None, "post"))
    written = size(engine) - empty
    while prune(engine, later, Retention()):
        pass
    kept = size(engine) - empty
    engine.dispose()
    return written, kept


def message(alert: int | None, action: str) -> dict[str, Any]:
    known = {"destination": "Slack", "about": "default/2026-01/soft/400", "reposts": False, "facts": FACTS}
    state = {"status": "sent", "attempts": 1, "next_attempt_at": FIRST, "reached": [], "created_at": FIRST}
    return {**known, **state, "alert_id": alert, "action": action}


def table(folder: Path) -> Iterator[str]:
    """The lines of the table in docs/operations.md."""
    yield from ("| a year of | rows | MB |", "|---|---|---|")
    for keys in WRITTEN_DAYS:
        rows, grown = usage_bytes(folder, keys)
        yield f"| usage by {keys:,} {'key' if keys == 1 else 'keys'} | {rows:,} | {grown / 1e6:,.0f} |"
    written, kept = message_bytes(folder)
    yield f"| {ALERTS:,} alerts, each edited {EDITS} times | {ALERTS * (EDITS + 2):,} | {written / 1e6:,.0f} |"
    yield f"| the same after `notice_days` | {ALERTS * 3:,} | {kept / 1e6:,.0f} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for line in table(Path(name)):
            show(line)


if __name__ == "__main__":
    main()
