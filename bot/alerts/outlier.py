"""Detector of users and features that cost far more today than usual: than on their own days, or than their team.

Uses the daily sums of what applications log, by UTC day. Only days with usage count as usual, so that a weekend does
not lower it. An alert is resolved when its day has ended.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from statistics import median
from typing import Literal

import numpy as np

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Status, Step, subject_of
from bot.alerts.model import AlertPayload, Transition, at_step, restated
from bot.budgets.budget import Scope, ScopeKind
from bot.budgets.budget_spend import NamedMover, named_mover
from bot.budgets.day_parts import midnight, within
from bot.budgets.recent import RecentSpend
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.budgets.trend import WHOLE, Stretch
from bot.budgets.usage_table import Day
from bot.clock import DAY
from bot.strict_fields import Factor, Table, Usd

What = Literal["user", "feature"]
KINDS: Mapping[ScopeKind, What] = {ScopeKind.USER: "user", ScopeKind.FEATURE: "feature"}

LOOK_BACK = 28
"""Days of history."""

LEAST_DAYS = 5
"""Fewest days with usage for a median that counts as usual."""

TEAM = "team"
"""The tag that names a user's team."""

LEAST_MEMBERS = 4


class OutlierRules(Table):
    """`[outlier]`. An alert opens where a day comes to `factor` times what is usual, and to `floor_usd`."""

    enabled: bool = True
    factor: Factor = Decimal(5)
    floor_usd: Usd = Decimal(20)


