"""Alerts of budgets that are renamed, removed or edited between two starts of the bot."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bot.alerts.incident import Status
from handlers.render.limit_alert import limit_message
from tests.databases import open_migrated
from tests.scenario.test_review import Watched, at, budget


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


def test_the_alert_of_a_renamed_budget_is_withdrawn_and_the_new_name_has_its_own(engine: Engine) -> None:
    team = Watched(engine, budget(name="old"))
    team.spends(150, "11-20 08:00")
    team.polls("11-20 12:00")
    team.delivers()
    team.started(budget(name="new"))
    team.polls("11-20 12:01")
    assert team.posts() == ["old/2026-11/soft/100", "new/2026-11/soft/100"]
    (action, facts) = team.reported()[-1]
    assert (action, facts.incident, facts.status) == ("update", "old/2026-11/soft/100", Status.WITHDRAWN)
    assert "not in force any more" in limit_message(facts, None).text
    assert facts.spend.as_of == at("11-20 11:55")
    assert team.polls("11-20 12:02") == 0
    assert len(team.reported()) == 3


def test_both_alerts_of_a_removed_budget_are_withdrawn(engine: Engine) -> None:
    team = Watched(engine, budget(100, 200, name="gone"), budget(1000, name="stays"))
    team.spends(150, "11-20 08:00")
    team.polls("11-20 12:00")
    team.spends(100, "11-20 12:00")
    team.polls("11-20 13:00")
    team.delivers()
    team.started(budget(1000, name="stays"))
    assert team.polls("11-20 14:00") == 2
    assert {(facts.level, facts.status) for _, facts in team.reported()[-2:]} == {
        ("soft", Status.WITHDRAWN),
        ("hard", Status.WITHDRAWN),
    }


@pytest.mark.parametrize(("when", "ends"), [("12-02 23:00", Status.WITHDRAWN), ("12-03 00:00", Status.CLOSED)])
def test_what_a_removed_budget_leaves_open_is_withdrawn_or_closed_with_its_period(
    engine: Engine, when: str, ends: Status
) -> None:
    team = Watched(engine, budget(name="gone"))
    team.spends(150, "11-20 08:00")
    team.polls("11-20 12:00")
    team.started(budget(1000, name="stays"))
    assert team.polls(when) == 1
    assert [facts.status for _, facts in team.reported()] == [Status.OPEN, ends]


def test_an_alert_is_closed_once_when_its_period_is_reviewed_no_more(engine: Engine) -> None:
    team = Watched(engine, budget(100, 200))
    team.spends(250, "11-20 08:00")
    team.polls("11-20 12:00")
    assert team.polls("12-02 23:59") == 0
    assert team.polls("12-03 00:00") == 1
    assert team.polls("12-03 00:01") == 0
    hard = [facts for _, facts in team.reported()][-1]
    assert (hard.incident, hard.status) == ("default/2026-11/hard/200", Status.CLOSED)
    assert "period closed" in limit_message(hard, None).text.splitlines()[0]


def test_a_budget_that_comes_back_opens_its_first_message_again(engine: Engine) -> None:
    team = Watched(engine, budget(name="back"))
    team.spends(150, "11-20 08:00")
    team.polls("11-20 12:00")
    team.started()
    team.polls("11-20 12:01")
    team.started(budget(name="back"))
    team.polls("11-20 12:02")
    assert team.posts() == ["back/2026-11/soft/100"]
    assert [facts.status for _, facts in team.reported()] == [Status.OPEN, Status.WITHDRAWN, Status.OPEN]


def test_a_raised_hard_limit_leaves_the_soft_alert_standing_in_the_channel(engine: Engine) -> None:
    team = Watched(engine, budget(100, 200))
    team.spends(250, "11-20 08:00")
    team.polls("11-20 12:00")
    team.started(budget(100, 500))
    team.polls("11-20 12:01")
    team.started(budget(100, 600))
    team.polls("11-20 12:02")
    assert team.posts() == ["default/2026-11/hard/200", "default/2026-11/soft/100"]
    assert {facts.incident: facts.status for _, facts in team.reported()} == {
        "default/2026-11/hard/200": Status.WITHDRAWN,
        "default/2026-11/soft/100": Status.OPEN,
    }
