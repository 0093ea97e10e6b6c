"""Contents of notices: payloads, stored and read back for renderers; Slack's notices of an incident.

Payloads of alerts live in their detectors' files, which are imported when one is first written or read.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Literal, Union

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, func, or_, select, update

from bot.alerts.incident import AlertKind, Identity, Level, Status
from bot.alerts.lifecycle import AdminRequest, Life, LifecycleStep
from bot.alerts.model import AlertPayload, SyntheticAlert
from bot.budgets.budget import Limit, LimitKind
from bot.budgets.calendar_store import Expectation, expected_of
from bot.budgets.change_store import BudgetChange
from bot.budgets.greeting_store import Greeting
from bot.budgets.raises import Raise
from bot.db.schema import alerts, mode_changes, notices
from bot.digests.model import Digest, DigestChange
from bot.modes.model import ModeAnnouncement, ModeEnding, Proposal, VerificationReport
from bot.notify.model import SLACK, Action, Address, NoticeStatus, UnreadableContentError
from bot.notify.queue_store import insert_notice
from bot.notify.store import NoticeStore, address_of


def payload_type(kind: AlertKind) -> type[AlertPayload]:
    """Payload class of a kind, such as `SpikeAlert` of `bot/alerts/spike.py`."""
    found: type[AlertPayload] = getattr(import_module(f"bot.alerts.{kind.module}"), f"{kind.class_prefix}Alert")
    return found


def _read(value: object) -> AlertPayload:
    return value if isinstance(value, AlertPayload) else _alerts().validate_python(value)


def _written(payload: AlertPayload) -> Any:
    return _alerts().dump_python(payload, mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent:
    """A step that a person or time has caused. `about`: content of the alert's message. `since`: when it was opened.

    `by`: a Slack user id, or the bot. `until`: the end of a snooze.
    """

    kind: Literal["life"] = "life"
    step: LifecycleStep
    by: str
    at: datetime
    until: datetime | None
    since: datetime
    about: Annotated[AlertPayload, PlainValidator(_read), PlainSerializer(_written)]


Payload = (
    AlertPayload
    | AdminRequest
    | LifecycleEvent
    | ModeAnnouncement
    | ModeEnding
    | VerificationReport
    | Proposal
    | SyntheticAlert
    | Raise
    | BudgetChange
    | Digest
    | DigestChange
    | Greeting
)

OTHERS = (
    AdminRequest,
    LifecycleEvent,
    ModeAnnouncement,
    ModeEnding,
    VerificationReport,
    Proposal,
    SyntheticAlert,
    Raise,
    BudgetChange,
    Digest,
    DigestChange,
    Greeting,
)


def dumped(payload: Payload) -> Any:
    """JSON values of a payload, which `parsed` of this and later versions reads."""
    return _payloads().dump_python(payload, mode="json")


def parsed(stored: object) -> Payload:
    """Parse a stored payload. Raises pydantic's `ValidationError` if this version cannot read it."""
    return _payloads().validate_python(stored)


def loaded(stored: object) -> Payload | None:
    """Parse what this or an older version stored; None if this version cannot read it."""
    try:
        return parsed(stored)
    except ValidationError:
        return None


@cache
def _alerts() -> TypeAdapter[AlertPayload]:
    return _adapter(payload_type(kind) for kind in AlertKind)


@cache
def _payloads() -> TypeAdapter[Payload]:
    return _adapter((*(payload_type(kind) for kind in AlertKind), *OTHERS))


