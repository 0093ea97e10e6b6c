"""Checks of the channels that budgets and digests have of their own."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.notice_contents import ContentStore
from bot.budgets.budget import Budget
from bot.budgets.owners import Teams
from bot.budgets.store import Budgets, BudgetStore
from bot.clock import Clock
from bot.config.settings import Settings
from bot.db.engine import DatabaseError, look_into
from bot.digests.schedule import Scheduled
from bot.digests.settings_store import DigestBook
from bot.doctor.check import Check, State
from bot.doctor.database import missing_file
from bot.doctor.slack import Met, check_channel
from bot.language import ntr, spoken, tr
from bot.slack_api import BUDGETS_CHANNEL, DIGESTS_CHANNEL

NAME = "budget_channels"
DIGESTS = "digest_channels"
MOST_ASKED = 20
"""Channels of which Slack is asked; a busy workspace limits how often (docs.slack.dev, conversations.info)."""


@dataclass(frozen=True, slots=True)
class OwnChannels:
    """By id of the channel the budgets in force that have it, how many digests go there, and why the last message did
    not get there."""

    budgets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    digests: Mapping[str, int] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)


def own_channels(settings: Settings, clock: Clock, seconds: int) -> OwnChannels:
    """Of every budget in force, or of the configured ones where the database cannot be read."""
    configured = [Teams(settings.teams).completed(budget) for budget in settings.budgets]
    of_file = [Scheduled(rule) for rule in settings.digests]
    unread = OwnChannels(_by_channel(configured, settings.channel), _of_digests(of_file, settings.channel))
    if missing_file(settings.database_url) is not None:
        return unread
    try:
        engine, schema = look_into(settings.database_url, seconds)
    except DatabaseError:
        return unread
    try:
        if schema.present != schema.newest:
            return unread
        budgets = Budgets(settings.budgets, BudgetStore(engine), clock, Teams(settings.teams))
        unreachable = {channel: spoken(each.error) for channel, each in ContentStore(engine).unreachable().items()}
        digests = DigestBook(settings.digests, engine, clock, settings.channel).in_force()
        return OwnChannels(
            _by_channel(budgets.in_force(), settings.channel), _of_digests(digests, settings.channel), unreachable
        )
    except SQLAlchemyError:
        return unread
    finally:
        engine.dispose()


def _by_channel(budgets: Sequence[Budget], main: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for budget in budgets:
        if budget.channel is not None and budget.channel != main:
            found.setdefault(budget.channel, []).append(budget.name)
    return found


def _of_digests(found: Sequence[Scheduled], main: str) -> dict[str, int]:
    channels = (each.rule.channel for each in found if each.rule.channel != main)
    return dict(Counter(channel for channel in channels if channel is not None))


async def check_own_channels(
    client: AsyncWebClient, settings: Settings, clock: Clock, met: Met, seconds: int
) -> list[Check]:
    """One finding for each channel of budgets, and for each of digests. Nothing is posted."""
    own = await asyncio.to_thread(own_channels, settings, clock, seconds)
    of_budgets, of_digests = list(own.budgets)[:MOST_ASKED], list(own.digests)[:MOST_ASKED]
    checks = await asyncio.gather(
        *map(partial(_checked, client, met, own), of_budgets), *map(partial(_of_digest, client, met, own), of_digests)
    )
    more, more_digests = len(own.budgets) - len(of_budgets), len(own.digests) - len(of_digests)
    if more > 0:
        text = tr("{number} more channels of budgets were not checked.", number=more)
        checks.append(Check(NAME, State.SKIPPED, text))
    if more_digests > 0:
        text = tr("{number} more channels of digests were not checked.", number=more_digests)
        checks.append(Check(DIGESTS, State.SKIPPED, text))
    return checks


async def _checked(client: AsyncWebClient, met: Met, own: OwnChannels, channel: str) -> Check:
    budgets = own.budgets[channel]
    named = ", ".join(budgets[:3])
    if len(budgets) > 3:
        named = tr("{names} and {number} more", names=named, number=len(budgets) - 3)
    state, sentence = await _reached(client, met, own, channel, BUDGETS_CHANNEL)
    if state is State.FAIL:
        sentence = tr("{why} Until then its alerts go to the alert channel.", why=sentence)
    return Check(NAME, state, tr("Budget {names}: {finding}", names=named, finding=sentence))


async def _of_digest(client: AsyncWebClient, met: Met, own: OwnChannels, channel: str) -> Check:
    state, sentence = await _reached(client, met, own, channel, DIGESTS_CHANNEL)
    if state is State.FAIL:
        sentence = tr("{why} Until then they go to the alert channel.", why=sentence)
    number = own.digests[channel]
    text = ntr(
        "{number} digest for {channel}: {finding}",
        "{number} digests for {channel}: {finding}",
        number,
        channel=channel,
        finding=sentence,
    )
    return Check(DIGESTS, state, text)


async def _reached(client: AsyncWebClient, met: Met, own: OwnChannels, channel: str, setting: str) -> tuple[State, str]:
    [check] = await check_channel(client, channel, met, setting)
    if check.state is State.SKIPPED and channel in own.unreachable:
        return State.FAIL, own.unreachable[channel]
    return check.state, check.sentence
