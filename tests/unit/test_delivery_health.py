"""When a failing destination is reported at the others."""

from datetime import timedelta

import pytest

from bot.alerts.delivery import PATIENCE, Failing, Reported, newly_failing, recovered
from tests.databases import NOW

SECOND = timedelta(seconds=1)


def failing(name: str = "hook", *, for_good: bool = False) -> Failing:
    return Failing(name, NOW, "it responded with HTTP status 503.", 1, for_good)


def test_a_fault_is_reported_once_it_has_lasted() -> None:
    assert not newly_failing(failing(), [], NOW + PATIENCE - SECOND)
    assert newly_failing(failing(), [], NOW + PATIENCE)


def test_what_is_refused_for_good_is_reported_at_once() -> None:
    assert newly_failing(failing(for_good=True), [], NOW)


@pytest.mark.parametrize("for_good", [False, True])
def test_what_is_reported_is_not_reported_again_while_it_lasts(for_good: bool) -> None:
    report = Reported("hook", NOW - PATIENCE)
    assert not newly_failing(failing(for_good=for_good), [report], NOW + PATIENCE)
    assert newly_failing(failing("mail", for_good=for_good), [report], NOW + PATIENCE)


def test_it_is_over_once_nothing_waits_that_was_tried_in_vain() -> None:
    report = Reported("hook", NOW)
    assert not recovered(report, [failing("mail"), failing("hook")])
    assert recovered(report, [failing("mail")])
    assert recovered(report, [])