class OutlierReason(StrEnum):
    ABOVE_OWN = "far above the usual day"
    ABOVE_TEAM = "far above the team"
    DAY_ENDED = "the day has ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What a user or feature is compared with, USD a day. `own_usd`: median of `days`; None if there are too few.

    `members_usd`: median of the `members` of `team`; None if there are too few.
    """

    own_usd: Decimal | None = None
    days: int = 0
    team: str | None = None
    members_usd: Decimal | None = None
    members: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierAlert(AlertPayload):
    """A user's or feature's day, so far or final. `id`: as the ledger stores it, perhaps a hash.

    `hidden`: `id` is a hash of the stored one, since not everybody may see who spends.
    """

    kind: Literal[AlertKind.OUTLIER] = AlertKind.OUTLIER
    what: What
    id: str
    day: date
    usd: Decimal
    usual: Usual
    above_team: bool
    factor: Decimal
    floor_usd: Decimal
    callers: tuple[NamedMover, ...]
    as_of: datetime
    hidden: bool = False

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.OUTLIER, subject_of(self.id), key_of(self.what, self.day))


def key_of(what: What, day: date) -> str:
    """`2026-11-16/user`."""
    return f"{day.isoformat()}/{what}"


def decide_outlier(usd: Decimal, usual: Usual, status: Status | None, rules: OutlierRules) -> Step | None:
    """The step for the running day. `status`: of its incident, None without one.

    A user who costs that much more than the team every day is not news.
    """
    if status is not None or not rules.enabled or usd < rules.floor_usd:
        return None
    own, team = usual.own_usd, usual.members_usd
    if own is not None and usd >= rules.factor * own:
        return Step(None, Status.OPEN, OutlierReason.ABOVE_OWN, post=True)
    if team is not None and usd >= rules.factor * team and (own is None or own < rules.factor * team):
        return Step(None, Status.OPEN, OutlierReason.ABOVE_TEAM, post=True)
    return None


def usual_of(days: Sequence[Decimal], teams: Mapping[str, Sequence[Decimal]]) -> Usual:
    """`days`: USD of earlier days with usage. `teams`: USD of each member, the user included.

    Of several teams, the largest is used.
    """
    own_usd = median(days) if len(days) >= LEAST_DAYS else None
    large = {name: members for name, members in teams.items() if len(members) >= LEAST_MEMBERS}
    if not large:
        return Usual(own_usd=own_usd, days=len(days))
    team = min(large, key=lambda name: (-len(large[name]), name))
    members = large[team]
    return Usual(own_usd=own_usd, days=len(days), team=team, members_usd=median(members), members=len(members))


class OutlierDetector:
    """Watches users and features of what applications log."""

    name = "outliers"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._rules = context.rules.of(OutlierRules)
        self._looked_at: Day | None = None
        """The running day, as of the last look."""
        self._days: _Days | None = None

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """Who is far above usual today, and the end of earlier days."""
        snapshot = self._context.logged.current()
        if snapshot.as_of is None:
            return
        today = snapshot.as_of.date()
        if self._days is None or self._days.today != today:
            self._days = _Days(today)
        yield from self._ended(snapshot, today, mode, now)
        day = snapshot.days.get(today)
        if self._rules.enabled and day is not self._looked_at:
            yield from self._outliers(snapshot, snapshot.as_of, self._days, mode, now)
            self._looked_at = day

    def _outliers(
        self, snapshot: Snapshot, as_of: datetime, days: "_Days", mode: str, now: datetime
    ) -> Iterator[Sequence[Transition]]:
        today = days.today
        incidents = self._context.alerts.incidents_in([key_of(what, today) for what in KINDS.values()])
        spent = _Spent(snapshot, days)
        for kind, what in KINDS.items():
            for id_, usd in spent.of(kind).items():
                if usd < self._rules.floor_usd:
                    continue
                shown_id = self._shown(id_, what)
                if (subject_of(shown_id), key_of(what, today)) in incidents:
                    continue
                usual = usual_of(spent.before(Scope(kind, id_)), spent.teams(id_) if what == "user" else {})
                step = decide_outlier(usd, usual, None, self._rules)
                if step is not None:
                    payload = OutlierAlert(
                        **at_step(step, mode, now),
                        what=what,
                        id=shown_id,
                        hidden=shown_id != id_,
                        day=today,
                        usd=usd,
                        usual=usual,
                        above_team=step.reason == OutlierReason.ABOVE_TEAM,
                        factor=self._rules.factor,
                        floor_usd=self._rules.floor_usd,
                        callers=_callers(snapshot, Scope(kind, id_), today, as_of),
                        as_of=as_of,
                    )
                    yield [Transition(payload, step.post)]

    def _ended(self, snapshot: Snapshot, today: date, mode: str, now: datetime) -> Iterator[Sequence[Transition]]:
        """Resolve days that are over, each with its final sum."""
        opened = self._context.alerts.open_incidents(AlertKind.OUTLIER)
        over = {Identity(AlertKind.OUTLIER, subject, key) for subject, key in opened if key < today.isoformat()}
        if not over:
            return
        standing = self._context.alerts.standing()
        said = {each.identity: each for each in standing if isinstance(each, OutlierAlert)}
        step = Step(None, Status.RESOLVED, OutlierReason.DAY_ENDED)
        for identity in over:
            # No message, since the channel shows no such alerts: nobody reads the figures.
            payload = restated(said.get(identity) or self._unsaid(identity, now), step, mode=mode, now=now)
            scope, begin = Scope(ScopeKind(payload.what), self._stored(payload, snapshot)), midnight(payload.day)
            usd = max(payload.usd, snapshot.usd(scope, begin, begin + DAY))
            yield [Transition(replace(payload, usd=usd, as_of=snapshot.as_of or now))]

    def _shown(self, id_: str, what: What) -> str:
        pseudonym = self._context.ledger.pseudonym
        return id_ if pseudonym is None or what != "user" else pseudonym(id_)

    def _stored(self, payload: OutlierAlert, snapshot: Snapshot) -> str:
        """The id in the ledger; a hidden one is its hash."""
        pseudonym = self._context.ledger.pseudonym
        if not payload.hidden or pseudonym is None:
            return payload.id
        users = {user for (user, _), _ in snapshot.index.groups(ScopeKind.USER) if user is not None}
        return next((user for user in users if pseudonym(user) == payload.id), payload.id)

    def _unsaid(self, identity: Identity, now: datetime) -> OutlierAlert:
        day, _, what = identity.key.partition("/")
        return OutlierAlert(
            status=Status.OPEN,
            reason=OutlierReason.ABOVE_OWN,
            decided_at=now,
            mode="",
            what="user" if what == "user" else "feature",
            id=identity.subject,
            day=date.fromisoformat(day),
            usd=self._rules.floor_usd,
            usual=Usual(),
            above_team=False,
            factor=self._rules.factor,
            floor_usd=self._rules.floor_usd,
            callers=(),
            as_of=now,
        )


class _Days:
    """Costs of the days before `today`, cached for the scopes that were asked for."""

    def __init__(self, today: date) -> None:
        self.today = today
        self._before: dict[Scope, tuple[Decimal, ...]] = {}

    def before(self, scope: Scope, snapshot: Snapshot) -> tuple[Decimal, ...]:
        """USD of the days on which the scope had usage."""
        found = self._before.get(scope)
        if found is None:
            ids = snapshot.index.of(scope)
            held = (snapshot.days.get(self.today - back * DAY) for back in range(1, LOOK_BACK + 1))
            sums = (sum(day.units[within(ids, len(day.units))].tolist()) for day in held if day is not None)
            found = self._before[scope] = tuple(snapshot.prices.usd(units) for units in sums if units > 0)
        return found


class _Spent:
    """Spend of users and features today, in one snapshot."""

    def __init__(self, snapshot: Snapshot, days: _Days) -> None:
        self._snapshot = snapshot
        self._days = days
        self._today: dict[ScopeKind, dict[str, Decimal]] = {}
        self._members: tuple[Mapping[str, AbstractSet[str]], Mapping[str, AbstractSet[str]]] | None = None
        self._of_team: dict[str, list[Decimal]] = {}

    def of(self, kind: ScopeKind) -> Mapping[str, Decimal]:
        """USD of today by user or feature; only those with usage."""
        found = self._today.get(kind)
        if found is None:
            day = self._snapshot.days.get(self._days.today)
            used = set() if day is None else set(np.flatnonzero(day.units).tolist())
            units: dict[str, int] = {}
            for (value, _), number in self._snapshot.index.groups(kind):
                if value is not None and number in used and day is not None:
                    units[value] = units.get(value, 0) + int(day.units[number])
            found = self._today[kind] = {value: self._snapshot.prices.usd(sum_) for value, sum_ in units.items()}
        return found

    def before(self, scope: Scope) -> tuple[Decimal, ...]:
        """USD of earlier days."""
        return self._days.before(scope, self._snapshot)

    def teams(self, user: str) -> dict[str, list[Decimal]]:
        """USD of each member of the user's teams."""
        users_of, teams_of = self._membership()
        return {team: self._costs(team, users_of[team]) for team in teams_of.get(user, ())}

    def _costs(self, team: str, users: Iterable[str]) -> list[Decimal]:
        """For each member the larger of today so far and the usual day, since some have only started their day."""
        found = self._of_team.get(team)
        if found is None:
            today = self.of(ScopeKind.USER)
            each = (
                (today.get(user, ZERO), median(self.before(Scope(ScopeKind.USER, user)) or (ZERO,))) for user in users
            )
            found = self._of_team[team] = [usd for costs in each if (usd := max(costs)) > 0]
        return found

    def _membership(self) -> tuple[Mapping[str, AbstractSet[str]], Mapping[str, AbstractSet[str]]]:
        if self._members is None:
            index = self._snapshot.index
            user_of = {number: user for (user, _), number in index.groups(ScopeKind.USER) if user is not None}
            users: dict[str, set[str]] = {}
            teams: dict[str, set[str]] = {}
            for (team, _), number in index.groups(ScopeKind.TAG, TEAM):
                user = user_of.get(number)
                if team is not None and user is not None:
                    users.setdefault(team, set()).add(user)
                    teams.setdefault(user, set()).add(team)
            self._members = users, teams
        return self._members


def _callers(snapshot: Snapshot, scope: Scope, today: date, as_of: datetime) -> tuple[NamedMover, ...]:
    begin, end = midnight(today), midnight(today) + DAY
    recent = RecentSpend(snapshot, begin, end, [Stretch(begin, end, WHOLE)], [Stretch(begin - DAY, begin, WHOLE)])
    return tuple(named_mover(mover, snapshot.names) for mover in recent.movers(scope))
