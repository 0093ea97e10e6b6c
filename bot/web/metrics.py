"""`GET /metrics`: counters and current state for Prometheus, in its text format or as OpenMetrics.

Unknown values are left out, so that no graph shows a zero for them.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from bot.amounts import CENT
from bot.budgets.account import Detail
from bot.budgets.budget import Budget
from bot.budgets.budget_spend import BudgetSpend
from bot.counting import CountRequest
from bot.metrics import CHANNEL, Described, destination_labels
from bot.notify.model import SLACK
from bot.notify.store import Backlog
from bot.services import Services
from bot.threads import InThread
from bot.usage.model import is_stale
from bot.web.access import BearerAccess, Handler
from bot.web.fallback import RETRY_SECONDS

log = logging.getLogger(__name__)

CONTENT_TYPE, OPENMETRICS = CONTENT_TYPE_PLAIN_0_0_4, openmetrics.CONTENT_TYPE_LATEST

Sample = tuple[Sequence[str], Decimal | int | float]
"""Values of the labels, in the order of the metric's, and the figure."""


def _gauge(name: str, meaning: str, *labels: str) -> Described:
    return Described(name, "gauge", meaning, labels)


SPEND = _gauge(
    "claude_cost_spend_usd",
    "Spend of the budget's period so far, billed and computed.",
    *("budget", "scope", "period"),
)
EXPECTED = _gauge(
    "claude_cost_expected_usd",
    "Forecast spend at the end of the period; left out while unknown and while data is stale.",
    "budget",
)
ASSUMED = _gauge(
    "claude_cost_assumed_models",
    "Models of unknown price, priced at the most expensive rate of their family.",
    "budget",
)
LIMIT = _gauge("claude_cost_limit_usd", "Limits of the budget.", "budget", "level")
RAISED_FROM = _gauge(
    "claude_cost_limit_raised_from_usd",
    "Limits that are raised for a while, as they are without the raise.",
    *("budget", "level"),
)
AS_OF = _gauge(
    "claude_cost_data_as_of_timestamp_seconds",
    "The moment up to which usage is known; time() minus this is the age of the data.",
)
ATTRIBUTED_AS_OF = _gauge(
    "claude_cost_attributed_as_of_timestamp_seconds",
    "The moment up to which Anthropic's own attribution is complete, where a budget counts it.",
)
LAST_POLL = _gauge("claude_cost_last_poll_timestamp_seconds", "When usage was last read completely.")
INTERVAL = _gauge("claude_cost_poll_interval_seconds", "CLAUDE_COST_POLL_SECONDS: the time between two polls.")
STALE = _gauge("claude_cost_data_stale", "1 while the data is stale and not extrapolated; otherwise 0.")
MODE = _gauge("claude_cost_fallback_mode", "1 for the wanted fallback mode, 0 for the others.", "mode")
WAITING = _gauge("claude_cost_notices_waiting", "Notices waiting for delivery.", "destination")
OLDEST = _gauge(
    "claude_cost_oldest_notice_timestamp_seconds",
    "When the oldest notice was decided that still waits for delivery; left out where none waits.",
    "destination",
)

STATE = (
    *(SPEND, EXPECTED, ASSUMED, LIMIT, RAISED_FROM, AS_OF, ATTRIBUTED_AS_OF, LAST_POLL, INTERVAL, STALE, MODE),
    *(WAITING, OLDEST),
)
"""Gauges of `StateCollector`."""


@dataclass(frozen=True, slots=True)
class StateCollector:
    """Reads the current state at each scrape: spend, limits, age of the data, mode and waiting notices.

    Synchronous. Gauges without a sample are left out. Raises `SQLAlchemyError`.
    """

    services: Services

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        spends = self.services.review.spend(self.services.clock(), Detail.ENDS)
        samples = {
            **_of_budgets(spends, self.services.review.budgets),
            **_of_data(self.services),
            **_of_bot(self.services),
        }
        for metric in STATE:
            if samples[metric]:
                yield family(metric, samples[metric])


def family(metric: Described, samples: Iterable[Sample]) -> Metric:
    """A gauge with its samples. Prometheus computes in floating point, so a figure has 15 exact digits."""
    made = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in samples:
        made.add_metric(labels, float(value))
    return made


