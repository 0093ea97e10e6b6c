"""What the pretended team's applications log of their requests, sent to the bot as real applications send it."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec

from bot.pricing.tokens import TokenCounts

PATH = "/v1/usage"
RECORDS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Feature:
    """What an application does with Claude. `share`: of its service's requests, those that it logs.

    `team`: the value of a tag. `users`: take turns.
    """

    name: str
    share: float
    team: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Logged:
    """`requests` of one feature, spread evenly over a `span` of time from `at` on. `shape`: tokens of each."""

    at: datetime
    span: timedelta
    feature: Feature
    model: str
    shape: TokenCounts
    requests: int

    def records(self, first_id: int) -> Iterator[dict[str, Any]]:
        """One for each response, with ids that count up from `first_id`."""
        feature, shape = self.feature, self.shape
        for number in range(self.requests):
            yield {
                "id": f"msg_{first_id + number:09d}",
                "time": (self.at + self.span * number / self.requests).isoformat(),
                "feature": feature.name,
                "user_id": feature.users[number % len(feature.users)],
                "model": self.model,
                "tags": {"team": feature.team},
                "usage": {
                    "input_tokens": shape.uncached_input_tokens,
                    "output_tokens": shape.output_tokens,
                    "cache_read_input_tokens": shape.cache_read_input_tokens,
                    "cache_creation": {
                        "ephemeral_5m_input_tokens": shape.cache_creation_5m_input_tokens,
                        "ephemeral_1h_input_tokens": shape.cache_creation_1h_input_tokens,
                    },
                },
            }


class UsageLog:
    """Sends what is logged. What the bot does not take at the moment is sent again."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._given = 0
        self._waiting: deque[dict[str, Any]] = deque()
        self._encode = msgspec.json.Encoder().encode_lines

    async def send(self, logged: Iterable[Logged]) -> None:
        """Send these requests and what waits. Raises `httpx.HTTPStatusError` where the bot refuses it for good."""
        for each in logged:
            self._waiting.extend(each.records(self._given))
            self._given += each.requests
        while self._waiting:
            records = [self._waiting.popleft() for _ in range(min(RECORDS_AT_ONCE, len(self._waiting)))]
            if not await self._took(records):
                self._waiting.extendleft(reversed(records))
                return

    async def _took(self, records: list[dict[str, Any]]) -> bool:
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            answer = await self._client.post(PATH, content=self._encode(records), headers=headers)
        except httpx.TransportError:
            return False
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return False
        answer.raise_for_status()
        return True
