"""OpenFeature: the real SDK with its OFREP provider, and the protocol's words on the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import responses
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from bot.runner.cycle import Bot
from bot.sandbox.slack_workspace import ADMIN
from bot.web.fallback import typed
from tests.scenario.conftest import World
from tests.scenario.http_port import PATIENCE, events, next_mode, served, type_in_slack

FLAGS = "/ofrep/v1/evaluate/flags"
TOKEN = "a-token-for-reading"
OWN_DEFAULT = "claude-opus-5-5"

Connect = Callable[[httpx.AsyncClient, dict[str, str]], OpenFeatureClient]


@pytest.fixture
def sdk() -> Iterator[Connect]:
    """The SDK on a served port, with a service's headers; it may reach this machine and nothing else."""
    sessions = []

    def connect(port: httpx.AsyncClient, headers: dict[str, str]) -> OpenFeatureClient:
        provider = OFREPProvider(str(port.base_url), headers_factory=lambda: headers)
        sessions.append(provider.session)
        api.set_provider_and_wait(provider)
        return api.get_client()

    with responses.RequestsMock(assert_all_requests_are_fired=False) as requests:
        requests.add_passthru("http://127.0.0.1")
        try:
            yield connect
        finally:
            api.shutdown()
            api.clear_providers()
            for session in sessions:
                session.close()


async def model(client: OpenFeatureClient) -> str:
    """The model that a service uses which asks the SDK and has a default of its own."""
    return await asyncio.to_thread(client.get_string_value, "CLAUDE_MODEL", OWN_DEFAULT)


async def switch(bot: Bot, mode: str) -> None:
    fallback = bot.services.fallback
    await asyncio.to_thread(fallback.switch, fallback.modes[mode], ADMIN, "a test", (), None)


