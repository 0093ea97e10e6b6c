"""Databases for the tests, and what the tests put into them.

PostgreSQL takes part where the environment variable CLAUDE_COST_TEST_POSTGRES names a server on which databases may
be made, such as postgresql://bot@127.0.0.1:54329/postgres.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from bot.alerts.decide import Reason, Status, Step
from bot.alerts.model import LimitAlert
from bot.budgets.budget import Level
from bot.budgets.budget_spend import BudgetSpend
from bot.db.engine import open_database
from bot.modes.model import ModeAnnouncement
from tests.kept_postgres import KeptDatabase

# Read here, since every test begins by clearing the environment.
POSTGRES = os.environ.get("CLAUDE_COST_TEST_POSTGRES", "")

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOFT, HARD = Decimal(400), Decimal(600)
BUDGET, PERIOD = "default", "2026-11"


@pytest.fixture(scope="session")
def kept_postgres() -> Iterator[KeptDatabase]:
    """The PostgreSQL database that the tests of this process share, one after the other."""
    with postgres_database() as url:
        yield KeptDatabase(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with the present schema and nothing else, once of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'claude-cost.db'}"
        migrate_by_copy(url)
        return url
    kept: KeptDatabase = request.getfixturevalue("kept_postgres")
    kept.renew()
    return kept.url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without a table, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'claude-cost.db'}"
        return
    with postgres_database() as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with the present schema."""
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def open_migrated(url: str) -> Engine:
    """Like `open_database`, faster for an SQLite file that is not there."""
    migrate_by_copy(url)
    return open_database(url)


def migrate_by_copy(url: str) -> None:
    """Make an SQLite file that is not there: a copy of a migrated one."""
    path = make_url(url).database
    if url.startswith("sqlite") and path and Path(path).parent.is_dir() and not Path(path).exists():
        Path(path).touch(0o600)
        Path(path).write_bytes(_migrated_file())


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claude-cost.db"
        open_database(f"sqlite:///{path}").dispose()
        return path.read_bytes()


@contextmanager
def postgres_database(address: str = POSTGRES) -> Iterator[str]:
    """The address of a new PostgreSQL database that goes again; skips the test where there is no server."""
    if not address:
        pytest.skip("no PostgreSQL: CLAUDE_COST_TEST_POSTGRES is not set")
    name = f"claude_cost_{secrets.token_hex(6)}"
    url = make_url(address).set(drivername="postgresql+psycopg")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.set(database=name).render_as_string(hide_password=False)
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        server.dispose()


def spend_facts(soft_usd: Decimal | None = SOFT, hard_usd: Decimal | None = HARD) -> BudgetSpend:
    """Spend of a month, with these limits in force."""
    return BudgetSpend(
        budget=BUDGET,
        scope="organization",
        soft_usd=soft_usd,
        hard_usd=hard_usd,
        period=PERIOD,
        ends_at=datetime(2026, 12, 1, tzinfo=UTC),
        spent_usd=Decimal("612.345678901234567890"),
        billed_usd=Decimal(500),
        billed_days=17,
        computed_usd=Decimal("112.345678901234567890"),
        report_only_usd=Decimal(0),
        at_least=False,
        assumed=(),
        expected_usd=Decimal(900),
        low_usd=Decimal(800),
        high_usd=Decimal(1000),
        movers=(),
        as_of=NOW - timedelta(minutes=5),
    )


def facts_of(spend: BudgetSpend | None = None) -> Callable[[Step], LimitAlert]:
    """What a step's notice says."""

    def facts(step: Step) -> LimitAlert:
        return LimitAlert(
            level=step.level,
            limit_usd=step.limit_usd,
            status=step.status,
            reason=step.reason,
            decided_at=NOW,
            mode="normal",
            spend=spend or spend_facts(),
        )

    return facts


def mode_facts(mode: str = "degraded", previous: str = "normal") -> ModeAnnouncement:
    """A change of the fallback mode."""
    return ModeAnnouncement(
        mode=mode, previous=previous, by="U1", reason="too dear", changed_at=NOW, savings=(), as_of=NOW, written=False
    )


def crossed(level: Level, limit_usd: Decimal | None = None) -> Step:
    """The step that posts a limit's message."""
    return Step(level, limit_usd or (SOFT if level is Level.SOFT else HARD), Status.OPEN, Reason.CROSSED, post=True)


SOFT_SUPERSEDED = Step(Level.SOFT, SOFT, Status.SUPERSEDED, Reason.PASSED_BY_HARD)
SOFT_RESOLVED = Step(Level.SOFT, SOFT, Status.RESOLVED, Reason.FELL_BELOW)
SOFT_AGAIN = Step(Level.SOFT, SOFT, Status.OPEN, Reason.CROSSED_AGAIN)
SOFT_WITHDRAWN = Step(Level.SOFT, SOFT, Status.WITHDRAWN, Reason.LIMIT_CHANGED)
