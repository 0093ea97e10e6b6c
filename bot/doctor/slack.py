"""Checks of Slack: the tokens, the scopes, the channel, and whether Slack accepts an alert's blocks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.decide import LimitReason
from bot.alerts.incident import Status
from bot.alerts.limit import LimitAlert
from bot.budgets.budget import Limit, LimitKind
from bot.budgets.budget_spend import BudgetSpend, ModeShare, NamedMover
from bot.clock import DAY
from bot.config.environment import DEFAULT_HTTP_PORT
from bot.config.settings import Settings
from bot.doctor.check import Check, State
from bot.fallback.admins import Admins
from bot.messages import FOLD, Block, Message
from bot.mode import DEGRADED, NORMAL
from bot.notify.slack_connection import SlackRefusedError, SlackUnreachableError, Workspace, check_app_token, refusal_of
from bot.slack_api import (
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
    "channels:history": "after a broken connection it cannot check whether a message has arrived, and posts it again",
    "channels:read": "only a test alert shows whether it may post in the channel",
    "usergroups:read": "members of user groups in CLAUDE_COST_ADMINS are refused",
}
"""The consequence of lacking each optional scope."""

SEE_TOKEN = "Not checked: see slack_token."
TEST_ALERT = "Only a test alert proves it: type /claude-cost test-alert in Slack."


@dataclass(frozen=True, slots=True)
class Met:
    """The result of `auth.test`. `scopes` is None if Slack did not send them; `known` is false if it refused."""

    known: bool
    scopes: frozenset[str] | None
    checks: tuple[Check, ...]


async def meet(client: AsyncWebClient, offsets: ClockOffsets) -> Met:
    """Check the bot token: its identity, its scopes, and Slack's time."""
    if not client.token:
        return _unknown(Check("slack_token", State.SKIPPED, "Not checked, since SLACK_BOT_TOKEN is missing or wrong."))
    try:
        answer = await call(client.auth_test())
    except CallError as error:
        if isinstance(error, RefusedCallError | FailedCallError):
            offsets.note("Slack", error.headers)
        return _unknown(Check("slack_token", State.FAIL, str(refusal_of(error, "", "SLACK_BOT_TOKEN"))))
    offsets.note("Slack", answer.headers)
    text = f"Slack knows the token as {answer.text('user')} in the workspace {answer.text('team')}."
    scopes = _scopes(answer.headers)
    return Met(True, scopes, (Check("slack_token", State.OK, text), judge_scopes(scopes)))


def _unknown(check: Check) -> Met:
    skipped = Check("slack_scopes", State.SKIPPED, SEE_TOKEN)
    return Met(False, None, (check, skipped))


def _scopes(headers: Mapping[str, Any]) -> frozenset[str] | None:
    """The scopes in the header `X-OAuth-Scopes`, which Slack sends with every response to a token."""
    for name, value in headers.items():
        if name.lower() == "x-oauth-scopes":
            return frozenset(word.strip() for word in str(value).split(",") if word.strip())
    return None


def judge_scopes(scopes: frozenset[str] | None) -> Check:
    """A missing required scope is a failure; a missing optional one is reported with its consequence."""
    if scopes is None:
        text = f"Slack did not say which scopes the token has; needed are {' and '.join(NEEDED_SCOPES)}."
        return Check("slack_scopes", State.SKIPPED, text)
    missing = [scope for scope in NEEDED_SCOPES if scope not in scopes]
    if missing:
        text = f"The Slack app lacks the scope {' and '.join(missing)}."
        return Check("slack_scopes", State.FAIL, text, "Add it on OAuth & Permissions and reinstall the app.")
    without = [f"without {scope}, {effect}" for scope, effect in OPTIONAL_SCOPES.items() if scope not in scopes]
    text = f"The bot has {' and '.join(NEEDED_SCOPES)}"
    if not without:
        return Check("slack_scopes", State.OK, f"{text}, and all of the optional scopes.")
    return Check("slack_scopes", State.OK, f"{text}. Optional: {'; '.join(without)}.")


