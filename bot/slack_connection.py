"""Reaching Slack: credentials are checked before anything else, since Bolt itself checks nothing at start."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

import aiohttp
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.actor import Person
from bot.alerts.refusals import CREDENTIALS, answer_of, remedy
from bot.store.notices import Address

log = logging.getLogger(__name__)

REMEMBERED_ENVELOPES = 1000

ANSWER_SECONDS = 10
"""How long Slack may take to answer; a client's own time-out does not hold for a session that it was given."""


class SlackRefusedError(Exception):
    """Slack refuses a token; the text is one sentence with the remedy."""


class SlackUnreachableError(Exception):
    """Slack does not answer, or answers with a fault of its own."""


@dataclass(slots=True)
class Workspace:
    """What `auth.test` answered about the bot's own workspace; everything is empty until then.

    `team`, `enterprise`: ids of the workspace and of its Enterprise organisation, empty where it belongs to none.
    """

    url: str = ""
    team: str = ""
    enterprise: str = ""

    def learn(self, answered: "Workspace") -> None:
        """Take over what `check_bot_token` has found out."""
        self.url, self.team, self.enterprise = answered.url, answered.team, answered.enterprise

    @property
    def is_known(self) -> bool:
        """Whether members of this workspace can be told from others."""
        return bool(self.team or self.enterprise)

    def has(self, person: Person) -> bool:
        """Whether everything that the request names is this workspace or its organisation.

        Ids of users are unique in an organisation, whichever of its workspaces they act in.
        """
        # Slack puts the id of an organisation (E…) where a workspace is expected if the user belongs to no single one.
        organisations = person.enterprises | {team for team in person.teams if team.startswith("E")}
        if organisations:
            return organisations == {self.enterprise}
        return person.teams == {self.team}

    def permalink(self, address: Address) -> str | None:
        """The address of a message in the form that Slack's own links have; None where it cannot be known."""
        if not self.url:
            return None
        return f"{self.url.rstrip('/')}/archives/{address.channel}/p{address.ts.replace('.', '')}"


async def check_bot_token(client: AsyncWebClient, channel: str) -> Workspace:
    """`auth.test`, with what it tells. Raises `SlackRefusedError` or `SlackUnreachableError`."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await client.auth_test()
    except SlackApiError as error:
        raise refusal_of(error, channel, "SLACK_BOT_TOKEN") from None
    except (TimeoutError, SlackClientError, aiohttp.ClientError, OSError) as error:
        raise SlackUnreachableError(f"Slack cannot be reached ({type(error).__name__}).") from None
    return Workspace(*(str(answer.get(name) or "") for name in ("url", "team_id", "enterprise_id")))


async def check_app_token(client: AsyncWebClient, app_token: str, channel: str) -> None:
    """`apps.connections.open`, which the Socket Mode client would try for ever. Raises like `check_bot_token`."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await client.apps_connections_open(app_token=app_token)
    except SlackApiError as error:
        raise refusal_of(error, channel, "SLACK_APP_TOKEN") from None
    except (TimeoutError, SlackClientError, aiohttp.ClientError, OSError) as error:
        raise SlackUnreachableError(f"Slack cannot be reached ({type(error).__name__}).") from None


def refusal_of(error: SlackApiError, channel: str, variable: str) -> Exception:
    """What to raise where Slack refuses the token in `variable`: `SlackRefusedError` or `SlackUnreachableError`."""
    data = answer_of(error)
    code = str(data.get("error") or "")
    sentence = remedy(code, channel=channel, needed=str(data.get("needed") or ""))
    if code in CREDENTIALS or code == "missing_scope":
        if variable == "SLACK_APP_TOKEN":
            sentence = (
                f"Slack refuses SLACK_APP_TOKEN ({code}): create an app-level token (xapp-…) with the scope "
                "connections:write on the app's Basic Information page."
            )
        return SlackRefusedError(sentence)
    return SlackUnreachableError(f"Slack answers {code or 'with something that is not JSON'}.")


class SocketMode(AsyncSocketModeHandler):
    """Bolt's handler, except that an envelope which Slack delivers twice is acknowledged twice and served once."""

    def __init__(self, app: AsyncApp, app_token: str) -> None:
        super().__init__(app, app_token)
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:  # type: ignore[override]  # Bolt narrows it the same way
        if req.envelope_id in self._seen:
            log.info("envelope %s came again and was served before", req.envelope_id)
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=req.envelope_id))
            return
        self._seen[req.envelope_id] = None
        if len(self._seen) > REMEMBERED_ENVELOPES:
            self._seen.popitem(last=False)
        await super().handle(client, req)
