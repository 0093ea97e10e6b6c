"""The model of each row of the cost report; older rows get it when the report is read again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("billed") as table:
        table.add_column(sa.Column("model", sa.String(length=128), nullable=True))
