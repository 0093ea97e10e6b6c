"""Alembic's entry: migrations run inside the connection that the product hands over, in one transaction."""

from alembic import context
from sqlalchemy import text

from bot.db.schema import metadata

MIGRATION_LOCK = 0x636C_6D69_6772

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    context.run_migrations()
