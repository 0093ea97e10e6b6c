"""The organization's own rate limits, read over HTTP from the local Anthropic in every documented shape."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import SecretStr

from bot.pricing.throughput import Coverage, Load, Pool, fit, fit_lines, load_rate_limits, pool_of
from bot.sandbox.anthropic_limits import RATE_LIMITS, LimitGroup, LimitTable, Shape, serve_rate_limits
from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_KEY, AnthropicSandbox
from bot.sandbox.anthropic_usage import UsageHistory
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.usage.anthropic.client import ATTEMPTS, Transport
from bot.usage.anthropic.limits import OwnLimits, read_rate_limits

OPUS = "claude-opus-5-5"
OPUS_4 = ("claude-opus-4-5", "claude-opus-4-5-20251101", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8")
QUEUE = pool_of("", load_rate_limits().limits, batch=True)

# The documented example.
GROUPS = [
    LimitGroup(
        "model_group",
        {"requests_per_minute": 4000, "input_tokens_per_minute": 10_000_000, "output_tokens_per_minute": 800_000},
        (OPUS,),
        "Claude Opus 5.5",
    ),
    LimitGroup(
        "model_group",
        {"requests_per_minute": 2000, "input_tokens_per_minute": 5_000_000, "output_tokens_per_minute": 400_000},
        OPUS_4,
        "Claude Opus 4.x",
    ),
    LimitGroup("batch", {"enqueued_batch_requests": 500_000}),
    LimitGroup("web_search", {"tool_uses_per_second": 30}),
    LimitGroup("token_count", {"requests_per_minute": 2000}),
]


@dataclass(slots=True)
class Organization:
    """A local Anthropic with its own limits, and the waits between attempts."""

    server: AnthropicSandbox
    table: LimitTable
    slept: list[float]

    async def read(self, key: str | None = ADMIN_KEY, most_waiting: timedelta | None = None) -> OwnLimits:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)

        secret = None if key is None else SecretStr(key)
        async with httpx.AsyncClient(base_url=self.server.origin) as http:
            return await read_rate_limits(Transport(http, secret, most_waiting=most_waiting, sleep=sleep))

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        return [query for path, query in self.server.requests if path == RATE_LIMITS]


@asynccontextmanager
async def organization_at(clock: HandClock, answer: Handler | None = None) -> AsyncIterator[Organization]:
    """With limits as documented, or with the response of another server."""
    server = AnthropicSandbox(clock, UsageHistory())
    table = LimitTable(list(GROUPS))
    if answer is None:
        serve_rate_limits(server, table)
    else:
        server.app.router.add_get(RATE_LIMITS, answer)
    async with server:
        yield Organization(server, table, [])


@pytest.fixture
async def organization(clock: HandClock) -> AsyncIterator[Organization]:
    async with organization_at(clock) as organization:
        yield organization


def answering(body: object) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    return answer


@pytest.mark.parametrize("shape", ["group_type", "both", "group"])
async def test_every_documented_shape_is_read_alike(organization: Organization, shape: Shape) -> None:
    organization.table.shape = shape
    own = await organization.read()
    assert own.why_not is None
    assert own.measured == {
        Pool("Opus 5.5", frozenset({OPUS})): {
            "requests_per_minute": 4000,
            "input_tokens_per_minute": 10_000_000,
            "output_tokens_per_minute": 800_000,
        },
        Pool("Opus 4.x", frozenset(OPUS_4)): {
            "requests_per_minute": 2000,
            "input_tokens_per_minute": 5_000_000,
            "output_tokens_per_minute": 400_000,
        },
        QUEUE: {"enqueued_batch_requests": 500_000},
    }


async def test_the_limits_that_were_read_decide_whether_a_workload_fits(organization: Organization) -> None:
    own = await organization.read()
    # By the standard table this peak needs tier Build.
    needed = Load(OPUS, Decimal(390), Decimal(1000), Decimal(1000))
    found = fit([needed], Decimal(400), Decimal(10), own.measured)
    assert found.own_coverage is Coverage.COVERED
    assert fit_lines(found)[1] == "Fits your organization's own rate limits."
    both = fit([needed, Load(OPUS_4[1], Decimal(201), Decimal(0), Decimal(0))], Decimal(400), Decimal(10), own.measured)
    assert fit_lines(both)[2] == (
        "Does not fit your organization's own rate limits: it allows Opus 4.x 2,000 requests a minute, but 2,010 are "
        "needed at the peak."
    )


async def test_pages_are_followed_to_the_end(organization: Organization) -> None:
    at_once = await organization.read()
    organization.table.most_per_page = 2
    assert await organization.read() == at_once
    assert [[name for name, _ in query] for query in organization.asked] == [[], [], ["page"], ["page"]]


async def test_a_group_without_a_label_has_the_name_of_the_table_or_of_its_first_model(
    organization: Organization,
) -> None:
    organization.table.shape = "group_type"
    organization.table.groups = [
        LimitGroup("model_group", {}, ("claude-next-9", "claude-next-9-1")),
        LimitGroup("model_group", {}, ("claude-opus-4-5-20251101", "claude-opus-4-5")),
    ]
    own = await organization.read()
    assert own.measured is not None
    assert [pool.name for pool in own.measured] == ["claude-next-9", "Opus 4.x"]


async def test_of_two_input_limits_the_lower_one_binds_and_unknown_limiters_are_left_alone(
    organization: Organization,
) -> None:
    reported = {
        "input_tokens_per_minute_cache_aware": 7,
        "input_tokens_per_minute": 9,
        "fast_otpm": 1,
        "something_new": 2,
    }
    organization.table.groups = [LimitGroup("model_group", reported, (OPUS,))]
    own = await organization.read()
    assert own.measured == {Pool("Opus 5.5", frozenset({OPUS})): {"input_tokens_per_minute": 7}}


async def test_a_limit_of_zero_is_a_limit(organization: Organization) -> None:
    organization.table.groups = [LimitGroup("model_group", {"requests_per_minute": 0}, (OPUS,))]
    own = await organization.read()
    assert own.measured == {Pool("Opus 5.5", frozenset({OPUS})): {"requests_per_minute": 0}}


async def test_pages_that_lead_back_to_themselves_end_the_reading(clock: HandClock) -> None:
    calls: list[str] = []

    async def again(request: web.Request) -> web.StreamResponse:
        calls.append(request.query_string)
        return web.json_response({"data": [], "next_page": "again"})

    async with organization_at(clock, again) as organization:
        assert (await organization.read()).measured is None
    assert calls == ["", "page=again"]


async def test_an_organization_without_groups_has_no_known_limits_rather_than_limits_of_zero(
    organization: Organization,
) -> None:
    organization.table.groups = []
    own = await organization.read()
    assert own == OwnLimits({})
    found = fit([Load(OPUS, Decimal(1), Decimal(1), Decimal(1))], Decimal(1), Decimal(1), own.measured)
    assert found.own_coverage is Coverage.UNKNOWN


@pytest.mark.parametrize("key", [ANALYTICS_KEY, "sk-ant-api03-workspace", "", None, "schlüssel"])
async def test_a_key_that_may_not_read_limits_is_named_with_the_remedy(
    organization: Organization, key: str | None
) -> None:
    own = await organization.read(key)
    assert own == OwnLimits(
        None,
        "Your organization's own rate limits are not known: ANTHROPIC_ADMIN_KEY may not read them; an Admin key of an "
        "organization may.",
    )


async def test_a_server_without_the_endpoint_leaves_the_table_to_answer(clock: HandClock) -> None:
    server = AnthropicSandbox(clock, UsageHistory())
    async with server:
        own = await Organization(server, LimitTable(), []).read()
    assert own.measured is None
    assert own.why_not == (
        "Your organization's own rate limits are not known: they are not served at ANTHROPIC_BASE_URL, or not to this "
        "organization; the Console shows them."
    )


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("status", status=400), "(HTTP 400)"),
        (Fault("status", status=410), "has expired"),
        (Fault("status", status=429, retry_after="1"), "(HTTP 429)"),
        (Fault("status", status=529), "(HTTP 529)"),
        (Fault("drop"), "cannot be reached"),
        (Fault("not_json"), "documented shape"),
        (Fault("html", status=200), "documented shape"),
    ],
)
async def test_every_other_failure_is_one_sentence_and_no_limits(
    organization: Organization, fault: Fault, sentence: str
) -> None:
    organization.server.faults.add(RATE_LIMITS, fault, times=ATTEMPTS)
    own = await organization.read()
    assert own.measured is None
    assert own.why_not is not None
    assert own.why_not.startswith("Your organization's own rate limits are not known: ")
    assert sentence in own.why_not
    assert ADMIN_KEY not in own.why_not


async def test_a_fault_that_passes_costs_a_wait_and_not_the_limits(organization: Organization) -> None:
    organization.server.faults.add(RATE_LIMITS, Fault("status", status=429, retry_after="7"))
    own = await organization.read()
    assert own.measured
    assert organization.slept == [7]


async def test_a_reader_who_cannot_wait_is_answered_at_once(organization: Organization) -> None:
    organization.server.faults.add(RATE_LIMITS, Fault("status", status=429, retry_after="7"), times=ATTEMPTS)
    own = await organization.read(most_waiting=timedelta(seconds=3))
    assert (own.measured, organization.slept) == (None, [])


def entry(**fields: object) -> dict[str, object]:
    return {"type": "rate_limit", "group_type": "model_group", "models": [OPUS], "limits": []} | fields


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None, "next_page": None},
        {"data": ["a"], "next_page": None},
        {"data": [entry(group_type=None)], "next_page": None},
        {"data": [entry(models=OPUS)], "next_page": None},
        {"data": [entry(limits=None)], "next_page": None},
        {"data": [entry(limits=[{"type": "requests_per_minute"}])], "next_page": None},
        {"data": [entry(limits=[{"type": "requests_per_minute", "value": -1}])], "next_page": None},
        {"data": [entry(limits=[{"type": "requests_per_minute", "value": "many"}])], "next_page": None},
        {"data": [entry()], "next_page": "again"},
        {"data": [entry()], "next_page": 7},
    ],
)
async def test_an_answer_in_another_shape_is_no_answer(clock: HandClock, body: object) -> None:
    async with organization_at(clock, answering(body)) as organization:
        own = await organization.read()
    assert own == OwnLimits(
        None,
        "Your organization's own rate limits are not known: Anthropic's answer does not have the documented shape; the "
        "Console shows them.",
    )


async def test_odd_values_of_limiters_and_groups_that_are_not_used_do_no_harm(clock: HandClock) -> None:
    body = {
        "data": [
            entry(limits=[{"type": "fast_otpm", "value": "much"}, {"type": "requests_per_minute", "value": None}]),
            entry(group_type="web_search", models=None, limits=[{"type": "tool_uses_per_second", "value": 0.5}]),
            entry(group_type="something_new", models=None, limits=[{}]),
            entry(models=[]),
            entry(models=None),
        ]
    }
    async with organization_at(clock, answering(body)) as organization:
        assert await organization.read() == OwnLimits({Pool("Opus 5.5", frozenset({OPUS})): {}})


async def ask(organization: Organization, query: str, version: str | None = "2023-06-01") -> httpx.Response:
    headers = {"x-api-key": ADMIN_KEY} | ({} if version is None else {"anthropic-version": version})
    async with httpx.AsyncClient(base_url=organization.server.origin, headers=headers) as http:
        return await http.get(f"{RATE_LIMITS}{query}")


async def test_the_local_anthropic_filters_as_documented(organization: Organization) -> None:
    batch = (await ask(organization, "?group_type=batch")).json()
    assert [found["group"] for found in batch["data"]] == [{"type": "batch", "id": "rlg_02"}]
    model = (await ask(organization, "?model=claude-opus-4-7")).json()
    assert [found["group"]["display_name"] for found in model["data"]] == ["Claude Opus 4.x"]
    first = (await ask(organization, "?limit=1")).json()
    assert len(first["data"]) == 1
    assert first["next_page"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("?model=claude-none", 404), ("?group_type=cars", 400), ("?limit=0", 400), ("?after_id=a", 400)],
)
async def test_the_local_anthropic_refuses_what_is_not_documented(
    organization: Organization, query: str, status: int
) -> None:
    assert (await ask(organization, query)).status_code == status


async def test_the_local_anthropic_wants_a_version(organization: Organization) -> None:
    assert (await ask(organization, "", version=None)).status_code == 400
