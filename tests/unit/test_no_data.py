"""When no data is reported, and when its return is."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.incident import Status
from bot.alerts.no_data import RETURNS_WITHIN, Gap, GapStep, NoDataReason, decide_no_data, missing_since
from bot.usage.model import DataState, is_stale

START = datetime(2026, 11, 26, 14, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLL_SECONDS = 60


@dataclass
class Reports:
    """Reports so far, and what the store would know of them."""

    last: Gap | None = None
    steps: list[tuple[datetime, GapStep]] = field(default_factory=list)

    def hear(self, data: DataState, now: datetime) -> GapStep | None:
        found = decide_no_data(data, now, POLL_SECONDS, self.last)
        if found is not None:
            self.last = Gap(found.began_at, found.step.status, now)
            self.steps.append((now, found))
        return found


def failing(as_of: datetime | None, since: datetime) -> DataState:
    return DataState(as_of=as_of, source=None if as_of is None else "admin", error="HTTP 500.", error_since=since)


def test_data_is_missed_from_the_moment_it_is_of_and_reported_once() -> None:
    reported = Reports()
    data = failing(START, START + MINUTE)
    assert reported.hear(data, START + 15 * MINUTE) is None
    found = reported.hear(data, START + 16 * MINUTE)
    assert found is not None
    assert (found.since, found.began_at, found.step.reason, found.step.post) == (
        START,
        START,
        NoDataReason.MISSING,
        True,
    )
    assert reported.hear(data, START + 500 * MINUTE) is None


def test_its_return_is_shown_in_the_same_incident() -> None:
    reported = Reports()
    reported.hear(failing(START, START), START + 16 * MINUTE)
    now = START + 67 * MINUTE
    found = reported.hear(DataState(as_of=now - 5 * MINUTE, source="admin"), now)
    assert found is not None
    assert (found.step.status, found.step.reason, found.began_at) == (Status.RESOLVED, NoDataReason.BACK, START)
    assert reported.hear(DataState(as_of=now - 4 * MINUTE, source="admin"), now + MINUTE) is None


def test_a_gap_soon_after_another_is_the_same_incident_and_a_later_one_is_not() -> None:
    for since_recovery, same in ((timedelta(0), True), (RETURNS_WITHIN, True), (RETURNS_WITHIN + MINUTE, False)):
        reported = Reports(Gap(START - 60 * MINUTE, Status.RESOLVED, START))
        as_of = START + since_recovery
        found = reported.hear(failing(as_of, as_of), as_of + 16 * MINUTE)
        assert found is not None
        assert found.since == as_of
        assert (found.began_at == START - 60 * MINUTE) is same
        assert found.step.reason is (NoDataReason.MISSING_AGAIN if same else NoDataReason.MISSING)


def test_before_any_data_the_first_failure_counts() -> None:
    reported = Reports()
    assert reported.hear(DataState(), START + 900 * MINUTE) is None
    data = failing(None, START)
    assert reported.hear(data, START + 15 * MINUTE) is None
    found = reported.hear(data, START + 16 * MINUTE)
    assert found is not None
    assert found.since == START


def test_data_that_is_old_already_when_it_comes_ends_no_gap() -> None:
    reported = Reports()
    reported.hear(failing(None, START), START + 16 * MINUTE)
    now = START + 20 * MINUTE
    assert reported.hear(DataState(as_of=now - 12 * MINUTE, source="analytics"), now) is None
    assert reported.hear(DataState(as_of=now - 9 * MINUTE, source="analytics"), now) is not None


AGES = st.lists(st.integers(0, 40), min_size=1, max_size=400)


@given(AGES)
def test_an_age_about_the_bound_causes_at_most_one_post_in_half_an_hour(ages: list[int]) -> None:
    reported = Reports()
    for index, age in enumerate(ages):
        now = START + index * MINUTE
        data = DataState(as_of=now - age * MINUTE, source="analytics")
        step = reported.hear(data, now)
        # The message never says that data is there while it is stale, nor the other way round.
        open_ = reported.last is not None and reported.last.status is Status.OPEN
        assert open_ or not is_stale(data, now, POLL_SECONDS)
        if step is not None and step.step.status is Status.OPEN:
            assert step.since == missing_since(data, now, POLL_SECONDS)
    statuses = [step.step.status for _, step in reported.steps]
    assert statuses == [(Status.OPEN, Status.RESOLVED)[index % 2] for index in range(len(statuses))]
    recovered = None
    for now, step in reported.steps:
        if step.step.status is Status.RESOLVED:
            recovered = now
        elif step.step.reason is NoDataReason.MISSING and recovered is not None:
            assert step.since - recovered > RETURNS_WITHIN
