"""The last report about a change of the mode and what is kept of it are one row, and a newer change ends both."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from bot.alerts.store import AlertStore
from bot.fallback.store import ModeStore
from bot.modes.model import VerificationReport
from bot.modes.verification import UsageSum, VerificationState
from tests.databases import NOW, mode_facts

VARIABLES = {"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5"}


def report_of(
    change_id: int, state: VerificationState = VerificationState.NO_EFFECT, *, last: bool = False
) -> VerificationReport:
    mix = UsageSum(Decimal(41), Decimal(29), 0, timedelta(hours=1))
    return VerificationReport(
        change_id=change_id,
        mode="degraded",
        ceiling="claude-sonnet-5-5",
        since=NOW,
        state=state,
        above=("Opus",),
        before=mix,
        after=mix,
        took=timedelta(minutes=6),
        callers=(),
        more_callers=0,
        last=last,
        as_of=NOW,
        decided_at=NOW,
    )


@pytest.fixture
def store(engine: Engine) -> ModeStore:
    return ModeStore(engine)


def changed(store: ModeStore, mode: str = "degraded", previous: str = "normal") -> int:
    change_id = store.change(VARIABLES, mode_facts(mode=mode, previous=previous))
    assert change_id is not None
    return change_id


def test_a_report_is_shown_in_the_thread_of_its_change_and_read_back(store: ModeStore, engine: Engine) -> None:
    change_id = changed(store)
    assert store.verifications.reports([change_id]) == []
    assert store.verifications.report(report_of(change_id), 0, [change_id])
    assert store.verifications.reports([change_id]) == [report_of(change_id)]
    assert AlertStore(engine).notices.undelivered() == 2


def test_of_two_copies_that_look_at_once_one_reports(store: ModeStore) -> None:
    change_id = changed(store)
    assert store.verifications.report(report_of(change_id), 0, [change_id])
    assert not store.verifications.report(report_of(change_id), 0, [change_id])
    assert len(store.verifications.reports([change_id])) == 1


def test_of_a_change_that_is_over_nothing_is_reported_and_nothing_dismissed(store: ModeStore) -> None:
    change_id = changed(store)
    assert store.verifications.report(report_of(change_id), 0, [change_id])
    newer = changed(store, "normal", "degraded")
    assert not store.verifications.report(report_of(change_id), 1, [change_id])
    assert store.verifications.dismiss(change_id, [newer], "U1", NOW) == "over"


def test_a_dismissed_report_is_not_repeated_and_dismissed_once(store: ModeStore) -> None:
    change_id = changed(store)
    assert store.verifications.dismiss(change_id, [change_id], "U1", NOW) == "unknown"
    assert store.verifications.report(report_of(change_id), 0, [change_id])
    assert not store.verifications.is_dismissed([change_id])
    assert store.verifications.dismiss(change_id, [change_id], "U1", NOW) == "done"
    assert store.verifications.dismiss(change_id, [change_id], "U2", NOW) == "already"
    assert store.verifications.is_dismissed([change_id])
    assert not store.verifications.report(report_of(change_id), 1, [change_id])
    (entry, _) = store.history(2)
    assert (entry.actor, entry.action, entry.detail) == ("U1", "proof", "degraded: no effect, dismissed")


def test_what_is_proved_needs_no_dismissal(store: ModeStore) -> None:
    change_id = changed(store)
    assert store.verifications.report(report_of(change_id, VerificationState.CONFIRMED, last=True), 0, [change_id])
    assert store.verifications.dismiss(change_id, [change_id], "U1", NOW) == "over"


def test_more_time_for_a_mode_belongs_to_the_change_before(store: ModeStore) -> None:
    changed(store, "minimal")
    first = changed(store, "degraded", "minimal")
    second = changed(store, "degraded", "degraded")
    assert [change.id for change in store.in_force()] == [second, first]
