"""OTLP for the tests: a port that takes it, a ledger in memory, and requests as short as a test can say them."""

import dataclasses
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from aiohttp import web
from pydantic import SecretStr
from sqlalchemy import Engine

from bot.clock import Clock
from bot.ledger.model import Appended, Event, Row
from bot.ledger.otlp.ingest import OtlpIngest
from bot.ledger.otlp.store import OtlpStore
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import TokenCounts
from bot.threads import Pool
from bot.web.connections import Connections
from bot.web.ingest import IngestAccess, OtlpReceiver
from bot.web.server import open_port

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000
SECOND = 1_000_000_000
TOKEN = "ingest-1"


class MemoryLedger:
    """A `Ledger` that keeps the largest state of each event."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}

    def append(self, events: Iterable[Event], received_at: datetime) -> Appended:
        accepted = duplicates = 0
        for event in events:
            known = self.events.get(event.id)
            if known is None:
                accepted += 1
                self.events[event.id] = event
            else:
                duplicates += 1
                self.events[event.id] = known.with_state(event)
        return Appended(accepted, duplicates)

    def roll_up(self, now: datetime) -> None:
        """Nothing to do."""

    def prune(self, before: datetime) -> int:
        return 0

    def read(self, since: datetime, until: datetime) -> Iterable[Row]:
        return ()

    @property
    def counts(self) -> TokenCounts:
        """Sum of all events."""
        return sum((event.counts for event in self.events.values()), TokenCounts())

    @property
    def only(self) -> Event:
        (event,) = self.events.values()
        return event


def ingest(engine: Engine, ledger: MemoryLedger) -> OtlpIngest:
    return OtlpIngest(ledger, OtlpStore(engine), load_rate_card())


@dataclasses.dataclass
class OtlpPort:
    """An open port: what it has taken, and a client of it."""

    ledger: MemoryLedger
    url: str
    client: httpx.AsyncClient


@asynccontextmanager
async def otlp_port(
    engine: Engine, receiver: OtlpIngest | None = None, clock: Clock = lambda: NOW
) -> AsyncIterator[OtlpPort]:
    """A real port with the three routes, for `TOKEN`."""
    ledger = MemoryLedger()
    pool = Pool("otlp", 2)
    connections = Connections()
    app = web.Application(middlewares=[connections.whole_request])
    access = IngestAccess({"default": SecretStr(TOKEN)}, "127.0.0.1", is_local=True)
    app.add_routes(OtlpReceiver(access, receiver or ingest(engine, ledger), pool, clock).routes(connections))
    try:
        async with open_port(app, "127.0.0.1", 0, connections) as addresses:
            url = f"http://127.0.0.1:{addresses[0][1]}"
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as client:
                yield OtlpPort(ledger, url, client)
    finally:
        pool.close()


def pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes in the JSON form."""
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": value}


def span(attributes: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A span in the JSON form. `fields`: what differs from a call that ended now."""
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(NOW_NS - SECOND),
        "endTimeUnixNano": str(NOW_NS),
        "attributes": pairs(attributes),
        "status": {},
        **fields,
    }


def traces(*spans: dict[str, Any], resource: Mapping[str, Any] | None = None, scope: str = "mine") -> dict[str, Any]:
    """A request to `/v1/traces` in the JSON form."""
    group = {"scope": {"name": scope, "version": "1"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": _resource(resource), "scopeSpans": [group]}]}


def logs(*records: dict[str, Any], resource: Mapping[str, Any] | None = None, scope: str = "mine") -> dict[str, Any]:
    """A request to `/v1/logs` in the JSON form."""
    group = {"scope": {"name": scope}, "logRecords": list(records)}
    return {"resourceLogs": [{"resource": _resource(resource), "scopeLogs": [group]}]}


def record(attributes: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A log record in the JSON form, of now."""
    return {"timeUnixNano": str(NOW_NS), "attributes": pairs(attributes), **fields}


def metrics(*found: dict[str, Any], resource: Mapping[str, Any] | None = None, scope: str = "mine") -> dict[str, Any]:
    """A request to `/v1/metrics` in the JSON form."""
    group = {"scope": {"name": scope}, "metrics": list(found)}
    return {"resourceMetrics": [{"resource": _resource(resource), "scopeMetrics": [group]}]}


def counter(name: str, *points: dict[str, Any], temporality: int = 1) -> dict[str, Any]:
    """A metric that counts. Temporality 1: delta, 2: cumulative."""
    data = {"dataPoints": list(points), "aggregationTemporality": temporality, "isMonotonic": True}
    return {"name": name, "sum": data}


def histogram(name: str, *points: dict[str, Any], temporality: int = 2) -> dict[str, Any]:
    """A histogram."""
    return {"name": name, "histogram": {"dataPoints": list(points), "aggregationTemporality": temporality}}


def point(attributes: Mapping[str, Any], value: int, *, start: float = -60, at: float = 0) -> dict[str, Any]:
    """A point of a counter; times in seconds from now."""
    return {"attributes": pairs(attributes), "asInt": str(value), **_times(start, at)}


def values(
    attributes: Mapping[str, Any], total: int, count: int, *, start: float = -60, at: float = 0
) -> dict[str, Any]:
    """A point of a histogram; times in seconds from now."""
    return {"attributes": pairs(attributes), "sum": float(total), "count": str(count), **_times(start, at)}


def _times(start: float, at: float) -> dict[str, str]:
    begun, ended = (str(NOW_NS + int(seconds * SECOND)) for seconds in (start, at))
    return {"startTimeUnixNano": begun, "timeUnixNano": ended}


def _resource(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"attributes": pairs({"service.name": "support"} if attributes is None else attributes)}
