"""A budget is set without knowing a word of the command: the form, its mistakes, the preview, the button."""

from bot.sandbox.block_limits import problems
from bot.sandbox.slack_dispatch import Interaction
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import DEVELOPER, Message
from handlers.render.asking import ASK_ACTION
from handlers.render.budget import SET_ACTION
from tests.scenario.conftest import ADMIN, World

FILLED = {"name": "search", "scope": "workspace:wrkspc_1", "soft": "$50", "hard": "1,000", "owners": [DEVELOPER]}


async def opened(world: World, user: str = ADMIN) -> Interaction:
    """The command whose form is open."""
    command = await world.slack.command("budget set", user)
    await world.slack.until(lambda: bool(world.slack.views.modals.get(user)))
    [view] = world.slack.views.modals[user]
    assert problems(view.as_slack()["blocks"], "modal") == []
    return command


async def previewed(world: World, user: str = ADMIN, **changes: str) -> Message:
    command = await opened(world, user)
    await world.slack.submit_view({**FILLED, **changes}, user)
    return await command.first_reply()


async def test_an_admin_fills_the_form_reads_the_preview_and_sets_the_budget(simulated: World) -> None:
    simulated.spend(60)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        command = await opened(simulated)
        refused = await simulated.slack.submit_view({**FILLED, "name": "two words", "soft": "much", "channel": ALERTS})
        assert refused.ack is not None
        assert refused.ack.payload is not None
        assert set(refused.ack.payload["errors"]) == {"name", "soft"}
        await simulated.slack.submit_view({**FILLED, "channel": ALERTS})
        preview = await command.first_reply()
        assert preview.text.startswith(
            "Budget search would be set: workspace:wrkspc_1, each month (UTC), soft $50.00 and hard $1,000.00."
        )
        assert f"Its alerts go to <#{ALERTS}>." in preview.text
        assert f"Owners: <@{DEVELOPER}>, mentioned at: hard." in preview.text
        answer = await (await simulated.slack.click(preview, SET_ACTION, ADMIN)).first_reply()
        assert answer.text.startswith(f"Budget search is set by <@{ADMIN}>")
        [kept] = bot.services.budgets.kept()
        assert (kept.budget.name, kept.budget.channel, kept.budget.owners) == ("search", ALERTS, (DEVELOPER,))


async def test_somebody_else_learns_what_to_ask_an_admin_for(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        answer = await previewed(simulated, DEVELOPER)
        assert answer.text.startswith(
            "Nothing was changed: only the people named in CLAUDE_COST_ADMINS may change budgets"
        )
        asked = f"budget set search scope=workspace:wrkspc_1 period=month soft=50 hard=1000 owners={DEVELOPER}"
        assert f"Ask an admin to type: `/claude-cost {asked}`" in answer.text
        [row] = [block["elements"] for block in answer.blocks if block["type"] == "actions"]
        assert [element["action_id"] for element in row] == [ASK_ACTION]
        assert bot.services.budgets.kept() == ()


async def test_a_preview_that_was_overtaken_changes_nothing(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        preview = await previewed(simulated)
        other = await previewed(simulated, hard="90")
        await (await simulated.slack.click(other, SET_ACTION, ADMIN)).first_reply()
        late = await (await simulated.slack.click(preview, SET_ACTION, ADMIN)).first_reply()
        assert late.text.startswith("Nothing was changed: budget search was changed since this was shown")


async def test_the_form_offers_what_the_organization_has(simulated: World) -> None:
    simulated.spend(6)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await opened(simulated)
        [view] = simulated.slack.views.modals[ADMIN]
        [select] = [block["element"] for block in view.as_slack()["blocks"] if block["block_id"] == "scope"]
        offered = {
            option["value"]: option["text"]["text"] for each in select["option_groups"] for option in each["options"]
        }
        assert offered["organization"] == "The whole organization"
        assert offered["workspace:wrkspc_1"] == "Search"
        assert offered["key:apikey_1"] == "ingest"
