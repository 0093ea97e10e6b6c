"""Usage of the local Anthropic: events, and their sums in the form of the two report APIs."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import Any

from bot.clock import DAY
from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.tokens import STANDARD, Terms, TokenCounts

DEFAULT_WORKSPACE_ID = "wrkspc_default0000000000"
"""Id of the default workspace in analytics; the admin report has null."""


@dataclass(frozen=True, slots=True)
class User:
    """A person as in the analytics report."""

    id: str
    name: str | None = None
    email_address: str | None = None

    def shown(self) -> dict[str, Any]:
        return {
            "type": "user_actor",
            "user_id": self.id,
            "name": self.name,
            "email_address": self.email_address,
            "deleted": False,
        }


@dataclass(frozen=True, slots=True)
class Attribution:
    """Attribution of usage in the analytics report. `groups`: all groups of the user."""

    product: str = "messages_api"
    user: User | None = None
    groups: tuple[str, ...] = ()
    agent_id: str | None = None
    organization_id: str = "org_sandbox"


PLAIN = Attribution()


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Tokens used at one moment. `visible_at`: when the reports first show it, if later than usual.

    `hidden_from`: when a correction removes it.
    """

    at: datetime
    model: str
    counts: TokenCounts
    workspace_id: str | None = None
    api_key_id: str | None = None
    terms: Terms = STANDARD
    visible_at: datetime | None = None
    hidden_from: datetime | None = None
    attribution: Attribution = PLAIN


def _moment(event: UsageEvent) -> datetime:
    return event.at


class UsageHistory:
    """All events by time, and those that a report may show at a moment."""

    def __init__(self, events: Iterable[UsageEvent] = ()) -> None:
        self._events = sorted(events, key=_moment)

    def add(self, event: UsageEvent) -> None:
        insort(self._events, event, key=_moment)

    def correct(self, event: UsageEvent, at: datetime) -> None:
        """Hide this event from the reports from `at` on."""
        index = self._events.index(event, bisect_left(self._events, event.at, key=_moment))
        self._events[index] = replace(event, hidden_from=at)

    def shown(self, starts_at: datetime, ends_at: datetime, now: datetime, delay: timedelta) -> list[UsageEvent]:
        """Events of [`starts_at`, `ends_at`) that a report shows at `now`."""
        first = bisect_left(self._events, starts_at, key=_moment)
        last = bisect_left(self._events, ends_at, key=_moment)
        return [
            event
            for event in self._events[first:last]
            if (event.visible_at or event.at + delay) <= now and (event.hidden_from is None or event.hidden_from > now)
        ]


Group = tuple[str | None, ...]
Dimension = Callable[[UsageEvent], str | None]

DIMENSIONS: Mapping[str, Dimension] = {
    "model": lambda event: event.model,
    "workspace_id": lambda event: event.workspace_id,
    "api_key_id": lambda event: event.api_key_id,
    "service_tier": lambda event: event.terms.service_tier or "standard",
    "inference_geo": lambda event: event.terms.inference_geo or "global",
    "speed": lambda event: event.terms.speed or "standard",
    "context_window": lambda event: "0-200k" if event.counts.prompt_tokens <= 200_000 else "200k-1M",
}


Attributed = Callable[[UsageEvent], Sequence[Any]]

ATTRIBUTED: Mapping[str, Attributed] = {
    "product": lambda event: [event.attribution.product],
    "actor": lambda event: [_actor(event)],
    "rbac_group_id": lambda event: event.attribution.groups or [None],
    "agent_id": lambda event: [event.attribution.agent_id],
    "organization_id": lambda event: [event.attribution.organization_id],
}
"""Dimensions of the analytics APIs only, with the values that an event counts under."""

ANALYTICS_DIMENSIONS = (*DIMENSIONS, *ATTRIBUTED)


def _actor(event: UsageEvent) -> User | str | None:
    """A user, or the id of a key without a person."""
    return event.attribution.user or event.api_key_id


def _shown(value: Any) -> Any:
    if isinstance(value, User):
        return value.shown()
    if isinstance(value, str) and value.startswith("apikey_"):
        return {"type": "api_actor", "api_key_id": value}
    return value


