"""`/claude-cost`: one table of subcommands, from which parsing, help and README's table come."""

import difflib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.actor import Person
from bot.alerts.day_drift import settled_days
from bot.budgets.account import Detail
from bot.budgets.words import EXAMPLE as BUDGET_EXAMPLE
from bot.clock import DAY
from bot.in_flight import InFlight
from bot.messages import Message
from bot.pricing.words import EXAMPLES
from bot.services import Services
from bot.typed_text import cleaned, first_word, words_in
from handlers.budget import budget_command
from handlers.doctor import doctor_command
from handlers.estimate import estimate_command, open_form
from handlers.fallback import age_of_data, fallback
from handlers.forecast import forecast_command
from handlers.limits import limits_command
from handlers.people import person_of
from handlers.plan import plan_command
from handlers.rates import rates_command
from handlers.render.age import with_age
from handlers.render.drift import truth_lines
from handlers.render.elements import section
from handlers.render.escape import code
from handlers.render.help import help_message
from handlers.render.status import status_message
from handlers.replies import reply
from handlers.report import report_command
from handlers.synthetic_alert import send_test_alert

COMMAND = "/claude-cost"
OWN_NAMES = ("claude-cost", "claudecost")
SPELLINGS = {"testalert": "test-alert", "test-alerts": "test-alert"}

TRUTH_DAYS = 7
"""How many settled days `status` holds computed against billed."""


TEST = "test"
ASKS_FOR_HELP = ("help", "h", "")
"""Behind a command, without their dashes and question marks."""


@dataclass(frozen=True, slots=True)
class Request:
    """One typed command: who typed it, and the words after the subcommand, as they were typed."""

    person: Person
    typed: str

    @property
    def words(self) -> str:
        """The words as they would come from a plain keyboard."""
        return cleaned(self.typed)


@dataclass(frozen=True, slots=True)
class Subcommand:
    """A row of the table. `usage` is what follows the name, `meaning` one clause, `examples` what help adds."""

    name: str
    usage: str
    meaning: str
    run: Callable[[Services, Request], Awaitable[Message]]
    examples: tuple[str, ...] = ()


async def _help(services: Services, request: Request) -> Message:
    if not words_in(request.typed):
        return await _dated(services, help_message(COMMAND, _rows()))
    name, rest = split_command(request.typed)
    row = _row(name)
    if row is None:
        return await _not_known(services, name)
    if words_in(rest):
        return await _refused(services, words_in(rest)[0], "`help` takes the name of one command")
    return await _help_about(services, row)


async def _help_about(services: Services, row: Subcommand) -> Message:
    more = [(example, "for example") for example in row.examples]
    return await _dated(services, help_message(COMMAND, [_usage(row), *more]))


async def _not_known(services: Services, name: str) -> Message:
    return await _dated(services, help_message(COMMAND, _rows(), name, _nearest(name)))


async def _refused(services: Services, word: str, why: str) -> Message:
    text = f"{code(word)} is not known here: {why}."
    return await _dated(services, Message(text, [section(text)]))


async def _dated(services: Services, message: Message) -> Message:
    return with_age(message, await age_of_data(services))


async def _status(services: Services, request: Request) -> Message:
    return await services.threads.commands(_status_now, services)


def _status_now(services: Services) -> Message:
    now = services.clock()
    today = now.date()
    snapshot = services.snapshots.current()
    settled = settled_days(snapshot, today - 2 * TRUTH_DAYS * DAY, today)
    spending = services.review.spending(now)
    return status_message(
        spending.sums(),
        snapshot.data,
        services.fallback.state(),
        services.alerts.notices.last_error(),
        now,
        services.poll_seconds,
        services.alerts.destinations.waiting(),
        services.display,
        truth_lines(settled[-TRUTH_DAYS:], snapshot.data.billed_read_at),
        services.alerts.life.open_alerts(),
        services.review.unmatched(),
        partial(spending.told, detail=Detail.ENDS | Detail.WHY),
    )


async def _estimate(services: Services, request: Request) -> Message:
    return await estimate_command(services, request.person.id, request.words)


async def _report(services: Services, request: Request) -> Message:
    return await report_command(services, request.words)


async def _forecast(services: Services, request: Request) -> Message:
    return await forecast_command(services, request.words)


async def _rates(services: Services, request: Request) -> Message:
    return await rates_command(services, request.words)


async def _budget(services: Services, request: Request) -> Message:
    return await budget_command(services, request.typed)


async def _limits(services: Services, request: Request) -> Message:
    return await limits_command(services)


async def _plan(services: Services, request: Request) -> Message:
    return await plan_command(services, request.words)


async def _fallback(services: Services, request: Request) -> Message:
    return await fallback(services, request.person, request.typed)


