"""An estimate in Slack: typed, filled into the form, shared, saved, and compared with the budgets."""

from datetime import timedelta
from typing import Any

from bot.sandbox.anthropic_limits import LimitGroup
from bot.sandbox.anthropic_messages import API_KEY
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_views import View
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from tests.scenario.conftest import World
from tests.scenario.test_several_copies import until

CHATBOT = "sonnet-4.6 requests=100k in=2000 out=500"
FIELDS = {"model": "sonnet-4.6", "requests": "100k", "in": "2000", "out": "500", "ttl": "5m"}


def modal(world: World, user: str = DEVELOPER) -> View:
    (view,) = world.slack.views.modals[user]
    return view


def shown(view: View) -> str:
    texts = [block.get("text", {}).get("text", "") for block in view.content["blocks"]]
    texts += [e["text"] for block in view.content["blocks"] if block["type"] == "context" for e in block["elements"]]
    return "\n".join(texts)


def initial(view: View) -> dict[str, Any]:
    found = {}
    for block in view.content["blocks"]:
        element = block["element"]
        option = element.get("initial_option") or (element.get("initial_options") or [{}])[0]
        found[block["block_id"]] = element.get("initial_value") or option.get("value")
    return found


async def fill(world: World, **fields: str) -> dict[str, str]:
    """Fill and submit the form; the errors at its fields, if any."""
    blocks = modal(world).content["blocks"]
    known = {block["block_id"] for block in blocks}
    assert fields.keys() <= known
    interaction = await world.slack.submit_view(fields, DEVELOPER)
    assert interaction.ack is not None
    errors: dict[str, str] = (interaction.ack.payload or {}).get("errors", {})
    assert errors.keys() <= known
    return errors


async def test_the_bare_command_opens_a_form_that_leads_from_a_mistake_to_a_shared_result(simulated: World) -> None:
    async with simulated.connected_bot():
        typed = await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        errors = await fill(simulated, **FIELDS | {"requests": "many"})
        assert errors == {"requests": "“many” is not a number of requests: write it like 100k, 1.5m or 500/day."}
        assert await fill(simulated, **FIELDS) == {}
        assert "*$1,350.00 a month*" in shown(modal(simulated))
        assert typed.replies == []
        await simulated.slack.click(modal(simulated), "estimate_share", DEVELOPER)
        shared = await typed.first_reply()
    assert shared.ephemeral_to is None
    assert shared.text.startswith(f"<@{DEVELOPER}> estimated `{CHATBOT.replace('100k', '100000')}`\n$1,350.00 a month")


async def test_a_form_that_a_broken_proxy_keeps_from_opening_is_answered_in_words(simulated: World) -> None:
    async with simulated.connected_bot():
        simulated.slack.faults.add("views.open", Fault("html", status=502))
        reply = await (await simulated.slack.command("estimate", DEVELOPER)).first_reply()
    assert reply.text.startswith("The form could not be opened. Type the workload")


