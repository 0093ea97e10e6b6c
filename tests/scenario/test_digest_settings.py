"""Digests are set, changed, stopped and undone in Slack, by those who may, and come at their next hour and once."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from bot.alerts.asks import unpacked
from bot.clock import DAY, HOUR, MINUTE
from bot.db.schema import audit
from bot.language import in_language
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_dispatch import Interaction
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER, Channel, Message, direct_id
from handlers.render.asking import ASK_ACTION
from handlers.render.digest_settings import SETTINGS_ACTION, STOP_ACTION, UNDO_ACTION
from tests.scenario.conftest import World
from tests.scenario.test_digests import config, digests, passed, spent

SEARCH = "C0SEARCH"
OWNER = DEVELOPER
STRANGER = "U0STRANGER"

TEAMS = f"""
[[team]]
name = "search"
scopes = ["workspace:wrkspc_1"]
owners = ["{OWNER}"]
[[team]]
name = "ads"
scopes = ["key:apikey_2"]
[[budget]]
name = "search"
scope = "team:search"
hard_usd = "900"
"""
OF_FILE = f'{TEAMS}[[digest]]\nevery = "month"\nchannel = "{SEARCH}"\n'


@pytest.fixture
def clock() -> HandClock:
    """A Sunday evening in the middle of a month."""
    return HandClock(datetime.fromisoformat("2026-11-15T20:00:00+00:00"))


@pytest.fixture
def world(simulated: World, clock: HandClock) -> World:
    simulated.slack.workspace.channels[SEARCH] = Channel(SEARCH, "search")
    simulated.slack.workspace.users[STRANGER] = "Sam"
    simulated.slack.workspace.direct_channel(ADMIN)
    for back in range(1, 9):
        simulated.spend(10, clock() - back * DAY)
        simulated.spend(5, clock() - back * DAY, key="apikey_2", workspace=None)
    return simulated


@pytest.fixture
async def bot(world: World) -> AsyncIterator[Bot]:
    async with world.connected_bot(**config(world, OF_FILE)) as bot:
        await bot.cycle()
        yield bot


async def typed(world: World, words: str, user: str = ADMIN, channel: str = SEARCH) -> Message:
    answer = await (await world.slack.command(words, user, channel=channel)).first_reply()
    assert problems(answer.blocks, "message") == []
    return answer


def asks_for(refusal: Message) -> str:
    """The command that the button of a refusal asks an admin for."""
    [row] = [block["elements"] for block in refusal.blocks if block["type"] == "actions" and ASK_ACTION in str(block)]
    ask = unpacked(row[0]["value"])
    assert ask is not None
    return ask.words


def settings(bot: Bot) -> list[str]:
    with in_language("en"):
        return [each.rule.key for each in bot.services.digest_settings.in_force() if each.since is not None]


async def test_a_digest_of_a_team_is_set_by_words_and_comes_once_with_what_status_says(
    world: World, bot: Bot, clock: HandClock
) -> None:
    answer = await typed(world, "digest on daily at=21:00 for=team:search")
    assert answer.text.startswith(
        f"The digest is set: Every day at 21:00 (UTC) in <#{SEARCH}>, about team search.\nThe next one comes "
    )
    await passed(bot, clock, 26, step=30)
    [first, second] = digests(world, SEARCH)
    assert first.text.startswith("14 Nov: $10.00 spent\nThis is about team:search alone.\n")
    assert problems(first.blocks, "message") == []
    assert "• search: $80.00 of $900.00" in first.text
    assert "ads" not in first.text
    assert spent(second) == 0
    status = await typed(world, "status")
    assert "search: $80.00" in status.text.replace(" of", ":", 1) or "$80.00 of $900.00" in status.text
    assert digests(world) == []


async def test_what_is_past_is_not_made_up_for_and_a_change_posts_no_second_one(
    world: World, bot: Bot, clock: HandClock
) -> None:
    await typed(world, "digest on daily at=19:00")
    await passed(bot, clock, 2)
    assert digests(world, SEARCH) == []
    await passed(bot, clock, 22)
    assert len(digests(world, SEARCH)) == 1
    # After today's was posted, a later hour of today is not another one.
    changed = await typed(world, "digest on at=23:00")
    assert changed.text.startswith("The digest is changed: Every day at 23:00 (UTC)")
    assert "The next one comes 17 Nov 23:00 UTC." in changed.text
    await passed(bot, clock, 4)
    assert len(digests(world, SEARCH)) == 1
    await passed(bot, clock, 24)
    assert len(digests(world, SEARCH)) == 2


async def test_a_change_of_another_copy_counts_and_both_post_one(world: World, clock: HandClock) -> None:
    settings_ = config(world, OF_FILE)
    async with world.connected_bot(**settings_) as one, world.bot(**settings_) as other:
        await one.cycle()
        await typed(world, "digest on daily at=21:00")
        clock.advance(1 * HOUR + MINUTE)
        await one.cycle()
        for poster in (other, one, other):
            for look in poster.looks:
                if look.name == "digests":
                    look.look(clock(), "normal")
        await one.deliver()
        await other.deliver()
    assert len(digests(world, SEARCH)) == 1


async def test_the_channel_reads_who_set_it_and_anybody_who_may_undoes_it_once(
    world: World, bot: Bot, clock: HandClock
) -> None:
    await typed(world, "digest on weekly at=9 zone=tokyo in Japanese")
    await bot.deliver()
    [announced] = [m for m in world.slack.messages if m.channel == SEARCH and m.text.startswith("A digest was set")]
    assert (
        f"set by <@{ADMIN}>\nEvery Monday at 09:00 (Asia/Tokyo), about the whole organization, in 日本語"
        in announced.text
    )
    refused = await (await world.slack.click(announced, UNDO_ACTION, DEVELOPER)).first_reply()
    assert refused.text.startswith("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may set digests")
    undone = await (await world.slack.click(announced, UNDO_ACTION, ADMIN)).first_reply()
    assert undone.text.startswith("The change is undone: this digest is not posted any more.")
    assert settings(bot) == []
    again = await (await world.slack.click(announced, UNDO_ACTION, ADMIN)).first_reply()
    assert again.text.startswith("Nothing was changed: this digest was changed since.")
    await bot.deliver()
    [announced] = [m for m in world.slack.messages if m.channel == SEARCH and m.text.startswith("A digest was set")]
    assert f"<@{ADMIN}> has undone this." in announced.text
    with bot.services.digest_settings._engine.connect() as connection:
        rows = connection.execute(select(audit.c.outcome, audit.c.detail).where(audit.c.action == "digest")).all()
    assert [row.outcome for row in rows] == ["done", "refused", "done"]
    assert rows[0].detail == f"new -> weekly at=09:00 zone=Asia/Tokyo on=monday channel={SEARCH} lang=ja"


async def test_a_digest_speaks_the_language_that_was_chosen(world: World, bot: Bot, clock: HandClock) -> None:
    await typed(world, "digest on daily at=21:00 lang=ja")
    await passed(bot, clock, 2)
    [digest] = digests_in_japanese(world)
    assert digest.text.startswith("11月14日")


def digests_in_japanese(world: World) -> list[Message]:
    return [
        m for m in world.slack.messages if m.channel == SEARCH and "日次" in json.dumps(m.blocks, ensure_ascii=False)
    ]


@pytest.mark.parametrize(
    ("who", "words", "may"),
    [
        (ADMIN, "digest on weekly", True),
        (ADMIN, "digest on weekly for=team:search", True),
        (OWNER, "digest on weekly for=team:search", True),
        (OWNER, "digest on weekly for=search", True),
        (OWNER, "digest on weekly for=budget:search", True),
        (OWNER, "digest on weekly", False),
        (OWNER, "digest on weekly for=team:ads", False),
        (OWNER, "digest on weekly for=workspace:wrkspc_1", False),
        (STRANGER, "digest on weekly", False),
        (STRANGER, "digest on weekly for=team:search", False),
    ],
)
async def test_admins_set_any_and_owners_those_of_what_is_theirs(
    world: World, bot: Bot, who: str, words: str, may: bool
) -> None:
    answer = await typed(world, words, who)
    assert bool(settings(bot)) is may
    assert answer.text.startswith("The digest is set" if may else "Nothing was changed: only the people named in")
    if not may:
        assert asks_for(answer).startswith(f"{words.partition(' for=')[0]} at=09:00 zone=UTC on=mon")
    if "team:search" in words and not may:
        assert f"The owners may set this one too: <@{OWNER}>." in answer.text


async def test_an_owner_stops_what_is_theirs_and_reads_why_the_rest_stays(world: World, bot: Bot) -> None:
    await typed(world, "digest on weekly")
    await typed(world, "digest on weekly for=team:search")
    answer = await typed(world, "digest off", OWNER)
    assert f"The digest is stopped: Every Monday at 09:00 (UTC) in <#{SEARCH}>, about team search." in answer.text
    assert answer.text.count("Not stopped: ") == 2
    assert "The configuration file has this digest" in answer.text
    assert settings(bot) == [f"week|{SEARCH}||"]
    assert asks_for(answer) == f"digest off channel={SEARCH}"
    assert (await typed(world, "digest off weekly")).text.startswith("The digest is stopped: ")
    assert (await typed(world, "digest off weekly")).text.startswith(f"No such digest is set for <#{SEARCH}>.")
    back = await (await world.slack.click(answer, UNDO_ACTION, OWNER)).first_reply()
    assert back.text.startswith("The change is undone: Every Monday at 09:00 (UTC)")


async def test_that_of_the_configuration_file_stays_there(world: World, bot: Bot) -> None:
    answer = await typed(world, "digest on month at=10:00")
    assert answer.text.startswith("Nothing was changed. The configuration file has this digest (`[[digest]]`), so it")
    listed = await typed(world, "digest list")
    assert "From the configuration file, where they are changed (`[[digest]]`); not in Slack:" in listed.text
    assert (
        f"• On the 1st of every month at 09:00 (UTC) in <#{SEARCH}>, about the whole organization. Next: "
        in listed.text
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("digest on weekly zone=Asia/Tokio", "“Asia/Tokio” is no time zone: did you mean Asia/Tokyo?"),
        ("digest on daily at=25:00", "“25:00” is no hour: write it like 09:00 or 17:30."),
        ("digest on daily on=mon", "A day of the week is for a weekly digest: leave on=monday out."),
        ("digest on weekly for=team:serch", "There is no team serch: did you mean team:search?"),
        ("digest on weekly for=budget:serch", "There is no budget and no team serch: did you mean search?"),
        ("digest on weekly for=nonsense:x", "“nonsense:x” is nothing that a digest is about"),
        ("digest on weekly for=workspace:nobody", "Nothing was changed. There is no workspace nobody"),
        ("digest on weekley", "`weekley` is not known here: did you mean `weekly`?"),
        ("digest on weekly lang=fr", "“fr” is no language of claude-cost: write en (English) or ja (日本語)."),
        (
            "digest on weekly for=user:ada",
            "Nothing was changed. What single users spend is not shown to a whole channel",
        ),
        ("digest on weekly at=", "at= has no value: write one, or leave at out."),
    ],
)
async def test_a_mistake_is_one_sentence_with_what_to_write_instead(
    world: World, bot: Bot, words: str, says: str
) -> None:
    assert (await typed(world, words)).text.startswith(says)
    assert settings(bot) == []


async def test_in_a_direct_message_the_channel_is_named(world: World, bot: Bot) -> None:
    answer = await typed(world, "digest on weekly", channel=direct_id(ADMIN))
    assert answer.text.startswith("Type it in the channel that the digest is for, or name one, as in ")
    answer = await typed(world, f"digest on weekly channel=<#{ALERTS}|alerts>", channel=direct_id(ADMIN))
    assert answer.text.startswith(f"The digest is set: Every Monday at 09:00 (UTC) in <#{ALERTS}>")
    assert settings(bot) == ["week|||"]


async def test_a_channel_without_the_bot_is_named_with_the_remedy(world: World, bot: Bot) -> None:
    world.slack.workspace.channels[SEARCH].has_bot = False
    world.slack.workspace.scopes.add("channels:read")
    answer = await typed(world, "digest on")
    assert f"The bot is not in <#{SEARCH}>: type `/invite @claude-cost` there." in answer.text


async def opened(world: World, words: str = "digest settings", user: str = ADMIN) -> tuple[Interaction, dict[str, Any]]:
    """The command whose form is open, and the form."""
    command = await world.slack.command(words, user, channel=SEARCH)
    await world.slack.until(lambda: bool(world.slack.views.modals.get(user)))
    [view] = world.slack.views.modals[user]
    drawn = view.as_slack()
    assert problems(drawn["blocks"], "modal") == []
    return command, drawn


def offered(view: dict[str, Any], field: str) -> list[str]:
    [select] = [block["element"] for block in view["blocks"] if block.get("block_id") == field]
    options = [
        *select.get("options", []),
        *(one for group in select.get("option_groups", []) for one in group["options"]),
    ]
    return [option["value"] for option in options]


FILLED = {
    "every": "week",
    "on": "friday",
    "at": "17:00",
    "zone": "Europe/Berlin",
    "about": "team:search",
    "lang": "channel",
}


async def test_the_form_sets_a_digest_and_says_every_mistake_at_its_field(world: World, bot: Bot) -> None:
    command, view = await opened(world)
    assert offered(view, "about") == [
        "organization",
        "team:search",
        "team:ads",
        "budget:default",
        "budget:search",
    ]
    assert "From the configuration file, which Slack cannot change:" in json.dumps(view["blocks"])
    refused = await world.slack.submit_view(
        {**FILLED, "every": "month", "about": "organization", "zone": "Mars", "channel": SEARCH}
    )
    assert refused.ack is not None
    assert refused.ack.payload is not None
    errors = refused.ack.payload["errors"]
    assert errors["zone"].startswith("“Mars” is no time zone: ")
    assert errors["every"].startswith("The configuration file has this digest")
    assert set(errors) == {"zone", "every"}
    await world.slack.submit_view({**FILLED, "channel": SEARCH})
    answer = await command.first_reply()
    assert answer.text.startswith(
        f"The digest is set: Every Friday at 17:00 (Europe/Berlin) in <#{SEARCH}>, about team search."
    )
    assert settings(bot) == [f"week|{SEARCH}|team:search|"]


async def test_the_form_begins_with_what_the_file_does_not_do(world: World, clock: HandClock) -> None:
    weekly = f'{TEAMS}[[digest]]\nevery = "week"\nzone = "Asia/Tokyo"\nchannel = "{SEARCH}"\n'
    async with world.connected_bot(**config(world, weekly)) as bot:
        await bot.cycle()
        _, view = await opened(world)
        elements = {block.get("block_id"): block.get("element") for block in view["blocks"]}
        assert elements["every"]["initial_option"]["value"] == "day"
        assert elements["zone"]["initial_value"] == "Asia/Tokyo"
        assert elements["channel"]["initial_conversation"] == SEARCH


async def test_an_owner_is_offered_what_is_theirs_and_a_stranger_reads_who_may(world: World, bot: Bot) -> None:
    _, view = await opened(world, user=OWNER)
    assert offered(view, "about") == ["team:search", "budget:search"]
    answer = await typed(world, "digest settings", STRANGER)
    assert answer.text.startswith("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may set digests")


async def test_a_listed_digest_is_changed_and_stopped_by_its_buttons(world: World, bot: Bot) -> None:
    await typed(world, "digest on weekly for=team:search at=09:30")
    listed = await typed(world, "digest list")
    change = await world.slack.click(listed, SETTINGS_ACTION, ADMIN, block_id="digest:0")
    await world.slack.until(lambda: bool(world.slack.views.modals.get(ADMIN)))
    [view] = world.slack.views.modals[ADMIN]
    assert "09:30" in offered(view.as_slack(), "at")
    # Subject and frequency may change too: it replaces the other one.
    await world.slack.submit_view({**FILLED, "every": "day", "about": "budget:search", "channel": SEARCH})
    answer = await change.first_reply()
    assert answer.text.startswith("The digest is changed: Every day at 17:00 (Europe/Berlin)")
    assert settings(bot) == [f"day|{SEARCH}|budget:search|"]
    listed = await typed(world, "digest list")
    listed.ephemeral_to = None  # as a list that a mention was answered with
    refused = await (await world.slack.click(listed, STOP_ACTION, STRANGER)).first_reply()
    assert asks_for(refused) == f"digest off daily at=09:00 zone=UTC for=budget:search channel={SEARCH}"
    stopped = await (await world.slack.click(listed, STOP_ACTION, ADMIN)).first_reply()
    assert stopped.text.startswith("The digest is stopped: Every day at 17:00")
    assert settings(bot) == []


async def test_the_button_below_a_digest_opens_its_settings(world: World, bot: Bot, clock: HandClock) -> None:
    await typed(world, "digest on daily at=21:00 for=search")
    await passed(bot, clock, 2)
    [digest] = digests(world, SEARCH)
    await world.slack.click(digest, SETTINGS_ACTION, ADMIN)
    await world.slack.until(lambda: bool(world.slack.views.modals.get(ADMIN)))
    [view] = world.slack.views.modals[ADMIN]
    [every] = [block["element"] for block in view.as_slack()["blocks"] if block.get("block_id") == "every"]
    assert every["initial_option"]["value"] == "day"


async def test_home_leads_to_the_form_for_those_who_may(world: World, bot: Bot) -> None:
    for user, may in ((ADMIN, True), (OWNER, True), (STRANGER, False)):
        await world.slack.open_home(user)
        await world.slack.until(partial(world.slack.views.homes.__contains__, user))
        home = world.slack.views.homes[user].as_slack()
        assert ('"Digests"' in json.dumps(home["blocks"])) is may
        assert problems(home["blocks"], "home") == []
    await world.slack.click(world.slack.views.homes[OWNER], SETTINGS_ACTION, OWNER)
    await world.slack.until(lambda: bool(world.slack.views.modals.get(OWNER)))
    await world.slack.submit_view({**FILLED, "channel": SEARCH}, OWNER)
    await world.slack.until(
        lambda: "The digest is set" in json.dumps([v.as_slack() for v in world.slack.views.modals[OWNER]])
    )
    assert settings(bot) == [f"week|{SEARCH}|team:search|"]


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_doctor_says_whether_the_bot_may_post_digests_in_their_channels(
    world: World, bot: Bot, language: str
) -> None:
    world.slack.workspace.scopes.add("channels:read")
    await typed(world, "digest on weekly channel=C0NOWHERE")
    with in_language(language):
        found = [each for each in await bot.services.examine() if each.name == "digest_channels"]
    states = {channel: each.state for each in found for channel in (SEARCH, "C0NOWHERE") if channel in each.text}
    assert states == {SEARCH: "ok", "C0NOWHERE": "fail"}
    if language == "en":
        assert any("Until then they go to the alert channel." in each.text for each in found)
