"""Tables. Times are aware UTC datetimes, USD are exact decimals; migrations bring a database to this shape."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as UTC. A naive one is rejected: it would be off by the writer's zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Usd(TypeDecorator[Decimal]):
    """USD as decimal text: SQLite has no exact numbers, and no query sums money.

    Equal amounts have equal texts (400, 400.00 and 4E+2 are all `400`): a limit is part of an incident's identity.
    """

    impl = String(64)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


WITHOUT_LIMIT: dict[str, Any] = {f"{name}_where": text("limit_usd IS NULL") for name in ("sqlite", "postgresql")}
"""Separate unique index for rows without a limit, since databases treat two NULLs as different."""

TOKENS = (
    "uncached_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "web_search_requests",
)
"""Counts in every table of usage, in the order of `TokenCounts`."""


def _counts(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Owner of each hour: source, bucket width, last read, and number of incomplete rows. A row without usage is an hour
# without traffic. version: of all usage, at the last change of this hour.
usage_hours = Table(
    "usage_hours",
    metadata,
    Column("hour", UTCDateTime, primary_key=True),
    Column("source", String(16), nullable=False),
    Column("width", String(2), nullable=False),
    Column("read_at", UTCDateTime, nullable=False),
    Column("odd_rows", Integer, nullable=False, server_default="0"),
    Column("version", BigInteger, nullable=False, server_default="0", index=True),
)

usage = Table(
    "usage",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("hour", UTCDateTime, ForeignKey("usage_hours.hour", ondelete="CASCADE"), nullable=False),
    Column("starts_at", UTCDateTime, nullable=False),
    Column("model", String(128), nullable=False),
    Column("workspace_id", String(128), nullable=False),
    Column("api_key_id", String(128)),
    Column("service_tier", String(64)),
    Column("inference_geo", String(64)),
    Column("speed", String(64)),
    *_counts(*TOKENS),
    Index(None, "hour", "starts_at"),
)

# Usage by UTC day. A missing dimension (NULL in usage) is an empty string here: it is part of the key.
usage_days = Table(
    "usage_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("model", String(128), primary_key=True),
    Column("workspace_id", String(128), primary_key=True),
    Column("api_key_id", String(128), primary_key=True),
    Column("service_tier", String(64), primary_key=True),
    Column("inference_geo", String(64), primary_key=True),
    Column("speed", String(64), primary_key=True),
    *_counts(*TOKENS),
    sqlite_with_rowid=False,
)

# Anthropic's cost report, replaced day by day.
billed = Table(
    "billed",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("day", Date, nullable=False, index=True),
    Column("workspace_id", String(128), nullable=False),
    Column("cost_type", String(64), nullable=False),
    Column("usd", Usd, nullable=False),
    Column("list_usd", Usd),
    Column("model", String(128)),
)

# Names of workspaces and keys as last read from Anthropic. kind: workspace | key
names = Table(
    "names",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("id", String(128), primary_key=True),
    Column("name", Text, nullable=False),
    Column("workspace_id", String(128)),
    Column("seen_at", UTCDateTime, nullable=False),
)

# One row per value about the bot itself: the state of the last poll, the source in use.
state = Table(
    "state",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)

# Which copy of the bot polls and decides: one row. owner: its token, None where none does. renewals: rises with every
# renewal. lock: which file beside an SQLite database it has locked. The rest is for people; its times are by the
# database's clock.
lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(64)),
    Column("renewals", BigInteger, nullable=False),
    Column("lock", String(64)),
    Column("host", String(255)),
    Column("pid", Integer),
    Column("version", String(64)),
    Column("since", UTCDateTime),
    Column("renewed_at", UTCDateTime),
)

# One incident. Its identity is (kind, subject, key, limit); many kinds of alerts have no limit. A limit is never
# reported twice in a period. subject: a budget, a destination, or a fixed one such as `data` and `bill`. key: the
# budget's period, or the moment or day at which it began. bound_usd_per_hour: the rate from which it is a spike. The
# columns about people and time are kept until it is opened again. opened_at: when it was recorded; first_opened_at:
# when it was first opened, None if never.
alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("key", String(64), nullable=False),
    Column("limit_kind", String(16)),
    Column("limit_usd", Usd),
    Column("bound_usd_per_hour", Usd),
    Column("status", String(16), nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("channel", String(64)),
    Column("ts", String(64)),
    Column("acknowledged_by", String(64)),
    Column("acknowledged_at", UTCDateTime),
    Column("snoozed_by", String(64)),
    Column("snoozed_until", UTCDateTime),
    Column("escalated_at", UTCDateTime),
    Column("first_opened_at", UTCDateTime),
    UniqueConstraint("kind", "subject", "key", "limit_kind", "limit_usd"),
    Index("ix_alerts_without_limit", "kind", "subject", "key", unique=True, **WITHOUT_LIMIT),
    Index(None, "key"),
    Index(None, "status"),
)

# The outbox: one delivery of one message to one destination. facts: the payload to render, as decided. about: the
# visible id of what it reports. action: post | update | reply (in the thread of the message) |
# broadcast (a reply that the channel shows too). reposts: whether an edit becomes a new message where the old one
# cannot be edited. step: what a destination is notified of once for each alert, open | resolved | test; NULL in Slack.
# reached: hashes of the destination's recipients that have it already. channel: of a budget or a digest that has one
# of its own; NULL is the main one. meant_for: the channel that could not be reached, instead of which it goes to the
# main one. mention: owners that it mentions. ts: of an alert's post in a channel of its own, its message there.
# claim: of the copy of the bot that is sending it, or has sent it; claimed_at: when, by the database's clock.
notices = Table(
    "notices",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("destination", String(128), nullable=False),
    Column("alert_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("alerts.id")),
    Column("mode_change_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("mode_changes.id")),
    Column("proposal_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("proposals.id")),
    Column("raise_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("raises.id")),
    Column("budget_change_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("budget_changes.id")),
    Column("digest_change_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("digest_changes.id")),
    Column("step", String(16)),
    Column("action", String(16), nullable=False),
    Column("about", Text, nullable=False),
    Column("reposts", Boolean, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempted_at", UTCDateTime),
    Column("next_attempt_at", UTCDateTime, nullable=False),
    Column("reached", JSON, nullable=False),
    Column("sent_at", UTCDateTime),
    Column("error", Text),
    Column("channel", String(64)),
    Column("meant_for", String(64)),
    Column("mention", JSON, nullable=False, server_default="[]"),
    Column("ts", String(64)),
    Column("claim", String(128)),
    Column("claimed_at", UTCDateTime),
    UniqueConstraint("destination", "alert_id", "step"),
    Index(None, "status", "destination"),
    Index(None, "alert_id", "action"),
    Index(None, "mode_change_id"),
)

# Posted digests. rule: channel and subject. key: of the UTC days.
digests = Table(
    "digests",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("rule", String(1024), nullable=False),
    Column("key", String(64), nullable=False),
    Column("posted_at", UTCDateTime, nullable=False),
    UniqueConstraint("rule", "key"),
)

# Digests set in chat, beside those of the TOML file. words: as typed.
digest_settings = Table(
    "digest_settings",
    metadata,
    Column("rule", String(1024), primary_key=True),
    Column("words", Text, nullable=False),
    Column("set_by", String(64), nullable=False),
    Column("set_at", UTCDateTime, nullable=False),
)

# Changes of digests in chat. before, after: the words; NULL for none. undone_by: who undid it.
digest_changes = Table(
    "digest_changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("rule", String(1024), nullable=False),
    Column("by", String(64), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("undone_by", String(64)),
    Column("undone_at", UTCDateTime),
    Column("channel", String(64)),
    Column("ts", String(64)),
)

# Changes of the fallback mode; the newest row is the wanted mode. written_at: when every target had it. until: when it
# expires, if it does. warned_at: when its expiry was announced. proof_dismissed_by: who dismissed the reports on
# whether it took effect.
mode_changes = Table(
    "mode_changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("mode", String(64), nullable=False),
    Column("variables", JSON, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("changed_by", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("written_at", UTCDateTime),
    Column("write_error", Text),
    Column("channel", String(64)),
    Column("ts", String(64)),
    Column("until", UTCDateTime),
    Column("warned_at", UTCDateTime),
    Column("proof_dismissed_by", String(64)),
)

# The state of each target of the mode. change_id: the change last written to it, none before the first.
target_states = Table(
    "target_states",
    metadata,
    Column("target", Text, primary_key=True),
    Column("change_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("mode_changes.id")),
    Column("variables", JSON(none_as_null=True)),
    Column("written_at", UTCDateTime),
    Column("error", Text),
    Column("repaired_at", UTCDateTime),
)

# A change that waits for further admins. status: open | done | rejected | expired | void. change_id: the change in
# force when it was proposed. facts: the payload of its message.
proposals = Table(
    "proposals",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("mode", String(64), nullable=False),
    Column("variables", JSON, nullable=False),
    Column("minutes", Integer),
    Column("reason", Text, nullable=False),
    Column("change_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("mode_changes.id")),
    Column("needed", Integer, nullable=False),
    Column("asked_by", String(64), nullable=False),
    Column("asked_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("status", String(16), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("channel", String(64)),
    Column("ts", String(64)),
)

approvals = Table(
    "approvals",
    metadata,
    Column("proposal_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("proposals.id"), primary_key=True),
    Column("approved_by", String(64), primary_key=True),
    Column("approved_at", UTCDateTime, nullable=False),
)

# Budgets set from chat, without those of the environment and the TOML file. thresholds: per cents. owners: ids of Slack
# users and user groups. mention: levels, NULL if not set.
budgets = Table(
    "budgets",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("scope", String(200), nullable=False),
    Column("period", String(8), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("week_starts", String(16), nullable=False),
    Column("soft_usd", Usd),
    Column("hard_usd", Usd),
    Column("thresholds", JSON, nullable=False),
    Column("team", String(60)),
    Column("channel", String(64)),
    Column("owners", JSON, nullable=False, server_default="[]"),
    Column("mention", JSON(none_as_null=True)),
    Column("set_by", String(64), nullable=False),
    Column("set_at", UTCDateTime, nullable=False),
)

# Slack channels of budgets and digests that were unreachable at the last attempt. error: one sentence.
unreachable_channels = Table(
    "unreachable_channels",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("since", UTCDateTime, nullable=False),
    Column("error", Text, nullable=False),
)

# A raise of a limit, or a request for one. state: asked | active | ended | replaced | cancelled | declined | expired |
# void. base_usd: the limit without it. until: planned end; ended_at: actual end. starts_at: NULL before approval.
# facts: the payload of its message.
raises = Table(
    "raises",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("budget", String(60), nullable=False),
    Column("limit_kind", String(16), nullable=False),
    Column("base_usd", Usd, nullable=False),
    Column("usd", Usd, nullable=False),
    Column("starts_at", UTCDateTime),
    Column("until", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime),
    Column("asked_by", String(64), nullable=False),
    Column("asked_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("approved_by", String(64)),
    Column("reason", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("channel", String(64)),
    Column("ts", String(64)),
    Index(None, "state"),
    Index(None, "budget"),
)

# Changes of budgets. action: set | changed | removed | raised | ... before, after: the words of the budget, or of the
# raised limit; NULL for none. undone_by: who undid it.
budget_changes = Table(
    "budget_changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("budget", String(60), nullable=False),
    Column("by", String(64), nullable=False),
    Column("action", String(16), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("reason", Text, nullable=False),
    Column("undone_by", String(64)),
    Column("undone_at", UTCDateTime),
    Column("channel", String(64)),
    Column("ts", String(64)),
    Index(None, "budget"),
)

# Expected high spend. subject: a budget.
expectations = Table(
    "expectations",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("subject", String(128), nullable=False),
    Column("alert_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("alerts.id")),
    Column("starts_at", UTCDateTime, nullable=False),
    Column("until", UTCDateTime, nullable=False),
    Column("by", String(64), nullable=False),
    Column("ended_at", UTCDateTime),
    Column("ended_by", String(64)),
    Index(None, "until"),
    Index(None, "alert_id"),
)

# Spend planned at certain times. words: the rule, as typed. scope: NULL for everything.
calendar = Table(
    "calendar",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("words", Text, nullable=False),
    Column("scope", String(200)),
    Column("added_by", String(64), nullable=False),
    Column("added_at", UTCDateTime, nullable=False),
)

# Who did or tried what. outcome: done | refused | failed
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text, nullable=False),
)

estimates = Table(
    "estimates",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("words", Text, nullable=False),
    Column("monthly_usd", Usd, nullable=False),
    Column("rates_checked", Date, nullable=False),
    Column("kept_by", String(64), nullable=False),
    Column("kept_at", UTCDateTime, nullable=False),
    # Scope to compare with, as in a budget.
    Column("scope", String(200)),
)

last_estimates = Table(
    "last_estimates",
    metadata,
    Column("slack_user", String(64), primary_key=True),
    Column("words", Text, nullable=False),
)

# Dimensions of ledger events. digest: over all of them, since NULLs do not make a unique key. tags: a JSON object with
# sorted names. prompts_above: lower bound of the prompt lengths, 0 for the usual ones.
ledger_dimensions = Table(
    "ledger_dimensions",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("feature", Text),
    Column("user_id", Text),
    Column("tags", Text, nullable=False),
    Column("workspace", Text),
    Column("key", Text),
    Column("service_tier", Text),
    Column("inference_geo", Text),
    Column("speed", Text),
    Column("prompts_above", Integer, nullable=False),
    UniqueConstraint("digest"),
)

# Responses as applications logged them. No foreign key: dimensions are never deleted, and each event would check.
ledger_events = Table(
    "ledger_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", UTCDateTime, nullable=False, index=True),
    Column("received_at", UTCDateTime, nullable=False, index=True),
    Column("dimensions_id", BigInteger, nullable=False),
    *_counts(*TOKENS, "requests"),
    Column("outcome", String(16), nullable=False),
    Column("request_id", Text),
    Column("session", Text),
    # Number of 5-minute writes without a stated lifetime: a later report may say that it is an hour.
    Column("unsplit_cache_writes", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# Sums of events by UTC hour and by UTC day, kept longer than the events.
ledger_hours = Table(
    "ledger_hours",
    metadata,
    Column("hour", UTCDateTime, primary_key=True),
    Column("dimensions_id", BigInteger, primary_key=True),
    *_counts(*TOKENS, "requests", "errors", "rate_limited"),
    sqlite_with_rowid=False,
)

# Sums by minute of the last days.
ledger_minutes = Table(
    "ledger_minutes",
    metadata,
    Column("minute", UTCDateTime, primary_key=True),
    Column("dimensions_id", BigInteger, primary_key=True),
    *_counts(*TOKENS, "requests", "errors", "rate_limited"),
    sqlite_with_rowid=False,
)

# Every hour since the first event's, quiet ones too. version: of the ledger, at the last change of the hour.
ledger_known_hours = Table(
    "ledger_known_hours",
    metadata,
    Column("hour", UTCDateTime, primary_key=True),
    Column("version", BigInteger, nullable=False, index=True),
)

# Contents of files that were read, by SHA-256. size: in bytes, unpacked. head: hash of the first line, which stays
# while a file grows. records: number of records read one by one. totals: whether they were read as running totals.
ledger_files = Table(
    "ledger_files",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("head", String(64), nullable=False, index=True),
    Column("records", BigInteger, nullable=False),
    Column("totals", Boolean, nullable=False),
    Column("read_at", UTCDateTime, nullable=False),
)

# What files say of whole sessions. kind: `totals` for the counters of running totals; `sum` for the event ids of
# session sums; `file` for the size and times of a file, by path and inode, by which a read file is recognised unopened.
# key: a digest of the subject.
ledger_file_sessions = Table(
    "ledger_file_sessions",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)

ledger_days = Table(
    "ledger_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("dimensions_id", BigInteger, primary_key=True),
    *_counts(*TOKENS, "requests", "errors", "rate_limited"),
    sqlite_with_rowid=False,
)

# Cumulative series of OTLP metrics: the last point of each. digest: of the series, including its start time.
ledger_series = Table(
    "ledger_series",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("values", BigInteger, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False, index=True),
)

# Who sends spans or events, and who metrics, and from when until when, so that no call counts twice.
ledger_senders = Table(
    "ledger_senders",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False, index=True),
)

# What Anthropic itself attributes to a product, group, agent or actor on a UTC day, after discounts and before credits.
# A day that was read has no rows for values without spend.
attributed_days = Table(
    "attributed_days",
    metadata,
    Column("dimension", String(16), primary_key=True),
    Column("value", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("usd", Usd, nullable=False),
    Column("refreshed_at", UTCDateTime, nullable=False),
    Index(None, "dimension", "day"),
)

# Every value ever read, with its name, or with itself if it has none.
attributed_names = Table(
    "attributed_names",
    metadata,
    Column("dimension", String(16), primary_key=True),
    Column("value", Text, primary_key=True),
    Column("name", Text, nullable=False),
)
