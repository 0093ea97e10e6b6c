"""The bot is killed at every commit and every call of Slack, and at random moments: no alert is lost."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.scenario.kills import (
    EDGES,
    STORY,
    Death,
    Told,
    Undisturbed,
    Zygote,
    difference,
    play_in,
    play_through_a_storm,
    undisturbed_in,
    zygote_in,
)

RANDOM_MOMENTS = 10
"""With the right to read the channel back, and as many without."""
DEATHS_OF_A_STORY = 5


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with zygote_in(tmp_path_factory.mktemp("no-certificates")) as zygote:
        yield zygote


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Undisturbed:
    return asyncio.run(undisturbed_in(tmp_path_factory.mktemp("undisturbed"), zygote))


async def kill(
    folder: Path, zygote: Zygote, undisturbed: Undisturbed, number: int, death: Death, *, readable: bool
) -> int:
    """Kill the bot in this step, begin it anew, and return how much of the step is there twice.

    Where the bot remembers and the channel shows the same as without a death, so will they after all later steps.
    """
    async with play_in(folder, zygote, readable=readable) as play:
        play.go_to(number, undisturbed.scenes[number])
        await play.until(number, iter([death]))
        wanted = undisturbed.scenes[number + 1]
        found = difference(wanted.told, play.told())
        assert (play.deaths, found.lost, found.strange) == (1, [], [])
        assert play.remembered() == wanted.remembered
        return len(found.doubled)


def test_the_story_has_posts_edits_and_answers_of_every_kind(undisturbed: Undisturbed) -> None:
    assert undisturbed.scenes[-1].told == [
        Told(
            "default/2026-11/soft/100",
            "$0.00 of $100.00 (0%): soft limit resolved, spend is below it again, budget default",
            (
                "Superseded: $210.00 is spent, so that the next limit, $200.00, is crossed too.",
                "Resolved: $0.00 is spent, below $100.00 again.",
            ),
        ),
        Told(
            "default/2026-11/hard/200",
            "$0.00 of $200.00 (0%): hard limit resolved, spend is below it again, budget default",
            ("Acknowledged by <@U0ADMIN>.", "Resolved: $0.00 is spent, below $200.00 again."),
        ),
        Told("mode/degraded", "Fallback mode normal → degraded, by <@U0ADMIN>: of a test", ()),
        Told("mode/normal", "Fallback mode degraded → normal, by claude-cost: a new period has begun", ()),
        Told("default/2026-12/period/0", "New month 2026-12 for budget default: 2026-11 ended at $0.00", ()),
    ]


@pytest.mark.parametrize("number", range(len(STORY)))
@pytest.mark.parametrize(("after", "readable"), [(False, False), (True, True)], ids=["before", "after"])
async def test_killed_before_or_after_any_commit_the_bot_tells_everything(
    tmp_path: Path, zygote: Zygote, undisturbed: Undisturbed, number: int, after: bool, readable: bool
) -> None:
    # After a commit the database is as before the next one, so that each state is met with the right and without.
    for commit in range(1, undisturbed.commits[number] + 1):
        death = Death(commit=commit, after=after)
        doubled = await kill(tmp_path / str(commit), zygote, undisturbed, number, death, readable=readable)
        assert doubled <= (0 if readable else 1)


@pytest.mark.parametrize("number", range(len(STORY)))
@pytest.mark.parametrize("readable", [True, False], ids=["readable", "unreadable"])
async def test_killed_at_any_call_of_slack_the_bot_tells_everything(
    tmp_path: Path, zygote: Zygote, undisturbed: Undisturbed, number: int, readable: bool
) -> None:
    for call in range(1, undisturbed.calls[number] + 1):
        for edge in EDGES:
            death = Death(call=call, edge=edge)
            doubled = await kill(tmp_path / f"{call} {edge}", zygote, undisturbed, number, death, readable=readable)
            assert doubled <= (0 if readable else 1)


@pytest.mark.parametrize(
    ("readable", "looks_fail"),
    [(True, False), (True, True), (False, False)],
    ids=["readable", "readable now and then", "unreadable"],
)
async def test_killed_at_random_moments_among_faults_of_slack_the_bot_tells_everything(
    tmp_path: Path, zygote: Zygote, undisturbed: Undisturbed, readable: bool, looks_fail: bool
) -> None:
    wanted, seconds = undisturbed.scenes[-1].told, undisturbed.seconds
    deaths = 0
    for seed in count():
        wished = min(DEATHS_OF_A_STORY, RANDOM_MOMENTS - deaths)
        if not wished:
            break
        random = Random(seed)
        storm = await play_through_a_storm(
            *(tmp_path / str(seed), zygote, wanted, random),
            seconds=seconds,
            deaths=wished,
            readable=readable,
            looks_fail=looks_fail,
        )
        deaths += storm.deaths
        assert (storm.difference.lost, storm.difference.strange) == ([], [])
        assert len(storm.difference.doubled) <= (0 if readable else storm.deaths + storm.unanswered)
