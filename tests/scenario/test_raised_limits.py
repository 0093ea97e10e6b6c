"""More room, for a while: a limit is raised below its alert or in words, shows wherever it does, and ends by itself."""

import re

import pytest

from bot.clock import DAY, HOUR, MINUTE
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER, Message
from bot.web.budgets import budgets_object
from bot.web.metrics import StateCollector, exposition
from handlers.render.raises import APPROVE_ACTION, CANCEL_ACTION, DECLINE_ACTION, OPEN_ACTION
from tests.exposition import samples
from tests.scenario.conftest import ADMIN, World

HOSTILE = "<!channel> *b* _i_ `c` & ‮rtl‬ :tada: <@U0ADMIN> " + "x" * 400


async def asked(world: World, words: str, user: str = ADMIN) -> str:
    message = await (await world.slack.command(words, user)).first_reply()
    assert problems(message.blocks, "message") == []
    return message.text


async def clicked(world: World, message: Message, action: str, user: str = ADMIN) -> str:
    return (await (await world.slack.click(message, action, user)).first_reply()).text


def actions(message: Message) -> list[str]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [element["action_id"] for row in rows for element in row]


def raised(world: World) -> list[Message]:
    return [post for post in world.posts() if "aise" in post.texts[0].partition("\n")[0]]


def hard_alerts(world: World) -> list[Message]:
    return [post for post in world.alerts("hard") if post not in raised(world)]


async def test_an_admin_raises_a_limit_and_it_ends_by_itself(simulated: World, clock: HandClock) -> None:
    simulated.spend(210)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        [alert] = simulated.alerts("hard")
        assert OPEN_ACTION in actions(alert)
        text = await asked(simulated, "budget raise default to=300 until=2d because the import runs until Wednesday")
        assert "Raised: the hard limit of budget default is $300.00 instead of $200.00 until 18 Nov 09:00 UTC." in text
        await bot.cycle()
        await bot.cycle()
        [announced] = raised(simulated)
        assert "Reason: the import runs until Wednesday" in announced.text
        assert problems(announced.blocks, "message") == []
        assert "not in force any more" in alert.text
        note = "raised from $200.00 until 18 Nov 09:00 UTC"
        standing = await asked(simulated, "status")
        assert standing.startswith("$210.00 of $300.00 (70%), November")
        assert standing.count("The hard limit of $300.00 is raised from $200.00 until 18 Nov 09:00 UTC.") == 1
        assert f"hard $300.00 ({note})" in await asked(simulated, "budget list")
        estimate = await asked(simulated, "estimate sonnet requests=1k in=2000 out=500")
        assert f"of $300.00, {note})" in estimate
        [budget] = (await bot.services.threads.web(budgets_object, bot.services))["budgets"]
        assert (budget["hard_usd"], budget["left_usd"]) == ("300.00", "90.00")
        assert budget["raised"] == [
            {"limit": "hard", "from_usd": "200.00", "until": "2026-11-18T09:00:00+00:00"},
        ]
        metrics = await bot.services.threads.web(exposition, [StateCollector(bot.services)])
        assert samples(metrics)['claude_cost_limit_raised_from_usd{budget="default",level="hard"}'] == 200
        posts = len(simulated.posts())
        clock.advance(2 * DAY)
        await bot.cycle()
        await bot.cycle()
        # One broadcast reply below the raise; the old alert is open again, and nothing is posted twice.
        assert len(simulated.posts()) == posts
        assert "$210.00 of $200.00: the raise has ended" in announced.text
        broadcasts = [reply for reply in simulated.replies(announced) if "the raise has ended" in reply.text]
        assert len(broadcasts) == 1
        assert "hard limit crossed again" in alert.text
        assert CANCEL_ACTION not in actions(announced)
        assert (await asked(simulated, "status")).startswith("$210.00 of $200.00 (105%)")
        history = await asked(simulated, "budget history default")
        assert re.findall(r"raised the hard limit|has ended: ", history) == ["has ended: ", "raised the hard limit"]