@asynccontextmanager
async def degraded(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.bot() as bot, served(bot) as client:
        await switch(bot, "degraded")
        yield client


async def test_the_sdk_uses_a_services_own_default_until_a_mode_sets_the_model(simulated: World, sdk: Connect) -> None:
    async with simulated.bot() as bot, served(bot) as port:
        client = sdk(port, {})
        assert await model(client) == OWN_DEFAULT
        unknown = await asyncio.to_thread(client.get_string_details, "CLAUDE_MODEL", OWN_DEFAULT)
        assert (unknown.error_code, unknown.reason) == (ErrorCode.FLAG_NOT_FOUND, Reason.ERROR)
        assert "use your own default" in (unknown.error_message or "")
        await switch(bot, "degraded")
        context = EvaluationContext("a-user", {"plan": "free"})
        known = await asyncio.to_thread(client.get_string_details, "CLAUDE_MODEL", OWN_DEFAULT, context)
        assert (known.value, known.variant, known.reason) == ("claude-sonnet-5-5", "degraded", Reason.STATIC)
        assert known.error_code is None
        chain = await asyncio.to_thread(client.get_string_value, "CLAUDE_FALLBACK_CHAIN", "")
        assert chain == "claude-sonnet-5-5,claude-haiku-5-5"
        mismatch = await asyncio.to_thread(client.get_boolean_details, "CLAUDE_MODEL", False)
        assert (mismatch.value, mismatch.error_code) == (False, ErrorCode.TYPE_MISMATCH)


async def test_the_sdk_has_the_token_or_falls_back_to_the_services_own_default(simulated: World, sdk: Connect) -> None:
    async with simulated.bot() as bot, served(bot, TOKEN) as port:
        await switch(bot, "minimal")
        assert await model(sdk(port, {"Authorization": f"Bearer {TOKEN}"})) == "claude-haiku-5-5"
        assert await model(sdk(port, {})) == OWN_DEFAULT


async def test_one_switch_in_slack_reaches_a_stream_a_poller_and_the_sdk(simulated: World, sdk: Connect) -> None:
    async with (
        simulated.connected_bot() as bot,
        served(bot) as port,
        port.stream("GET", "/v1/fallback/stream") as answer,
    ):
        client, stream = sdk(port, {}), events(answer)
        assert (await next_mode(stream))["mode"] == "normal"
        etag = (await port.get("/v1/fallback")).headers["etag"]
        assert (await port.get("/v1/fallback", headers={"If-None-Match": etag})).status_code == 304
        assert await model(client) == OWN_DEFAULT
        waiting = asyncio.create_task(next_mode(stream))

        await type_in_slack(simulated, "fallback on")

        assert await model(client) == "claude-sonnet-5-5"
        polled = await port.get("/v1/fallback", headers={"If-None-Match": etag})
        assert polled.json()["variables"]["CLAUDE_MODEL"] == "claude-sonnet-5-5"
        assert await asyncio.wait_for(waiting, PATIENCE) == polled.json()


async def test_every_variable_of_a_configured_mode_is_a_flag(simulated: World) -> None:
    config = simulated.folder / "bot.toml"
    config.write_text('[mode.quiet]\nOUR_FEATURE = "off"\n', encoding="utf-8")
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot, served(bot) as client:
        await switch(bot, "quiet")
        flags = (await client.post(FLAGS, json={"context": {"targetingKey": "anybody"}})).json()["flags"]
        alone = (await client.post(f"{FLAGS}/OUR_FEATURE", json={})).json()
    named = {"reason": "STATIC", "variant": "quiet"}
    assert flags == [
        {"key": "CLAUDE_FALLBACK_MODE", "value": "quiet", **named},
        {"key": "OUR_FEATURE", "value": "off", **named},
    ]
    assert alone == flags[1]


async def test_a_bulk_evaluation_is_answered_with_304_until_the_mode_changes(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot) as client:
        first = await client.post(FLAGS, json={})
        assert [flag["key"] for flag in first.json()["flags"]] == ["CLAUDE_FALLBACK_MODE"]
        known = {"If-None-Match": first.headers["etag"]}
        unchanged = await client.post(FLAGS, json={}, headers=known)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        await switch(bot, "minimal")
        changed = await client.post(FLAGS, json={}, headers=known)
        assert changed.status_code == 200
        assert {flag["key"]: flag["value"] for flag in changed.json()["flags"]} == {
            "CLAUDE_FALLBACK_MODE": "minimal",
            "CLAUDE_MODEL": "claude-haiku-5-5",
            "CLAUDE_FALLBACK_CHAIN": "claude-haiku-5-5",
        }


@pytest.mark.parametrize("key", ["claude_model", "HOME", "a flag/with a slash", "予算", "two\nlines"])
async def test_an_unknown_flag_is_not_found(simulated: World, key: str) -> None:
    async with degraded(simulated) as client:
        answer = await client.post(f"{FLAGS}/{quote(key)}", json={"context": {}})
    assert answer.status_code == 404
    body = answer.json()
    assert (body["key"], body["errorCode"]) == (key, "FLAG_NOT_FOUND")
    assert "degraded" in body["errorDetails"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b'"text"', "PARSE_ERROR"),
        (b"\xff\xfe", "PARSE_ERROR"),
        (b"[" * 100_000, "PARSE_ERROR"),
        (b'{"context": 3}', "INVALID_CONTEXT"),
        (b'{"context": ["a"]}', "INVALID_CONTEXT"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_malformed_body_is_refused_in_the_protocols_words(simulated: World, body: bytes, code: str) -> None:
    async with degraded(simulated) as client:
        one = await client.post(f"{FLAGS}/CLAUDE_MODEL", content=body)
        bulk = await client.post(FLAGS, content=body)
    failure: dict[str, Any] = one.json()
    assert (one.status_code, failure["key"], failure["errorCode"]) == (400, "CLAUDE_MODEL", code)
    assert (bulk.status_code, bulk.json()["errorCode"]) == (400, code)
    assert failure["errorDetails"].endswith(".")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"context": null}', b'{"context": {"targetingKey": "x", "deep": [{}]}}']
)
async def test_a_context_may_be_left_out_and_changes_nothing(simulated: World, body: bytes) -> None:
    async with degraded(simulated) as client:
        answer = await client.post(f"{FLAGS}/CLAUDE_MODEL", content=body)
    assert answer.status_code == 200
    assert answer.json() == {
        "key": "CLAUDE_MODEL",
        "value": "claude-sonnet-5-5",
        "reason": "STATIC",
        "variant": "degraded",
    }


