"""The bot is killed at commits and calls of Slack of every kind, and at random moments: no alert is lost.

`benchmarks/kills.py --every` kills it at every commit and every edge of every call.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.scenario.kills import (
    STORY,
    ForkServer,
    Moment,
    PostedAlert,
    Undisturbed,
    at_calls,
    at_commits,
    fork_server_in,
    kill,
    play_through_a_storm,
    spread,
    undisturbed_in,
)

RANDOM_MOMENTS = 3
"""Random kills with the right to read the channel back, and as many without."""
CRASHES_OF_A_STORY = 3
OF_COMMITS, OF_EDGES = 24, 3
"""The bot is killed at one of so many commits, and at one edge of each call."""


@pytest.fixture(scope="module")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with fork_server_in(tmp_path_factory.mktemp("no-certificates")) as fork_server:
        yield fork_server


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer) -> Undisturbed:
    return asyncio.run(undisturbed_in(tmp_path_factory.mktemp("undisturbed"), fork_server))


async def kill_at_each(
    folder: Path, fork_server: ForkServer, undisturbed: Undisturbed, moments: Iterable[Moment], *, readable: bool
) -> None:
    for index, moment in enumerate(moments):
        killed = await kill(folder / str(index), fork_server, undisturbed, moment, readable=readable)
        assert (killed.crashes, killed.difference.lost, killed.difference.strange) == (1, [], []), moment
        assert killed.keeps_state, moment
        assert len(killed.difference.doubled) <= (0 if readable else 1), moment


def test_the_story_has_posts_edits_and_answers_of_every_kind(undisturbed: Undisturbed) -> None:
    assert undisturbed.scenes[-1].posted == [
        PostedAlert(
            "default/2026-11/soft/100",
            "$0.00 of $100.00 (0%): soft limit resolved, spend is below it again, November",
            (
                "Passed: $210.00 is spent, so the next limit, $200.00, is crossed too.",
                "Resolved: $0.00 is spent, below $100.00 again.",
            ),
        ),
        PostedAlert(
            "default/2026-11/hard/200",
            "$0.00 of $200.00 (0%): hard limit resolved, spend is below it again, November",
            ("Acknowledged by <@U0ADMIN>.", "Resolved: $0.00 is spent, below $200.00 again."),
        ),
        PostedAlert("mode/degraded", "Fallback mode normal → degraded, by <@U0ADMIN>: of a test", ()),
        PostedAlert("mode/normal", "Fallback mode degraded → normal, by claude-cost: a new period has begun", ()),
        PostedAlert("default/2026-12/period/0", "New month: November ended at $0.00", ()),
    ]


def test_the_chosen_moments_cut_off_each_kind_of_statement_and_each_call(undisturbed: Undisturbed) -> None:
    for moments, every in (
        (at_commits(undisturbed, after=False), OF_COMMITS),
        (at_commits(undisturbed, after=True), OF_COMMITS),
        (at_calls(undisturbed), OF_EDGES),
    ):
        for offset in range(every):
            chosen = spread(moments, offset, every)
            assert {moment.step for moment in chosen} == set(range(len(STORY)))
            assert {kind for one in chosen for kind in one.kinds} == {kind for one in moments for kind in one.kinds}
            assert {(one.step, one.crash.call) for one in chosen} >= {
                (one.step, one.crash.call) for one in moments if one.crash.call
            }
    written = {kind for moment in at_commits(undisturbed, after=False) for kind in moment.kinds}
    assert {"INSERT INTO alerts", "INSERT INTO mode_changes", "INSERT INTO notices", "UPDATE alerts"} <= written
    called = {kind for calls in undisturbed.calls for kind in calls}
    assert called == {"chat.postMessage", "chat.postMessage in a thread", "chat.update"}


@pytest.mark.parametrize("number", range(len(STORY)))
@pytest.mark.parametrize(("after", "readable"), [(False, False), (True, True)], ids=["before", "after"])
async def test_killed_before_or_after_any_commit_the_bot_reports_everything(
    tmp_path: Path, fork_server: ForkServer, undisturbed: Undisturbed, number: int, after: bool, readable: bool
) -> None:
    # After a commit the database is as before the next one: with this offset both meet a twelfth of the states.
    moments = spread(at_commits(undisturbed, after=after), OF_COMMITS // 2 * int(after), OF_COMMITS)
    chosen = [moment for moment in moments if moment.step == number]
    await kill_at_each(tmp_path, fork_server, undisturbed, chosen, readable=readable)


@pytest.mark.parametrize("number", range(len(STORY)))
@pytest.mark.parametrize("readable", [True, False], ids=["readable", "unreadable"])
async def test_killed_at_any_call_of_slack_the_bot_reports_everything(
    tmp_path: Path, fork_server: ForkServer, undisturbed: Undisturbed, number: int, readable: bool
) -> None:
    # With the right another edge of each call than without.
    moments = spread(at_calls(undisturbed), int(readable), OF_EDGES)
    chosen = [moment for moment in moments if moment.step == number]
    await kill_at_each(tmp_path, fork_server, undisturbed, chosen, readable=readable)


@pytest.mark.parametrize(
    ("readable", "looks_fail"),
    [(True, False), (True, True), (False, False)],
    ids=["readable", "readable now and then", "unreadable"],
)
async def test_killed_at_random_moments_among_faults_of_slack_the_bot_reports_everything(
    tmp_path: Path, fork_server: ForkServer, undisturbed: Undisturbed, readable: bool, looks_fail: bool
) -> None:
    wanted, seconds = undisturbed.scenes[-1].posted, undisturbed.seconds
    crashes = 0
    for seed in count():
        wished = min(CRASHES_OF_A_STORY, RANDOM_MOMENTS - crashes)
        if not wished:
            break
        random = Random(seed)
        storm = await play_through_a_storm(
            *(tmp_path / str(seed), fork_server, wanted, random),
            seconds=seconds,
            crashes=wished,
            readable=readable,
            looks_fail=looks_fail,
        )
        crashes += storm.crashes
        assert (storm.difference.lost, storm.difference.strange) == ([], [])
        assert len(storm.difference.doubled) <= (0 if readable else storm.crashes + storm.unanswered)
