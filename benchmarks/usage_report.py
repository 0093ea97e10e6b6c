"""A local Anthropic that reports the usage of `world.py` from its own process: minutes of the last hours, any size.

    python benchmarks/usage_report.py KEYS DAYS OFFSET_SECONDS

Prints its port. Answers the admin usage report by the minute in one page, everything else with an empty list. Each
minute is rendered once, so that its own work is small compared with the bot's.
"""

import asyncio
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aiohttp import web

from benchmarks.world import BEHIND, MODELS, Size, by_minute, key_id, terms_of
from bot.clock import HOUR, MINUTE, floor_hour, system_clock
from bot.sandbox.anthropic_server import USAGE
from bot.sandbox.anthropic_usage import rfc3339

RESULT = (
    '{"api_key_id":"%s","workspace_id":null,"model":"%s","service_tier":"%s","inference_geo":"%s","speed":"%s",'
    '"context_window":null,"uncached_input_tokens":%d,"cache_creation":{"ephemeral_5m_input_tokens":%d,'
    '"ephemeral_1h_input_tokens":%d},"cache_read_input_tokens":%d,"output_tokens":%d,'
    '"server_tool_use":{"web_search_requests":%d}}'
)


class Report:
    """`offset`: difference between the machine's clock and the organization's."""

    def __init__(self, size: Size, offset: timedelta) -> None:
        self._size = size
        self._offset = offset
        self._hours: dict[datetime, list[bytes]] = {}

    async def usage(self, request: web.Request) -> web.Response:
        """The closed buckets of the range, in one page."""
        starts_at, ends_at = (datetime.fromisoformat(request.query[name]) for name in ("starting_at", "ending_at"))
        if request.query["bucket_width"] != "1m":
            return await nothing(request)
        until = min(ends_at, floor_hour(starts_at) + timedelta(days=1), system_clock() + self._offset - BEHIND)
        count = max(0, (until - starts_at) // MINUTE)
        moments = [starts_at + index * MINUTE for index in range(count)]
        buckets = [self._minutes(floor_hour(moment))[moment.minute] for moment in moments]
        body = b'{"data":[%s],"has_more":false,"next_page":null}' % b",".join(buckets)
        return web.Response(body=body, content_type="application/json")

    def _minutes(self, hour: datetime) -> list[bytes]:
        if hour not in self._hours:
            rows = by_minute(self._size, hour, hour + HOUR)
            results: list[list[str]] = [[] for _ in range(60)]
            for key, model, minute, counts in zip(
                rows.keys.tolist(), rows.models.tolist(), rows.minutes.tolist(), rows.counts.tolist(), strict=True
            ):
                terms = terms_of(key)
                which = (key_id(key), MODELS[model], terms.service_tier, terms.inference_geo, terms.speed)
                results[minute].append(RESULT % (*which, *counts))
            self._hours[hour] = [
                b'{"starting_at":%s,"ending_at":%s,"results":[%s]}'
                % (
                    json.dumps(rfc3339(hour + minute * MINUTE)).encode(),
                    json.dumps(rfc3339(hour + (minute + 1) * MINUTE)).encode(),
                    ",".join(found).encode(),
                )
                for minute, found in enumerate(results)
            ]
        return self._hours[hour]


async def nothing(_: web.Request) -> web.Response:
    """No rows, and no more pages."""
    return web.json_response({"data": [], "has_more": False, "next_page": None, "last_id": None})


async def main(size: Size, offset: timedelta) -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_get(USAGE, Report(size, offset).usage)
    app.router.add_get("/{path:.*}", nothing)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Size(int(sys.argv[1]), int(sys.argv[2])), timedelta(seconds=float(sys.argv[3]))))