def _of_budgets(spends: Sequence[BudgetSpend], budgets: Sequence[Budget]) -> dict[Described, list[Sample]]:
    return {
        SPEND: [((spend.budget, spend.scope, spend.period), spend.spent_usd) for spend in spends],
        EXPECTED: [
            ((spend.budget,), spend.expected_usd.quantize(CENT, ROUND_HALF_UP))
            for spend in spends
            if spend.expected_usd is not None
        ],
        ASSUMED: [((spend.budget,), len(spend.assumed)) for spend in spends],
        LIMIT: [
            ((budget.name, level), limit)
            for budget in budgets
            for level, limit in (("soft", budget.soft_usd), ("hard", budget.hard_usd))
            if limit is not None
        ],
        RAISED_FROM: [((budget.name, raised.kind), raised.base_usd) for budget in budgets for raised in budget.raised],
    }


def _of_data(services: Services) -> dict[Described, list[Sample]]:
    data = services.snapshots.current().data
    as_of, attributed_as_of = data.as_of, services.attributed.current().as_of
    stale = is_stale(data, services.clock(), services.poll_seconds)
    return {
        AS_OF: _moment(as_of),
        ATTRIBUTED_AS_OF: _moment(attributed_as_of),
        LAST_POLL: _moment(data.polled_at),
        INTERVAL: [((), services.poll_seconds)],
        STALE: [] if as_of is None else [((), int(stale))],
    }


def _moment(at: datetime | None) -> list[Sample]:
    return [] if at is None else [((), at.timestamp())]


def _of_bot(services: Services) -> dict[Described, list[Sample]]:
    mode = services.fallback.state().mode.name
    destinations = services.destinations
    waiting = by_label(destinations.backlog(), destinations.names)
    return {
        MODE: [((name,), int(name == mode)) for name in dict.fromkeys([*services.fallback.modes, mode])],
        WAITING: [((label,), 0 if one is None else one.count) for label, one in waiting.items()],
        OLDEST: [((label,), one.since.timestamp()) for label, one in waiting.items() if one is not None],
    }


def by_label(backlog: Mapping[str, Backlog], further: Sequence[str]) -> dict[str, Backlog | None]:
    """Waiting notices by destination label; None if there are none. `further`: names of destinations besides Slack."""
    labels = {SLACK: CHANNEL, **destination_labels(further)}
    return {label: backlog.get(name) for name, label in labels.items()}


@dataclass(frozen=True, slots=True)
class _All:
    """Several collectors as one, without `_created` and empty series."""

    collectors: Sequence[Collector]

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        for collector in self.collectors:
            for metric in collector.collect():
                # The time at which a counter began doubles the series, and Prometheus notices a restart without it.
                metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
                if metric.samples:
                    yield metric


def exposition(collectors: Sequence[Collector], *, as_openmetrics: bool = False) -> str:
    """The exposition text of all collectors. Raises their exceptions."""
    generate = openmetrics.generate_latest if as_openmetrics else generate_latest
    return generate(_All(collectors)).decode()


def takes_openmetrics(accept: str) -> bool:
    """Whether a reader's Accept header names OpenMetrics, which Prometheus prefers.

    The library's own negotiation echoes versions from the header and fails if one is not a number.
    """
    return any(part.partition(";")[0].strip().lower() == "application/openmetrics-text" for part in accept.split(","))


def metrics_route(
    collectors: Sequence[Collector], access: BearerAccess, in_thread: InThread = asyncio.to_thread
) -> web.RouteDef:
    """`GET /metrics`, behind `access`. The collectors are asked in a thread, one scrape at a time."""
    one_at_a_time = asyncio.Lock()

    async def metrics(request: web.Request) -> web.StreamResponse:
        as_openmetrics = takes_openmetrics(request.headers.get(hdrs.ACCEPT, ""))
        try:
            async with one_at_a_time:
                text = await in_thread(exposition, collectors, as_openmetrics=as_openmetrics)
        except SQLAlchemyError as error:
            log.error("no metrics: the database is not responding (%s)", type(error).__name__)
            text = "The database is not responding: retry later.\n"
            return web.Response(text=text, status=503, headers={hdrs.RETRY_AFTER: str(RETRY_SECONDS)})
        content_type = OPENMETRICS if as_openmetrics else CONTENT_TYPE
        return web.Response(body=text.encode(), headers={hdrs.CONTENT_TYPE: content_type})

    return web.get("/metrics", access.guard(metrics))


OTHER_ROUTE = "other"
"""Route label of unknown paths."""


def counted_requests(count: CountRequest) -> Middleware:
    """The outermost middleware: counts each response. Requests whose client disconnects first are not counted."""

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = OTHER_ROUTE if resource is None else resource.canonical
        try:
            answer = await handler(request)
        except web.HTTPException as refusal:
            count(route, refusal.status)
            raise
        except Exception:
            count(route, 500)
            raise
        count(route, answer.status)
        return answer

    return counted
