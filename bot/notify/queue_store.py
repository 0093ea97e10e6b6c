"""Puts notices into the outbox, in the transaction of the change that they report."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import alerts, budget_changes, digest_changes, mode_changes, notices, proposals, raises
from bot.notify.model import SLACK, Action, NoticeStatus

OWNERS: tuple[tuple[str, Table], ...] = (
    ("alert_id", alerts),
    ("mode_change_id", mode_changes),
    ("proposal_id", proposals),
    ("raise_id", raises),
    ("budget_change_id", budget_changes),
    ("digest_change_id", digest_changes),
)
"""The tables of the rows that may own a notice, by its column. Each row stores the address of its message."""


DETAILS = "details"
"""Step of the reply with the details that a message could not fold."""


def insert_notice(
    connection: Connection,
    action: Action,
    about: str,
    content: Mapping[str, object],
    now: datetime,
    *,
    destination: str = SLACK,
    step: str | None = None,
    reposts: bool = False,
    channel: str | None = None,
    meant_for: str | None = None,
    mention: Sequence[str] = (),
    **owner: int | None,
) -> None:
    """Put a notice into the outbox, in the transaction of the change that it reports. See `Notice`.

    `about`: visible id. `content`: JSON values for the renderer. `step`: name of a step that the destination is
    notified of once per alert. `owner`: the owner's id, by column.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        dialect.insert(notices)
        .values(
            destination=destination,
            step=step,
            action=action,
            about=about,
            reposts=reposts,
            facts=content,
            status=NoticeStatus.PENDING,
            created_at=now,
            attempts=0,
            next_attempt_at=now,
            reached=[],
            channel=channel,
            meant_for=meant_for,
            mention=list(mention),
            **owner,
        )
        .on_conflict_do_nothing(index_elements=["destination", "alert_id", "step"])
    )


def insert_in_one_channel(
    connection: Connection,
    action: Action,
    about: str,
    content: Mapping[str, object],
    now: datetime,
    channel: str | None,
    **owner: Any,
) -> None:
    """Put a notice into the outbox whose message is in one channel only.

    A post goes to `channel`, None for the main one. An edit or a reply goes to the channel that the post has reached.
    """
    if action == "post":
        insert_notice(connection, action, about, content, now, channel=channel, **owner)
        return
    posts = [notices.c[column] == id_ for column, id_ in owner.items()]
    query = select(notices.c.meant_for).where(*posts, notices.c.action == "post").order_by(notices.c.id.desc()).limit(1)
    meant_for = connection.execute(query).scalar_one_or_none()
    insert_notice(connection, action, about, content, now, meant_for=meant_for, **owner)


def insert_details(connection: Connection, notice_id: int, now: datetime) -> None:
    """Put the details of a message into the outbox as a reply, once per owner and copy of its message."""
    row = connection.execute(select(notices).where(notices.c.id == notice_id)).one()
    owner = {column: row._mapping[column] for column, _ in OWNERS}
    if any(owner.values()):
        # Each copy has a thread of its own.
        step = DETAILS if row.channel is None else f"{DETAILS}:{row.channel}"
        mine = [notices.c[column].is_not_distinct_from(id_) for column, id_ in owner.items()]
        same = select(notices.c.id).where(*mine, notices.c.destination == row.destination, notices.c.step == step)
        if connection.execute(same.limit(1)).first() is not None:
            return
        insert_notice(connection, "details", row.about, row.facts, now, step=step, channel=row.channel, **owner)
