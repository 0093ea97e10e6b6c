"""Slack's client and Bolt's app, with a token that may change while the bot runs."""

import os
from typing import Any

import aiohttp
from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot import slack_api

BOLTS_OWN = ("SLACK_BOT_TOKEN", "SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET")
"""Variables of the environment that Bolt reads by itself."""


class _Client(AsyncWebClient):
    """A client whose calls send the current token, since its file may change."""

    def __init__(self, secret: SecretStr | None, **options: Any) -> None:
        self._secret = secret
        super().__init__(**options)

    @property
    def token(self) -> str | None:
        return None if self._secret is None else self._secret.get_secret_value()

    @token.setter
    def token(self, value: str | None) -> None:
        """Ignored: slack_sdk sets None, since it was given no token."""


class _App(AsyncApp):
    """An app that uses the client's current token. Bolt would keep the first one for all requests."""

    @property
    def _token(self) -> str | None:
        return self._async_client.token

    @_token.setter
    def _token(self, value: str | None) -> None:
        """Ignored: Bolt sets the token that the client had at the start."""


def web_client(token: SecretStr | None, base_url: str, session: aiohttp.ClientSession) -> AsyncWebClient:
    """A client of Slack's Web API at `base_url`, without retries of its own."""
    return _Client(token, base_url=base_url, timeout=slack_api.TIMEOUT_SECONDS, session=session, retry_handlers=[])


def bolt_app(client: AsyncWebClient) -> AsyncApp:
    """Bolt's app, without listeners. It reads nothing from the environment."""
    # With a client id and secret there, Bolt would ignore our token and take this for an app of many workspaces; with
    # a bot token, it would warn that the client has one already.
    hidden = {name: os.environ.pop(name) for name in BOLTS_OWN if name in os.environ}
    try:
        # The HTTP port verifies signatures before it parses a request. Without a name, Bolt would look for one in the
        # source files of the whole call stack.
        return _App(name="claude-cost", client=client, request_verification_enabled=False)
    finally:
        os.environ.update(hidden)
