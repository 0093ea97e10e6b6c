"""Cache of Anthropic's own attribution: read on demand, kept for a few minutes; refusals name the remedy."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.clock import MINUTE, Clock, is_over
from bot.language import tr, tr_noop
from bot.usage.anthropic.attribution import read_attribution
from bot.usage.anthropic.claude_code import read_claude_code
from bot.usage.anthropic.client import BadRequestError, NotServedError, Transport
from bot.usage.model import (
    Attributed,
    AttributedBy,
    MalformedError,
    NotAttributedError,
    Origin,
    RefusedError,
    SourceError,
    UsageChoice,
)

FRESH_FOR = 5 * MINUTE
PATIENCE = timedelta(seconds=60)
MOST_KEPT = 64

LOGS = tr_noop("What your applications log, `report by feature` and `report by user` show.")

_Question = tuple[Origin, AttributedBy, datetime, datetime]
_Answer = Attributed | SourceError | NotAttributedError


@dataclass(frozen=True, slots=True)
class _Asked:
    at: datetime
    task: asyncio.Task[_Answer]

    @property
    def may_change(self) -> bool:
        """Whether asking again soon may help."""
        if not self.task.done():
            return False
        if self.task.cancelled() or self.task.exception() is not None:
            return True
        return not isinstance(self.task.result(), Attributed | RefusedError | NotServedError | BadRequestError)


class Attribution:
    """Asks each question once in a few minutes, however many people ask.

    `choice`: the operator's `CLAUDE_COST_USAGE_API`. `patience`: longest wait of one person for an answer.
    """

    def __init__(self, transport: Transport, choice: UsageChoice, clock: Clock, patience: timedelta = PATIENCE) -> None:
        self._transport = transport
        self._choice = choice
        self._clock = clock
        self._patience = patience
        self._asked: dict[_Question, _Asked] = {}

    async def spend(self, by: AttributedBy, starts_at: datetime, ends_at: datetime) -> Attributed:
        """Spend of these UTC days from the analytics API. Raises `NotAttributedError`."""
        try:
            return await self._analytics(by, starts_at, ends_at)
        except SourceError as error:
            why = because(error, by)
            raise NotAttributedError(tr("Spend by {by} is not known: {why}", by=tr(by.value), why=why)) from None

    async def spend_by_user(self, starts_at: datetime, ends_at: datetime) -> Attributed:
        """Spend by actor; if that is refused, spend of Claude Code's users. Raises `NotAttributedError`."""
        try:
            return await self._analytics(AttributedBy.ACTOR, starts_at, ends_at)
        except (RefusedError, NotServedError, BadRequestError) as error:
            why = because(error, AttributedBy.ACTOR)
        except SourceError as error:
            raise NotAttributedError(tr("Spend by user is not known: {why}", why=error)) from None
        now = self._clock()
        try:
            return await self._answer(
                ("claude_code", AttributedBy.ACTOR, starts_at, ends_at),
                lambda: read_claude_code(self._transport, starts_at, ends_at, now),
            )
        except (RefusedError, NotServedError, BadRequestError):
            raise NotAttributedError(
                tr(
                    "Spend by user is not known: {why} Claude Code's report is closed as well: it takes an Admin key.",
                    why=why,
                )
            ) from None
        except SourceError as error:
            raise NotAttributedError(
                tr("Spend by user is not known: {why} Claude Code's report: {error}", why=why, error=error)
            ) from None

    async def close(self) -> None:
        """Cancel running requests."""
        tasks = [asked.task for asked in self._asked.values()]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._transport.close()

    async def _analytics(self, by: AttributedBy, starts_at: datetime, ends_at: datetime) -> Attributed:
        if self._choice == "admin":
            raise NotChosenError("CLAUDE_COST_USAGE_API is admin")
        now = self._clock()
        return await self._answer(
            ("analytics", by, starts_at, ends_at),
            lambda: read_attribution(self._transport, by, starts_at, ends_at, now),
        )

    async def _answer(self, question: _Question, read: Callable[[], Awaitable[Attributed]]) -> Attributed:
        now = self._clock()
        asked = self._asked.get(question)
        if asked is None or is_over(FRESH_FOR, asked.at, now) or asked.may_change:
            self._drop_old(now)
            asked = self._asked[question] = _Asked(now, asyncio.create_task(_caught(read)))
        done, _ = await asyncio.wait({asked.task}, timeout=self._patience.total_seconds())
        if not done or asked.task.cancelled():
            raise NotAttributedError(tr("Anthropic takes long to answer: ask again in a minute."))
        found = asked.task.result()
        if isinstance(found, Exception):
            raise found
        return found

    def _drop_old(self, now: datetime) -> None:
        ended = [key for key, each in self._asked.items() if each.task.done() and is_over(FRESH_FOR, each.at, now)]
        for key in ended:
            del self._asked[key]
        while len(self._asked) >= MOST_KEPT:
            oldest = next(iter(self._asked))
            self._asked.pop(oldest).task.cancel()


class NotChosenError(RefusedError):
    """The operator has chosen the admin API only."""


async def _caught(read: Callable[[], Awaitable[Attributed]]) -> _Answer:
    """Return errors as values: several people may wait for the same answer, or nobody any more."""
    try:
        return await read()
    except (SourceError, NotAttributedError) as error:
        return error


def because(error: SourceError, by: AttributedBy, instead: str = LOGS) -> str:
    """Why Anthropic's attribution is unavailable, with the remedy; starts in lower case.

    `instead`: a sentence on what to use instead.
    """
    if isinstance(error, NotChosenError):
        return tr(
            "it comes from Anthropic's analytics API, and CLAUDE_COST_USAGE_API is admin: set it to auto, unless your "
            "organization has HIPAA readiness. {instead}",
            instead=tr(instead),
        )
    if "HIPAA" in str(error):
        return tr(
            "Anthropic's analytics API is closed to organizations with HIPAA readiness. {instead}", instead=tr(instead)
        )
    if isinstance(error, RefusedError):
        return tr(
            "ANTHROPIC_ADMIN_KEY may not read Anthropic's analytics API: use an Admin key, or a key with the scope "
            "read:analytics. {instead}",
            instead=tr(instead),
        )
    if isinstance(error, NotServedError):
        return tr(
            "Anthropic's analytics API is not served at ANTHROPIC_BASE_URL, or not open to this organization. "
            "{instead}",
            instead=tr(instead),
        )
    if isinstance(error, BadRequestError) and by is AttributedBy.ORGANIZATION:
        return tr("only a key of the parent organization may ask for it.")
    if isinstance(error, MalformedError):
        return tr("Anthropic's answer does not have the documented shape: update this bot.")
    return str(error)
