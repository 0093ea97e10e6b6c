"""A change that needs a second person: bound to exactly what was asked for, by others, in time, and audited."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from bot.alerts.notice_contents import parsed
from bot.db.schema import approvals as approvals_table
from bot.db.schema import audit, notices
from bot.fallback.approvals import Approvals, NotApprovedError, ProposalStore
from bot.fallback.auto import FallbackRules
from bot.fallback.impact import ModeImpact
from bot.fallback.reconciler import Reconciler
from bot.fallback.service import FallbackService
from bot.fallback.store import ModeStore, TargetStore
from bot.fallback.targets.env_file import EnvFile
from bot.mode import modes_from_chain
from bot.modes.model import Proposal, ProposalStatus
from bot.sandbox.clock import HandClock
from tests.databases import NOW

CHAIN = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
MODES = modes_from_chain(CHAIN, {})
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
UNKNOWN = ModeImpact((), None, None, None)


class Team:
    """A bot whose changes need so many others to agree."""

    def __init__(self, engine: Engine, file: EnvFile, clock: HandClock, needed: int = 1) -> None:
        reconciler = Reconciler(TargetStore(engine), [file], clock)
        self.modes = dict(MODES)
        rules = FallbackRules(approvals=needed)
        self.fallback = FallbackService(ModeStore(engine), reconciler, self.modes, clock, rules=rules)
        self.approvals = Approvals(ProposalStore(engine), self.fallback, clock)
        self.engine = engine

    def asks(self, mode: str = "degraded", lasts: timedelta | None = None, by: str = "U1") -> int:
        return self.approvals.ask(MODES[mode], by, "too dear", lasts, UNKNOWN).proposal_id

    @property
    def mode(self) -> str:
        return self.fallback.state().mode.name

    def reported(self) -> list[tuple[str, Proposal]]:
        query = (
            select(notices.c.action, notices.c.facts).where(notices.c.proposal_id.is_not(None)).order_by(notices.c.id)
        )
        with self.engine.connect() as connection:
            rows = [(row.action, parsed(row.facts)) for row in connection.execute(query)]
        return [(action, facts) for action, facts in rows if isinstance(facts, Proposal)]

    def audited(self) -> list[tuple[str, str, str]]:
        query = select(audit).order_by(audit.c.id)
        with self.engine.connect() as connection:
            return [(row.actor, row.outcome, row.detail) for row in connection.execute(query)]


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
def file(tmp_path_factory: pytest.TempPathFactory) -> EnvFile:
    return EnvFile(tmp_path_factory.mktemp("services") / "services.env")


@pytest.fixture
def team(engine: Engine, file: EnvFile, clock: HandClock) -> Team:
    return Team(engine, file, clock)


def test_only_a_mode_that_holds_the_team_back_needs_a_second_person(team: Team, engine: Engine, file: EnvFile) -> None:
    assert team.approvals.are_needed(MODES["minimal"])
    assert not team.approvals.are_needed(MODES["normal"])
    assert not Team(engine, file, HandClock(NOW), needed=0).approvals.are_needed(MODES["minimal"])


def test_nothing_changes_until_another_admin_agrees(team: Team, file: EnvFile, clock: HandClock) -> None:
    asked = team.asks(lasts=2 * HOUR)
    assert team.mode == "normal"
    clock.advance(MINUTE)
    after = team.approvals.approve(asked, "U2")
    assert (after.status, after.approved_by, after.closed_by) == (ProposalStatus.DONE, ("U2",), "U2")
    state = team.fallback.state()
    assert (state.mode.name, state.changed_by, state.reason) == ("degraded", "U1", "too dear")
    # The time that was asked for begins with the switch.
    assert state.until == clock() + 2 * HOUR
    assert file.holds(MODES["degraded"].variables)
    assert [(action, facts.status) for action, facts in team.reported()] == [
        ("post", ProposalStatus.OPEN),
        ("update", ProposalStatus.DONE),
    ]
    assert team.audited() == [
        ("U1", "done", "normal -> degraded for 2 h asked for: too dear"),
        ("U2", "done", "normal -> degraded for 2 h approved: too dear"),
        ("U1", "done", "normal -> degraded until 20 Nov 14:01 UTC: too dear"),
        ("U2", "done", "normal -> degraded for 2 h done: too dear"),
    ]


def test_who_asked_cannot_approve(team: Team) -> None:
    asked = team.asks()
    with pytest.raises(NotApprovedError, match="whoever asks cannot approve"):
        team.approvals.approve(asked, "U1")
    assert team.mode == "normal"
    assert team.audited()[-1] == ("U1", "refused", "degraded: whoever asks cannot approve")


def test_each_person_counts_once(engine: Engine, file: EnvFile, clock: HandClock) -> None:
    team = Team(engine, file, clock, needed=2)
    asked = team.asks()
    assert team.approvals.approve(asked, "U2").status is ProposalStatus.OPEN
    with pytest.raises(NotApprovedError, match="approved this already"):
        team.approvals.approve(asked, "U2")
    assert team.mode == "normal"
    assert team.approvals.approve(asked, "U3").approved_by == ("U2", "U3")
    assert team.mode == "degraded"
    with engine.connect() as connection:
        kept = connection.execute(select(approvals_table.c.approved_by)).scalars().all()
    assert sorted(kept) == ["U2", "U3"]


@pytest.mark.parametrize("way", ["click", "look"])
def test_a_request_expires(team: Team, clock: HandClock, way: str) -> None:
    asked = team.asks()
    clock.advance(HOUR - MINUTE)
    team.approvals.expire()
    assert [facts.status for _, facts in team.reported()] == [ProposalStatus.OPEN]
    clock.advance(MINUTE)
    if way == "click":
        assert team.approvals.approve(asked, "U2").status is ProposalStatus.EXPIRED
    team.approvals.expire()
    assert [facts.status for _, facts in team.reported()] == [ProposalStatus.OPEN, ProposalStatus.EXPIRED]
    with pytest.raises(NotApprovedError, match="it has expired"):
        team.approvals.approve(asked, "U3")
    assert team.mode == "normal"


def test_a_request_is_void_once_the_mode_in_force_is_another(team: Team) -> None:
    asked = team.asks("minimal")
    team.fallback.switch(MODES["degraded"], "claude-cost", "hard limit", (), None)
    after = team.approvals.approve(asked, "U2")
    assert (after.status, after.why) == (ProposalStatus.VOID, "the fallback mode was changed meanwhile")
    assert team.mode == "degraded"
    assert team.audited()[-1][1] == "refused"


@pytest.mark.parametrize(
    ("left", "why"), [(True, "the variables of degraded are others now"), (False, "there is no mode degraded any more")]
)
def test_a_request_is_void_once_the_mode_means_something_else(team: Team, left: bool, why: str) -> None:
    asked = team.asks()
    if left:
        team.modes["degraded"] = modes_from_chain(("claude-opus-5-5", "claude-haiku-5-5"), {})["degraded"]
    else:
        del team.modes["degraded"]
    team.approvals.expire()
    assert [(facts.status, facts.why) for _, facts in team.reported()][1:] == [(ProposalStatus.VOID, why)]
    with pytest.raises(NotApprovedError, match="it is void"):
        team.approvals.approve(asked, "U2")


def test_a_rejected_request_cannot_be_approved(team: Team) -> None:
    asked = team.asks()
    assert team.approvals.reject(asked, "U3").closed_by == "U3"
    with pytest.raises(NotApprovedError, match="it was rejected already"):
        team.approvals.approve(asked, "U2")
    with pytest.raises(NotApprovedError, match="it was rejected already"):
        team.approvals.reject(asked, "U2")
    assert team.mode == "normal"


def test_a_request_that_never_was_is_refused(team: Team) -> None:
    with pytest.raises(NotApprovedError, match="no such request"):
        team.approvals.approve(4711, "U2")


def test_two_who_approve_at_once_switch_once(team: Team) -> None:
    asked = team.asks()
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def approve(user: str) -> None:
        start.wait()
        try:
            outcomes.append(team.approvals.approve(asked, user).status)
        except NotApprovedError as error:
            outcomes.append(str(error))

    people = [threading.Thread(target=approve, args=(user,)) for user in ("U2", "U3")]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(outcomes) == 2
    assert ProposalStatus.DONE in outcomes
    assert any("approved already" in outcome for outcome in outcomes)
    assert [detail for _, _, detail in team.audited() if detail == "normal -> degraded: too dear"] == [
        "normal -> degraded: too dear"
    ]
