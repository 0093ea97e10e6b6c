"""Every command, the Home tab and every form with a large organization of hostile names, as Slack takes them.

A new command without a case here fails; so does a view that no case opens.
"""

import ast
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import handlers
from bot.budgets.budget import CHAT, ORGANIZATION, Budget, LimitKind, PeriodKind, Scope, ScopeKind
from bot.digests.schedule import DigestRule, Scheduled
from bot.fallback.impact import Overview
from bot.language import LANGUAGES, in_language
from bot.messages import Block
from bot.pricing.card import load_rate_card
from bot.pricing.estimate import estimate
from bot.pricing.words import parse_workload
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import problems, view_problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN
from handlers.commands import SUBCOMMANDS, answer
from handlers.home import home_content
from handlers.render.budget_form import GROUPS, budget_form
from handlers.render.digest_form import Abouts, Carried, digest_form
from handlers.render.estimate import Besides
from handlers.render.estimate_form import Context, estimate_form, result_view
from handlers.render.expected import expected_form
from handlers.render.forms import change_form, text_view
from handlers.render.home import home_view
from handlers.render.parts import said
from handlers.render.raises import raise_form
from tests.contract.parsed import tree_in
from tests.scenario.conftest import World, member
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import record, send, set_budget
from tests.unit.test_worst_messages import NAMES

MANY = 500
BUDGETS = 50
TRILLION = Decimal(10) ** 12
URL = "https://hooks.slack.example/" + "x" * 200

CASES: dict[str, tuple[str, ...]] = {
    "help": ("", "report", "nonsense <!channel>"),
    "status": ("",),
    "estimate": (
        "opus requests=999999999 in=900000 out=128000",
        "opus requests=1 in=1 out=1",
        "list",
        "opus requests=1k in=1000 out=10 as=a for=feature:markup",
        "show a",
        "nonsense <!channel>",
    ),
    "report": tuple(
        f"{period} by {by}"
        for period in ("today", "last month")
        for by in ("model", "workspace", "key", "feature", "user", "tag:team", "product", "group", "agent", "actor")
    ),
    "top": ("", "by workspace", "by user"),
    "cache": ("", "by key", "by user"),
    "forecast": ("", "budget-1", "<!channel>"),
    "plan": ("opus requests=999999999 in=900000 out=128000", "x"),
    "fallback": ("", "status", "history", "on degraded for 2h because <!channel> *b* `c`", "off", "on nonsense"),
    "rates": ("", "opus", "<!channel>"),
    "budget": (
        "",
        "list",
        "set budget-1 hard=999999999999",
        "try budget-1 hard=1",
        "suggest",
        "set",
        "set new-one",
        "raise",
        "raise budget-1",
        "raise budget-1 to=2000000000000 until=2d because <!channel> *b* `c`",
        "history",
        "remove budget-1",
        "remove <!channel>",
    ),
    "calendar": ("", 'add "<!channel> *b*" every fri 22:00 for 6h', "list", "remove <!channel>"),
    "alerts": ("",),
    "limits": ("",),
    "digest": (
        "",
        "last month",
        "on weekly channel=C0SEARCH for=budget:budget-1",
        "on daily channel=C0SEARCH lang=ja",
        "on weekly for=team:<!channel>",
        "list",
        "off channel=C0SEARCH",
        "nonsense <!channel>",
    ),
    "doctor": ("",),
    "test-alert": ("",),
}


def test_every_command_has_a_case() -> None:
    assert set(CASES) == {row.name for row in SUBCOMMANDS}


@pytest.fixture
async def bot(simulated: World, clock: HandClock) -> AsyncIterator[Bot]:
    """A bot with 500 workspaces and keys, 50 budgets, logged features and users: each with one of the worst names."""
    names = list(NAMES.values())
    server = simulated.anthropic
    for index in range(MANY):
        server.workspaces[f"wrkspc_{index}"] = names[index % len(names)] or "x"
        server.keys[f"apikey_{index}"] = (names[index % len(names)] or "x", f"wrkspc_{index}")
        at = clock() - timedelta(hours=index % 200, minutes=5)
        simulated.spend("1000000" if index < 3 else "1", at, key=f"apikey_{index}", workspace=f"wrkspc_{index}")
    async with simulated.bot(**simulated.naming_users()) as bot:
        for index in range(BUDGETS):
            scope = ORGANIZATION if index % 2 else Scope(ScopeKind.WORKSPACE, f"wrkspc_{index}")
            kind = list(PeriodKind)[index % 3]
            soft = None if index % 3 else Decimal("0.01")
            set_budget(bot, Budget(f"budget-{index}", scope, kind, ZoneInfo("UTC"), soft, TRILLION - 1, CHAT))
        async with served(bot) as client:
            records = [
                record(
                    index,
                    "1",
                    feature=(names[index % len(names)] or "x")[:200],
                    user_id=(names[-index % len(names)] or "x")[:200],
                    tags={"team": (names[index % len(names)] or "x")[:60]},
                )
                for index in range(60)
            ]
            await send(client, *records)
        await bot.cycle()
        yield bot


