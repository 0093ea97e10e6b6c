"""One local Slack, one client and one app for each test."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import BOT_TOKEN, SIGNING_SECRET, SlackSandbox
from tests.scenario.sandbox_slack.real_app import START


@pytest.fixture
def clock() -> HandClock:
    return HandClock(START)


@pytest.fixture
async def slack(clock: HandClock) -> AsyncIterator[SlackSandbox]:
    async with SlackSandbox(clock) as running:
        yield running


@pytest.fixture
async def client(slack: SlackSandbox) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=BOT_TOKEN, base_url=slack.api_url, session=session, retry_handlers=[])


@pytest.fixture
def app(client: AsyncWebClient) -> AsyncApp:
    return AsyncApp(client=client, signing_secret=SIGNING_SECRET)