async def check_connection(client: AsyncWebClient, settings: Settings) -> list[Check]:
    """Check how Slack reaches the bot: the app-level token opens a connection, or HTTP mode is on."""
    name = "slack_connection"
    if settings.slack_app_token is None:
        if settings.slack_signing_secret is None:
            return [Check(name, State.SKIPPED, "Not checked, since SLACK_APP_TOKEN is missing or wrong.")]
        place = f"{settings.http_host}:{settings.http_port or DEFAULT_HTTP_PORT}"
        text = f"HTTP mode: Slack has to reach /slack/events on {place} through your proxy."
        return [Check(name, State.OK, text, "Whether it does, and the signing secret is right, any command shows.")]
    try:
        await check_app_token(client, settings.slack_app_token.get_secret_value(), settings.channel)
    except (SlackRefusedError, SlackUnreachableError) as error:
        return [Check(name, State.FAIL, str(error))]
    return [Check(name, State.OK, "Socket Mode: Slack opens a connection for the app-level token.")]


async def check_channel(client: AsyncWebClient, channel: str, met: Met, setting: str = MAIN_CHANNEL) -> list[Check]:
    """Check whether the bot is in the channel, if a scope allows. Nothing is posted. `setting`: of the channel."""
    name = "channel"
    if not channel:
        return [Check(name, State.SKIPPED, "Not checked, since CLAUDE_COST_CHANNEL is missing or wrong.")]
    if not met.known:
        return [Check(name, State.SKIPPED, SEE_TOKEN)]
    scopes = met.scopes or frozenset()
    if not scopes & {"channels:read", "groups:read"}:
        text = f"Whether the bot may post in {channel} is not known without the optional scope channels:read."
        return [Check(name, State.SKIPPED, text, TEST_ALERT)]
    try:
        answer = await call(client.conversations_info(channel=channel))
    except CallError as error:
        if isinstance(error, RefusedCallError) and error.code == "missing_scope":
            text = f"Whether the bot may post in {channel} is not known without the optional scope {error.needed}."
            return [Check(name, State.SKIPPED, text, TEST_ALERT)]
        return [Check(name, State.FAIL, sentence_of(error, channel, setting))]
    return [_judge_channel(as_object(answer.data.get("channel")), channel, scopes, setting)]


def _judge_channel(told: Mapping[str, Any], channel: str, scopes: frozenset[str], setting: str) -> Check:
    if told.get("is_archived"):
        return Check("channel", State.FAIL, remedy("is_archived", channel=channel, setting=setting))
    may_from_outside = "chat:write.public" in scopes and not told.get("is_private")
    if not told.get("is_member") and not may_from_outside:
        return Check("channel", State.FAIL, remedy("not_in_channel", channel=channel))
    member = "is a member of" if told.get("is_member") else "may post from outside in"
    return Check("channel", State.OK, f"The bot {member} #{told.get('name')} ({channel}).")


async def check_sample(client: AsyncWebClient, sample: Message, met: Met) -> list[Check]:
    """Check whether Slack accepts an alert as this version renders it (`blocks.validate`, which needs no scope)."""
    name = "sample_alert"
    if not met.known:
        return [Check(name, State.SKIPPED, SEE_TOKEN)]
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
            return [Check(name, State.SKIPPED, f"Slack does not check blocks here ({error.code}).")]
        why = "; ".join(error.details) or error.code
        text = f"Slack refuses an alert as it is drawn ({why}): alerts arrive as plain text."
        return [Check(name, State.WARN, text, "Update the bot.")]
    except CallError as error:
        return [Check(name, State.SKIPPED, str(error))]
    return [Check(name, State.OK, "Slack accepts a sample alert as it is drawn.")]


async def _validate(client: AsyncWebClient, blocks: Sequence[Block]) -> None:
    # In the body: an alert is longer than the addresses that servers accept.
    await call(client.api_call("blocks.validate", data={"blocks": json.dumps(blocks)}))


async def check_admins(client: AsyncWebClient, settings: Settings, met: Met) -> list[Check]:
    """Check whether anybody may change the mode, and whether the members of named groups can be read."""
    name = "admins"
    if not settings.admins:
        text = "Nobody may change the fallback mode: CLAUDE_COST_ADMINS is empty."
        return [Check(name, State.WARN, text, "Put the Slack ids of those who may into it.")]
    count = f"Ids in CLAUDE_COST_ADMINS: {len(settings.admins)}"
    if not met.known:
        return [Check(name, State.OK, f"{count}.")]
    unread = await Admins(settings.admins, client, Workspace()).unread_groups()
    if unread:
        return [Check(name, State.WARN, f"Members of some groups are refused: {'; '.join(unread)}.")]
    return [Check(name, State.OK, f"{count}; the members of those that are groups can be read.")]


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