async def test_the_form_is_filled_in_with_the_persons_last_estimate(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        words = "haiku-4.5 requests=9k/week in=5000 out=10 cached=4096 hit=90% ttl=1h batch peak=3x"
        await (await simulated.slack.command(f"estimate {words}", DEVELOPER)).first_reply()
        # It is stored after the answer.
        await until(lambda: bot.services.estimates.last_words(DEVELOPER) is not None)
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        values = initial(modal(simulated))
    assert values == {
        "model": "haiku-4.5",
        "requests": "9000/week",
        "in": "5000",
        "prompt": None,
        "out": "10",
        "cached": "4096",
        "hit": "0.9",
        "ttl": "1h",
        "batch": "yes",
        "more": "peak=3x",
    }


async def test_more_words_and_a_mistake_in_them_are_taken_from_their_own_field(simulated: World) -> None:
    async with simulated.connected_bot():
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        assert "turns=" in (await fill(simulated, **FIELDS, more="trns=2"))["more"]
        assert await fill(simulated, **FIELDS, more="target=700 to=haiku-4.5") == {}
        assert "72.23% of the requests must move" in shown(modal(simulated))


async def test_a_pasted_prompt_is_counted_by_anthropic_where_a_key_is_there(simulated: World) -> None:
    async with simulated.connected_bot(ANTHROPIC_API_KEY=API_KEY):
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        fields = {**FIELDS, "prompt": "x" * 2800}
        assert (await fill(simulated, **fields))["prompt"] == "Give input tokens or a prompt, not both."
        assert await fill(simulated, **{k: v for k, v in fields.items() if k != "in"}) == {}
        await simulated.slack.until(lambda: "a month" in shown(modal(simulated)))
        assert "Anthropic's token count of the prompt: 707 for Sonnet 4.6" in shown(modal(simulated))


async def test_a_pasted_prompt_is_estimated_from_its_characters_without_a_key(simulated: World) -> None:
    async with simulated.connected_bot():
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        fields = {k: v for k, v in FIELDS.items() if k != "in"}
        await fill(simulated, **fields, prompt="これは長い文章です。" * 10)
        await simulated.slack.until(lambda: "a month" in shown(modal(simulated)))
        assert "100 Japanese characters are about 150 tokens" in shown(modal(simulated))


async def test_an_estimate_says_what_it_does_to_the_budgets(simulated: World, clock: HandClock) -> None:
    simulated.spend(24, at=clock.now - timedelta(hours=10))
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        reply = await (await simulated.slack.command("estimate sonnet-4.6 requests=10k in=2000 out=500")).first_reply()
    assert "Budget default: $135.00 a month (67% of $200.00); begun now, $" in reply.text
    assert " more in this month: expected end $" in reply.text


async def test_an_estimate_is_kept_listed_shown_and_dropped(simulated: World, clock: HandClock) -> None:
    async def ask(words: str) -> str:
        return (await (await simulated.slack.command(f"estimate {words}")).first_reply()).text

    async with simulated.connected_bot():
        assert "Kept as `support-bot`" in await ask(f"{CHATBOT} as=support-bot")
        assert "It replaces $1,350.00" in await ask(f"{CHATBOT} batch as=support-bot")
        assert "`support-bot`: $675.00 a month" in await ask("list")
        again = await ask("show support-bot")
        assert again.startswith(f"`support-bot`, kept by <@{ADMIN}>")
        assert "\n$675.00 a month" in again
        assert "did you mean `support-bot`?" in await ask("show suport-bot")
        assert "is dropped" in await ask("drop support-bot")
        assert "No estimate is kept" in await ask("list")


async def test_a_typed_estimate_can_be_shared_too(simulated: World) -> None:
    async with simulated.connected_bot():
        reply = await (await simulated.slack.command(f"estimate {CHATBOT}", DEVELOPER)).first_reply()
        assert reply.ephemeral_to == DEVELOPER
        shared = await (await simulated.slack.click(reply, "estimate_share", DEVELOPER)).first_reply()
    assert shared.ephemeral_to is None
    assert shared is not reply


async def test_the_organizations_own_rate_limits_win_over_the_table(simulated: World) -> None:
    plenty = {"input_tokens_per_minute": 10**9, "output_tokens_per_minute": 10**9}
    few = {"requests_per_minute": 10, **plenty}
    simulated.limits.groups.append(
        LimitGroup("model_group", few, models=("claude-sonnet-4-6",), display_name="Claude Sonnet 4.6")
    )
    async with simulated.connected_bot():
        reply = await (await simulated.slack.command(f"estimate {CHATBOT}")).first_reply()
    assert "Does not fit your organization's own rate limits: it allows Sonnet 4.6 10 requests a minute" in reply.text


async def test_a_plan_is_compared_with_the_api_for_the_same_use(simulated: World) -> None:
    async with simulated.connected_bot():
        reply = await (
            await simulated.slack.command("plan sonnet-4.6 requests=1k in=2000 out=500 seats=5")
        ).first_reply()
        assert "API" in reply.text
        assert "Max 20x" in reply.text
        assert "side by side" in reply.text
        wrong = await (await simulated.slack.command("plan sonnet requests=1k in=1 out=1 seats=no")).first_reply()
        assert wrong.text.startswith("seats=no is not a number")


async def test_the_terminal_does_not_pretend_to_keep_anything(world: World) -> None:
    finished = await world.command("estimate", *CHATBOT.split(), "as=x")
    assert (finished.code, finished.out) == (2, "")
    assert "as=" in finished.err


async def test_every_mistake_is_at_its_field_at_once_in_the_fields_own_words(simulated: World) -> None:
    async with simulated.connected_bot():
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        errors = await fill(simulated, requests="a lot", out="some", cached="3000", hit="1.5.1", more="trns=2")
        assert errors == {
            "requests": "“a lot” is not a number of requests: write it like 100k, 1.5m or 500/day.",
            "in": "Write how many tokens a request has, or paste a prompt below.",
            "out": "“some” is not a number of tokens: write it like 2000 or 2k.",
            "hit": "“1.5.1” is not a share: write it like 90%.",
            "more": "trns= is not known here: did you mean turns=?",
        }
        errors = await fill(simulated, **FIELDS | {"cached": "3k"})
        assert errors == {"cached": "Cached tokens are part of the input: write at most the input tokens of a request."}
        errors = await fill(simulated, **FIELDS | {"hit": "90"})
        assert errors == {"hit": "This is about cached tokens only: fill them in too, or leave this empty."}
        assert await fill(simulated, **FIELDS | {"cached": "1k", "hit": "90"}) == {}


async def test_models_that_are_retired_are_not_offered(simulated: World) -> None:
    async with simulated.connected_bot():
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        [model] = [block for block in modal(simulated).content["blocks"] if block["block_id"] == "model"]
    offered = {option["value"] for option in model["element"]["options"]}
    assert {"sonnet-4.6", "haiku-5.5"} <= offered
    assert not {"opus-3", "sonnet-3.7"} & offered


async def test_the_form_says_that_its_result_is_shared(simulated: World) -> None:
    async with simulated.connected_bot():
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        await fill(simulated, **FIELDS)
        await simulated.slack.click(modal(simulated), "estimate_share", DEVELOPER)
        await simulated.slack.until(lambda: "Shared with the channel." in shown(modal(simulated)))
        assert "*$1,350.00 a month*" in shown(modal(simulated))
