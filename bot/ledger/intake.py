"""A body of usage records into the ledger: what is good is stored together, what is not is named."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

from bot.ledger.bodies import BodyError, gunzip, records_of
from bot.ledger.model import Event, Ledger
from bot.ledger.plain_records import RecordReader
from bot.ledger.records import RefusedRecordError
from bot.usage.logs.usage_block import Skipped


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was not stored. `index`: of it among all records of the body, from 0."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the records of one body."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class Intake:
    """Stores the records of bodies in a ledger. Several threads may use it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reader = RecordReader()

    def take(self, body: bytes, now: datetime, *, is_gzip: bool, is_lines: bool) -> Taken:
        """What is good is durable when this returns. Raises `BodyError`, or what the ledger raises."""
        text = gunzip(body) if is_gzip else body
        new_id = _ids(now)
        events: list[Event] = []
        rejected: list[Rejected] = []
        # Split up as a whole before any of it is looked into: a body with too many records is refused at once.
        records = list(records_of(text, is_lines=is_lines))
        for index, record in enumerate(records):
            try:
                events += self._reader.events(record, now, new_id)
            except RefusedRecordError as refused:
                rejected.append(Rejected(index, str(refused)))
        nothing_read = len(rejected) == len(records) and all(each.reason == Skipped.NOT_JSON for each in rejected)
        if records and nothing_read and not is_lines:
            raise BodyError(400, "The body is not JSON.")
        appended = self._ledger.append(events, now)
        return Taken(appended.accepted, appended.duplicates, rejected)


def _ids(now: datetime) -> Callable[[], str]:
    """Ids for records of one body that have none: in the order of time, and never given again."""
    prefix = f"own-{int(now.timestamp() * 1000):012x}-{token_hex(8)}"
    given = 0

    def new_id() -> str:
        nonlocal given
        given += 1
        return f"{prefix}-{given}"

    return new_id