async def test_a_limit_that_was_never_crossed_alerts_once_when_the_raise_ends(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(190)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await asked(simulated, "budget raise default to=300 until=4h")
        simulated.spend(30)
        await bot.cycle()
        assert hard_alerts(simulated) == []
        clock.advance(4 * HOUR)
        await bot.cycle()
        await bot.cycle()
        assert len(hard_alerts(simulated)) == 1


async def test_whoever_is_no_admin_asks_and_an_admin_decides_once(simulated: World, clock: HandClock) -> None:
    simulated.spend(210)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        text = await asked(simulated, f"budget raise default to=300 until=2d because {HOSTILE}", DEVELOPER)
        assert text.startswith("An admin has to approve this: the request is in the alert channel")
        await bot.cycle()
        [request] = raised(simulated)
        assert problems(request.blocks, "message") == []
        assert "<!channel>" not in request.text
        assert (await asked(simulated, "status")).startswith("$210.00 of $200.00 (105%)")
        assert "only the people named in CLAUDE_COST_ADMINS" in await clicked(
            simulated, request, APPROVE_ACTION, DEVELOPER
        )
        assert "$300.00 instead of $200.00" in await clicked(simulated, request, APPROVE_ACTION)
        assert "Nothing was changed" in await clicked(simulated, request, DECLINE_ACTION)
        assert "Nothing was changed" in await clicked(simulated, request, APPROVE_ACTION)
        await bot.cycle()
        assert "Approved by <@U0ADMIN>" in request.text
        assert actions(request) == [CANCEL_ACTION]
        assert (await asked(simulated, "status")).startswith("$210.00 of $300.00 (70%)")
        assert "$200.00 again" in await clicked(simulated, request, CANCEL_ACTION)
        await bot.cycle()
        assert (await asked(simulated, "status")).startswith("$210.00 of $200.00 (105%)")
        assert actions(request) == []


@pytest.mark.parametrize("wait", [DAY, 30 * MINUTE])
async def test_a_request_expires_or_is_closed_where_the_budget_changes(
    simulated: World, clock: HandClock, wait: object
) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        shown = await (await simulated.slack.command("budget set team hard=50", ADMIN)).first_reply()
        await clicked(simulated, shown, "budget_set")
        await asked(simulated, "budget raise team to=80 until=3d", DEVELOPER)
        if wait == DAY:
            clock.advance(DAY)
        else:
            changed = await (await simulated.slack.command("budget set team hard=60", ADMIN)).first_reply()
            await clicked(simulated, changed, "budget_set")
        await bot.cycle()
        await bot.cycle()
        [request] = raised(simulated)
        assert ("in time" if wait == DAY else "the budget was changed") in request.text
        assert actions(request) == []


async def test_the_form_below_an_alert_raises_the_limit_with_errors_at_their_fields(simulated: World) -> None:
    simulated.spend(210)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        [alert] = simulated.alerts("hard")
        click = await simulated.slack.click(alert, OPEN_ACTION, ADMIN)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
        wrong = await simulated.slack.submit_view({"to": "150", "until": "2d", "other": "soon"}, ADMIN)
        assert wrong.ack is not None
        assert set((wrong.ack.payload or {}).get("errors", {})) == {"to", "other"}
        await simulated.slack.submit_view({"to": "$ 300", "until": "2d", "because": HOSTILE[:300]}, ADMIN)
        assert "$300.00 instead of $200.00" in (await click.first_reply()).text
        await bot.cycle()
        [announced] = raised(simulated)
        assert "$300.00 instead of $200.00" in announced.text


async def test_a_budget_of_the_environment_ends_its_raise_with_its_period(simulated: World, clock: HandClock) -> None:
    simulated.spend(150)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await asked(simulated, "budget raise default to=300 until=2026-12-20")
        simulated.spend(100)
        await bot.cycle()
        assert hard_alerts(simulated) == []
        clock.advance(15 * DAY)
        await bot.cycle()
        await bot.cycle()
        # The ended month is judged by the limit that it ended with.
        assert hard_alerts(simulated) == []
        [announced] = raised(simulated)
        assert announced.text.startswith("Raise ended with the period")


OWNER, OTHER_OWNER = "U0CAROL", "S0TEAM"


async def budget_with_owners(world: World, *owners: str) -> None:
    words = f"budget set team hard=50 owners={','.join(owners)}"
    await clicked(world, await (await world.slack.command(words, ADMIN)).first_reply(), "budget_set")


REFUSED = (
    "Nothing was asked: only the owners of budget team (<@U0CAROL>, <!subteam^S0TEAM>) and admins may ask to raise its "
    "limits"
)


async def test_only_owners_and_admins_may_ask_where_a_budget_has_owners(simulated: World) -> None:
    simulated.slack.workspace.usergroups[OTHER_OWNER] = ["U0DAVE"]
    simulated.slack.workspace.users |= {OWNER: "Carol", "U0DAVE": "Dave"}
    simulated.spend(60)
    async with simulated.connected_bot() as bot:
        await budget_with_owners(simulated, OWNER, OTHER_OWNER)
        await bot.cycle()
        words = "budget raise team to=80 until=2d"
        unread = f"{REFUSED}; the members of S0TEAM could not be read: that needs the optional scope usergroups:read."
        assert (await asked(simulated, words, DEVELOPER)).partition("\n")[0] == unread
        simulated.slack.workspace.scopes.add("usergroups:read")
        assert (await asked(simulated, words, DEVELOPER)).partition("\n")[0] == f"{REFUSED}."
        # Permissions are reported even if the words have a mistake.
        assert (await asked(simulated, "budget raise team to=nonsense", DEVELOPER)).startswith(REFUSED)
        [alert] = [post for post in hard_alerts(simulated) if "team" in post.text]
        assert (await clicked(simulated, alert, OPEN_ACTION, DEVELOPER)) == f"{REFUSED}."
        assert DEVELOPER not in simulated.slack.views.modals
        for user in (OWNER, "U0DAVE"):
            assert (await asked(simulated, words, user)).startswith("An admin has to approve this")
        assert (await asked(simulated, words, ADMIN)).startswith("Raised: the hard limit of budget team is $80.00")


async def test_a_form_of_somebody_who_is_no_owner_any_more_asks_for_nothing(simulated: World) -> None:
    simulated.spend(60)
    async with simulated.connected_bot() as bot:
        await budget_with_owners(simulated, DEVELOPER)
        await bot.cycle()
        [alert] = [post for post in hard_alerts(simulated) if "team" in post.text]
        click = await simulated.slack.click(alert, OPEN_ACTION, DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        await budget_with_owners(simulated, OWNER)
        await simulated.slack.submit_view({"to": "80", "until": "2d"}, DEVELOPER)
        assert (await click.first_reply()).text.startswith(
            "Nothing was asked: only the owners of budget team (<@U0CAROL>) and admins may ask"
        )
        assert "asked to raise" not in await asked(simulated, "budget history team")
