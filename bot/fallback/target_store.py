"""What became of each target of the fallback mode."""

from dataclasses import asdict

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import target_states
from bot.fallback.targets.base import TargetState


class TargetStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> dict[str, TargetState]:
        """The states by the target's name; of targets that are not configured any more too."""
        with self._engine.connect() as connection:
            return {row.target: TargetState(**row._mapping) for row in connection.execute(select(target_states))}

    def save(self, state: TargetState) -> None:
        """Replace what is known of this target."""
        values = asdict(state)
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(target_states).values(values)
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["target"], set_=values))
