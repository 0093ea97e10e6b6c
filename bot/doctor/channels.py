"""Checks of the channels that budgets have of their own."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from bot.doctor.check import Check, State
from bot.doctor.database import missing_file
from bot.doctor.slack import Met, check_channel
from bot.language import tr
from bot.slack_api import BUDGETS_CHANNEL

NAME = "budget_channels"
MOST_ASKED = 20
"""Channels of which Slack is asked; a busy workspace limits how often (docs.slack.dev, conversations.info)."""


@dataclass(frozen=True, slots=True)
class OwnChannels:
    """By id of the channel the budgets in force that have it, and why the last message did not get there."""

    budgets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)


def own_channels(settings: Settings, clock: Clock, seconds: int) -> OwnChannels:
    """Of every budget in force, or of the configured ones where the database cannot be read."""
    configured = [Teams(settings.teams).completed(budget) for budget in settings.budgets]
    unread = OwnChannels(_by_channel(configured, settings.channel))
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
        unreachable = {channel: each.error for channel, each in ContentStore(engine).unreachable().items()}
        return OwnChannels(_by_channel(budgets.in_force(), settings.channel), unreachable)
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


async def check_own_channels(
    client: AsyncWebClient, settings: Settings, clock: Clock, met: Met, seconds: int
) -> list[Check]:
    """One finding for each channel; nothing where no budget has one. Nothing is posted."""
    own = await asyncio.to_thread(own_channels, settings, clock, seconds)
    asked = list(own.budgets)[:MOST_ASKED]
    checks = await asyncio.gather(*map(partial(_checked, client, met, own), asked))
    more = len(own.budgets) - len(asked)
    if more <= 0:
        return checks
    return [*checks, Check(NAME, State.SKIPPED, tr("{number} more channels of budgets were not checked.", number=more))]


async def _checked(client: AsyncWebClient, met: Met, own: OwnChannels, channel: str) -> Check:
    budgets = own.budgets[channel]
    named = ", ".join(budgets[:3])
    if len(budgets) > 3:
        named = tr("{names} and {number} more", names=named, number=len(budgets) - 3)
    [check] = await check_channel(client, channel, met, BUDGETS_CHANNEL)
    sentence, state = check.sentence, check.state
    if state is State.SKIPPED and channel in own.unreachable:
        state, sentence = State.FAIL, own.unreachable[channel]
    if state is State.FAIL:
        sentence = tr("{why} Until then its alerts go to the alert channel.", why=sentence)
    sentence = tr("Budget {names}: {finding}", names=named, finding=sentence)
    return replace(check, name=NAME, state=state, sentence=sentence, remedy=None)
