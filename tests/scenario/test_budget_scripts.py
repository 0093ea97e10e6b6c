"""The scripts of docs/budgets-over-http.md: run as they are printed, against the bot's own port."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.runner.cycle import Bot
from tests.scenario.conftest import World
from tests.scenario.http_port import free_port, served
from tests.scenario.test_logged_budgets import budget, record, send, set_budget

DOCS = Path(__file__).parents[2] / "docs" / "budgets-over-http.md"

LINE, STEP = "status line", "step of CI"


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot() as bot:
        yield bot


@pytest.fixture
async def url(simulated: World, bot: Bot) -> AsyncIterator[str]:
    """Address of a bot that reads with a token and knows three budgets."""
    set_budget(bot, budget("support", "feature:support", "5", "10"))
    set_budget(bot, budget("spent", "feature:support", None, "6"))
    set_budget(bot, budget("unused", "feature:nobody", None, "7"))
    await bot.cycle()
    async with served(bot, "secret") as client, served(bot) as sender:
        await send(sender, record(1, "6"))
        yield str(client.base_url).rstrip("/")


async def said(script: str, name: str, url: str, token: str = "secret") -> tuple[int | None, str, str]:
    """Exit code, output and what was said on stderr."""
    code = DOCS.read_text().split(f"<!-- {script}: begin -->\n```python\n")[1].split(f"```\n<!-- {script}: end -->")[0]
    environment = {**os.environ, "CLAUDE_COST_URL": url, "CLAUDE_COST_READ_TOKEN": token, "NO_PROXY": "*"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", code, name),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_status_line_shows_spent_left_and_expected(url: str) -> None:
    assert await said(LINE, "support", url) == (0, "support soft: $6.00 spent, $4.00 left, ? expected\n", "")
    assert await said(LINE, "spent", url) == (0, "spent hard: $6.00 spent, $0.00 left, ? expected\n", "")
    assert await said(LINE, "unused", url) == (0, "unused unknown: ? spent, ? left, ? expected\n", "")


async def test_the_status_line_says_no_more_than_a_question_mark_of_what_it_cannot_read(url: str) -> None:
    assert await said(LINE, "nobody", url) == (0, "?\n", "")
    assert await said(LINE, "support", url, token="wrong") == (0, "?\n", "")
    assert await said(LINE, "support", f"http://127.0.0.1:{free_port()}") == (0, "?\n", "")


async def test_the_status_line_does_not_wait_for_a_bot_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert await said(LINE, "support", f"http://127.0.0.1:{silent.getsockname()[1]}") == (0, "?\n", "")
        assert time.monotonic() - began < 10


async def test_a_step_of_ci_fails_once_the_hard_limit_is_reached(url: str) -> None:
    assert await said(STEP, "support", url) == (0, "support: soft, 6.00 of 10.00 USD spent\n", "")
    assert await said(STEP, "spent", url) == (1, "spent: hard, 6.00 of 6.00 USD spent\n", "")
    assert await said(STEP, "unused", url) == (0, "unused: unknown, ? of 7.00 USD spent\n", "")


async def test_a_step_of_ci_names_what_keeps_it_from_knowing(url: str) -> None:
    code, out, err = await said(STEP, "suport", url)
    assert (code, out) == (2, "")
    assert "There is no budget suport; there are: default, spent, support, unused" in err
    for address, token in ((url, "wrong"), (f"http://127.0.0.1:{free_port()}", "secret")):
        code, out, err = await said(STEP, "support", address, token)
        assert (code, out) == (0, "")
        assert err.startswith("The budget is not known, going on: ")
