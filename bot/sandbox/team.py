"""A simulated team whose services use Claude and log it: a quiet start of the month, then a runaway job.

The services read the fallback file when they restart, like real ones, so that a switch shows in the usage. Most of them
log their requests, see `usage_log`.
"""

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec

from bot.clock import DAY, HOUR
from bot.mode import MODEL_VARIABLE
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import TokenCounts
from bot.sandbox.anthropic_usage import UsageEvent, UsageHistory

PATH = "/v1/usage"
RECORDS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Feature:
    """A use of Claude by an application. `share`: logged share of its service's requests.

    `team`: value of a tag. `users`: take turns.
    """

    name: str
    share: float
    team: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Logged:
    """`requests` of one feature, spread evenly over `span` from `at` on. `shape`: tokens of each."""

    at: datetime
    span: timedelta
    feature: Feature
    model: str
    shape: TokenCounts
    requests: int

    def records(self, first_id: int) -> Iterator[dict[str, Any]]:
        """One record for each response, with ids that count up from `first_id`."""
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
    """Sends what is logged. What the bot does not accept now is sent again."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._given = 0
        self._waiting: deque[dict[str, Any]] = deque()
        self._encode = msgspec.json.Encoder().encode_lines

    async def send(self, logged: Iterable[Logged]) -> None:
        """Send these requests and waiting ones. Raises `httpx.HTTPStatusError` if the bot rejects them for good."""
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


WORKSPACES: Mapping[str, str] = {"wrkspc_01Search": "Search", "wrkspc_01Support": "Support"}

KEYS: Mapping[str, tuple[str, str | None]] = {
    "apikey_01Ingest": ("ingest-2", "wrkspc_01Search"),
    "apikey_01Answers": ("answers", "wrkspc_01Support"),
    "apikey_01Review": ("code-review", None),
}

STEP = timedelta(minutes=10)
RETRIES = 1600
"""Requests of the support feature while it retries endlessly, until somebody stops it."""

RETRYING = "agent-kim"
"""User of the retries."""

RESTARTS_EVERY = HOUR
SEED = 20261101


@dataclass(frozen=True, slots=True)
class Service:
    """One caller. `shape`: tokens of one request. `requests_an_hour`: on a working day at noon."""

    api_key_id: str | None
    model: str
    shape: TokenCounts
    requests_an_hour: int
    around_the_clock: bool = False
    begins: timedelta = timedelta(0)
    """Time from the start of the simulated month until it appears."""
    runs_away: bool = False
    """Whether its usage is accidental: Anthropic may correct it."""
    features: tuple[Feature, ...] = ()
    """Features of its requests, as far as they are logged."""


SUPPORT = Feature("support", 0.7, "care", ("agent-ida", "agent-jon", "agent-kim"))

ANSWERS = Service(
    "apikey_01Answers",
    "claude-sonnet-5-5",
    TokenCounts(uncached_input_tokens=4500, cache_read_input_tokens=30000, output_tokens=2100),
    110,
    features=(SUPPORT, Feature("search", 0.3, "search", ("web", "mobile"))),
)

SERVICES = (
    ANSWERS,
    Service(
        "apikey_01Review",
        "claude-opus-4-8",
        TokenCounts(
            uncached_input_tokens=3000,
            cache_creation_1h_input_tokens=4000,
            cache_read_input_tokens=42000,
            output_tokens=1900,
        ),
        14,
        features=(Feature("code-review", 0.9, "platform", ("dev", "ada")),),
    ),
    Service(None, "claude-haiku-4-5", TokenCounts(uncached_input_tokens=1200, output_tokens=300), 60),
    Service(
        "apikey_01Ingest",
        "claude-opus-5-5",
        TokenCounts(uncached_input_tokens=7000, output_tokens=1100),
        80,
        around_the_clock=True,
        begins=10 * DAY,
        runs_away=True,
        features=(Feature("batch-summaries", 0.6, "search", ("nightly",)),),
    ),
)


class Team:
    """Writes the team's usage into the history of the local Anthropic. `fallback_file`: read by its services."""

    def __init__(self, history: UsageHistory, fallback_file: Path, starts_at: datetime) -> None:
        self._history = history
        self._fallback_file = fallback_file
        self._starts_at = starts_at
        self._until = starts_at
        self._restarted_at = starts_at
        self._ceiling: str | None = None
        self._ran_away: list[UsageEvent] = []
        self._logged: list[Logged] = []
        self._corrected = False
        self._random = random.Random(SEED)  # Fixed seed: the same story each time.

    def work_until(self, now: datetime) -> None:
        """Use tokens up to `now`."""
        while self._until + STEP <= now:
            if self._until - self._restarted_at >= RESTARTS_EVERY:
                self._restarted_at = self._until
                self._ceiling = model_in(self._fallback_file)
            for service in SERVICES:
                self._serve(service, self._until)
            self._until += STEP

    @property
    def runaway(self) -> Literal["before", "running", "corrected"]:
        """State of the runaway job."""
        if self._corrected:
            return "corrected"
        return "running" if self._ran_away else "before"

    def correct_runaway(self, now: datetime) -> None:
        """End the runaway job, and hide its usage from the reports from `now` on.

        Raises `ValueError` if it is not running.
        """
        if self.runaway != "running":
            raise ValueError("the runaway job has not begun, or is corrected already")
        for event in self._ran_away:
            self._history.correct(event, now)
        self._corrected = True

    def retry_support(self, now: datetime) -> None:
        """One agent of the support feature sends the same request thousands of times at once."""
        model = _cheaper(ANSWERS.model, self._ceiling, now)
        self._use(ANSWERS, now, model, RETRIES)
        self._logged.append(
            Logged(now, timedelta(0), replace(SUPPORT, users=(RETRYING,)), model, ANSWERS.shape, RETRIES)
        )

    def take_logged(self) -> list[Logged]:
        """What the applications have logged since the last call."""
        logged, self._logged = self._logged, []
        return logged

    def _serve(self, service: Service, at: datetime) -> None:
        if at < self._starts_at + service.begins or (service.runs_away and self._corrected):
            return
        busy = 1.0 if service.around_the_clock else _working_hours(at)
        requests = round(service.requests_an_hour * (STEP / HOUR) * busy * self._random.uniform(0.8, 1.2))
        if at == self._starts_at:
            # Without this the log of a quiet first night would begin late, and its reports would count as incomplete.
            requests = max(1, requests)
        if requests == 0:
            return
        model = _cheaper(service.model, self._ceiling, at)
        event = self._use(service, at, model, requests)
        if service.runs_away:
            self._ran_away.append(event)
        share, logged = 0.0, 0
        for feature in service.features:
            share, before = share + feature.share, logged
            logged = round(requests * share)
            self._logged.append(Logged(at, STEP, feature, model, service.shape, logged - before))

    def _use(self, service: Service, at: datetime, model: str, requests: int) -> UsageEvent:
        counts = TokenCounts(*(requests * tokens for tokens in service.shape))
        workspace = None if service.api_key_id is None else KEYS[service.api_key_id][1]
        event = UsageEvent(at, model, counts, workspace, service.api_key_id)
        self._history.add(event)
        return event


def model_in(path: Path) -> str | None:
    """The ceiling that an env file sets; None if it sets none or is missing."""
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    values = [line.partition("=")[2] for line in lines if line.startswith(f"{MODEL_VARIABLE}=")]
    return values[-1] if values else None


def _cheaper(model: str, ceiling: str | None, at: datetime) -> str:
    if ceiling is None:
        return model
    card = load_rate_card()
    return min((model, ceiling), key=lambda name: card.resolve(name, at.date()).rates.output)


def _working_hours(at: datetime) -> float:
    day = 0.15 if at.weekday() >= 5 else 1.0
    return day * (1.0 if 8 <= at.hour < 18 else 0.08)
