"""Checks of Slack: the tokens, the scopes, the channels, and whether Slack accepts an alert's blocks."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.decide import LimitReason
from bot.alerts.incident import Status
from bot.alerts.limit import LimitAlert
from bot.alerts.notice_contents import ContentStore
from bot.budgets.budget import Budget, Limit, LimitKind
from bot.budgets.budget_spend import BudgetSpend, ModeShare, NamedMover
from bot.budgets.owners import Teams
from bot.budgets.store import Budgets, BudgetStore
from bot.clock import DAY, Clock
from bot.config.environment import DEFAULT_HTTP_PORT
from bot.config.settings import Settings
from bot.db.engine import DatabaseError, look_into
from bot.digests.schedule import Scheduled
from bot.digests.settings_store import DigestSettingsStore
from bot.doctor.check import Check, State
from bot.doctor.database import missing_file
from bot.fallback.admins import Admins
from bot.language import ntr, spoken, tr, tr_noop
from bot.listed import all_of
from bot.messages import FOLD, Block, Message
from bot.mode import DEGRADED, NORMAL
from bot.notify.slack_connection import SlackRefusedError, SlackUnreachableError, Workspace, check_app_token, refusal_of
from bot.slack_api import (
    BUDGETS_CHANNEL,
    DIGESTS_CHANNEL,
    MAIN_CHANNEL,
    CallError,
    FailedCallError,
    RefusedCallError,
    as_object,
    call,
    remedy,
    sentence_of,
)
from bot.steady_clock import ClockOffsets

NEEDED_SCOPES = ("chat:write", "commands")
OPTIONAL_SCOPES = {
    "channels:history": tr_noop(
        "without {scope}, after a broken connection it cannot check whether a message has arrived, and posts it again"
    ),
    "app_mentions:read": tr_noop("without {scope}, mentions of the bot are not answered"),
    "im:history": tr_noop("without {scope}, direct messages are not answered"),
    "channels:read": tr_noop("without {scope}, only a test alert shows whether it may post in the channel"),
    "users:read": tr_noop("without {scope}, everybody is answered in the language of CLAUDE_COST_LANGUAGE"),
    "usergroups:read": tr_noop("without {scope}, members of user groups in CLAUDE_COST_ADMINS are refused"),
}
"""The consequence of lacking each optional scope."""

SEE_TOKEN = tr_noop("Not checked: see slack_token.")
TEST_ALERT = tr_noop(
    "Only a test alert proves it: type /claude-cost test-alert in Slack, which only those in CLAUDE_COST_ADMINS may."
)


@dataclass(frozen=True, slots=True)
class Met:
    """The result of `auth.test`. `scopes` is None if Slack did not send them; `known` is false if it refused."""

    known: bool
    scopes: frozenset[str] | None
    checks: tuple[Check, ...]


async def meet(client: AsyncWebClient, offsets: ClockOffsets) -> Met:
    """Check the bot token: its identity, its scopes, and Slack's time."""
    if not client.token:
        text = tr("Not checked, since SLACK_BOT_TOKEN is missing or wrong.")
        return _unknown(Check("slack_token", State.SKIPPED, text))
    try:
        answer = await call(client.auth_test())
    except CallError as error:
        if isinstance(error, RefusedCallError | FailedCallError):
            offsets.note("Slack", error.headers)
        return _unknown(Check("slack_token", State.FAIL, str(refusal_of(error, "", "SLACK_BOT_TOKEN"))))
    offsets.note("Slack", answer.headers)
    text = tr(
        "Slack knows the token as {user} in the workspace {workspace}.",
        user=answer.text("user"),
        workspace=answer.text("team"),
    )
    scopes = scopes_in(answer.headers)
    return Met(True, scopes, (Check("slack_token", State.OK, text), judge_scopes(scopes)))


def _unknown(check: Check) -> Met:
    skipped = Check("slack_scopes", State.SKIPPED, tr(SEE_TOKEN))
    return Met(False, None, (check, skipped))


def scopes_in(headers: Mapping[str, Any]) -> frozenset[str] | None:
    """The scopes in the header `X-OAuth-Scopes`, which Slack sends with every response to a token."""
    for name, value in headers.items():
        if name.lower() == "x-oauth-scopes":
            return frozenset(word.strip() for word in str(value).split(",") if word.strip())
    return None


