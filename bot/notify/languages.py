"""Languages of readers: a person's own if Slack reports it, that of a channel if configured, else the default.

Slack reports a person's locale to apps with the optional scope `users:read` (docs.slack.dev, users.info,
`include_locale`).
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from slack_sdk.web.async_client import AsyncWebClient

from bot.clock import HOUR, Clock
from bot.language import ENGLISH, in_language, language_of
from bot.slack_api import CallError, RefusedCallError, as_object, call

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.7
"""Longest wait of an answer for its reader's language: a form has to open within three seconds of the click."""

KEPT_FOR = 6 * HOUR
"""How long a locale is cached; people rarely change it."""

REFUSED_FOR = HOUR
"""How long no locale is requested after Slack refused for lack of the scope."""

MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Spoken:
    """Configured languages. `channels`: by channel id."""

    default: str = ENGLISH
    channels: Mapping[str, str] = field(default_factory=dict)

    def in_channel(self, channel: str) -> str:
        """Language of posts in a channel."""
        return self.channels.get(channel, self.default)


class Languages:
    """Looks up each reader's language; at most one call to Slack per person and `KEPT_FOR`."""

    def __init__(self, client: AsyncWebClient, spoken: Spoken, clock: Clock) -> None:
        self.spoken = spoken
        self.answer_seconds = ANSWER_SECONDS
        self._client = client
        self._clock = clock
        self._known: OrderedDict[str, tuple[str | None, datetime]] = OrderedDict()
        self._refused_until: datetime | None = None

    async def of(self, user: str) -> str:
        """The person's language; the default if Slack does not report it in time."""
        now = self._clock()
        known = self._known.get(user)
        if known is None or now >= known[1]:
            known = await self._asked(user, now)
            self._known[user] = known
            self._known.move_to_end(user)
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        return known[0] or self.spoken.default

    @asynccontextmanager
    async def reader(self, user: str) -> AsyncIterator[None]:
        """Use the person's language for texts in this block."""
        with in_language(await self.of(user) if user else self.spoken.default):
            yield

    async def _asked(self, user: str, now: datetime) -> tuple[str | None, datetime]:
        """Slack's answer, and until when to keep it."""
        if self._refused_until is not None and now < self._refused_until:
            return None, self._refused_until
        try:
            answer = await call(self._client.users_info(user=user, include_locale=True), self.answer_seconds)
        except RefusedCallError as error:
            if error.code != "missing_scope":
                return None, now + REFUSED_FOR
            if self._refused_until is None:
                log.info("users:read is not granted: everybody reads %s", self.spoken.default)
            self._refused_until = now + REFUSED_FOR
            return None, self._refused_until
        except CallError:
            # The next answer asks again, but not every one while Slack is slow.
            return None, now + timedelta(minutes=1)
        locale = as_object(answer.data.get("user")).get("locale")
        return language_of(locale if isinstance(locale, str) else None), now + KEPT_FOR
