"""`GET /metrics`: the bot's figures in Prometheus' text format 0.0.4.

Unknown values are left out, so that no graph shows a zero for them.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from aiohttp import hdrs, web
from sqlalchemy.exc import SQLAlchemyError

from bot.amounts import CENT
from bot.budgets.account import Detail
from bot.budgets.budget import Budget
from bot.budgets.budget_spend import BudgetSpend
from bot.services import Services
from bot.threads import InThread
from bot.usage.model import is_stale
from bot.web.access import BearerAccess
from bot.web.fallback import RETRY_SECONDS

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

CHANNEL = "slack"
"""The label of the alert channel's notices."""

Sample = tuple[Mapping[str, str], Decimal | int]
"""Labels and value."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric. `name` ends with its unit."""

    name: str
    meaning: str
    samples: Sequence[Sample]


def measured(services: Services) -> list[Gauge]:
    """Spend, limits, age of the data, mode and waiting notices. Synchronous."""
    spends = services.review.spend(services.clock(), Detail.ENDS)
    return [*_of_budgets(spends, services.review.budgets), *_of_data(services), *_of_bot(services)]


def _of_budgets(spends: Sequence[BudgetSpend], budgets: Sequence[Budget]) -> list[Gauge]:
    return [
        Gauge(
            "claude_cost_spend_usd",
            "Spend of the budget's period so far, billed and computed.",
            [
                ({"budget": spend.budget, "scope": spend.scope, "period": spend.period}, spend.spent_usd)
                for spend in spends
            ],
        ),
        Gauge(
            "claude_cost_expected_usd",
            "Forecast spend at the end of the period; left out while unknown and while data is stale.",
            [
                ({"budget": spend.budget}, spend.expected_usd.quantize(CENT, ROUND_HALF_UP))
                for spend in spends
                if spend.expected_usd is not None
            ],
        ),
        Gauge(
            "claude_cost_assumed_models",
            "Models of unknown price, priced at the most expensive rate of their family.",
            [({"budget": spend.budget}, len(spend.assumed)) for spend in spends],
        ),
        Gauge(
            "claude_cost_limit_usd",
            "Limits of the budget.",
            [
                ({"budget": budget.name, "level": level}, limit)
                for budget in budgets
                for level, limit in (("soft", budget.soft_usd), ("hard", budget.hard_usd))
                if limit is not None
            ],
        ),
        Gauge(
            "claude_cost_limit_raised_from_usd",
            "Limits that are raised for a while, as they are without the raise.",
            [
                ({"budget": budget.name, "level": raised.kind}, raised.base_usd)
                for budget in budgets
                for raised in budget.raised
            ],
        ),
    ]


def _of_data(services: Services) -> list[Gauge]:
    data = services.snapshots.current().data
    as_of, attributed_as_of = data.as_of, services.attributed.current().as_of
    return [
        Gauge(
            "claude_cost_data_as_of_timestamp_seconds",
            "The moment up to which usage is known; time() minus this is the age of the data.",
            [] if as_of is None else [({}, Decimal(str(as_of.timestamp())))],
        ),
        Gauge(
            "claude_cost_attributed_as_of_timestamp_seconds",
            "The moment up to which Anthropic's own attribution is complete, where a budget counts it.",
            [] if attributed_as_of is None else [({}, Decimal(str(attributed_as_of.timestamp())))],
        ),
        Gauge(
            "claude_cost_data_stale",
            "1 while the data is stale and not extrapolated; otherwise 0.",
            [] if as_of is None else [({}, int(is_stale(data, services.clock(), services.poll_seconds)))],
        ),
    ]


def _of_bot(services: Services) -> list[Gauge]:
    mode = services.fallback.state().mode.name
    return [
        Gauge(
            "claude_cost_fallback_mode",
            "1 for the wanted fallback mode, 0 for the others.",
            [({"mode": name}, int(name == mode)) for name in dict.fromkeys([*services.fallback.modes, mode])],
        ),
        Gauge(
            "claude_cost_notices_waiting",
            "Notices waiting for delivery.",
            waiting(services.alerts.notices.undelivered(), services.alerts.destinations.undelivered()),
        ),
    ]


def waiting(in_slack: int, further: Mapping[str, int]) -> list[Sample]:
    """Waiting notices: those of the alert channel as `slack`, and those of each further destination by its name.

    A further destination that has the name `slack` too is `slack (further)`: equal labels would be one sample.
    """
    counts = {CHANNEL: in_slack}
    for name, number in further.items():
        label = name
        while label in counts or (label != name and label in further):
            label += " (further)"
        counts[label] = number
    return [({"destination": label}, number) for label, number in counts.items()]


def exposition(gauges: Iterable[Gauge]) -> str:
    """The exposition text. Gauges without a sample are left out."""
    lines = []
    for gauge in gauges:
        if gauge.samples:
            lines += [f"# HELP {gauge.name} {gauge.meaning}", f"# TYPE {gauge.name} gauge"]
            lines += [f"{gauge.name}{_labels(labels)} {_number(value)}" for labels, value in gauge.samples]
    return "".join(f"{line}\n" for line in lines)


def metrics_route(
    measure: Callable[[], Sequence[Gauge]], access: BearerAccess, in_thread: InThread = asyncio.to_thread
) -> web.RouteDef:
    """`GET /metrics`, behind `access`. `measure` is called in a thread, one call at a time."""
    one_at_a_time = asyncio.Lock()

    async def metrics(request: web.Request) -> web.StreamResponse:
        try:
            async with one_at_a_time:
                text = exposition(await in_thread(measure))
        except SQLAlchemyError as error:
            log.error("no metrics: the database is not responding (%s)", type(error).__name__)
            text = "The database is not responding: retry later.\n"
            return web.Response(text=text, status=503, headers={hdrs.RETRY_AFTER: str(RETRY_SECONDS)})
        return web.Response(body=text.encode(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    return web.get("/metrics", access.guard(metrics))


def _number(value: Decimal | int) -> str:
    # An exponent is allowed too; a plain number is easier to read.
    return str(value) if isinstance(value, int) else f"{value:f}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
