"""A fallback mode from its switch to its end: for how long, by whom, at what price, and who has to agree."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.db.engine import open_database
from bot.db.schema import audit
from bot.fallback.targets.env_file import EnvFile
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_views import View
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER, Message
from tests.scenario.conftest import World
from tests.scenario.http_port import served, type_in_slack

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
HAIKU, OPUS_46 = "claude-haiku-5-5", "claude-opus-4-6"


def announcements(world: World) -> list[Message]:
    """Posts about the mode itself."""
    return [post for post in world.posts() if "allback mode" in post.texts[0].split("\n")[0]]


def replies(world: World, to: Message) -> list[str]:
    return [reply.text for reply in world.replies(to)]


def labels(message: Message) -> list[str]:
    return [
        element["text"]["text"]
        for block in message.blocks
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def refusals(world: World) -> list[tuple[str, str]]:
    engine = open_database(world.environ["CLAUDE_COST_DATABASE_URL"])
    query = select(audit.c.actor, audit.c.detail).where(audit.c.outcome == "refused").order_by(audit.c.id)
    with engine.connect() as connection:
        found = [(row.actor, row.detail) for row in connection.execute(query)]
    engine.dispose()
    return found


def mode_of(bot: Bot) -> str:
    return bot.services.fallback.state().mode.name


def day_of(world: World, clock: HandClock, usd: int, model: str) -> None:
    """Usage in each of the last 24 hours."""
    for hour in range(24):
        world.spend(usd, clock() - hour * HOUR, model)


# ---- time to live


async def test_a_mode_for_two_hours_is_warned_of_in_its_thread_and_ends_by_itself(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.connected_bot() as bot, served(bot) as client:
        answer = await type_in_slack(simulated, "fallback on for 2h because of the load test")
        assert "Ends 16 Nov 11:00 UTC, then normal again." in answer
        await bot.cycle()
        (post,) = announcements(simulated)
        assert "Ends 16 Nov 11:00 UTC, then normal again." in post.text
        assert (await client.get("/v1/fallback")).json()["until"] == "2026-11-16T11:00:00Z"
        assert "ends 16 Nov 11:00 UTC" in await type_in_slack(simulated, "status")
        clock.advance(107 * MINUTE)
        await bot.cycle()
        assert replies(simulated, post) == []
        for _ in range(3):
            clock.advance(MINUTE)
            await bot.cycle()
        (warning,) = replies(simulated, post)
        assert warning.startswith("Fallback mode degraded ends 16 Nov 11:00 UTC, because its time is over then")
        clock.advance(9 * MINUTE)
        await bot.cycle()
        assert mode_of(bot) == "degraded"
        clock.advance(MINUTE)
        await bot.cycle()
        assert mode_of(bot) == "normal"
        assert EnvFile(simulated.fallback_file).holds({"CLAUDE_FALLBACK_MODE": "normal"})
        _, ended = announcements(simulated)
        assert ended.text.splitlines()[0] == "Fallback mode degraded → normal, by claude-cost: its time is over"
        assert (await client.get("/v1/fallback")).json()["until"] is None
        await bot.cycle()
        assert len(announcements(simulated)) == 2


async def test_a_mode_may_be_given_more_time_before_it_ends(simulated: World, clock: HandClock) -> None:
    async with simulated.connected_bot() as bot:
        await type_in_slack(simulated, "fallback on for 1h")
        clock.advance(55 * MINUTE)
        await bot.cycle()
        answer = await type_in_slack(simulated, "fallback on for 2h")
        assert answer.startswith("Fallback mode degraded stays on.")
        clock.advance(HOUR)
        await bot.cycle()
        assert mode_of(bot) == "degraded"
        assert announcements(simulated)[-1].text.startswith("Fallback mode degraded stays on, by <@U0ADMIN>")
        clock.advance(HOUR)
        await bot.cycle()
        assert mode_of(bot) == "normal"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("fallback on for 4m", "Nothing was changed: 4m is out of bounds: a mode may be on for 5 minutes to 31 days."),
        ("fallback on for ever", "Nothing was changed: 'ever' is no time: write it like 90m, 2h, 1h30m or 3d."),
        (
            "fallback off for 2h",
            "`fallback off` takes no mode and no time: remove the time, or give a reason after because.",
        ),
        (
            "fallback on normal for 2h",
            "Nothing was changed: normal takes no time, since it does not end by itself.",
        ),
    ],
)
async def test_a_time_that_is_none_changes_nothing(simulated: World, words: str, sentence: str) -> None:
    async with simulated.connected_bot() as bot:
        assert (await type_in_slack(simulated, words)).splitlines()[0] == sentence
        assert bot.services.fallback.state().changed_at is None


async def test_a_time_that_ended_while_the_bot_was_away_is_made_good_at_the_start(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.connected_bot():
        await type_in_slack(simulated, "fallback on for 2h")
    clock.advance(timedelta(days=1))
    async with simulated.bot() as bot:
        await bot.cycle()
        assert mode_of(bot) == "normal"
    on, off = announcements(simulated)
    assert replies(simulated, on) == []
    assert "its time is over" in off.text


async def test_the_way_back_to_a_mode_that_had_an_end_keeps_that_end(simulated: World, clock: HandClock) -> None:
    async with simulated.connected_bot() as bot:
        await type_in_slack(simulated, "fallback on for 2h")
        await type_in_slack(simulated, "fallback off")
        await bot.cycle()
        clock.advance(10 * MINUTE)
        click = await simulated.slack.click(announcements(simulated)[-1], "fallback_switch:degraded")
        assert "Ends 16 Nov 11:00 UTC" in (await click.first_reply()).text
        state = bot.services.fallback.state()
        assert (state.mode.name, state.until) == ("degraded", datetime.fromisoformat("2026-11-16T11:00:00Z"))


# ---- the start of the period


async def test_a_mode_without_a_time_ends_with_the_period_in_which_it_was_switched_on(
    simulated: World, clock: HandClock
) -> None:
    clock.advance(datetime.fromisoformat("2026-11-30T22:00:00+00:00") - clock())
    async with simulated.connected_bot() as bot:
        answer = await type_in_slack(simulated, "fallback on because the month is spent")
        assert "Returns to normal at the start of the next period, 1 Dec 00:00 UTC." in answer
        clock.advance(2 * HOUR - MINUTE)
        await bot.cycle()
        assert mode_of(bot) == "degraded"
        clock.advance(MINUTE)
        await bot.cycle()
        assert mode_of(bot) == "normal"
        assert announcements(simulated)[-1].text.splitlines()[0] == (
            "Fallback mode degraded → normal, by claude-cost: a new period has begun"
        )
        await type_in_slack(simulated, "fallback on for 3d")
        clock.advance(2 * 24 * HOUR)
        await bot.cycle()
        assert mode_of(bot) == "degraded"


# ---- what it saves and costs


async def test_a_mode_that_would_be_dearer_is_refused_with_the_figures(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text('[mode.newer]\nCLAUDE_MODEL = "claude-opus-5-5"\n')
    day_of(simulated, clock, 10, OPUS_46)
    async with simulated.connected_bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await bot.cycle()
        answer = await type_in_slack(simulated, "fallback on newer")
        assert answer.startswith(
            "Nothing was changed: newer would not be cheaper for what the team uses now. "
            "With at most Opus 5.5, it costs about $"
        )
        assert "(usage as of" in answer
        assert mode_of(bot) == "normal"
        await bot.services.threads.later(int)
        (refused,) = refusals(simulated)
        assert refused[0] == ADMIN
        assert refused[1].startswith("newer: Nothing was changed")
        history = await type_in_slack(simulated, "fallback history")
        assert "<@U0ADMIN> · refused, newer: Nothing was changed" in history


async def test_a_mode_that_saves_nothing_is_refused_and_normal_never_is(simulated: World, clock: HandClock) -> None:
    day_of(simulated, clock, 10, HAIKU)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        assert "it saves nothing at the present mix" in await type_in_slack(simulated, "fallback on")
        assert (await type_in_slack(simulated, "fallback off")).startswith("Nothing was changed: fallback mode normal")


async def test_a_step_back_is_held_against_what_the_team_used_before_the_mode(
    simulated: World, clock: HandClock
) -> None:
    day_of(simulated, clock, 10, OPUS_46)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await type_in_slack(simulated, "fallback on minimal")
        for _ in range(30):
            clock.advance(HOUR)
            simulated.spend(10, model=HAIKU)
        await bot.cycle()
        answer = await type_in_slack(simulated, "fallback on degraded")
        assert answer.startswith("Fallback mode minimal → degraded.\ndegraded: at most Sonnet 5.5; costs about $")
        await type_in_slack(simulated, "fallback off")
        assert "saves about $" in await type_in_slack(simulated, "fallback on degraded")


async def test_announcement_and_status_say_what_a_mode_costs_besides(simulated: World, clock: HandClock) -> None:
    day_of(simulated, clock, 10, OPUS_46)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        line = "The same text is about 30% more tokens on Sonnet 5.5 than on Opus 4.6."
        assert line in await type_in_slack(simulated, "fallback status")
        assert line in await type_in_slack(simulated, "fallback on")
        await bot.cycle()
        assert line in announcements(simulated)[0].text


# ---- who may


async def test_whoever_is_no_admin_is_refused_at_the_click_and_for_auto(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await type_in_slack(simulated, "fallback on")
        await bot.cycle()
        (post,) = announcements(simulated)
        click = await simulated.slack.click(post, "fallback_switch:normal", DEVELOPER)
        assert "only the people named in CLAUDE_COST_ADMINS may change" in (await click.first_reply()).text
        assert "may say whether" in await type_in_slack(simulated, "fallback auto on", DEVELOPER)
        assert mode_of(bot) == "degraded"
        assert not bot.services.fallback.auto().on
    assert [actor for actor, _ in refusals(simulated)] == [DEVELOPER, DEVELOPER]


async def test_what_is_said_in_chat_about_stepping_down_outlives_a_restart(simulated: World) -> None:
    async with simulated.connected_bot():
        assert (await type_in_slack(simulated, "fallback auto maybe")).startswith("Nothing was changed")
        assert "steps down by itself at an alert of these levels: hard" in await type_in_slack(
            simulated, "fallback auto on"
        )
    async with simulated.connected_bot() as bot:
        assert bot.services.fallback.auto().on
        status = await type_in_slack(simulated, "fallback status")
        assert "Stepping down by itself: on, said by <@U0ADMIN> 16 Nov 09:00 UTC." in status
        await type_in_slack(simulated, "fallback auto off")
        assert not bot.services.fallback.auto().on


# ---- a second person


@asynccontextmanager
async def strict_bot(world: World) -> AsyncIterator[Bot]:
    """Two admins, of whom both have to agree."""
    config = world.folder / "claude-cost.toml"
    config.write_text("[fallback]\napprovals = 1\n")
    admins = f"{ADMIN},{DEVELOPER}"
    async with world.connected_bot(CLAUDE_COST_CONFIG=str(config), CLAUDE_COST_ADMINS=admins) as bot:
        yield bot


async def test_a_second_admin_approves_and_the_message_says_so(simulated: World, clock: HandClock) -> None:
    async with strict_bot(simulated) as bot:
        answer = await type_in_slack(simulated, "fallback on for 2h because the budget is gone")
        assert answer.startswith("Nothing is changed yet: fallback mode degraded needs the approval of another admin")
        await bot.cycle()
        (asked,) = announcements(simulated)
        assert asked.text.startswith(
            "Asked for: fallback mode normal → degraded for 2 h, by <@U0ADMIN>: the budget is gone"
        )
        assert labels(asked) == ["Approve", "Reject"]
        own = await simulated.slack.click(asked, "proposal_approve", ADMIN)
        assert "whoever asks cannot approve" in (await own.first_reply()).text
        assert mode_of(bot) == "normal"
        clock.advance(5 * MINUTE)
        click = await simulated.slack.click(asked, "proposal_approve", DEVELOPER)
        assert (await click.first_reply()).text.startswith("Approved by <@U0DEV> and switched.")
        await bot.cycle()
        assert "Approved by <@U0DEV> and switched." in asked.text
        assert labels(asked) == []
        done = announcements(simulated)[-1]
        assert done.text.startswith("Fallback mode normal → degraded, by <@U0ADMIN>, approved by <@U0DEV>")
        assert "Ends 16 Nov 11:05 UTC" in done.text
        assert (await type_in_slack(simulated, "fallback off")).startswith("Fallback mode degraded → normal.")


async def test_a_request_that_nobody_approves_expires_in_its_message(simulated: World, clock: HandClock) -> None:
    async with strict_bot(simulated) as bot:
        await type_in_slack(simulated, "fallback on")
        await bot.cycle()
        (asked,) = announcements(simulated)
        clock.advance(HOUR)
        await bot.cycle()
        assert "Expired 16 Nov 10:00 UTC: nothing was changed." in asked.text
        assert labels(asked) == []
        assert mode_of(bot) == "normal"


async def test_a_rejected_request_says_by_whom(simulated: World) -> None:
    async with strict_bot(simulated) as bot:
        await type_in_slack(simulated, "fallback on")
        await bot.cycle()
        (asked,) = announcements(simulated)
        await (await simulated.slack.click(asked, "proposal_reject", DEVELOPER)).first_reply()
        await bot.cycle()
        assert "Rejected by <@U0DEV>: nothing was changed." in asked.text
        history = await type_in_slack(simulated, "fallback history")
        assert "<@U0DEV> · refused, proposal normal → degraded rejected" in history


# ---- the form


def modal(world: World) -> View:
    (view,) = world.slack.views.modals[ADMIN]
    return view


async def submit(world: World, **fields: str) -> dict[str, Any]:
    interaction = await world.slack.submit_view(fields, ADMIN)
    assert interaction.ack is not None
    errors: dict[str, Any] = (interaction.ack.payload or {}).get("errors", {})
    return errors


async def test_the_form_shows_mistakes_at_their_fields_and_then_switches(simulated: World, clock: HandClock) -> None:
    day_of(simulated, clock, 10, OPUS_46)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        status = await (await simulated.slack.command("fallback status")).first_reply()
        click = await simulated.slack.click(status, "fallback_form")
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
        options = modal(simulated).content["blocks"][0]["element"]["options"]
        assert [option["value"] for option in options] == ["normal", "degraded", "minimal"]
        assert options[0]["text"]["text"] == "normal (in force)"
        assert "saves about $" in options[1]["text"]["text"]
        wrong = await submit(simulated, **{"mode": "degraded", "for": "1m"})
        assert wrong == {"for": "1m is out of bounds: a mode may be on for 5 minutes to 31 days."}
        assert await submit(simulated, **{"mode": "degraded", "for": "2h", "because": "the form says so"}) == {}
        answer = await click.first_reply()
        assert answer.text.startswith("Fallback mode normal → degraded.")
        state = bot.services.fallback.state()
        assert (state.reason, state.until) == ("the form says so", clock() + 2 * HOUR)


# ---- targets


async def test_drift_and_a_target_that_cannot_be_written_are_said_in_status_and_doctor(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.connected_bot() as bot:
        await type_in_slack(simulated, "fallback on")
        path = simulated.fallback_file
        path.write_text(path.read_text().replace("sonnet", "opus"))
        clock.advance(5 * MINUTE)
        await bot.cycle()
        assert EnvFile(path).holds(bot.services.fallback.modes["degraded"].variables)
        status = await type_in_slack(simulated, "fallback status")
        assert "Others had changed it; it was put right at 16 Nov 09:05 UTC." in status
        checks = await bot.services.examine()
        (found,) = [check for check in checks if check.name == "fallback_file"]
        assert "the bot repaired it at 2026-11-16 09:05 UTC" in found.sentence
        path.unlink()
        path.mkdir()
        await bot.cycle()
        assert "NOT written yet, the bot keeps trying:" in await type_in_slack(simulated, "fallback status")
        await asyncio.to_thread(path.rmdir)


async def test_what_is_served_over_http_is_shown_as_what_cannot_drift(simulated: World) -> None:
    line = "HTTP, its stream and OFREP: served from the database, so that they cannot drift."
    async with simulated.connected_bot(CLAUDE_COST_HTTP_PORT="8080"):
        assert line in await type_in_slack(simulated, "fallback status")
    async with simulated.connected_bot():
        assert line not in await type_in_slack(simulated, "fallback status")