async def _doctor(services: Services, request: Request) -> Message:
    return await doctor_command(services)


async def _test_alert(services: Services, request: Request) -> Message:
    return await send_test_alert(services, request.person)


SUBCOMMANDS: tuple[Subcommand, ...] = (
    Subcommand("help", "[COMMAND]", "this list, or one command with examples", _help),
    Subcommand(
        "status", "", "spend against every budget, expected end, fallback mode, and how old the data is", _status
    ),
    Subcommand(
        "estimate",
        "[MODEL requests=N in=TOKENS out=TOKENS [WORD…] | list | show NAME | drop NAME]",
        "what a workload would cost a month, and what would make it cheaper; without words, a form",
        _estimate,
        tuple(f"estimate {example}" for example in EXAMPLES),
    ),
    Subcommand(
        "report",
        "[today | yesterday | week | month | last week | last month | FROM..TO] [by model | workspace | key]",
        "what was spent and on what, against the same stretch before; the month by model when left out",
        _report,
        ("report yesterday by key", "report last month by workspace", "report 2026-11-01..2026-11-15"),
    ),
    Subcommand(
        "forecast", "[BUDGET]", "where every budget will end, as a range, and when its limits are reached", _forecast
    ),
    Subcommand("plan", "MODEL requests=N in=TOKENS out=TOKENS [seats=N]", "a subscription against the API", _plan),
    Subcommand(
        "fallback",
        "[status | on [MODE] [for TIME] [because …] | off [because …] | auto on|off | history]",
        "show or change the fallback mode; changes are for admins",
        _fallback,
        ("fallback on minimal for 2h because the batch job ran away", "fallback off because it is fixed"),
    ),
    Subcommand("rates", "[MODEL]", "what tokens cost: the newest models, or one in full", _rates),
    Subcommand(
        "budget",
        "[list | set NAME KEY=VALUE… | remove NAME]",
        "every budget with what it has spent; set, change or remove one, which is for admins",
        _budget,
        (f"budget set {BUDGET_EXAMPLE}", "budget remove search"),
    ),
    Subcommand("limits", "", "every budget and where it is set, and Anthropic's rate limits", _limits),
    Subcommand("doctor", "", "what keeps the bot from its work, and what to do about it", _doctor),
    Subcommand("test-alert", "", "a test alert to every destination of alerts; for admins", _test_alert),
)


async def answer(services: Services, person: Person, text: str) -> Message:
    """The answer to `/claude-cost TEXT`, in whatever way a phone or Slack has changed what was typed."""
    name, typed = split_command(text)
    row = _row(name or "help")
    if row is None:
        return await _not_known(services, name)
    words = words_in(typed)
    if row.name != "help" and [word.lstrip("-").lower() for word in words] in ([word] for word in ASKS_FOR_HELP):
        return await _help_about(services, row)
    if words and not row.usage:
        return await _refused(services, words[0], f"`{row.name}` takes no words")
    return await row.run(services, Request(person, typed))


def split_command(text: str) -> tuple[str, str]:
    """The subcommand, or the word that is none, and what stands behind it, as typed.

    `/claude-cost` before it counts for nothing, and `test - alert` is `test-alert`.
    """
    first, rest = first_word(text)
    while first.lower() in OWN_NAMES:
        first, rest = first_word(rest)
    name = re.sub(r"[-_]+", "-", first.lower())
    if name == TEST and first_word(rest)[0].lower() in ("alert", "alerts"):
        return "test-alert", first_word(rest)[1]
    name = SPELLINGS.get(name, name)
    return (name if _row(name) else first), rest


def _row(name: str) -> Subcommand | None:
    return next((row for row in SUBCOMMANDS if row.name == name), None)


def _nearest(unknown: str) -> str | None:
    """The command that was likely meant."""
    typed = unknown.lower()
    begun = [name for name in _names() if len(typed) > 2 and name.startswith(typed)]
    near = begun or difflib.get_close_matches(typed, _names(), n=1, cutoff=0.6)
    return near[0] if near else None


def _names() -> list[str]:
    return [row.name for row in SUBCOMMANDS]


def _rows() -> list[tuple[str, str]]:
    return [_usage(row) for row in SUBCOMMANDS]


def _usage(row: Subcommand) -> tuple[str, str]:
    return f"{row.name} {row.usage}".strip(), row.meaning


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the slash command."""

    async def on_command(ack: AsyncAck, command: dict[str, str], client: AsyncWebClient) -> None:
        await ack()
        async with in_flight.work():
            text = command.get("text") or ""
            name, words = split_command(text)
            if name == "estimate" and not cleaned(words):
                await open_form(services, command, client)
                return
            await reply(services, command, await answer(services, person_of(command), text))

    app.command(COMMAND)(on_command)
