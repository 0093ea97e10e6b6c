"""Polls that fail: no number changes, the reason is kept, and the next good poll clears it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from bot.clock import DAY, HOUR
from bot.config.settings import Need, load_settings
from bot.language import spoken
from bot.sandbox.anthropic_server import ADMIN_KEY
from bot.usage.model import DataState, UsageChoice
from bot.usage.poller import Poller, build_poller
from tests.anthropic_reports import (
    ANALYTICS_USAGE,
    KEYS,
    MINUTE,
    MONTH,
    NOW,
    USAGE,
    Answering,
    Reports,
    drops,
    fails,
    fill,
    passes,
    poll,
    reports_in,
    says,
)


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    async with reports_in(tmp_path) as reports:
        yield reports


@pytest.fixture
def many_pages(reports: Reports) -> None:
    """Three hours of minutes take several pages on either API."""
    reports.server.page_most = 10


FAILURES: list[Answering] = [
    fails(500),
    fails(429),
    fails(401),
    fails(403),
    fails(404),
    fails(400),
    fails(410),
    drops,
    says("<html>Bad gateway</html>"),
    says("{"),
    says({}),
    says({"data": None, "has_more": False}),
    says({"data": [{}], "has_more": False}),
]


@pytest.mark.parametrize("choice", ["admin", "analytics"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_poll_whose_second_page_fails_leaves_everything_as_it_was_until_a_good_one(
    reports: Reports, many_pages: None, choice: UsageChoice, failure: Answering
) -> None:
    path = USAGE if choice == "admin" else ANALYTICS_USAGE
    poller = reports.poller(choice)
    for minutes in range(25):
        reports.use(1, NOW - minutes * MINUTE - 5 * MINUTE)
    await poll(reports, poller)
    stored, known = reports.stored(), reports.store.hours(MONTH)
    before = reports.store.data_state()
    reports.clock.advance(MINUTE)
    reports.use(100, NOW - 30 * MINUTE)
    # Every page after a first one fails, however often the range is begun anew.
    reports.wire.script(path, passes, *[failure] * 4, passes, *[failure] * 4)
    outcome = await poller.poll(MONTH)
    assert not outcome.ok
    assert outcome.error
    data = reports.store.data_state()
    assert replace(data, error=spoken(data.error or "")) == replace(
        before, error=outcome.error, error_since=NOW + MINUTE
    )
    assert (reports.stored(), reports.store.hours(MONTH)) == (stored, known)
    reports.wire.forget()
    reports.clock.advance(MINUTE)
    await poll(reports, poller)
    after = reports.store.data_state()
    assert (after.error, after.error_since) == (None, None)
    assert after.as_of == NOW - 3 * MINUTE
    assert reports.output() == 125


async def test_a_poll_whose_second_read_fails_leaves_everything_as_it_was(reports: Reports) -> None:
    poller = reports.poller("admin")
    fill(reports, 48)
    await poll(reports, poller)
    stored, known = reports.stored(), reports.store.hours(MONTH)
    reports.clock.advance(HOUR)
    reports.use(100)
    reports.wire.script(USAGE, passes, *[fails(503)] * 4)
    assert not (await poller.poll(MONTH)).ok
    assert (reports.stored(), reports.store.hours(MONTH)) == (stored, known)
    assert reports.store.data_state().as_of == NOW - 5 * MINUTE


async def test_a_failure_is_dated_from_its_beginning(reports: Reports) -> None:
    poller = reports.poller("admin")
    await poll(reports, poller)
    for minutes, answer in [(1, fails(404)), (2, says("{")), (3, fails(404))]:
        reports.clock.now = NOW + minutes * MINUTE
        reports.wire.script(USAGE, answer)
        assert not (await poller.poll(MONTH)).ok
    data = reports.store.data_state()
    assert data.error_since == NOW + MINUTE
    assert "HTTP 404" in spoken(data.error or "")
    assert data.polled_at == NOW


async def test_before_the_first_good_poll_there_is_an_error_and_no_number(reports: Reports) -> None:
    reports.wire.script(USAGE, says({}))
    reports.wire.script(ANALYTICS_USAGE, says({}))
    outcome = await reports.poller().poll(MONTH)
    assert not outcome.ok
    data = reports.store.data_state()
    assert replace(data, error=spoken(data.error or "")) == DataState(error=outcome.error, error_since=NOW)
    assert reports.store.hours(MONTH) == {}


async def test_a_key_that_neither_api_accepts_is_refused_for_good(reports: Reports) -> None:
    outcome = await reports.poller(key="sk-ant-wrong").poll(MONTH)
    assert (outcome.ok, outcome.refused) == (False, True)
    assert "ANTHROPIC_ADMIN_KEY" in str(outcome.error)
    assert "sk-ant" not in str(outcome.error)


@pytest.mark.parametrize(
    ("analytics", "admin", "refused"),
    [
        (fails(403), fails(403), True),
        (fails(404), fails(401), True),
        (fails(403), fails(500), False),
        (fails(500), fails(403), False),
        (fails(403), says("{"), False),
        (fails(404), fails(404), False),
    ],
)
async def test_a_poll_is_refused_for_good_only_where_waiting_cannot_help(
    reports: Reports, analytics: Answering, admin: Answering, refused: bool
) -> None:
    reports.wire.script(ANALYTICS_USAGE, analytics, times=4)
    reports.wire.script(USAGE, admin, times=4)
    outcome = await reports.poller().poll(MONTH)
    assert (outcome.ok, outcome.refused) == (False, refused)


async def test_two_polls_at_once_read_one_after_the_other(reports: Reports) -> None:
    poller = reports.poller("admin")
    total = fill(reports, 100)
    outcomes = await asyncio.gather(poller.poll(MONTH), poller.poll(MONTH))
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert reports.output() == total


async def test_no_log_of_a_poll_holds_the_key(reports: Reports, caplog: pytest.LogCaptureFixture) -> None:
    poller = reports.poller()
    with caplog.at_level(logging.DEBUG):
        await poll(reports, poller)
        for answer in FAILURES:
            reports.wire.forget()
            reports.wire.script(ANALYTICS_USAGE, answer, times=4)
            reports.wire.script(USAGE, answer, times=4)
            reports.wire.script(KEYS, answer, times=4)
            reports.clock.advance(DAY)
            await poller.poll(MONTH)
    own = [record.getMessage() for record in caplog.records if record.name.startswith("bot.")]
    assert any("poll failed" in message for message in own)
    assert "sk-ant" not in caplog.text


async def test_the_poller_that_settings_make_polls_with_their_key_and_their_choice(reports: Reports) -> None:
    environ = {
        "ANTHROPIC_ADMIN_KEY": ADMIN_KEY,
        "ANTHROPIC_BASE_URL": reports.server.origin,
        "CLAUDE_COST_USAGE_API": "admin",
        "CLAUDE_COST_HARD_USD": "100",
    }
    loaded = load_settings(environ, Need.ANTHROPIC)
    async with httpx.AsyncClient(base_url=loaded.anthropic_base_url) as http:
        poller = build_poller(
            http,
            loaded.anthropic_admin_key,
            loaded.usage_api,
            reports.store,
            reports.clock,
            most_waiting=timedelta(seconds=10),
        )
        reports.use(5)
        assert (await poller.poll(MONTH)).source == "admin"
        reports.wire.script(USAGE, fails(429, {"Retry-After": "11"}))
        outcome = await poller.poll(MONTH)
    assert outcome.error == f"Anthropic asks to wait with {USAGE} (HTTP 429)."
    assert reports.output() == 5


async def test_a_copy_that_lost_the_lease_while_it_polled_stores_nothing(reports: Reports) -> None:
    async def lost() -> bool:
        return False

    reports.use(5)
    frozen = Poller(reports.store, {"admin": reports.admin()}, "admin", reports.clock, may_store=lost)
    outcome = await frozen.poll(MONTH)
    assert (outcome.ok, reports.store.data_state().as_of, reports.output()) == (False, None, 0)
    assert "Another copy of the bot polls by now" in (outcome.error or "")
    reports.wire.script(USAGE, *[fails(500)] * 4)
    assert not (await frozen.poll(MONTH)).ok
    assert reports.store.data_state().error is None
