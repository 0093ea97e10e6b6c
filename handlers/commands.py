"""`/claude-cost`: one table of subcommands, the source of parsing, help and the table of docs/commands.md."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.calendar import EXAMPLE as CALENDAR_EXAMPLE
from bot.budgets.parsing import EXAMPLE as BUDGET_EXAMPLE
from bot.budgets.raises import EXAMPLE as RAISE_EXAMPLE
from bot.db.state import Person
from bot.digests.words import EXAMPLE as DIGEST_EXAMPLE
from bot.language import tr, tr_noop
from bot.listed import comma_list
from bot.messages import Message
from bot.pricing.words import EXAMPLES
from bot.services import Services
from bot.threads import InFlight
from bot.typed_text import cleaned, first_word, nearest, words_in
from handlers.alerts import TEST_ALERT, alerts_command, test_alert_command
from handlers.budget import budget_command
from handlers.budget_form import may_fill_in, open_budget_form
from handlers.digest import digest_command
from handlers.digest_form import open_digest_form
from handlers.digest_settings import asks_for_form
from handlers.estimate import estimate_command, open_form
from handlers.expected import calendar_command
from handlers.fallback import fallback_command
from handlers.prices import plan_command, rates_command
from handlers.questions import ACTIONS, COMMANDS, HELP_ESTIMATE, SIZES, meant, other_days
from handlers.render.help import COMMAND as COMMAND
from handlers.render.help import command_help, help_message, not_known_message
from handlers.render.home import ESTIMATE_ACTION
from handlers.render.parts import button, buttons, code, context, said
from handlers.report import cache_command, forecast_command, limits_command, report_command, top_command
from handlers.requests import Request, answering, dated, person_of, reply
from handlers.status import doctor_command, status_command
from handlers.subjects import About, asked_about, command_about

OWN_NAMES = ("claude-cost", "claudecost")
SPELLINGS = {"testalert": TEST_ALERT, "test-alerts": TEST_ALERT}
TEST = "test"
NEARLY = 0.8
"""Similarity to a command from which a single word counts as a typo rather than a question."""
WORDS_LIMIT = 400
"""Longest shown command, in characters."""
MENTION = re.compile(r"<@[A-Z0-9]+(?:\|[^>]*)?>[\s,:、]*")
OF_A_PERIOD = ("report", "status", "digest", "cache", "top")
"""Commands whose answer is about the days of a question."""
REPORT_OF_DAYS = "report 2026-11-01..2026-11-15"
ASKS_FOR_HELP = ("help", "h", "")
"""Requests for help after a command, without dashes and question marks."""


@dataclass(frozen=True, slots=True)
class Subcommand:
    """A row of the table. `usage`: what follows the name. `meaning`: one clause. `examples`: added by help.

    `says_age`: the answer itself says how old its data or prices are, or has none; other answers get a line.
    """

    name: str
    usage: str
    meaning: str
    run: Callable[[Services, Request], Awaitable[Message]]
    examples: tuple[str, ...] = ()
    says_age: bool = False


async def help_command(services: Services, request: Request) -> Message:
    """`help [COMMAND]`: every command, or one with examples."""
    if not words_in(request.typed):
        return help_message([_usage(row) for row in SUBCOMMANDS])
    name, rest = split_command(request.typed)
    row = _row(name)
    if row is None:
        return _not_known(name)
    if words_in(rest):
        word = code(words_in(rest)[0])
        return said(tr("{word} is not known here: `help` takes the name of one command.", word=word))
    return _help_about(row)


SUBCOMMANDS: tuple[Subcommand, ...] = (
    Subcommand("help", "[COMMAND]", tr_noop("this list, or one command with examples"), help_command, says_age=True),
    Subcommand(
        "status",
        "",
        tr_noop("spend against every budget, expected end, fallback mode, and how old the data is"),
        status_command,
        says_age=True,
    ),
    Subcommand(
        "estimate",
        "[MODEL requests=N in=TOKENS out=TOKENS [WORD…] | list | show NAME | drop NAME]",
        tr_noop("what a workload would cost a month, and what would make it cheaper; without words, a form"),
        estimate_command,
        (
            *(f"estimate {example}" for example in EXAMPLES),
            f"estimate {EXAMPLES[0]} as=support-bot for=feature:support",
        ),
        says_age=True,
    ),
    Subcommand(
        "report",
        "[today | yesterday | week | month | last week | last month | FROM..TO] "
        "[by model | workspace | key | feature | user | tag:NAME | product | group | agent | actor | organization]",
        tr_noop("what was spent and on what, against the same stretch before; the month by model when left out"),
        report_command,
        ("report yesterday by key", "report last month by product", REPORT_OF_DAYS),
        says_age=True,
    ),
    Subcommand(
        "top",
        "[PERIOD] [by …]",
        tr_noop("the five largest rows of a report, by feature where applications log usage, otherwise by key"),
        top_command,
        ("top yesterday", "top last week by user"),
    ),
    Subcommand(
        "cache",
        "[PERIOD] [by …]",
        tr_noop("cache hit rates against the break-even, with the dollars saved or lost, by feature or model"),
        cache_command,
        ("cache last week", "cache today by key"),
    ),
    Subcommand(
        "forecast",
        "[BUDGET]",
        tr_noop("where every budget will end, as a range, and when its limits are reached"),
        forecast_command,
    ),
    Subcommand(
        "plan",
        "MODEL requests=N in=TOKENS out=TOKENS [seats=N]",
        tr_noop("a subscription against the API"),
        plan_command,
        says_age=True,
    ),
    Subcommand(
        "fallback",
        "[status | on [MODE] [for TIME] [because …] | off [because …] | auto on|off | history]",
        tr_noop("show or change the fallback mode; changes are for admins"),
        fallback_command,
        ("fallback on minimal for 2h because the batch job ran away", "fallback off because it is fixed"),
    ),
    Subcommand(
        "rates", "[MODEL]", tr_noop("what tokens cost: the newest models, or one in full"), rates_command, says_age=True
    ),
    Subcommand(
        "budget",
        "[list | set NAME KEY=VALUE… | try NAME KEY=VALUE… | suggest [scope=…] | "
        "raise NAME to=USD until=TIME [because …] | remove NAME | history [NAME]]",
        tr_noop(
            "every budget with what it has spent; what one would have reported, and limits from history; set or remove "
            "one, which admins confirm; raise one for a while, which its owners ask for and admins approve; what was "
            "changed"
        ),
        budget_command,
        (
            f"budget set {BUDGET_EXAMPLE}",
            "budget try search hard=120",
            "budget suggest",
            f"budget raise {RAISE_EXAMPLE}",
            "budget remove search",
            "budget history",
        ),
    ),
    Subcommand(
        "calendar",
        "[list | add NAME every|on DAYS [TIME] for TIME [zone=ZONE] [for=SCOPE] | remove NAME]",
        tr_noop(
            "times at which more spend is planned: spike and forecast alerts keep quiet then; changes are for admins"
        ),
        calendar_command,
        (f"calendar add {CALENDAR_EXAMPLE}", "calendar add month-end every 1st for 6h", "calendar remove batch night"),
    ),
    Subcommand(
        "alerts",
        "",
        tr_noop("every open alert with its link, and what its buttons do: keep it quiet, spend less, raise the limit"),
        alerts_command,
    ),
    Subcommand(
        "limits",
        "",
        tr_noop("every budget and where it is set, Anthropic's rate limits, and how near logged traffic came"),
        limits_command,
    ),
    Subcommand(
        "digest",
        "[today | yesterday | week | month | last week | last month [for=SCOPE] | settings | list | "
        "on [daily | weekly | month] [at=TIME] [on=DAY] [zone=ZONE] [for=team:NAME] | off]",
        tr_noop(
            "what was spent, what changed and why, the budgets, and what would save money; only you see it. "
            "`digest on` posts it to this channel, `settings` opens a form"
        ),
        digest_command,
        (
            "digest last week",
            "digest today for=workspace:Search",
            "digest settings",
            f"digest on {DIGEST_EXAMPLE}",
            "digest on month at=10:00 lang=ja",
            "digest list",
            "digest off weekly",
        ),
        says_age=True,
    ),
    Subcommand("doctor", "", tr_noop("what keeps the bot from its work, and what to do about it"), doctor_command),
    Subcommand(TEST_ALERT, "", tr_noop("a test alert to every destination of alerts; for admins"), test_alert_command),
)


async def answer(services: Services, person: Person, text: str, channel: str = "") -> Message:
    """The answer to `/claude-cost TEXT`, tolerant of what a phone or Slack changed in the text.

    `channel`: id of the channel where it was typed.
    """
    name, typed = split_command(text)
    row = _row(name or "help")
    if row is None:
        words_meant = _meant(name, text)
        return (
            _not_known(name)
            if words_meant is None
            else await answer_question(services, person, words_meant, text, channel)
        )
    words = words_in(typed)
    if row.name != "help" and [word.lstrip("-").lower() for word in words] in ([word] for word in ASKS_FOR_HELP):
        return _help_about(row)
    if words and not row.usage:
        return await dated(
            services,
            said(tr("{word} is not known here: `{command}` takes no words.", word=code(words[0]), command=row.name)),
        )
    message = await row.run(services, Request(person, typed, channel))
    return message if row.says_age else await dated(services, message)


async def answer_question(services: Services, person: Person, words: str, asked: str, channel: str = "") -> Message:
    """The answer to a sentence that stands for a command. `words`: that command; `asked`: the sentence."""
    about, days = About(None), None
    if not is_command(split_command(MENTION.sub(" ", asked))[0]):
        people = await services.user_spend.refusal(person) is None
        words, about = await asked_about(services, words, asked, people=people)
        days = other_days(asked, services.clock().date())
    message = _with_subject(await answer(services, person, words, channel), words, about, days)
    if not words.startswith(("estimate ", HELP_ESTIMATE)) or asked.strip().lower().startswith("estimate "):
        return message
    if words.endswith(SIZES) and SIZES not in asked:
        said_so = tr(
            "Assumed: 2,000 tokens in and 500 out for each request. With yours, type {command}",
            command=code(f"{COMMAND} {words.removesuffix(SIZES)}in=… out=…", WORDS_LIMIT),
        )
        message = message.below_first_line(context(said_so))
    return Message([*message.parts, buttons([button(tr("Estimate a workload"), ESTIMATE_ACTION, "question")])])


def _with_subject(message: Message, words: str, about: About, days: str | None) -> Message:
    """The answer with the words and days that it ignores, and with what else may be meant."""
    lines = []
    if days is not None and words.startswith(OF_A_PERIOD):
        lines.append(
            tr(
                "I do not know {days} as a period, so this is about another one: {command} takes any days.",
                days=code(days),
                command=code(f"{COMMAND} {REPORT_OF_DAYS}"),
            )
        )
    if about.ignored:
        ignored = comma_list([code(word) for word in about.ignored])
        lines.append(
            tr(
                "No workspace, key, feature, team, product or budget that I may show is called {word}: this is the "
                "whole organization.",
                word=ignored,
            )
            if about.subject is None
            else tr("Nothing that I may show is called {word}, so it is left out.", word=ignored)
        )
    if about.others and words.startswith(OF_A_PERIOD):
        period = re.sub(r"^\S+ ?| (?:for=|by ).*", "", words) or "month"
        others = [code(f"{COMMAND} {command_about(period, each)}", WORDS_LIMIT) for each in about.others]
        lines.append(tr("The question may also mean {commands}", commands=comma_list(others)))
    return message.below_first_line(context(*lines)) if lines else message


def _meant(name: str, text: str) -> str | None:
    """The command that a sentence asks for; None for a single word that is nearly a command, and for other
    sentences.
    """
    alone = not first_word(first_word(text)[1])[0]
    if alone and nearest(name, [row.name for row in SUBCOMMANDS], NEARLY):
        return None
    return meant(text)


def split_command(text: str) -> tuple[str, str]:
    """The subcommand, or an unknown word, and what follows it, as typed.

    A leading `/claude-cost` is ignored, and `test - alert` is `test-alert`.
    """
    first, rest = first_word(text)
    while first.lower() in OWN_NAMES:
        first, rest = first_word(rest)
    name = re.sub(r"[-_]+", "-", first.lower())
    if name == TEST and first_word(rest)[0].lower() in ("alert", "alerts"):
        return TEST_ALERT, first_word(rest)[1]
    name = COMMANDS.get(first, SPELLINGS.get(name, name))
    if name == "budget":
        action, more = first_word(rest)
        rest = f"{ACTIONS[action]} {more}".rstrip() if action in ACTIONS else rest
    return (name if _row(name) else first), rest


def is_command(name: str) -> bool:
    """Whether `/claude-cost NAME` is one of its commands."""
    return _row(name) is not None


def _row(name: str) -> Subcommand | None:
    return next((row for row in SUBCOMMANDS if row.name == name), None)


def _not_known(name: str) -> Message:
    near = nearest(name, [row.name for row in SUBCOMMANDS])
    return not_known_message(name, near)


def _help_about(row: Subcommand) -> Message:
    return command_help(_usage(row), row.examples)


def _usage(row: Subcommand) -> tuple[str, str]:
    return f"{row.name} {row.usage}".strip(), tr(row.meaning)


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the slash command."""

    async def on_command(ack: AsyncAck, command: dict[str, str], client: AsyncWebClient) -> None:
        await ack()
        text = command.get("text") or ""
        name, words = split_command(text)
        async with answering(services, in_flight, command, name if is_command(name) else ""):
            if not is_command(name):
                name, words = split_command(_meant(name, text) or text)
            if name == "estimate" and not cleaned(words):
                await open_form(services, command, client)
                return
            action, named = first_word(words)
            if name == "budget" and action.lower() == "set" and await may_fill_in(services, named):
                await open_budget_form(services, command, client, named)
                return
            if name == "digest" and asks_for_form(words):
                await open_digest_form(services, command, client)
                return
            channel = command.get("channel_id") or ""
            await reply(services, command, await answer(services, person_of(command), text, channel))

    app.command(COMMAND)(on_command)