def _adapter(types: Iterable[type]) -> TypeAdapter[Any]:
    union: Any = Union[tuple(types)]  # noqa: UP007  # made from a list
    return TypeAdapter(Annotated[union, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Content:
    """What a renderer gets. `related`: the message of the budget's other limit.

    `alert_id`, `life`: of an incident, `life` as of now. `written_at`, `write_error`: how far the target of a mode
    change has followed. `expected`: until when spend is expected, as set at the alert.
    """

    payload: Payload
    related: Address | None = None
    alert_id: int | None = None
    life: Life = field(default_factory=Life)
    written_at: datetime | None = None
    write_error: str | None = None
    expected: Expectation | None = None


class ContentStore(NoticeStore):
    """The notices of one destination, with what each reports."""

    def __init__(self, engine: Engine, destination: str = SLACK) -> None:
        super().__init__(engine, read_content, destination)


def read_content(connection: Connection, row: Row[Any]) -> Content:
    """The content of a row of `notices`. Raises `UnreadableContentError`."""
    try:
        payload = parsed(row.facts)
    except ValidationError as error:
        raise UnreadableContentError from error
    if row.alert_id is not None:
        alert = connection.execute(select(alerts).where(alerts.c.id == row.alert_id)).one()
        related = _related(connection, payload, row.channel) if isinstance(payload, AlertPayload) else None
        expected = expected_of(connection, row.alert_id) if alert.snoozed_until is not None else None
        return Content(payload, related, row.alert_id, life_of(alert), expected=expected)
    if row.mode_change_id is not None:
        query = select(mode_changes.c.written_at, mode_changes.c.write_error)
        change = connection.execute(query.where(mode_changes.c.id == row.mode_change_id)).one()
        return Content(payload, written_at=change.written_at, write_error=change.write_error)
    return Content(payload)


def enqueue(
    connection: Connection,
    action: Action,
    payload: Payload,
    now: datetime,
    *,
    destination: str = SLACK,
    step: str | None = None,
    channel: str | None = None,
    meant_for: str | None = None,
    mention: Sequence[str] = (),
    **owner: int | None,
) -> None:
    """Put a notice into the outbox, in the transaction of the change that it reports. See `insert_notice`."""
    stands_open = isinstance(payload, AlertPayload) and payload.status is Status.OPEN
    insert_notice(
        connection,
        action,
        _about(payload),
        dumped(payload),
        now,
        destination=destination,
        step=step,
        # If its message cannot be edited, post an open alert again, so that somebody sees it.
        reposts=action == "update" and stands_open,
        channel=channel,
        meant_for=meant_for,
        mention=mention,
        **owner,
    )


def edit(connection: Connection, alert_id: int, payload: Payload, now: datetime) -> None:
    """Edit the messages of an incident; this replaces edits that still wait."""
    connection.execute(
        update(notices)
        .where(
            notices.c.alert_id == alert_id,
            notices.c.action == "update",
            notices.c.status == NoticeStatus.PENDING,
        )
        .values(status=NoticeStatus.OBSOLETE)
    )
    in_every_copy(connection, "update", payload, now, alert_id)


def in_every_copy(connection: Connection, action: Action, payload: Payload, now: datetime, alert_id: int) -> None:
    """Enqueue an edit or a reply for each message of an incident."""
    posts = notices.c.alert_id == alert_id, notices.c.action == "post", in_slack
    query = select(notices.c.channel, notices.c.meant_for).where(*posts, notices.c.status != NoticeStatus.OBSOLETE)
    for channel, meant_for in connection.execute(query.order_by(notices.c.id)).all():
        enqueue(connection, action, payload, now, channel=channel, meant_for=meant_for, alert_id=alert_id)


def has_message(connection: Connection, alert_id: int) -> bool:
    """Whether the incident has its own message in Slack, or one is queued."""
    query = select(notices.c.id).where(notices.c.alert_id == alert_id, notices.c.action == "post", in_slack).limit(1)
    return connection.execute(query).scalar_one_or_none() is not None


def copy_in(connection: Connection, alert_id: int, clicked: str | None) -> str | None:
    """Channel of the alert's copy that was clicked; None for the main channel, which comes first."""
    posts = notices.c.alert_id == alert_id, notices.c.action == "post", in_slack
    query = select(notices.c.channel).where(*posts, notices.c.status != NoticeStatus.OBSOLETE).order_by(notices.c.id)
    copies = list(connection.execute(query).scalars())
    return clicked if clicked in copies else None if None in copies else next(iter(copies), None)


def newest_payload(connection: Connection, alert_id: int) -> AlertPayload | None:
    """Content that its message shows or is about to show; None also if this version cannot read it."""
    query = (
        select(notices.c.facts)
        .where(notices.c.alert_id == alert_id, notices.c.action.in_(("post", "update")), in_slack)
        .order_by(notices.c.id.desc())
        .limit(1)
    )
    stored = connection.execute(query).scalar_one_or_none()
    if stored is None:
        return None
    payload = loaded(stored)
    return payload if isinstance(payload, AlertPayload) else None


in_slack = notices.c.destination == SLACK
"""The condition that a notice is for the alert channel."""


def newest_notice() -> Select[tuple[int]]:
    """Subquery of a query of alerts: id of the notice whose content Slack's message shows or is about to show."""
    shown = notices.c.alert_id == alerts.c.id, notices.c.action.in_(("post", "update")), in_slack
    return select(func.max(notices.c.id)).where(*shown).correlate(alerts)


def incident_is(identity: Identity) -> ColumnElement[bool]:
    """The condition that a row of `alerts` is this incident."""
    limit = identity.limit
    return and_(
        alerts.c.kind == identity.kind,
        alerts.c.subject == identity.subject,
        alerts.c.key == identity.key,
        alerts.c.limit_kind == (None if limit is None else limit.kind),
        alerts.c.limit_usd == (None if limit is None else limit.usd),
    )


def level_in(levels: Collection[Level]) -> ColumnElement[bool]:
    """The condition that a row of `alerts` is of one of these levels."""
    kinds = [level for level in levels if isinstance(level, AlertKind)]
    limits = [level for level in levels if isinstance(level, LimitKind)]
    return or_(alerts.c.kind.in_(kinds), and_(alerts.c.kind == AlertKind.LIMIT, alerts.c.limit_kind.in_(limits)))


def identity_of(row: Row[Any]) -> Identity:
    """The incident in a row of `alerts`."""
    limit = None if row.limit_usd is None else Limit(LimitKind(row.limit_kind), row.limit_usd)
    return Identity(AlertKind(row.kind), row.subject, row.key, limit)


def life_of(alert: Row[Any]) -> Life:
    """The lifecycle columns of a row of `alerts`."""
    return Life(alert.acknowledged_by, alert.acknowledged_at, alert.snoozed_by, alert.snoozed_until, alert.escalated_at)


def _about(payload: Payload) -> str:
    if isinstance(payload, LifecycleEvent):
        return payload.about.incident
    if isinstance(payload, Raise | BudgetChange | DigestChange):
        return payload.about
    return (
        payload.incident
        if isinstance(payload, AlertPayload | AdminRequest | SyntheticAlert | Digest | Greeting)
        else f"mode/{payload.mode}"
    )


def _related(connection: Connection, payload: AlertPayload, channel: str | None) -> Address | None:
    """The message of the other limit that this one links to, preferably in the same channel."""
    if payload.related is None:
        return None
    query = select(alerts).where(incident_is(replace(payload.identity, limit=payload.related)))
    other = connection.execute(query).one_or_none()
    if other is None:
        return None
    posts = notices.c.alert_id == other.id, notices.c.action == "post", in_slack, notices.c.ts.is_not(None)
    query_ts = select(notices.c.channel, notices.c.ts).where(*posts).order_by(notices.c.id)
    found = {row.channel: Address(row.channel, row.ts) for row in connection.execute(query_ts)}
    return found.get(channel) or address_of(other) or next(iter(found.values()), None)
