"""A local Anthropic with many keys that answers from pre-rendered bytes; used by `polls.py`.

    python benchmarks/polls_server.py PORT KEYS

The time is day 31 of a month, 12:30 UTC. Every key uses twelve models, half of them in each of four hours a day. The
minutes of the last hours have 168,000 rows at 5,000 keys. `POST /minute` advances one minute: it adds that minute's
rows and changes 71 older ones.
"""

import sys
from datetime import UTC, datetime, timedelta
from functools import cache

from aiohttp import web

NOW = datetime(2026, 10, 31, 12, 30, tzinfo=UTC)
SINCE = datetime(2026, 10, 1, tzinfo=UTC)
MODELS = 12
ACTIVE_HOURS = (8, 9, 10, 11)
MINUTES = 150
ROWS_PER_KEY = 168_000 / 5_000
CHANGED_OLDER = 71
STEP = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1)}

ROW = (
    '{"uncached_input_tokens":%d,"cache_creation":{"ephemeral_1h_input_tokens":0,"ephemeral_5m_input_tokens":1234},'
    '"cache_read_input_tokens":56789,"output_tokens":4321,"server_tool_use":{"web_search_requests":0},'
    '"api_key_id":"apikey_01%08d","workspace_id":null,"model":"claude-model-%d-5","service_tier":"standard",'
    '"context_window":null,"inference_geo":"global","account_id":null,"service_account_id":null,"speed":"standard"}'
)


class Reports:
    """The reports of an organization with `keys` keys."""

    def __init__(self, keys: int) -> None:
        self.keys = keys
        self.now = NOW
        self.per_minute = round(keys * ROWS_PER_KEY / MINUTES)
        self.passed = 0

    def minute_passes(self) -> None:
        """Add one minute of usage and correct older minutes."""
        self.now += timedelta(minutes=1)
        self.passed += 1

    def results(self, width: str, start: datetime) -> bytes:
        """The results of one bucket."""
        if width == "1h":
            return hours(self.keys, start.hour) if start.hour in ACTIVE_HOURS else b""
        if start >= self.now - timedelta(minutes=5):
            return b""
        age = int((self.now - start).total_seconds() // 60) - 6
        # Corrections fall on the minutes before the youngest.
        corrected = self.passed if 1 <= age <= 5 else 0
        return minutes(self.keys, self.per_minute, start.hour * 60 + start.minute, corrected)


@cache
def hours(keys: int, hour: int) -> bytes:
    """Half of all keys and models."""
    rows = range(hour % 2, keys * MODELS, 2)
    return ",".join(ROW % (1000 + index, index // MODELS, index % MODELS) for index in rows).encode()


@cache
def minutes(keys: int, count: int, minute: int, corrected: int) -> bytes:
    """`count` rows, of which some are `corrected`."""
    rows = [(minute * count + index) % (keys * MODELS) for index in range(count)]
    changed = CHANGED_OLDER // 5
    return ",".join(
        ROW % (1000 + (corrected if at < changed else 0), index // MODELS, index % MODELS)
        for at, index in enumerate(rows)
    ).encode()


async def usage(request: web.Request) -> web.Response:
    """The usage report, by key or by workspace."""
    reports, query = request.app[REPORTS], request.query
    width, limit = query["bucket_width"], int(query["limit"])
    start, end = (datetime.fromisoformat(query[name]) for name in ("starting_at", "ending_at"))
    first = start + int(query.get("page", "0")) * STEP[width]
    last = min(end, first + limit * STEP[width])
    buckets = []
    at = first
    while at < last:
        times = f'"starting_at":"{_rfc3339(at)}","ending_at":"{_rfc3339(at + STEP[width])}"'
        buckets.append(b"{" + times.encode() + b',"results":[' + reports.results(width, at) + b"]}")
        at += STEP[width]
    more = f'"has_more":true,"next_page":"{(last - start) // STEP[width]}"' if last < end else '"has_more":false'
    body = b'{"data":[' + b",".join(buckets) + b"]," + more.encode() + b"}"
    return web.Response(body=body, content_type="application/json")


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


async def nothing(request: web.Request) -> web.Response:
    """An empty report."""
    return web.json_response({"data": [], "has_more": False, "next_page": None})


async def keys(request: web.Request) -> web.Response:
    """The list of keys, a thousand at a time."""
    total = request.app[REPORTS].keys
    after = request.query.get("after_id")
    first = 0 if after is None else int(after[-8:]) + 1
    found = [
        {"id": f"apikey_01{index:08d}", "name": f"key {index}", "workspace_id": f"wrkspc_{index % 20}"}
        for index in range(first, min(total, first + 1000))
    ]
    return web.json_response({"data": found, "has_more": first + 1000 < total, "last_id": found[-1]["id"]})


async def minute(request: web.Request) -> web.Response:
    """Advance one minute."""
    request.app[REPORTS].minute_passes()
    return web.Response()


REPORTS = web.AppKey("reports", Reports)


def main(port: int, count: int) -> None:
    """Serve until killed."""
    app = web.Application()
    app[REPORTS] = Reports(count)
    app.add_routes(
        [
            web.get("/v1/organizations/usage_report/messages", usage),
            web.get("/v1/organizations/cost_report", nothing),
            web.get("/v1/organizations/workspaces", nothing),
            web.get("/v1/organizations/api_keys", keys),
            web.post("/minute", minute),
        ]
    )
    for hour in ACTIVE_HOURS:
        hours(count, hour)
    for at in range(MINUTES):
        minutes(count, app[REPORTS].per_minute, 600 + at, 0)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