@pytest.fixture
async def empty(simulated: World) -> AsyncIterator[Bot]:
    """A bot before the first poll."""
    async with simulated.bot() as bot:
        yield bot


async def check_everything(bot: Bot) -> None:
    for language in LANGUAGES:
        with in_language(language):
            for name, words in CASES.items():
                for each in words:
                    message = await answer(bot.services, member(ADMIN), f"{name} {each}")
                    where = f"{language}: {name} {each}"
                    assert problems(message.blocks, "message") == [], where
                    older = message.in_older_blocks
                    assert older is None or problems(older.blocks, "message") == [], where
                    assert message.text.strip(), where
                    assert "<!channel>" not in message.text, where
                    assert view_problems(text_view("Answer", message)) == [], where
            content = await bot.services.threads.commands(home_content, bot.services)
            for for_admin in (True, False):
                for native in (True, False):
                    assert view_problems(home_view(content, for_admin=for_admin, native=native)) == []


async def test_every_answer_and_the_home_tab_with_as_much_as_there_may_be(bot: Bot) -> None:
    await check_everything(bot)


async def test_every_answer_and_the_home_tab_before_there_is_anything(empty: Bot) -> None:
    await check_everything(empty)


# ---- forms

CARD = load_rate_card()
LONGEST = NAMES["markup"]
CLOCK_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _estimated() -> Block:
    words = "opus requests=999999999 in=900000 out=128000"
    result = estimate(parse_workload(words, CARD), CARD, CARD.checked_on)
    return result_view(result, Besides(), words, Context(URL))


def _raised() -> Block:
    scope = Scope(ScopeKind.FEATURE, LONGEST[:150])
    budget = Budget("x" * 60, scope, PeriodKind.DAY, ZoneInfo("UTC"), None, TRILLION, CHAT)
    return raise_form(budget, LimitKind.HARD, TRILLION, True, URL)


def modal_makers() -> set[str]:
    """The functions that make a modal, found in the code."""
    found = set()
    for path in Path(handlers.__file__).parent.rglob("*.py"):
        for node in ast.walk(tree_in(path)):
            if isinstance(node, ast.FunctionDef) and '"type": "modal"' in ast.unparse(node).replace("'", '"'):
                found.add(node.name)
    return found


def _budget() -> Block:
    known = {f"{kind}:{number}": f"{number} {LONGEST}" for number in range(500) for kind in ("a", "b")}
    return budget_form(dict.fromkeys((kind for kind in GROUPS if kind is not ScopeKind.ORGANIZATION), known), URL)


def _digest() -> Block:
    rule = DigestRule(PeriodKind.WEEK, "C0SEARCH", budget=LONGEST[:60], language="ja")
    found = [Scheduled(rule, CLOCK_AT, "U0ADA")] * 100 + [Scheduled(rule)] * 100
    abouts = Abouts(True, [f"{LONGEST[:50]}{n}" for n in range(500)], [f"{LONGEST[:50]}{n}" for n in range(500)])
    return digest_form(rule, Carried(URL, rule.key), abouts, found, "C0MAIN")


FORMS: dict[str, Callable[[], Block]] = {
    "budget_form": _budget,
    "estimate_form": lambda: estimate_form(CARD, None, Context(URL), CARD.checked_on, prompt=LONGEST * 9),
    "digest_form": _digest,
    "change_form": lambda: change_form([LONGEST[:60], *map(str, range(60))], LONGEST, Overview((), {}, None), URL),
    "expected_form": lambda: expected_form(10**17, URL),
    "raise_form": _raised,
    "text_view": lambda: text_view("Answer", said(LONGEST * 20)),
    "_view": _estimated,
}


def test_every_form_has_a_case() -> None:
    assert modal_makers() == set(FORMS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FORMS)
def test_every_form_at_its_worst(name: str, language: str) -> None:
    with in_language(language):
        assert view_problems(FORMS[name]()) == []
