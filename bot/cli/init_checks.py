"""The checks of `claude-cost init`: one small request for each answer, and one sentence about its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from slack_sdk.web.async_client import AsyncWebClient

from bot.app import slack_client
from bot.clock import Clock
from bot.config.settings import Settings
from bot.doctor.anthropic import judge_usage_apis, try_usage_apis
from bot.doctor.check import Check, State
from bot.doctor.slack import Met, check_channel, judge_scopes, scopes_in
from bot.fallback.admins import Admins
from bot.language import in_language, tr
from bot.notify.slack_connection import (
    SlackRefusedError,
    SlackUnreachableError,
    Workspace,
    check_app_token,
    refusal_of,
)
from bot.slack_api import CallError, RefusedCallError, as_object, call, new_session, sentence_of
from bot.usage.anthropic.client import Transport, new_http
from bot.usage.model import UnavailableError

MISSING_SCOPE = "missing_scope"
UNKNOWN_USERS = frozenset({"user_not_found", "user_not_visible", "users_not_found"})


class Outcome(Enum):
    """`UNKNOWN`: nothing could be asked, so the answer may be right. `UNPROVEN`: the same, but a test would show it."""

    ACCEPTED = auto()
    REFUSED = auto()
    UNKNOWN = auto()
    UNPROVEN = auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a check. `sentence`: with the remedy, unless accepted."""

    outcome: Outcome
    sentence: str


class Checks:
    """Checks the answers so far with Slack and Anthropic. Methods never raise for their errors."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._met = Met(False, None, ())

    async def bot_token(self, settings: Settings) -> Finding:
        """`auth.test`, and the scopes of the token."""
        async with new_session() as session:
            try:
                answer = await call(slack_client(settings, session).auth_test())
            except CallError as error:
                return _refusal(refusal_of(error, "", "SLACK_BOT_TOKEN"))
        scopes = scopes_in(answer.headers)
        self._met = Met(True, scopes, ())
        judged = judge_scopes(scopes)
        if judged.state is State.FAIL:
            return _finding(judged)
        user, workspace = answer.text("user"), answer.text("team")
        return _accepted(f"Slack knows the token as {user} in the workspace {workspace}.")

    async def app_token(self, settings: Settings) -> Finding:
        """`apps.connections.open`; nothing is connected."""
        token = settings.slack_app_token
        if token is None:
            return _accepted("HTTP mode, since SLACK_SIGNING_SECRET is set: Slack sends to /slack/events.")
        async with new_session() as session:
            try:
                await check_app_token(slack_client(settings, session), token.get_secret_value(), "")
            except (SlackRefusedError, SlackUnreachableError) as error:
                return _refusal(error)
        return _accepted("Slack opens a connection for it.")

    async def channel(self, settings: Settings) -> Finding:
        """`conversations.info`, if a scope allows it. Nothing is posted."""
        if not self._met.known:
            return _accepted("Not checked, since the bot token is not.")
        async with new_session() as session:
            [check] = await check_channel(slack_client(settings, session), settings.channel, self._met)
        if check.state is State.SKIPPED:
            return Finding(Outcome.UNPROVEN, f"{check.text} Invite the bot: /invite @claude-cost.")
        return _finding(check)

    async def test_line(self, settings: Settings) -> Finding:
        """`chat.postMessage` of one line in the channel."""
        async with new_session() as session:
            with in_language(settings.spoken.in_channel(settings.channel)):
                text = tr("claude-cost init: this is where alerts will come.")
            try:
                await call(slack_client(settings, session).chat_postMessage(channel=settings.channel, text=text))
            except CallError as error:
                outcome = Outcome.REFUSED if isinstance(error, RefusedCallError) else Outcome.UNKNOWN
                return Finding(outcome, str(sentence_of(error, settings.channel)))
        return _accepted(f"The line is in {settings.channel}: the bot may post there.")

    async def anthropic_key(self, settings: Settings) -> Finding:
        """One small read of each report that the key may allow."""
        key = settings.anthropic_admin_key
        if key is None:
            return Finding(Outcome.REFUSED, "ANTHROPIC_ADMIN_KEY is missing.")
        now = self._clock()
        async with new_http(settings.anthropic_base_url) as http:
            transport = Transport(http, key, most_waiting=timedelta(0))
            accesses = await try_usage_apis(transport, now)
        judged = judge_usage_apis(settings.usage_api, *accesses, now)
        failed = [check.text for check in judged if check.state is State.FAIL]
        if not failed:
            return _accepted(next(check.sentence for check in judged if check.state in (State.OK, State.WARN)))
        errors = [access.error for access in accesses if access.error is not None]
        unknown = [error for error in errors if isinstance(error, UnavailableError)]
        if unknown:
            return Finding(Outcome.UNKNOWN, str(unknown[0]))
        # Both APIs reject a wrong key in the same way.
        return Finding(Outcome.REFUSED, failed[-1])

    async def admins(self, settings: Settings) -> Finding:
        """`users.info` for each person, and the members of each group, if scopes allow it."""
        async with new_session() as session:
            client = slack_client(settings, session)
            names: list[str] = []
            unchecked: list[str] = []
            for user in sorted(id_ for id_ in settings.admins if not id_.startswith("S")):
                found = await _name(client, user)
                if isinstance(found, Finding):
                    return found
                names.append(found or user)
                unchecked += [] if found else [user]
            unread = await Admins(settings.admins, client, Workspace()).unread_groups() if self._met.known else []
        if unread:
            return Finding(Outcome.UNKNOWN, f"Members of some groups would be refused: {'; '.join(unread)}.")
        if not settings.admins:
            return _accepted(
                "Nobody may change the fallback mode and budgets, or send a test alert, until CLAUDE_COST_ADMINS names "
                "somebody."
            )
        named = f"Admins: {', '.join([*names, *sorted(i for i in settings.admins if i.startswith('S'))])}."
        if not unchecked:
            return _accepted(named)
        doubt = f"Whether Slack knows {', '.join(unchecked)} was not checked, which needs the scope users:read."
        return _accepted(f"{named} {doubt}")


async def _name(client: AsyncWebClient, user: str) -> str | Finding | None:
    """Name of a person with the id; None if the bot lacks the scope to ask, otherwise what is wrong."""
    try:
        answer = await call(client.users_info(user=user))
    except RefusedCallError as error:
        if error.code == MISSING_SCOPE:
            return None
        if error.code in UNKNOWN_USERS:
            sentence = f"Slack knows no person {user}: copy the id again (profile, ⋮, Copy member ID)."
            return Finding(Outcome.REFUSED, sentence)
        return Finding(Outcome.UNKNOWN, f"Whether Slack knows {user} cannot be checked ({error.code}).")
    except CallError as error:
        return Finding(Outcome.UNKNOWN, str(sentence_of(error, "")))
    return _shown_name(as_object(answer.data.get("user")), user)


def _shown_name(person: Mapping[str, object], user: str) -> str:
    name = person.get("real_name") or person.get("name")
    return f"{name} ({user})" if isinstance(name, str) else user


def _accepted(sentence: str) -> Finding:
    return Finding(Outcome.ACCEPTED, sentence)


def _refusal(error: Exception) -> Finding:
    outcome = Outcome.REFUSED if isinstance(error, SlackRefusedError) else Outcome.UNKNOWN
    return Finding(outcome, str(error))


def _finding(check: Check) -> Finding:
    return Finding(Outcome.REFUSED if check.state is State.FAIL else Outcome.ACCEPTED, check.text)
