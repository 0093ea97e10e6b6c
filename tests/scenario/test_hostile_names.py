"""Names that applications log, in everything that people read: none of them is markup, a mention or a formula."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.__main__ import main
from bot.clock import DAY, system_clock
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import problems
from bot.sandbox.slack_workspace import DEVELOPER
from handlers.commands import answer
from tests.scenario.conftest import World, member, world_at
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import budget, record, send, set_budget

NAMES = (
    "<!channel> <@U0ADMIN001> <https://evil.example|here>",
    "*bold* _it_ ~no~ `code` ```fence",
    "=cmd('/c calc')!A1",
    'a;=HYPERLINK("https://evil.example")',
    "&lt;!here&gt; &amp;",
    "x\u202egnp\u2028\x00y",
    "@here, [toall] [To:1]",
    "z" * 190,
)
MARKUP = re.compile(r"<[!@#]|<https?:|<mailto:|<[^>]*\|")
OUR_OWN = re.compile(r"<!date\^[^<>]*>|<@U[A-Z0-9]+>|<#C[A-Z0-9]+>")


@pytest.fixture
async def team(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, Bot]]:
    """Every name is a feature, a user, a tag, a key, a workspace and a part of a model's name, and spends."""
    async with world_at(system_clock, tmp_path) as world:
        monkeypatch.setenv("CLAUDE_COST_DATABASE_URL", world.environ["CLAUDE_COST_DATABASE_URL"])
        world.spend(1)
        async with world.bot() as bot, served(bot) as client:
            old = (system_clock() - 2 * DAY).isoformat()
            await send(client, record(99, "1", "old", time=old))
            await bot.cycle()
            set_budget(bot, budget("first", f"feature:{NAMES[0]}", "5", "10"))
            for number, name in enumerate(NAMES):
                labels = {"user_id": name, "key": name, "workspace": name, "tags": {"team": name, name[:40]: "v"}}
                await send(client, record(number, "30", name, **labels, model=f"claude-opus-9-{number} {name}"))
            await bot.react()
            await bot.cycle()
            yield world, bot


def is_harmless(text: str) -> bool:
    return MARKUP.search(OUR_OWN.sub("", text)) is None


async def test_no_name_is_markup_in_an_answer_or_an_alert(team: tuple[World, Bot]) -> None:
    world, bot = team
    for words in (
        "status",
        *(f"report today by {by}" for by in ("feature", "user", "tag:team", "model")),
        *(f"cache today by {by}" for by in ("feature", "user", "key")),
        *("top", "limits", "forecast"),
    ):
        message = await answer(bot.services, member(DEVELOPER), words)
        assert problems(message.blocks, "message") == [], words
        for text in (message.text, *texts(message.blocks)):
            assert is_harmless(text), (words, text)
    posts = world.posts()
    assert any(post.text.startswith("New feature") for post in posts)
    for post in posts:
        for text in (post.text, *texts(post.blocks)):
            assert is_harmless(text), text


def texts(value: Any) -> list[str]:
    """All texts that Slack reads markup in; those of a table or a header are shown verbatim."""
    if isinstance(value, dict):
        own = [value["text"]] if value.get("type") == "mrkdwn" else []
        return own + [text for each in value.values() for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, list | tuple) else []


async def test_no_name_is_a_formula_in_an_export(team: tuple[World, Bot], capsys: pytest.CaptureFixture[str]) -> None:
    for by in ("feature", "user", "tag:team", "model"):
        for form in ("csv", "focus"):
            assert main(["export", "today", "--by", by, "--format", form]) == 0, capsys.readouterr().err
            for row in csv.DictReader(io.StringIO(capsys.readouterr().out)):
                for cell in row.values():
                    assert re.match(r"\s*[=+@]|\s*-(?!\d)", cell) is None, cell
                    assert re.search(r"[;\t\r\n]\s*[=+@]", cell) is None, cell
                if row.get("Tags"):
                    assert isinstance(json.loads(row["Tags"]), dict)
