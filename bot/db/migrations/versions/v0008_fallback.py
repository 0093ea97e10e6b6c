"""The expiry of a mode, the state of each target, and changes that wait for approval."""

import sqlalchemy as sa
from alembic import op

from bot.db.schema import UTCDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("mode_changes") as table:
        table.add_column(sa.Column("until", UTCDateTime(), nullable=True))
        table.add_column(sa.Column("warned_at", UTCDateTime(), nullable=True))
    op.create_table(
        "target_states",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("change_id", ID, nullable=True),
        sa.Column("variables", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("written_at", UTCDateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("repaired_at", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_target_states")),
        sa.ForeignKeyConstraint(["change_id"], ["mode_changes.id"], name=op.f("fk_target_states_change_id")),
    )
    op.create_table(
        "proposals",
        sa.Column("id", ID, nullable=False),
        sa.Column("mode", sa.String(length=64), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("change_id", ID, nullable=True),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("asked_by", sa.String(length=64), nullable=False),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=True),
        sa.Column("ts", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposals")),
        sa.ForeignKeyConstraint(["change_id"], ["mode_changes.id"], name=op.f("fk_proposals_change_id")),
    )
    op.create_table(
        "approvals",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("approved_by", sa.String(length=64), nullable=False),
        sa.Column("approved_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("proposal_id", "approved_by", name=op.f("pk_approvals")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name=op.f("fk_approvals_proposal_id")),
    )
    with op.batch_alter_table("notices") as table:
        table.add_column(sa.Column("proposal_id", ID, nullable=True))
        table.create_foreign_key(op.f("fk_notices_proposal_id"), "proposals", ["proposal_id"], ["id"])
