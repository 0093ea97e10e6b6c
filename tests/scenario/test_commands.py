"""Answers of `/claude-cost`, over the real services on a real database."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from bot.alerts.notice_contents import parsed
from bot.app import bot_from
from bot.clock import DAY, HOUR, floor_hour
from bot.config.settings import Need, load_settings
from bot.db.engine import open_database
from bot.db.schema import audit, notices
from bot.language import in_language
from bot.messages import Block, Message, in_utc
from bot.modes.model import ModeAnnouncement
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import TEAM_ID
from bot.services import Services
from bot.usage.model import DataState, Read, UsageReading, UsageRow
from handlers.commands import SUBCOMMANDS, answer
from handlers.fallback import switch_clicked
from handlers.render.help import COMMAND, EXAMPLES
from handlers.requests import Click
from tests.databases import NOW, migrate_by_copy
from tests.scenario.conftest import member

ADMIN, DEVELOPER = "U0ADMIN", "U0DEV"
AGE = "Data as of 20 Nov 11:55 UTC (5 min old), from Anthropic's admin API."


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
async def services(clock: HandClock, tmp_path: Path) -> AsyncIterator[Services]:
    """The services of the composition root, with one admin and a mode without a model, before the first poll."""
    config = tmp_path / "claude-cost.toml"
    config.write_text('[mode.quiet]\nOUR_FEATURE = "off"\n')
    environ = {
        "SLACK_BOT_TOKEN": "xoxb-nobody",
        "SLACK_APP_TOKEN": "xapp-nobody",
        "SLACK_API_URL": "http://127.0.0.1:9/api/",
        "ANTHROPIC_ADMIN_KEY": "nobody",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "CLAUDE_COST_CHANNEL": "C0ALERTS",
        "CLAUDE_COST_SOFT_USD": "400",
        "CLAUDE_COST_HARD_USD": "600",
        "CLAUDE_COST_DATABASE_URL": database_in(tmp_path),
        "CLAUDE_COST_FALLBACK_FILE": str(tmp_path / "services.env"),
        "CLAUDE_COST_ADMINS": ADMIN,
        "CLAUDE_COST_CONFIG": str(config),
    }
    migrate_by_copy(database_in(tmp_path))
    async with bot_from(load_settings(environ, Need.RUN), clock) as bot:
        bot.workspace.team = TEAM_ID
        yield bot.services


@pytest.fixture
def engine(services: Services, tmp_path: Path) -> Iterator[Engine]:
    """A second look at the same database."""
    engine = open_database(database_in(tmp_path))
    yield engine
    engine.dispose()


def database_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'claude-cost.db'}"


@pytest.fixture
def polled(services: Services) -> Services:
    """Services after a poll: $10 of Opus 4.8 in every hour of the last day."""
    read = Read("1h", floor_hour(NOW) - 20 * DAY, floor_hour(NOW) + HOUR)
    rows = [
        UsageRow(
            floor_hour(NOW) - (index + 1) * HOUR,
            "claude-opus-4-8",
            "wrkspc_1",
            "apikey_1",
            STANDARD,
            TokenCounts(uncached_input_tokens=2_000_000),
        )
        for index in range(24)
    ]
    data = DataState(as_of=NOW - timedelta(minutes=5), source="admin", polled_at=NOW, billed_at=NOW)
    services.usage.save([UsageReading(read, tuple(rows), None)], "admin", NOW, data, None)
    return services


def fallback_file(services: Services) -> Path:
    (target,) = services.fallback.state().targets
    return Path(target.name)


async def ask(services: Services, words: str, user: str = ADMIN) -> Message:
    """The answer, which Slack takes as it is."""
    message = await answer(services, member(user), words)
    assert problems(message.blocks, "message") == []
    return message


def buttons(message: Message) -> list[Block]:
    return [element for block in message.blocks if block["type"] == "actions" for element in block["elements"]]


def labels(message: Message) -> list[str]:
    return [button["text"]["text"] for button in buttons(message)]


def announced(engine: Engine) -> list[ModeAnnouncement]:
    with engine.connect() as connection:
        rows = connection.execute(select(notices.c.facts).order_by(notices.c.id)).scalars().all()
    return [facts for facts in map(parsed, rows) if isinstance(facts, ModeAnnouncement)]


def refusals(engine: Engine) -> list[tuple[str, str]]:
    query = select(audit.c.actor, audit.c.detail).where(audit.c.outcome == "refused").order_by(audit.c.id)
    with engine.connect() as connection:
        return [(row.actor, row.detail) for row in connection.execute(query)]


# ---- every answer


@pytest.mark.parametrize("words", ["status", "fallback", "fallback on", "fallback of", "fallback up"])
@pytest.mark.parametrize("user", [ADMIN, DEVELOPER])
async def test_every_answer_says_how_old_its_data_is(polled: Services, words: str, user: str) -> None:
    message = await ask(polled, words, user)
    assert AGE in message.text
    assert AGE in in_utc(str(message.blocks))


@pytest.mark.parametrize("words", ["status", "fallback status", "fallback on", "fallback off"])
async def test_before_the_first_poll_every_answer_says_that_there_is_no_data(services: Services, words: str) -> None:
    message = await ask(services, words)
    assert "No data yet: the first poll has not succeeded." in message.text
    assert "$" not in message.text
    assert " 0" not in message.text.replace("1 Dec 00:00 UTC", "")


async def test_old_data_is_called_stale_in_every_answer(polled: Services, clock: HandClock) -> None:
    clock.advance(timedelta(minutes=30))
    for words in ("budget", "status", "fallback status"):
        assert "STALE. Data as of 20 Nov 11:55 UTC (35 min old)" in (await ask(polled, words)).text


@pytest.mark.parametrize("words", ["estimate sonnet-4.6 requests=100k in=2000 out=500", "estimate sonet"])
async def test_an_estimate_says_of_when_its_prices_are(services: Services, words: str) -> None:
    message = await ask(services, words)
    assert "List prices checked on 2026-" in message.text


# ---- help and the nearest match


@pytest.mark.parametrize("words", ["", "   ", "help", "HELP", "\thelp\n"])
async def test_help_begins_with_three_examples_and_lists_every_subcommand(services: Services, words: str) -> None:
    message = await ask(services, words)
    lines = message.text.splitlines()
    assert [line.startswith(f"• `{COMMAND} ") for line in lines[:5]] == [False, True, True, True, False]
    for row in SUBCOMMANDS:
        assert f"`{COMMAND} {row.name}" in message.text
    assert "not a command" not in message.text
    assert "Data as of" not in message.text
    assert [block["type"] for block in message.blocks] == ["section", "container"]


async def test_every_example_of_help_is_understood(services: Services) -> None:
    for words, _ in EXAMPLES:
        text = (await ask(services, words)).text
        assert not re.search("not known here|not a command|cannot be used", text)


async def test_help_is_in_japanese_where_the_reader_is(services: Services) -> None:
    with in_language("ja"):
        text = (await ask(services, "stauts")).text
    assert text.startswith("`stauts` というコマンドはありません。`/claude-cost status` のことですか？")
    assert "For example" not in text


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("stauts", "`stauts` is not a command of mine: did you mean `/claude-cost status`?"),
        ("Fallbck on", "`Fallbck` is not a command of mine: did you mean `/claude-cost fallback`?"),
        ("estimates sonnet", "`estimates` is not a command of mine: did you mean `/claude-cost estimate`?"),
        ("xyzzy", "`xyzzy` is not a command of mine."),
        ("&lt;!channel&gt;", "`&lt;!channel&gt;` is not a command of mine."),
        ("<!channel>", "`&lt;!channel&gt;` is not a command of mine."),
        ("a&amp;b", "`a&amp;b` is not a command of mine."),
        ("seven\nlines", "`seven` is not a command of mine."),
        ("x" * 2000, f"`{'x' * 59}…` is not a command of mine."),
    ],
)
async def test_an_unknown_word_gets_the_nearest_match_in_one_line(services: Services, typed: str, first: str) -> None:
    message = await ask(services, typed)
    assert message.text == f"{first} `{COMMAND} help` lists everything."


# ---- status


async def test_status_shows_spend_end_movers_mode_and_age(polled: Services) -> None:
    text = (await ask(polled, "Status.")).text
    lines = text.splitlines()
    assert lines[0] == "$240.00 of $600.00 (40%), November"
    assert lines[1].startswith("Mostly Opus 4.8 · wrkspc_1 · key apikey_1: $2")
    assert lines[2].startswith("Recommended: Switch to minimal · saves about $")
    assert lines[3] == "▰▰▰▰▱▱▱▱▱▱ 40% of the hard limit, $600.00; 60% of the soft limit, $400.00"
    assert lines[4].startswith("Expected end: $")
    assert lines[5] == "organization: $240.00 computed from tokens and list prices."
    assert "• Opus 4.8 · wrkspc_1 · key apikey_1: $2" in lines[6]
    truth = "Computed against billed: no settled day to compare yet; cost report not read yet."
    assert lines[-3:] == [truth, "Fallback mode: normal, never changed", AGE]


async def test_status_says_that_an_alert_waits_and_why(polled: Services) -> None:
    polled.fallback.switch(polled.fallback.modes["degraded"], ADMIN, "", (), None)
    notice = polled.alerts.notices.claim(NOW)
    assert notice is not None
    polled.alerts.notices.retry(
        notice.id, NOW, "The bot is not in C1: type /invite <@claude> there.", outcome_unknown=False
    )
    text = (await ask(polled, "status")).text
    assert "Alerts are waiting: The bot is not in C1: type /invite &lt;@claude&gt; there." in text
    assert "Fallback mode: degraded since 20 Nov 12:00 UTC by <@U0ADMIN>, written" in text


# ---- estimate


async def test_an_estimate_begins_with_the_number(services: Services) -> None:
    message = await ask(services, "estimate sonnet-4.6 requests=100k in=2000 out=500")
    assert message.text.startswith("$1,350.00 a month: Sonnet 4.6, 100,000 requests a month")
    assert message.blocks[0]["text"]["text"].startswith("*$1,350.00 a month*")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("estimate sonet requests=1 in=1 out=1", "did you mean sonnet?"),
        ("estimate sonnet requests=1 inn=1 out=1", "did you mean in=?"),
        ("estimate &lt;!channel&gt; requests=1 in=1 out=1", "&lt;!channel&gt;"),
    ],
)
async def test_words_that_make_no_workload_get_one_sentence_with_the_remedy(
    services: Services, words: str, hint: str
) -> None:
    message = await ask(services, words)
    assert hint in message.text.splitlines()[0]
    assert "<!" not in message.text


# ---- fallback


async def test_a_typed_fallback_on_acts_at_once_and_answers_with_the_saving_and_an_undo(
    polled: Services, engine: Engine
) -> None:
    message = await ask(polled, "fallback on because too <dear> & slow")
    lines = message.text.splitlines()
    assert lines[0] == "Fallback mode normal → degraded."
    assert lines[1].startswith("degraded: at most Sonnet 5.5; saves about $")
    assert lines[2:] == [
        "Options for thinking and tool_choice are others on Sonnet 5.5 than on Opus 4.8: try a request.",
        "Returns to normal at the start of the next period, 1 Dec 00:00 UTC.",
        "It is announced in the alert channel.",
        AGE,
    ]
    (button,) = buttons(message)
    assert (button["text"]["text"], button["value"]) == ("Undo: back to normal", "normal")
    assert button["confirm"]["text"]["text"].startswith("The fallback mode becomes normal.")
    assert polled.fallback.state().mode.name == "degraded"
    assert "CLAUDE_MODEL=claude-sonnet-5-5" in fallback_file(polled).read_text()
    (facts,) = announced(engine)
    assert (facts.previous, facts.mode, facts.by, facts.reason) == ("normal", "degraded", ADMIN, "too <dear> & slow")


async def test_the_undo_brings_back_what_was_and_can_be_undone_itself(polled: Services) -> None:
    await ask(polled, "fallback on minimal")
    (button,) = buttons(await ask(polled, "fallback on degraded"))
    assert (button["text"]["text"], button["value"]) == ("Undo: back to minimal", "minimal")
    message = await switch_clicked(polled, Click(member(ADMIN), button["action_id"], button["value"]))
    assert message.text.startswith("Fallback mode degraded → minimal.")
    assert AGE in message.text
    (button,) = buttons(message)
    assert button["text"]["text"] == "Undo: back to degraded"


async def test_fallback_off_goes_back_to_normal(polled: Services) -> None:
    await ask(polled, "fallback on")
    message = await ask(polled, "Fallback OFF because it was a mistake")
    assert message.text.startswith("Fallback mode degraded → normal.\nServices use their own default model again.")
    assert [button["text"]["text"] for button in buttons(message)] == ["Undo: back to degraded"]
    assert polled.fallback.state().reason == "it was a mistake"


async def test_a_mode_that_names_no_model_has_no_saving_and_no_zero(polled: Services) -> None:
    message = await ask(polled, "fallback on quiet")
    assert "quiet: what it saves is not known, since it names no model." in message.text
    assert "$" not in message.text


async def test_the_mode_in_force_is_not_switched_again(polled: Services, engine: Engine) -> None:
    await ask(polled, "fallback on")
    message = await ask(polled, "fallback on degraded")
    assert message.text.startswith("Nothing was changed: fallback mode degraded is already on.")
    assert len(announced(engine)) == 1


async def test_a_target_that_cannot_be_written_is_said_in_the_answer(polled: Services) -> None:
    fallback_file(polled).mkdir()
    message = await ask(polled, "fallback on")
    assert "NOT written yet, the bot keeps trying: " in message.text
    assert "NOT written" in (await ask(polled, "status")).text


async def test_fallback_status_shows_the_mode_its_target_and_what_others_would_save(polled: Services) -> None:
    message = await ask(polled, "fallback", DEVELOPER)
    lines = message.text.splitlines()
    assert lines[0] == "Fallback mode: normal."
    assert lines[1].startswith("Target: `")
    assert lines[2] == "`CLAUDE_FALLBACK_MODE=normal`"
    assert lines[3] == "Stepping down by itself: off, as in the settings."
    costs = "• Options for thinking and tool_choice are others on"
    assert [line.split(":")[0] for line in (lines[4], lines[6])] == ["degraded", "minimal"]
    assert [line.startswith(costs) for line in (lines[5], lines[7])] == [True, True]
    first, *others = labels(message)
    assert first.startswith("Switch to minimal · saves about $")
    assert others == ["Switch to degraded", "Change…"]
    await ask(polled, "fallback on")
    assert labels(await ask(polled, "fallback status")) == ["Back to normal", "Change…"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "fallback of",
            "`of` is not known here: use fallback status, on, off, auto or history. Did you mean `fallback off`?",
        ),
        (
            "fallback Minimal",
            "`minimal` is not known here: use fallback status, on, off, auto or history. "
            "Did you mean `fallback on minimal`?",
        ),
        (
            "fallback normal",
            "`normal` is not known here: use fallback status, on, off, auto or history. Did you mean `fallback off`?",
        ),
        ("fallback xyzzy", "`xyzzy` is not known here: use fallback status, on, off, auto or history."),
        (
            "fallback on tiny",
            "Nothing was changed: there is no mode `tiny`; the modes are normal, degraded, minimal, quiet.",
        ),
        (
            "fallback on <!channel>`",
            "Nothing was changed: there is no mode `&lt;!channel&gt;`; the modes are normal, degraded, minimal, quiet.",
        ),
        (
            "fallback off degraded",
            "`fallback off` takes no mode and no time: remove `degraded`, or give a reason after because.",
        ),
    ],
)
async def test_words_that_are_not_understood_change_nothing(
    polled: Services, engine: Engine, words: str, sentence: str
) -> None:
    message = await ask(polled, words)
    assert message.text.splitlines() == [sentence, AGE]
    assert announced(engine) == []


@pytest.mark.parametrize("words", ["fallback on", "fallback on minimal because I can", "fallback on degraded"])
async def test_who_may_not_switch_is_refused_and_the_refusal_is_kept(
    polled: Services, engine: Engine, words: str
) -> None:
    message = await ask(polled, words, DEVELOPER)
    assert message.text.splitlines() == [
        "Nothing was changed: only the people named in CLAUDE_COST_ADMINS may change the fallback mode (<@U0ADMIN>).",
        AGE,
    ]
    assert labels(message) == ["Ask an admin"]
    assert polled.fallback.state().mode.name == "normal"
    assert announced(engine) == []
    await polled.threads.later(int)
    ((actor, detail),) = refusals(engine)
    assert actor == DEVELOPER
    assert detail.startswith(("degraded: ", "minimal: "))


async def test_two_people_who_switch_at_once_are_announced_as_what_happened(polled: Services, engine: Engine) -> None:
    await asyncio.gather(*(ask(polled, f"fallback on {mode}") for mode in ("degraded", "minimal", "degraded")))
    changes = [(facts.previous, facts.mode) for facts in announced(engine)]
    assert changes[0][0] == "normal"
    assert all(before[1] == after[0] for before, after in pairwise(changes))
    assert polled.fallback.state().mode.name == changes[-1][1]
