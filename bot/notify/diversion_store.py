"""Moves messages whose own channel takes nothing to the main channel, with their edits and replies."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import alerts, notices, unreachable_channels
from bot.notify.model import UNDELIVERED, NoticeStatus
from bot.notify.queue_store import OWNERS, insert_notice

_UNTRIED: Mapping[str, object] = {
    "attempts": 0,
    "attempted_at": None,
    "error": None,
    "claim": None,
    "status": NoticeStatus.PENDING,
}


def divert(connection: Connection, notice_id: int, now: datetime, error: str, claim: str | None) -> bool:
    """Move a message, with its edits and replies, to the main channel. `error`: why its own takes nothing.

    Where the main channel shows the same alert anyway, its message is edited instead and says for whom it was meant.
    Returns False and changes nothing if another copy has claimed or settled the notice, or if the message that it
    edits was in the main channel before.
    """
    # Locked first, as by whoever decides a step of the alert: the edits of that step have to find the moved message.
    about = select(notices.c.alert_id).where(notices.c.id == notice_id).scalar_subquery()
    connection.execute(select(alerts.c.id).where(alerts.c.id == about).with_for_update())
    row = connection.execute(select(notices).where(notices.c.id == notice_id).with_for_update()).one()
    if row.claim != claim or row.status not in UNDELIVERED:
        return False
    if row.channel is None:
        return _move_to_main(connection, row, now, error)
    _note_unreachable(connection, row.channel, now, error)
    whole = notices.c.id == row.id if row.alert_id is None else notices.c.alert_id == row.alert_id
    mine = and_(whole, notices.c.destination == row.destination, notices.c.channel == row.channel)
    if row.alert_id is not None and _has_main_post(connection, row):
        _leave_to_main(connection, row, mine, now)
        return True
    free = {**_UNTRIED, "next_attempt_at": now}
    connection.execute(update(notices).where(mine, notices.c.status.in_(UNDELIVERED)).values(**free))
    connection.execute(update(notices).where(mine).values(channel=None, meant_for=row.channel, ts=None))
    return True


def _note_unreachable(connection: Connection, channel: str, now: datetime, error: str) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    noted = dialect.insert(unreachable_channels).values(channel=channel, since=now, error=error)
    # Another copy may note it at the same time.
    known = {"index_elements": [unreachable_channels.c.channel], "set_": {"error": noted.excluded.error}}
    connection.execute(noted.on_conflict_do_update(**known))


def _has_main_post(connection: Connection, row: Row[Any]) -> bool:
    query = select(notices.c.id).where(
        notices.c.alert_id == row.alert_id,
        notices.c.destination == row.destination,
        notices.c.channel.is_(None),
        notices.c.action == "post",
        notices.c.status != NoticeStatus.OBSOLETE,
    )
    return connection.execute(query.limit(1)).first() is not None


def _leave_to_main(connection: Connection, row: Row[Any], mine: ColumnElement[bool], now: datetime) -> None:
    """Drop the copy in a channel that cannot be reached.

    The message in the main channel says so, and mentions whom the copy would have mentioned.
    """
    unsettled = or_(notices.c.action == "post", notices.c.status.in_(UNDELIVERED))
    connection.execute(update(notices).where(mine, unsettled).values(status=NoticeStatus.OBSOLETE, ts=None))
    main = and_(
        notices.c.alert_id == row.alert_id, notices.c.destination == row.destination, notices.c.channel.is_(None)
    )
    # Of several that cannot be reached, one is noted here; those of dropped copies are known by their rows.
    connection.execute(update(notices).where(main, notices.c.meant_for.is_(None)).values(meant_for=row.channel))
    unsent = and_(main, notices.c.action == "post", notices.c.status.in_(UNDELIVERED))
    for post in connection.execute(select(notices.c.id, notices.c.mention).where(unsent)).all():
        both = list(dict.fromkeys([*post.mention, *row.mention]))
        connection.execute(update(notices).where(notices.c.id == post.id).values(mention=both))
        return
    shown = and_(main, notices.c.action.in_(("post", "update")))
    newest = connection.execute(select(notices).where(shown).order_by(notices.c.id.desc()).limit(1)).one()
    insert_notice(
        connection,
        "update",
        newest.about,
        newest.facts,
        now,
        destination=row.destination,
        meant_for=newest.meant_for,
        reposts=newest.reposts,
        alert_id=row.alert_id,
    )


def _move_to_main(connection: Connection, row: Row[Any], now: datetime, error: str) -> bool:
    """Post a message anew in the main channel, since its own channel does not take edits or replies any more.

    The edit or the reply follows there. Returns False if the message was not in a channel of its own.
    """
    owner = {column: row._mapping[column] for column, _ in OWNERS if row._mapping[column] is not None}
    mine = [notices.c[column] == id_ for column, id_ in owner.items()]
    own = select(notices.c.channel).where(*mine, notices.c.action == "post", notices.c.channel.is_not(None))
    channel = connection.execute(own.limit(1)).scalar_one_or_none()
    if not owner or row.alert_id is not None or channel is None:
        return False
    _note_unreachable(connection, channel, now, error)
    for column, table in OWNERS:
        if column in owner:
            connection.execute(update(table).where(table.c.id == owner[column]).values(channel=None, ts=None))
    shown = select(notices).where(*mine, notices.c.action.in_(("post", "update")), notices.c.id <= row.id)
    newest = connection.execute(shown.order_by(notices.c.id.desc()).limit(1)).one()
    free = {**_UNTRIED, "next_attempt_at": now, "meant_for": channel}
    connection.execute(update(notices).where(*mine, notices.c.status.in_(UNDELIVERED)).values(**free))
    again = {"action": "post", "about": newest.about, "facts": newest.facts, "step": newest.step}
    connection.execute(update(notices).where(notices.c.id == row.id).values(**again))
    if row.action != "update":
        insert_notice(connection, row.action, row.about, row.facts, now, step=row.step, meant_for=channel, **owner)
    return True


def meant_for(connection: Connection, row: Row[Any]) -> tuple[str, ...]:
    """The channels that could not be reached, whose message is in the main one instead."""
    if row.meant_for is None:
        return ()
    if row.alert_id is None:
        return (row.meant_for,)
    dropped = select(notices.c.channel).where(
        notices.c.alert_id == row.alert_id,
        notices.c.destination == row.destination,
        notices.c.channel.is_not(None),
        notices.c.action == "post",
        notices.c.status == NoticeStatus.OBSOLETE,
    )
    others = connection.execute(dropped.order_by(notices.c.id)).scalars()
    return tuple(dict.fromkeys((row.meant_for, *others)))