def _places(event: UsageEvent, names: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """Groups of an event: several if its user is in several."""
    if ATTRIBUTED.keys().isdisjoint(names):
        return [tuple([DIMENSIONS[name](event) for name in names])]
    return product(*(ATTRIBUTED[name](event) if name in ATTRIBUTED else [DIMENSIONS[name](event)] for name in names))


def floor_to(moment: datetime, width: timedelta) -> datetime:
    """The start of the bucket that contains `moment`."""
    start = datetime(1970, 1, 1, tzinfo=UTC)
    return start + (moment - start) // width * width


def sums(
    events: Iterable[UsageEvent], width: timedelta, groups: Sequence[str]
) -> dict[datetime, dict[Group, TokenCounts]]:
    """Counts by bucket start, then by the values of the groups."""
    buckets: dict[datetime, dict[Group, TokenCounts]] = {}
    for event in events:
        bucket = buckets.setdefault(floor_to(event.at, width), {})
        group = tuple(DIMENSIONS[name](event) for name in groups)
        bucket[group] = bucket.get(group, TokenCounts()) + event.counts
    return buckets


@lru_cache(maxsize=100_000)
def cents(event: UsageEvent) -> Decimal:
    """Cost of an event at list prices, in cents."""
    prompt = event.counts.prompt_tokens
    cost = cost_of(
        load_rate_card(), event.model, event.counts, event.terms, event.at.date(), prompt_tokens=min(prompt, 100_000)
    )
    return cost.usd * 100


def flat_rows(
    events: Sequence[UsageEvent],
    bucket_of: Callable[[datetime], tuple[datetime, datetime]],
    names: Sequence[str],
    kind: str,
    value: Callable[[TokenCounts, Decimal], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Rows of the analytics reports, largest first. `value`: fields of a row from its counts and cents.

    `bucket_of`: start and end of the bucket of a moment.
    """
    dimensional = [name for name in names if name in ANALYTICS_DIMENSIONS]
    groups: dict[tuple[tuple[datetime, datetime], tuple[Any, ...]], tuple[TokenCounts, Decimal]] = {}
    # Many events share their moment, since the simulated team works in steps.
    buckets = {moment: bucket_of(moment) for moment in {event.at for event in events}}
    for event in events:
        for group in _places(event, dimensional):
            place = buckets[event.at], group
            counts, money = groups.get(place, (TokenCounts(), Decimal(0)))
            groups[place] = counts + event.counts, money + (cents(event) if kind == "cost" else 0)

    def size(counts: TokenCounts, money: Decimal) -> Decimal | int:
        return money if kind == "cost" else counts.prompt_tokens + counts.output_tokens

    rows = []
    for (bucket, group), (counts, money) in sorted(groups.items(), key=lambda item: size(*item[1]), reverse=True):
        dimensions = dict.fromkeys(ANALYTICS_DIMENSIONS) | {
            name: _shown(value) if name == "actor" else value for name, value in zip(dimensional, group, strict=True)
        }
        if "workspace_id" in names and dimensions["workspace_id"] is None:
            dimensions["workspace_id"] = DEFAULT_WORKSPACE_ID
        if kind == "cost":
            dimensions["cost_type"] = "tokens" if "cost_type" in names else None
        rows.append(
            {
                "starting_at": rfc3339(bucket[0]),
                "ending_at": rfc3339(bucket[1]),
                "group": dimensions,
                kind: value(counts, money),
            }
        )
    return rows


def counters(counts: TokenCounts) -> dict[str, Any]:
    """Counts under the names that both generations of the API share."""
    return {
        "uncached_input_tokens": counts.uncached_input_tokens,
        "cache_read_input_tokens": counts.cache_read_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_creation_5m_input_tokens,
            "ephemeral_1h_input_tokens": counts.cache_creation_1h_input_tokens,
        },
        "output_tokens": counts.output_tokens,
        "server_tool_use": {"web_search_requests": counts.web_search_requests},
    }


def analytics_counters(counts: TokenCounts) -> dict[str, Any]:
    """Counts in the form of the analytics API."""
    return counters(counts) | {"total_tokens": counts.prompt_tokens + counts.output_tokens, "requests": None}


def rfc3339(moment: datetime) -> str:
    """A moment as Anthropic writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class BilledLine:
    """One line of a day's bill, in cents. `list_cents`: before discounts, equal if there are none."""

    day: date
    cents: Decimal
    model: str | None = None
    workspace_id: str | None = None
    cost_type: str = "tokens"
    list_cents: Decimal | None = None

    @property
    def starts_at(self) -> datetime:
        return datetime.combine(self.day, time(), UTC)


def admin_results(lines: Iterable[BilledLine], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of one day of the admin cost report, grouped by `names`."""
    described = "description" in names
    return [
        {
            "amount": str(line.cents),
            "currency": "USD",
            "workspace_id": line.workspace_id if "workspace_id" in names else None,
            "description": f"{line.model or line.cost_type} Usage" if described else None,
            "model": line.model if described else None,
            "cost_type": line.cost_type if described else None,
        }
        for line in lines
    ]


def analytics_rows(lines: Iterable[BilledLine], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the analytics cost report by the day, grouped by `names`."""
    rows = []
    for line in lines:
        group: dict[str, Any] = dict.fromkeys((*ANALYTICS_DIMENSIONS, "cost_type"))
        if "workspace_id" in names:
            group["workspace_id"] = line.workspace_id or DEFAULT_WORKSPACE_ID
        if "model" in names:
            group["model"] = line.model
        if "cost_type" in names:
            group["cost_type"] = line.cost_type
        rows.append(
            {
                "starting_at": rfc3339(line.starts_at),
                "ending_at": rfc3339(line.starts_at + DAY),
                "group": group,
                "cost": {
                    "amount": str(line.cents),
                    "list_amount": str(line.cents if line.list_cents is None else line.list_cents),
                    "currency": "USD",
                    "requests": None,
                },
            }
        )
    return rows
