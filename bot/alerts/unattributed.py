"""Detector of spend that is in no application's log: its share of what Anthropic counted in the last 24 closed hours.

Pure, apart from what is read. Only runs if applications log at all, on hours that both sides know in full. An alert is
resolved well below the bound; one that returns within a day is the same incident.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import LOGS, AlertKind, Identity, Status, Step, minute_key, moment_of
from bot.alerts.model import AlertPayload, Transition, at_step
from bot.alerts.store import NewestIncident
from bot.budgets.budget import ORGANIZATION
from bot.budgets.logged_requests import Coverage, Gap, coverage_from
from bot.budgets.report import known_of
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.clock import DAY, floor_hour
from bot.strict_fields import Percent, Table, Usd

LOGS_WITHIN = 7 * DAY
"""If nothing was logged for this long, logging is not in use."""

RETURNS_WITHIN = DAY

MOST_PARTS = 3


class UnattributedRules(Table):
    """`[unattributed]`. An alert opens where at least `limit_percent` and `floor_usd` of what was counted is in no log.

    It is resolved where either is below `clear_percent` of that.
    """

    enabled: bool = False
    limit_percent: Percent = Decimal(30)
    floor_usd: Usd = Decimal(20)
    clear_percent: Percent = Decimal(80)


class UnattributedReason(StrEnum):
    ABOVE = "too much is in no log"
    ABOVE_AGAIN = "too much is in no log again"
    BELOW = "enough is in a log again"
    NOT_WATCHED = "it is not watched any more"
    NOTHING_LOGGED = "nothing has been logged for a week"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloggedPart:
    """Tokens of one key and model that are in no log, out of all it has used. `key`: its name, None without one.

    `usd`: estimated cost. `at_least`: more may be missing.
    """

    key: str | None
    model: str
    percent: int
    usd: Decimal
    at_least: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnattributedAlert(AlertPayload):
    """What was counted in the 24 hours to `until`, and how much of it is in no log, USD. `parts`: most expensive
    first.
    """

    kind: Literal[AlertKind.UNATTRIBUTED] = AlertKind.UNATTRIBUTED
    began_at: datetime
    until: datetime
    counted_usd: Decimal
    missing_usd: Decimal
    parts: tuple[UnloggedPart, ...]
    limit_percent: Decimal
    floor_usd: Decimal
    clear_percent: Decimal

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.UNATTRIBUTED, LOGS, minute_key(self.began_at))


def decide_unattributed(
    counted_usd: Decimal, missing_usd: Decimal, newest: NewestIncident | None, rules: UnattributedRules, now: datetime
) -> tuple[Step, datetime] | None:
    """The step to take, and when its incident began. `newest`: the last one, open or not."""
    if newest is not None and newest.status is Status.OPEN:
        if _reaches(counted_usd, missing_usd, rules, rules.clear_percent):
            return None
        return Step(None, Status.RESOLVED, UnattributedReason.BELOW), moment_of(newest.key)
    if not _reaches(counted_usd, missing_usd, rules, Decimal(100)):
        return None
    if newest is not None and abs(now - newest.changed_at) < RETURNS_WITHIN:
        return Step(None, Status.OPEN, UnattributedReason.ABOVE_AGAIN, post=True), moment_of(newest.key)
    return Step(None, Status.OPEN, UnattributedReason.ABOVE, post=True), now


def _reaches(counted_usd: Decimal, missing_usd: Decimal, rules: UnattributedRules, percent: Decimal) -> bool:
    """Whether both bounds are reached to this percentage."""
    share = missing_usd * 10_000 >= rules.limit_percent * percent * counted_usd
    return share and missing_usd > 0 and missing_usd * 100 >= rules.floor_usd * percent


class UnattributedDetector:
    """Looks once an hour, after each hour has closed."""

    name = "what is in no log"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._rules = context.rules.of(UnattributedRules)
        self._until: datetime | None = None

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """The step that is due, if any."""
        if not self._rules.enabled:
            yield from self._ended(UnattributedReason.NOT_WATCHED, mode, now)
            return
        usage, logged = self._context.snapshots.current(), self._context.logged.current()
        if usage.as_of is None or logged.as_of is None:
            return
        until = floor_hour(min(usage.as_of, logged.as_of))
        if until == self._until:
            return
        if logged.usd(ORGANIZATION, until - LOGS_WITHIN, until) <= 0:
            yield from self._ended(UnattributedReason.NOTHING_LOGGED, mode, now)
        elif known_of(logged, until - DAY, until).complete:
            coverage = self._coverage(usage, logged, until)
            if coverage.known.complete:
                yield from self._step(coverage, mode, now)
        self._until = until

    def _coverage(self, usage: Snapshot, logged: Snapshot, until: datetime) -> Coverage:
        since, context = until - DAY, self._context
        totals, logged_totals = context.usage.totals(since, until), context.ledger.totals(since, until)
        return coverage_from(usage, logged, since, until, totals, logged_totals)

    def _step(self, coverage: Coverage, mode: str, now: datetime) -> Iterator[Sequence[Transition]]:
        counted_usd, missing_usd = coverage.counted_usd, coverage.counted_usd - coverage.covered_usd
        newest = self._context.incidents.newest(LOGS, AlertKind.UNATTRIBUTED)
        found = decide_unattributed(counted_usd, missing_usd, newest, self._rules, now)
        if found is None:
            return
        step, began_at = found
        by_cost = sorted(coverage.gaps, key=lambda gap: (-coverage.usd(gap), str(gap.key), gap.model))
        parts = tuple(_part(gap, coverage.usd(gap)) for gap in by_cost[:MOST_PARTS])
        payload = self._payload(step, began_at, coverage.until, counted_usd, missing_usd, parts, mode, now)
        yield [Transition(payload, step.post)]

    def _ended(self, reason: UnattributedReason, mode: str, now: datetime) -> Iterator[Sequence[Transition]]:
        """Close what is open without a decision."""
        step = Step(None, Status.WITHDRAWN, reason)
        for _, key in self._context.alerts.open_incidents(AlertKind.UNATTRIBUTED):
            payload = self._payload(step, moment_of(key), now, ZERO, ZERO, (), mode, now)
            yield [Transition(payload)]

    def _payload(
        self,
        step: Step,
        began_at: datetime,
        until: datetime,
        counted_usd: Decimal,
        missing_usd: Decimal,
        parts: tuple[UnloggedPart, ...],
        mode: str,
        now: datetime,
    ) -> UnattributedAlert:
        rules = self._rules
        return UnattributedAlert(
            **at_step(step, mode, now),
            began_at=began_at,
            until=until,
            counted_usd=counted_usd,
            missing_usd=missing_usd,
            parts=parts,
            limit_percent=rules.limit_percent,
            floor_usd=rules.floor_usd,
            clear_percent=rules.clear_percent,
        )


def _part(gap: Gap, usd: Decimal) -> UnloggedPart:
    percent = max(1, gap.missing * 100 // gap.counted)
    return UnloggedPart(key=gap.key, model=gap.model, percent=percent, usd=usd, at_least=gap.at_least)
