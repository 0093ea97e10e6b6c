"""`/claude-cost`: one table of subcommands, from which parsing, help and README's table come."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.actor import Person
from bot.budgets.settled_days import SettledDays
from bot.clock import DAY
from bot.in_flight import InFlight
from bot.message import Message
from bot.services import Services
from handlers.blocks.age import with_age
from handlers.blocks.drift import truth_lines
from handlers.blocks.help import help_message
from handlers.blocks.status import status_message
from handlers.budget import budget_command
from handlers.doctor import doctor_command
from handlers.estimate import estimate_command, open_form
from handlers.fallback import age_of_data, fallback
from handlers.forecast import forecast_command
from handlers.limits import limits_command
from handlers.people import person_of
from handlers.plan import plan_command
from handlers.rates import rates_command
from handlers.replies import reply
from handlers.report import report_command
from handlers.synthetic_alert import send_test_alert

COMMAND = "/claude-cost"

TRUTH_DAYS = 7
"""How many settled days `status` holds computed against billed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One typed command: who typed it, and the words after the subcommand."""

    person: Person
    words: str


@dataclass(frozen=True, slots=True)
class Subcommand:
    """A row of the table. `usage` is what follows the name, `meaning` one clause."""

    name: str
    usage: str
    meaning: str
    run: Callable[[Services, Request], Awaitable[Message]]


async def _help(services: Services, request: Request) -> Message:
    return await _help_about(services, None)


async def _help_about(services: Services, unknown: str | None) -> Message:
    nearest = [] if unknown is None else difflib.get_close_matches(unknown.lower(), _names(), n=1, cutoff=0.5)
    message = help_message(COMMAND, _rows(), unknown, nearest[0] if nearest else None)
    return with_age(message, await age_of_data(services))


async def _status(services: Services, request: Request) -> Message:
    return await asyncio.to_thread(_status_now, services)


def _status_now(services: Services) -> Message:
    now = services.clock()
    today = now.date()
    settled = SettledDays(services.usage, services.card).between(today - 2 * TRUTH_DAYS * DAY, today)
    return status_message(
        services.review.spend(now),
        services.usage.data_state(),
        services.fallback.state(),
        services.alerts.notices.last_error(),
        now,
        services.poll_seconds,
        services.alerts.outside.waiting(),
        services.display,
        truth_lines(settled[-TRUTH_DAYS:], services.usage.data_state().billed_read_at),
        services.alerts.life.open_alerts(),
        services.review.unmatched(),
    )


async def _estimate(services: Services, request: Request) -> Message:
    return await estimate_command(services, request.person.id, request.words)


async def _report(services: Services, request: Request) -> Message:
    return await report_command(services, request.words)


async def _forecast(services: Services, request: Request) -> Message:
    return await forecast_command(services)


async def _rates(services: Services, request: Request) -> Message:
    return await rates_command(services, request.words)


async def _budget(services: Services, request: Request) -> Message:
    return await budget_command(services, request.words)


async def _limits(services: Services, request: Request) -> Message:
    return await limits_command(services)


async def _plan(services: Services, request: Request) -> Message:
    return await plan_command(services, request.words)


async def _fallback(services: Services, request: Request) -> Message:
    return await fallback(services, request.person, request.words)


async def _doctor(services: Services, request: Request) -> Message:
    return await doctor_command(services)


async def _test_alert(services: Services, request: Request) -> Message:
    return await send_test_alert(services, request.person)


SUBCOMMANDS: tuple[Subcommand, ...] = (
    Subcommand("help", "", "this list", _help),
    Subcommand("status", "", "spend against every budget, pace, fallback mode, and how old the data is", _status),
    Subcommand(
        "estimate",
        "[MODEL requests=N in=TOKENS out=TOKENS [WORD…] | list | show NAME | drop NAME]",
        "what a workload would cost a month, and what would make it cheaper; without words, a form",
        _estimate,
    ),
    Subcommand(
        "report",
        "[today | week | month] [by model | workspace | key]",
        "what was spent and on what, against the same stretch before; the month by model when left out",
        _report,
    ),
    Subcommand("forecast", "", "where every budget will end, as a range, and when its limits are reached", _forecast),
    Subcommand("plan", "MODEL requests=N in=TOKENS out=TOKENS [seats=N]", "a subscription against the API", _plan),
    Subcommand(
        "fallback",
        "[status | on [MODE] [for TIME] [because …] | off [because …] | auto on|off | history]",
        "show or change the fallback mode; changes are for admins",
        _fallback,
    ),
    Subcommand("rates", "[MODEL]", "what tokens cost: the newest models, or one in full", _rates),
    Subcommand(
        "budget",
        "[list | set NAME KEY=VALUE… | remove NAME]",
        "every budget with what it has spent; set, change or remove one, which is for admins",
        _budget,
    ),
    Subcommand("limits", "", "every budget and where it is set, and Anthropic's rate limits", _limits),
    Subcommand("doctor", "", "what keeps the bot from its work, and what to do about it", _doctor),
    Subcommand("test-alert", "", "a test alert to every destination of alerts; for admins", _test_alert),
)


async def answer(services: Services, person: Person, text: str) -> Message:
    """The answer to `/claude-cost TEXT`. Slack escapes three characters of what people type."""
    typed = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    name, words = [*typed.split(maxsplit=1), "", ""][:2]
    for subcommand in SUBCOMMANDS:
        if subcommand.name == (name.lower() or "help"):
            return await subcommand.run(services, Request(person, words.strip()))
    return await _help_about(services, name)


def _names() -> list[str]:
    return [row.name for row in SUBCOMMANDS]


def _rows() -> list[tuple[str, str]]:
    return [(f"{row.name} {row.usage}".strip(), row.meaning) for row in SUBCOMMANDS]


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the slash command."""

    async def on_command(ack: AsyncAck, command: dict[str, str], client: AsyncWebClient) -> None:
        await ack()
        async with in_flight.work():
            if (command.get("text") or "").strip().lower() == "estimate":
                await open_form(services, command, client)
                return
            await reply(services, command, await answer(services, person_of(command), command.get("text") or ""))

    app.command(COMMAND)(on_command)
