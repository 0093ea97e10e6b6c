"""Services that read the fallback mode over HTTP follow at once: they ask with an ETag, or wait on a stream."""

import asyncio
import json
import signal
import socket
from datetime import timedelta

import httpx
import pytest

from bot.fallback.service import ModeState
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World
from tests.scenario.http_port import PATIENCE, events, free_port, next_mode, served, type_in_slack

MODE, STREAM = "/v1/fallback", "/v1/fallback/stream"
NORMAL = {"CLAUDE_FALLBACK_MODE": "normal"}
DEGRADED = {
    "CLAUDE_FALLBACK_MODE": "degraded",
    "CLAUDE_MODEL": "claude-sonnet-5-5",
    "CLAUDE_FALLBACK_CHAIN": "claude-sonnet-5-5,claude-haiku-5-5",
}
TOKEN = "a-token-for-reading"


async def switch(bot: Bot, mode: str, reason: str = "a test") -> ModeState:
    fallback = bot.services.fallback
    return await asyncio.to_thread(fallback.switch, fallback.modes[mode], ADMIN, reason, (), None)


async def test_before_any_switch_the_mode_is_normal_and_nobody_is_named(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot) as client:
        answer = await client.get(MODE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {
        "mode": "normal",
        "variables": NORMAL,
        "since": None,
        "until": None,
        "by": None,
        "reason": None,
    }


async def test_a_switch_says_since_when_by_whom_and_why(simulated: World, clock: HandClock) -> None:
    async with simulated.bot() as bot, served(bot) as client:
        clock.advance(timedelta(minutes=5))
        await switch(bot, "degraded", "予算超過\n<!channel>")
        answer = (await client.get(MODE)).json()
    assert (answer["mode"], answer["variables"], answer["by"]) == ("degraded", DEGRADED, ADMIN)
    assert (answer["since"], answer["until"]) == ("2026-11-16T09:05:00Z", None)
    assert answer["reason"] == "予算超過\n<!channel>"


async def test_whoever_knows_the_etag_gets_304_until_the_mode_changes(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot) as client:
        etag = (await client.get(MODE)).headers["etag"]
        assert not etag.startswith("W/")
        for known in (etag, f"W/{etag}", f'"another", {etag}', "*"):
            unchanged = await client.get(MODE, headers={"If-None-Match": known})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
        assert (await client.get(MODE, headers={"If-None-Match": '"another"'})).status_code == 200
        assert (await client.get(MODE, headers={"If-None-Match": "no etag at all"})).status_code == 200
        await switch(bot, "minimal")
        changed = await client.get(MODE, headers={"If-None-Match": etag})
        assert (changed.status_code, changed.json()["mode"]) == (200, "minimal")
        assert changed.headers["etag"] != etag


async def test_a_stream_begins_with_the_present_mode_and_its_ids_are_the_etags(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot) as client, client.stream("GET", STREAM) as answer:
        stream = events(answer)
        for mode in ("normal", "degraded", "normal"):
            await switch(bot, mode)
            event = await asyncio.wait_for(anext(stream), PATIENCE)
            now = await client.get(MODE)
            assert (event["event"], event["id"]) == ("fallback", now.headers["etag"])
            assert json.loads(event["data"]) == now.json()
            assert now.json()["mode"] == mode


async def test_what_another_copy_on_the_same_database_switches_reaches_this_copys_readers(simulated: World) -> None:
    async with (
        simulated.bot() as other,
        simulated.bot() as one,
        served(one) as client,
        client.stream("GET", STREAM) as answer,
    ):
        stream = events(answer)
        assert (await next_mode(stream))["mode"] == "normal"
        await switch(other, "degraded")
        assert (await client.get(MODE)).json()["variables"] == DEGRADED
        assert (await next_mode(stream))["variables"] == DEGRADED


async def test_a_switch_in_slack_reaches_a_stream_and_a_poller(simulated: World) -> None:
    async with simulated.connected_bot() as bot, served(bot) as client, client.stream("GET", STREAM) as answer:
        stream = events(answer)
        assert (await next_mode(stream))["variables"] == NORMAL
        etag = (await client.get(MODE)).headers["etag"]
        waiting = asyncio.create_task(next_mode(stream))
        assert "normal → degraded" in await type_in_slack(simulated, "fallback on because the budget is gone")
        received = await waiting
        assert (received["mode"], received["variables"], received["by"]) == ("degraded", DEGRADED, ADMIN)
        assert received["reason"] == "the budget is gone"
        polled = await client.get(MODE, headers={"If-None-Match": etag})
        assert polled.json() == received
        await type_in_slack(simulated, "fallback off")
        assert (await next_mode(stream))["variables"] == NORMAL


async def test_with_a_token_only_who_sends_it_may_read(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot, TOKEN) as client:
        for method, path in (("GET", MODE), ("GET", STREAM), ("POST", "/ofrep/v1/evaluate/flags")):
            refused = await client.request(method, path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == 'Bearer realm="claude-cost"'
            assert "CLAUDE_COST_READ_TOKEN" in refused.json()["error"]
            wrong = await client.request(method, path, headers={"Authorization": "Bearer another"})
            assert (wrong.status_code, "invalid_token" in wrong.headers["www-authenticate"]) == (401, True)
            no_text = await client.request(method, path, headers=[(b"Authorization", b"Bearer \xff\xfe")])
            assert no_text.status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get(MODE, headers=headers)).status_code == 200
        async with client.stream("GET", STREAM, headers=headers) as answer:
            assert (await next_mode(events(answer)))["mode"] == "normal"
        assert (await client.get("/healthz")).status_code == 200


async def test_a_start_that_others_could_reach_without_a_token_is_refused(world: World) -> None:
    changes = {"CLAUDE_COST_HTTP_HOST": "0.0.0.0", "CLAUDE_COST_HTTP_PORT": str(free_port())}
    finished = await world.command("run", **changes)
    assert finished.code == 2
    (sentence,) = finished.err.splitlines()
    assert sentence.startswith("CLAUDE_COST_READ_TOKEN is missing")
    assert "CLAUDE_COST_HTTP_HOST" in sentence


async def test_a_port_that_is_taken_ends_the_start_with_one_sentence(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        finished = await world.command("run", CLAUDE_COST_HTTP_PORT=str(taken.getsockname()[1]))
    assert finished.code == 2
    assert "Traceback" not in finished.err
    assert finished.err.splitlines()[-1].startswith("CLAUDE_COST_HTTP_PORT")


async def test_the_end_of_the_bot_is_a_clean_end_of_every_stream(world: World) -> None:
    port = free_port()
    changes = {
        "CLAUDE_COST_HTTP_HOST": "0.0.0.0",
        "CLAUDE_COST_HTTP_PORT": str(port),
        "CLAUDE_COST_READ_TOKEN": TOKEN,
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with world.running(**changes) as process:
        await world.slack.wait_connected(seconds=PATIENCE)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            assert (await client.get(MODE, headers={"Authorization": ""})).status_code == 401
            async with client.stream("GET", STREAM) as answer:
                stream = events(answer)
                assert (await next_mode(stream))["mode"] == "normal"
                await type_in_slack(world, "fallback on")
                assert (await next_mode(stream))["mode"] == "degraded"
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(PATIENCE):
                    with pytest.raises(StopAsyncIteration):
                        await next_mode(stream)
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    assert b"Traceback" not in err
    assert TOKEN.encode() not in err
