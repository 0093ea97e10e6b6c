"""Databases for the tests, and what the tests put into them.

PostgreSQL takes part as tests/postgres_server.py says.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from bot.alerts.decide import LimitReason, LimitStep
from bot.alerts.delivery import DeliveryAlert, DeliveryReason
from bot.alerts.incident import AlertKind, Incident, Status
from bot.alerts.limit import LimitAlert
from bot.alerts.model import Transition, at_step
from bot.alerts.new_period import NewPeriodAlert, NewPeriodReason
from bot.alerts.no_data import NoDataAlert, NoDataReason
from bot.alerts.spike import SpikeAlert
from bot.alerts.spike_rates import SpikeReason
from bot.budgets.budget import Limit, LimitKind
from bot.budgets.budget_spend import BudgetSpend
from bot.db.engine import open_database
from bot.modes.model import ModeAnnouncement
from tests import postgres_server
from tests.kept_postgres import KeptDatabase

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
def postgres_database(address: str | None = None) -> Iterator[str]:
    """Address of a temporary PostgreSQL database; skips the test without a server."""
    name = f"claude_cost_{secrets.token_hex(6)}"
    url = make_url(address or postgres_server.address()).set(drivername="postgresql+psycopg")
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


def facts_of(spend: BudgetSpend | None = None) -> Callable[[LimitStep], LimitAlert]:
    """Makes the payload of a step."""

    def facts(step: LimitStep) -> LimitAlert:
        return LimitAlert(**at_step(step, "normal", NOW), limit=step.limit, spend=spend or spend_facts())

    return facts


def reported(
    steps: Sequence[LimitStep], *, budget: str = BUDGET, period: str = PERIOD, spend: BudgetSpend | None = None
) -> list[Transition]:
    """Steps of a budget's limits, with what is reported of them."""
    payload = facts_of(replace(spend or spend_facts(), budget=budget, period=period))
    return [Transition(payload(step), step.post) for step in steps]


def spike_payload(
    bound: int | Decimal = 10, status: Status = Status.OPEN, *, budget: str = BUDGET, key: str = "2026-11-20T12:00Z"
) -> SpikeAlert:
    """Payload of a spike. `bound`: USD an hour."""
    return SpikeAlert(
        status=status,
        reason=SpikeReason.BEGAN,
        decided_at=NOW,
        mode="normal",
        key=key,
        bound_usd_per_hour=Decimal(bound),
        spend=replace(spend_facts(), budget=budget),
        long_usd_per_hour=Decimal(62),
        short_usd_per_hour=Decimal(71),
        usual_usd_per_hour=None,
        since=NOW,
        movers=(),
        causes=(),
    )


def no_data_payload(status: Status = Status.OPEN, began_at: datetime = NOW) -> NoDataAlert:
    """Payload of missing data."""
    return NoDataAlert(
        status=status,
        reason=NoDataReason.MISSING,
        decided_at=NOW,
        mode="normal",
        began_at=began_at,
        since=began_at,
        because="HTTP 500.",
        as_of=None,
        sums=(),
    )


def delivery_payload(status: Status = Status.OPEN, destination: str = "mail") -> DeliveryAlert:
    """Payload of a failing destination."""
    return DeliveryAlert(
        status=status,
        reason=DeliveryReason.REFUSES,
        decided_at=NOW,
        mode="normal",
        destination=destination,
        since=NOW,
        error="it fails.",
        count=1,
    )


def new_period_payload(status: Status = Status.CLOSED, key: str = PERIOD) -> NewPeriodAlert:
    """Payload of the post that opens a month."""
    return NewPeriodAlert(
        status=status,
        reason=NewPeriodReason.BEGUN,
        decided_at=NOW,
        mode="normal",
        budget=BUDGET,
        scope="organization",
        period_kind="month",
        key=key,
        new_ends_at=datetime(2026, 12, 1, tzinfo=UTC),
        soft_usd=SOFT,
        hard_usd=HARD,
        last=spend_facts(),
        unbilled_days=0,
        missing_hours=0,
        before=None,
        as_of=NOW,
    )


def mode_facts(mode: str = "degraded", previous: str = "normal") -> ModeAnnouncement:
    """A change of the fallback mode."""
    return ModeAnnouncement(
        mode=mode, previous=previous, by="U1", reason="too dear", changed_at=NOW, savings=(), as_of=NOW, written=False
    )


def limit_step(kind: LimitKind, limit_usd: Decimal, status: Status, reason: str, post: bool = False) -> LimitStep:
    """A step of a limit's incident."""
    return LimitStep(Limit(kind, limit_usd), status, reason, post)


def limit_incident(kind: LimitKind, limit_usd: Decimal, status: Status) -> Incident:
    """A limit's incident as it is known."""
    return Incident(AlertKind.LIMIT, Limit(kind, limit_usd), status)


def crossed(kind: LimitKind, limit_usd: Decimal | None = None) -> LimitStep:
    """The step that posts a limit's message."""
    limit = Limit(kind, limit_usd or (SOFT if kind is LimitKind.SOFT else HARD))
    return LimitStep(limit, Status.OPEN, LimitReason.CROSSED, post=True)


SOFT_SUPERSEDED = LimitStep(Limit(LimitKind.SOFT, SOFT), Status.SUPERSEDED, LimitReason.PASSED_BY_HARD)
SOFT_RESOLVED = LimitStep(Limit(LimitKind.SOFT, SOFT), Status.RESOLVED, LimitReason.FELL_BELOW)
SOFT_AGAIN = LimitStep(Limit(LimitKind.SOFT, SOFT), Status.OPEN, LimitReason.CROSSED_AGAIN)
SOFT_WITHDRAWN = LimitStep(Limit(LimitKind.SOFT, SOFT), Status.WITHDRAWN, LimitReason.LIMIT_CHANGED)