def judge_scopes(scopes: frozenset[str] | None) -> Check:
    """A missing required scope is a failure; a missing optional one is reported with its consequence."""
    if scopes is None:
        text = tr("Slack did not say which scopes the token has; needed are {scopes}.", scopes=all_of(NEEDED_SCOPES))
        return Check("slack_scopes", State.SKIPPED, text)
    missing = [scope for scope in NEEDED_SCOPES if scope not in scopes]
    if missing:
        text = tr("The Slack app lacks the scope {scopes}.", scopes=all_of(missing))
        return Check("slack_scopes", State.FAIL, text, tr("Add it on OAuth & Permissions and reinstall the app."))
    without = [tr(effect, scope=scope) for scope, effect in OPTIONAL_SCOPES.items() if scope not in scopes]
    has = all_of(NEEDED_SCOPES)
    if not without:
        text = tr("The bot has {scopes}, and all of the optional scopes.", scopes=has)
    else:
        text = tr("The bot has {scopes}. Optional: {without}.", scopes=has, without=tr("; ").join(without))
    return Check("slack_scopes", State.OK, text)


async def check_connection(client: AsyncWebClient, settings: Settings) -> list[Check]:
    """Check how Slack reaches the bot: the app-level token opens a connection, or HTTP mode is on."""
    name = "slack_connection"
    if settings.slack_app_token is None:
        if settings.slack_signing_secret is None:
            return [Check(name, State.SKIPPED, tr("Not checked, since SLACK_APP_TOKEN is missing or wrong."))]
        place = f"{settings.http_host}:{settings.http_port or DEFAULT_HTTP_PORT}"
        text = tr("HTTP mode: Slack has to reach /slack/events on {place} through your proxy.", place=place)
        remedy = tr("Whether it does, and the signing secret is right, any command shows.")
        return [Check(name, State.OK, text, remedy)]
    try:
        await check_app_token(client, settings.slack_app_token.get_secret_value(), settings.channel)
    except (SlackRefusedError, SlackUnreachableError) as error:
        return [Check(name, State.FAIL, str(error))]
    return [Check(name, State.OK, tr("Socket Mode: Slack opens a connection for the app-level token."))]


async def check_channel(client: AsyncWebClient, channel: str, met: Met, setting: str = MAIN_CHANNEL) -> list[Check]:
    """Check whether the bot is in the channel, if a scope allows. Nothing is posted. `setting`: of the channel."""
    name = "channel"
    if not channel:
        return [Check(name, State.SKIPPED, tr("Not checked, since CLAUDE_COST_CHANNEL is missing or wrong."))]
    if not met.known:
        return [Check(name, State.SKIPPED, tr(SEE_TOKEN))]
    scopes = met.scopes or frozenset()
    if not scopes & {"channels:read", "groups:read"}:
        return [_scope_needed(channel, "channels:read")]
    try:
        answer = await call(client.conversations_info(channel=channel))
    except CallError as error:
        if isinstance(error, RefusedCallError) and error.code == "missing_scope":
            return [_scope_needed(channel, error.needed)]
        return [Check(name, State.FAIL, str(sentence_of(error, channel, setting)))]
    return [_judge_channel(as_object(answer.data.get("channel")), channel, scopes, setting)]


def _scope_needed(channel: str, scope: str) -> Check:
    text = tr(
        "Whether the bot may post in {channel} is not known without the optional scope {scope}.",
        channel=channel,
        scope=scope,
    )
    return Check("channel", State.SKIPPED, text, tr(TEST_ALERT))


def _judge_channel(info: Mapping[str, Any], channel: str, scopes: frozenset[str], setting: str) -> Check:
    if info.get("is_archived"):
        return Check("channel", State.FAIL, str(remedy("is_archived", channel=channel, setting=setting)))
    may_from_outside = "chat:write.public" in scopes and not info.get("is_private")
    if not info.get("is_member") and not may_from_outside:
        return Check("channel", State.FAIL, str(remedy("not_in_channel", channel=channel)))
    values = {"name": info.get("name"), "channel": channel}
    if info.get("is_member"):
        return Check("channel", State.OK, tr("The bot is a member of #{name} ({channel}).", **values))
    return Check("channel", State.OK, tr("The bot may post from outside in #{name} ({channel}).", **values))


