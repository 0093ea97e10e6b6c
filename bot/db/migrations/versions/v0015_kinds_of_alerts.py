"""Identity of an incident: kind, subject, key and limit, with no other meaning in these columns."""

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

from bot.db.schema import WITHOUT_LIMIT, Usd

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

notices = sa.table("notices", sa.column("id", sa.BigInteger), sa.column("facts", sa.JSON))

LIMITS = ("soft", "hard", "threshold")

KINDS = "UPDATE alerts SET kind = CASE WHEN level IN ('soft', 'hard', 'threshold') THEN 'limit' ELSE level END"
LIMIT_KINDS = "UPDATE alerts SET limit_kind = level WHERE kind = 'limit'"
EXPECTED = """
UPDATE alerts SET limit_kind = coalesce((
    SELECT known.level FROM alerts AS known
    WHERE known.subject = alerts.subject AND known.key = alerts.key AND known.limit_usd = alerts.limit_usd
    AND known.level IN ('soft', 'hard') ORDER BY known.id DESC LIMIT 1
), 'hard') WHERE kind = 'forecast'
"""
"""A forecast is about the limit of that sum, recorded when it came into force."""

RATES = "UPDATE alerts SET bound_usd_per_hour = limit_usd WHERE kind = 'spike'"
OLDER_SPIKES = """
UPDATE alerts SET key = key || '/' || limit_usd WHERE kind = 'spike' AND EXISTS (
    SELECT newer.id FROM alerts AS newer WHERE newer.kind = 'spike' AND newer.subject = alerts.subject
    AND newer.key = alerts.key AND newer.id > alerts.id
)
"""
"""Renames the older of two spikes in one hour: it is over, and its key is no longer needed."""

NO_LIMIT = "UPDATE alerts SET limit_usd = NULL WHERE limit_kind IS NULL"
NOT_OPEN = "UPDATE alerts SET status = 'closed' WHERE kind = 'period' AND status = 'open'"
"""A period notice is closed at once; an early version left it open."""


def upgrade() -> None:
    with op.batch_alter_table("alerts") as table:
        table.drop_constraint(op.f("uq_alerts_budget_period_level_limit_usd"), type_="unique")
        table.drop_index(op.f("ix_alerts_period"))
        table.alter_column("budget", new_column_name="subject", existing_type=sa.String(length=128))
        table.alter_column("period", new_column_name="key", existing_type=sa.String(length=64))
        table.alter_column("limit_usd", existing_type=Usd(length=64), nullable=True)
        table.add_column(sa.Column("kind", sa.String(length=16), nullable=False, server_default=""))
        table.add_column(sa.Column("limit_kind", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("bound_usd_per_hour", Usd(length=64), nullable=True))
    for statement in (KINDS, LIMIT_KINDS, EXPECTED, RATES, OLDER_SPIKES, NO_LIMIT, NOT_OPEN):
        op.execute(statement)
    with op.batch_alter_table("alerts") as table:
        table.drop_column("level")
        table.alter_column("kind", existing_type=sa.String(length=16), existing_nullable=False, server_default=None)
        table.create_unique_constraint(
            op.f("uq_alerts_kind_subject_key_limit_kind_limit_usd"),
            ["kind", "subject", "key", "limit_kind", "limit_usd"],
        )
        table.create_index(op.f("ix_alerts_key"), ["key"])
        table.create_index("ix_alerts_without_limit", ["kind", "subject", "key"], unique=True, **WITHOUT_LIMIT)
    _rewrite(op.get_bind())


def _rewrite(connection: sa.Connection) -> None:
    # A notice with other fields was unreadable before, stays so, and is not sent.
    changed = []
    for row in connection.execute(sa.select(notices.c.id, notices.c.facts)):
        with suppress(KeyError, TypeError, AttributeError, ArithmeticError):
            changed.append({"notice_id": row.id, "facts": rewritten(row.facts)})
    if changed:
        statement = notices.update().where(notices.c.id == sa.bindparam("notice_id"))
        connection.execute(statement.values(facts=sa.bindparam("facts")), changed)


def rewritten(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Payload of a notice, in the form of this version."""
    kind = facts["kind"]
    if kind == "life":
        return {**facts, "about": rewritten(facts["about"])}
    if kind == "proof":
        return {**facts, "before": _sum(facts["before"]), "after": _sum(facts["after"])}
    if "level" not in facts:
        return dict(facts)
    found = {name: value for name, value in facts.items() if name not in ("level", "limit_usd")}
    if kind == "alert":
        return {**found, "kind": "limit", "limit": {"kind": facts["level"], "usd": facts["limit_usd"]}}
    if kind == "forecast":
        return {**found, "limit": {"kind": _limit_kind(facts), "usd": facts["limit_usd"]}}
    if kind == "spike":
        return {**found, "bound_usd_per_hour": facts["limit_usd"]}
    if kind == "drift":
        return _with_day(found)
    if kind == "period" and facts["status"] == "open":
        return {**found, "status": "closed"}
    return found


def _sum(rates: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Rates as sums of one hour; tokens follow from the price of a million."""
    if rates is None:
        return None
    usd, usd_per_mtok = Decimal(rates["usd_per_hour"]), Decimal(rates.get("usd_per_mtok") or 0)
    tokens = round(usd * 1_000_000 / usd_per_mtok) if usd_per_mtok else 0
    return {"usd": str(usd), "above_usd": rates["above_usd_per_hour"], "tokens": tokens, "span": "PT1H"}


def _limit_kind(facts: Mapping[str, Any]) -> str:
    same = facts["spend"]["soft_usd"] == facts["limit_usd"]
    return "soft" if same else "hard"


DAY = ("day", "computed_usd", "billed_usd", "list_usd")


def _with_day(facts: Mapping[str, Any]) -> dict[str, Any]:
    causes = {each["cause"]: each["usd"] for each in facts["causes"]}
    models = [dict(model) for model in facts["models"]]
    by_model = bool(models)
    if not by_model:
        sums = {name: facts[name] for name in ("computed_usd", "billed_usd", "unexplained_usd")}
        models = [{"model": None, **sums, "causes": causes}]
    elif not any(model.get("causes") for model in models):
        models[0]["causes"] = causes
    day = {**{name: facts[name] for name in DAY}, "by_model": by_model, "models": models}
    gone = {*DAY, "difference_usd", "unexplained_usd", "causes", "models"}
    return {**{name: value for name, value in facts.items() if name not in gone}, "drift": day}
