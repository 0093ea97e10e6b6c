"""Saved estimates, and each person's last estimate."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Engine, delete, insert, select

from bot.db.schema import estimates, last_estimates


@dataclass(frozen=True, slots=True)
class KeptEstimate:
    """`words` parse to the workload; `monthly_usd` (exact) is its cost at the prices of `rates_checked`.

    `scope`: what it is compared with, as a budget's scope; None for nothing.
    """

    name: str
    words: str
    monthly_usd: Decimal
    rates_checked: date
    kept_by: str
    kept_at: datetime
    scope: str | None = None


class EstimateStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, kept: KeptEstimate) -> KeptEstimate | None:
        """Save it; returns the one with its name that it replaces."""
        with self._engine.begin() as connection:
            row = connection.execute(select(estimates).where(estimates.c.name == kept.name)).one_or_none()
            connection.execute(delete(estimates).where(estimates.c.name == kept.name))
            connection.execute(
                insert(estimates).values(
                    name=kept.name,
                    words=kept.words,
                    monthly_usd=kept.monthly_usd,
                    rates_checked=kept.rates_checked,
                    kept_by=kept.kept_by,
                    kept_at=kept.kept_at,
                    scope=kept.scope,
                )
            )
        return None if row is None else KeptEstimate(**row._mapping)

    def all(self) -> list[KeptEstimate]:
        """All saved estimates by name."""
        with self._engine.connect() as connection:
            return [
                KeptEstimate(**r._mapping) for r in connection.execute(select(estimates).order_by(estimates.c.name))
            ]

    def find(self, name: str) -> KeptEstimate | None:
        """The saved estimate with this name."""
        with self._engine.connect() as connection:
            row = connection.execute(select(estimates).where(estimates.c.name == name)).one_or_none()
        return None if row is None else KeptEstimate(**row._mapping)

    def drop(self, name: str) -> bool:
        """Delete it; False if there is none."""
        with self._engine.begin() as connection:
            return connection.execute(delete(estimates).where(estimates.c.name == name)).rowcount > 0

    def remember(self, user: str, words: str) -> None:
        """Store this person's last estimate."""
        with self._engine.begin() as connection:
            connection.execute(delete(last_estimates).where(last_estimates.c.slack_user == user))
            connection.execute(insert(last_estimates).values(slack_user=user, words=words))

    def last_words(self, user: str) -> str | None:
        """The words of this person's last estimate."""
        query = select(last_estimates.c.words).where(last_estimates.c.slack_user == user)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()