async def test_a_value_that_looks_like_a_boolean_or_a_number_is_one_for_the_sdk(simulated: World, sdk: Connect) -> None:
    config = simulated.folder / "bot.toml"
    config.write_text(
        '[mode.quiet]\nSUMMARIES_ENABLED = "false"\nMAX_TOKENS = "500"\nSHARE = "0.25"\nZIP = "007"\nWORD = "off"\n',
        encoding="utf-8",
    )
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot, served(bot) as port:
        client = sdk(port, {})
        assert await asyncio.to_thread(client.get_boolean_value, "SUMMARIES_ENABLED", True)
        await switch(bot, "quiet")
        assert await asyncio.to_thread(client.get_boolean_value, "SUMMARIES_ENABLED", True) is False
        assert await asyncio.to_thread(client.get_integer_value, "MAX_TOKENS", 1) == 500
        assert await asyncio.to_thread(client.get_float_value, "SHARE", 1.0) == 0.25
        assert await asyncio.to_thread(client.get_string_value, "ZIP", "") == "007"
        assert await asyncio.to_thread(client.get_string_value, "WORD", "") == "off"
        assert await asyncio.to_thread(client.get_string_value, "CLAUDE_FALLBACK_MODE", "") == "quiet"
        as_text = await asyncio.to_thread(client.get_string_details, "SUMMARIES_ENABLED", "own default")
        assert (as_text.value, as_text.error_code) == ("own default", ErrorCode.TYPE_MISMATCH)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("true", True), ("True", True), ("false", False), ("FALSE", False)),
        *(("0", 0), ("-12", -12), ("500", 500), ("0.5", 0.5), ("-2.50", -2.5), ("3.0", 3.0)),
        *((text, text) for text in ("", "yes", "off", "007", "-0", "+1", "1e5", "1_000", "1,5", ".5", "5.", "NaN")),
        *((text, text) for text in ("١", "1.2.3", "12345678901234567890", " 1", "truetrue", "1\n")),
    ],
)
def test_the_form_of_a_value_decides_its_type(text: str, value: object) -> None:
    found = typed(text)
    assert (found, type(found)) == (value, type(value))


async def test_a_slash_at_the_end_changes_nothing(simulated: World) -> None:
    async with degraded(simulated) as client:
        for path in (FLAGS, f"{FLAGS}/CLAUDE_MODEL"):
            plain, slashed = await client.post(path, json={}), await client.post(f"{path}/", json={})
            assert (slashed.status_code, slashed.json()) == (200, plain.json())
        assert (await client.post(f"{FLAGS}/HOME/", json={})).json()["key"] == "HOME"


async def test_a_tag_is_known_with_and_without_its_quotes(simulated: World) -> None:
    async with degraded(simulated) as client:
        tag = (await client.post(FLAGS, json={})).headers["etag"].strip('"')
        for form in ("{}", '"{}"', 'W/"{}"', "W/{}", "x, {}", '"x","{}"', "*"):
            known = {"If-None-Match": form.format(tag)}
            assert (await client.post(FLAGS, json={}, headers=known)).status_code == 304
            other = {"If-None-Match": form.replace("*", "-").format(tag[:-1])}
            assert (await client.post(FLAGS, json={}, headers=other)).status_code == 200
