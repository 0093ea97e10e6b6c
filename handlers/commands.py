"""`/claude-cost`: one table of subcommands, from which parsing, help and README's table come."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond

from bot.in_flight import InFlight
from bot.message import Message
from bot.pricing.estimate import estimate
from bot.pricing.words import WordsError, parse_workload
from bot.services import Services
from handlers.blocks.elements import escape, section
from handlers.blocks.estimate import estimate_message
from handlers.blocks.help import help_message
from handlers.blocks.status import status_message
from handlers.fallback import fallback
from handlers.replies import reply

COMMAND = "/claude-cost"


@dataclass(frozen=True, slots=True)
class Request:
    """One typed command: who typed it, and the words after the subcommand."""

    user: str
    words: str


@dataclass(frozen=True, slots=True)
class Subcommand:
    """A row of the table. `usage` is what follows the name, `meaning` one clause."""

    name: str
    usage: str
    meaning: str
    run: Callable[[Services, Request], Awaitable[Message]]


async def _help(services: Services, request: Request) -> Message:
    return help_message(COMMAND, _rows())


async def _status(services: Services, request: Request) -> Message:
    return await asyncio.to_thread(_status_now, services)


def _status_now(services: Services) -> Message:
    now = services.clock()
    return status_message(
        services.review.spend(now),
        services.usage.data_state(),
        services.fallback.state(),
        services.alerts.last_error(),
        now,
        services.poll_seconds,
    )


async def _estimate(services: Services, request: Request) -> Message:
    try:
        workload = parse_workload(request.words, services.card)
    except WordsError as error:
        return plain(escape(str(error)))
    return estimate_message(estimate(workload, services.card, services.clock().date()))


async def _fallback(services: Services, request: Request) -> Message:
    return await fallback(services, request.user, request.words)


SUBCOMMANDS: tuple[Subcommand, ...] = (
    Subcommand("help", "", "this list", _help),
    Subcommand("status", "", "spend against every budget, pace, fallback mode, and how old the data is", _status),
    Subcommand(
        "estimate",
        "MODEL requests=N in=TOKENS out=TOKENS [cached=TOKENS] [hit=95%] [ttl=5m|1h] [batch]",
        "what a workload would cost a month, and what would make it cheaper",
        _estimate,
    ),
    Subcommand(
        "fallback",
        "[status | on [MODE] [because …] | off]",
        "show or change the fallback mode; changes are for admins",
        _fallback,
    ),
)


async def answer(services: Services, user: str, text: str) -> Message:
    """The answer to `/claude-cost TEXT`. Slack escapes three characters of what people type."""
    typed = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    name, _, words = typed.strip().partition(" ")
    for subcommand in SUBCOMMANDS:
        if subcommand.name == (name.lower() or "help"):
            return await subcommand.run(services, Request(user, words.strip()))
    nearest = difflib.get_close_matches(name.lower(), [row.name for row in SUBCOMMANDS], n=1, cutoff=0.5)
    return help_message(COMMAND, _rows(), unknown=name, nearest=nearest[0] if nearest else None)


def plain(sentence: str) -> Message:
    """One sentence as a message."""
    return Message(sentence, [section(sentence)])


def _rows() -> list[tuple[str, str]]:
    return [(f"{row.name} {row.usage}".strip(), row.meaning) for row in SUBCOMMANDS]


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the slash command."""

    async def on_command(ack: AsyncAck, command: dict[str, str], respond: AsyncRespond) -> None:
        await ack()
        async with in_flight.work():
            await reply(respond, await answer(services, command["user_id"], command.get("text") or ""))

    app.command(COMMAND)(on_command)
