"""People read the answers in the language of their Slack, and channels in the one that is configured."""

from collections.abc import AsyncIterator

import pytest

from bot.clock import DAY
from bot.db.engine import connect
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from handlers.render.fallback import FORM_ACTION
from tests.scenario.conftest import World
from tests.scenario.test_acknowledged_first import opened

REFUSED = "`now` is not known here: `limits` takes no words."
REFUSED_IN_JAPANESE = "`now` は分かりません。`limits` のあとには何も書きません。"


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    simulated.slack.workspace.scopes.add("users:read")
    async with simulated.connected_bot() as bot:
        yield bot


async def answer_to(world: World, user: str) -> str:
    return (await (await world.slack.command("limits now", user=user)).first_reply()).text


def asked(world: World) -> int:
    return sum(call.method == "users.info" for call in world.slack.calls)


async def test_each_person_is_answered_in_the_language_of_their_slack(simulated: World, bot: Bot) -> None:
    simulated.slack.workspace.locales[DEVELOPER] = "ja-JP"
    assert (await answer_to(simulated, DEVELOPER)).startswith(REFUSED_IN_JAPANESE)
    assert (await answer_to(simulated, ADMIN)).startswith(REFUSED)


async def test_slack_is_asked_once_for_each_person(simulated: World, bot: Bot, clock: HandClock) -> None:
    for _ in range(3):
        await answer_to(simulated, DEVELOPER)
    assert asked(simulated) == 1
    clock.advance(DAY)
    simulated.slack.workspace.locales[DEVELOPER] = "ja-JP"
    assert (await answer_to(simulated, DEVELOPER)).startswith(REFUSED_IN_JAPANESE)


async def test_without_the_scope_everybody_reads_the_configured_language(simulated: World, bot: Bot) -> None:
    simulated.slack.workspace.scopes.remove("users:read")
    simulated.slack.workspace.locales[DEVELOPER] = "ja-JP"
    for user in (DEVELOPER, ADMIN):
        assert (await answer_to(simulated, user)).startswith(REFUSED)
    assert asked(simulated) == 1


async def test_a_fault_is_shown_in_the_readers_language_and_logged_in_english(
    simulated: World, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.slack.workspace.locales[DEVELOPER] = "ja-JP"
    engine = connect(simulated.environ["CLAUDE_COST_DATABASE_URL"])
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE budget_changes")
    engine.dispose()
    response = (await (await simulated.slack.command("budget history", user=DEVELOPER)).first_reply()).text
    assert response.startswith("データベースのテーブルがなくなったため")
    logged = [record.getMessage() for record in caplog.records if "an answer was not possible" in record.getMessage()]
    assert "The database has lost its tables" in logged[0]


async def test_the_configured_language_stands_in_for_an_unknown_one(simulated: World) -> None:
    async with simulated.connected_bot(CLAUDE_COST_LANGUAGE="ja"):
        assert (await answer_to(simulated, DEVELOPER)).startswith(REFUSED_IN_JAPANESE)


@pytest.mark.parametrize(
    ("words", "button", "values"),
    [
        ("budget set", None, {"name": "walk", "soft": "80", "hard": "100"}),
        ("fallback status", FORM_ACTION, {"mode": "degraded", "for": "2h", "because": "of a test"}),
    ],
)
async def test_a_form_without_a_mistake_is_acknowledged_before_slack_says_the_language(
    simulated: World, bot: Bot, clock: HandClock, words: str, button: str | None, values: dict[str, str]
) -> None:
    await opened(simulated, words, button)
    clock.advance(DAY)
    simulated.slack.faults.add("users.info", Fault("slow", seconds=3))
    simulated.slack.sockets.ack_seconds = 1.5
    bot.services.languages.answer_seconds = 3
    assert (await simulated.slack.submit_view(values)).ack is not None