async def check_sample(client: AsyncWebClient, sample: Message, met: Met) -> list[Check]:
    """Check whether Slack accepts an alert as this version renders it (`blocks.validate`, which needs no scope)."""
    name = "sample_alert"
    if not met.known:
        return [Check(name, State.SKIPPED, tr(SEE_TOKEN))]
    whole, shown = sample.blocks, [block for block in sample.blocks if block["type"] != FOLD]
    try:
        try:
            await _validate(client, whole)
        except RefusedCallError as error:
            if not error.code.startswith("invalid_blocks") or shown == whole:
                raise
            await _validate(client, shown)
            text = "Slack accepts a sample alert, but folds nothing: the details of alerts go to their threads."
            return [Check(name, State.OK, text)]
    except RefusedCallError as error:
        if not error.code.startswith("invalid_blocks"):
            return [Check(name, State.SKIPPED, tr("Slack does not check blocks here ({code}).", code=error.code))]
        why = "; ".join(error.details) or error.code
        text = tr("Slack refuses an alert as it is drawn ({why}): alerts arrive as plain text.", why=why)
        return [Check(name, State.WARN, text, tr("Update the bot."))]
    except CallError as error:
        return [Check(name, State.SKIPPED, str(error))]
    return [Check(name, State.OK, tr("Slack accepts a sample alert as it is drawn."))]


async def _validate(client: AsyncWebClient, blocks: Sequence[Block]) -> None:
    # Send it in the body: an alert is longer than the URLs that servers accept.
    await call(client.api_call("blocks.validate", data={"blocks": json.dumps(blocks)}))


async def check_admins(client: AsyncWebClient, settings: Settings, met: Met) -> list[Check]:
    """Check whether anybody may change the mode, and whether the members of named groups can be read."""
    name = "admins"
    if not settings.admins:
        text = tr("Nobody may change the fallback mode or send a test alert: CLAUDE_COST_ADMINS is empty.")
        return [Check(name, State.WARN, text, tr("Put the Slack ids of those who may into it and restart the bot."))]
    number = len(settings.admins)
    if not met.known:
        return [Check(name, State.OK, tr("Ids in CLAUDE_COST_ADMINS: {number}.", number=number))]
    unread = await Admins(settings.admins, client, Workspace()).unread_groups()
    if unread:
        text = tr("Members of some groups are refused: {why}.", why=tr("; ").join(unread))
        return [Check(name, State.WARN, text)]
    text = tr("Ids in CLAUDE_COST_ADMINS: {number}; the members of those that are groups can be read.", number=number)
    return [Check(name, State.OK, text)]


def sample_limit_alert(now: datetime) -> LimitAlert:
    """An alert for Slack to check, never sent: a crossed hard limit with movers, a saving and every warning."""
    spend = BudgetSpend(
        budget="sample",
        scope="organization",
        soft_usd=Decimal(50),
        hard_usd=Decimal(100),
        period=f"{now:%Y-%m}",
        ends_at=now + DAY,
        spent_usd=Decimal(120),
        billed_usd=Decimal(80),
        billed_days=2,
        computed_usd=Decimal(39),
        report_only_usd=Decimal(1),
        at_least=True,
        assumed=("claude-sample-1",),
        expected_usd=Decimal(150),
        low_usd=Decimal(130),
        high_usd=Decimal(170),
        movers=(
            NamedMover(model="claude-sample-1", workspace="Search", key="ingest", usd=Decimal(9), before_usd=None),
        ),
        shares=(ModeShare(mode=DEGRADED, model="claude-sample-0", share=Decimal("0.6")),),
        as_of=now,
    )
    return LimitAlert(
        limit=Limit(LimitKind.HARD, Decimal(100)),
        status=Status.OPEN,
        reason=LimitReason.CROSSED,
        decided_at=now,
        mode=NORMAL,
        spend=spend,
    )


NAME = "budget_channels"
DIGESTS = "digest_channels"
MOST_ASKED = 20
"""Most channels checked with Slack, which limits the rate (docs.slack.dev, conversations.info)."""


@dataclass(frozen=True, slots=True)
class OwnChannels:
    """By channel id: its budgets in force, its number of digests, and the error of its last message if that failed."""

    budgets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    digests: Mapping[str, int] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)


def own_channels(settings: Settings, clock: Clock, seconds: int) -> OwnChannels:
    """Channels of every budget in force, or of the configured ones if the database cannot be read."""
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
        digests = DigestSettingsStore(settings.digests, engine, clock, settings.channel).in_force()
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
