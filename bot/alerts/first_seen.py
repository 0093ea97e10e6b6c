"""Detector of new keys, models and features that spend more than a floor. Pure, apart from what is stored.

Each is reported once. Anything used before the bot first looked is not new, nor is a model that the fallback mode has
switched callers to.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import TypeAdapter

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Status, Step, subject_of
from bot.alerts.model import AlertPayload, Transition, at_step, restated
from bot.budgets.budget import Scope, ScopeKind
from bot.budgets.budget_spend import NamedMover, named_mover
from bot.budgets.recent import recent_spend
from bot.budgets.savings import InForce
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.clock import DAY, MINUTE, floor_day, is_over
from bot.mode import MODE_VARIABLE, Mode
from bot.pricing.card import RateCard
from bot.pricing.model_names import UnknownModelError, model_named
from bot.strict_fields import Table, Usd

What = Literal["key", "model", "feature"]
WHAT: TypeAdapter[What] = TypeAdapter(What)

NEW_FOR = 7 * DAY
"""How long something counts as new after its first day, and how long its alert stays open."""

USAGE, LOGGED = "usage", "logged"
OF_USAGE = (ScopeKind.KEY, ScopeKind.MODEL)

STATE_KEY = "first_seen"


class FirstSeenRules(Table):
    """`[first_seen]`. An alert opens where something new has spent `floor_usd` within 24 hours."""

    enabled: bool = True
    floor_usd: Usd = Decimal(20)


class FirstSeenReason(StrEnum):
    FIRST_USED = "never used before, and above the floor"
    KNOWN_NOW = "known for a week"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSeenAlert(AlertPayload):
    """A new key, model or feature. `usd`: spend of its last 24 hours. `models`: those of its models that are new
    too.
    """

    kind: Literal[AlertKind.FIRST_SEEN] = AlertKind.FIRST_SEEN
    what: What
    id: str
    name: str
    first_day: date
    usd: Decimal
    floor_usd: Decimal
    callers: tuple[NamedMover, ...]
    models: tuple[str, ...]
    as_of: datetime

    @property
    def identity(self) -> Identity:
        return _identity(self.what, self.id)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was known at the first look, on UTC day `day`. `young`: what was first used on that very day."""

    day: date
    young: frozenset[str]

    def knew(self, id_: str, first_day: date) -> bool:
        """Whether it was used before the first look."""
        return first_day < self.day or (first_day == self.day and id_ in self.young)


def decide_first_seen(
    usd: Decimal, status: Status | None, opened_at: datetime | None, rules: FirstSeenRules, now: datetime
) -> Step | None:
    """The step for something new. `status`: of its incident, None without one; then `opened_at` may be known."""
    if status is None:
        above = rules.enabled and usd >= rules.floor_usd
        return Step(None, Status.OPEN, FirstSeenReason.FIRST_USED, post=True) if above else None
    if status is Status.OPEN and opened_at is not None and is_over(NEW_FOR, opened_at, now):
        return Step(None, Status.CLOSED, FirstSeenReason.KNOWN_NOW)
    return None


def new_of(first_days: Mapping[str, date], baseline: Baseline, today: date) -> dict[str, date]:
    """What was first used within the last week and after the first look."""
    return {id_: day for id_, day in first_days.items() if day > today - NEW_FOR and not baseline.knew(id_, day)}


def models_set(in_force: InForce, modes: Mapping[str, Mode], since: datetime, card: RateCard) -> frozenset[str]:
    """The models that any mode in force at `since` or later has set for services."""
    ends = [at for at, _ in in_force.changes[1:]]
    names = {name for index, (_, name) in enumerate(in_force.changes) if index == len(ends) or ends[index] > since}
    values = (
        value
        for name in names
        if name in modes
        for variable, text in modes[name].variables.items()
        if variable != MODE_VARIABLE
        for value in text.split(",")
    )
    return frozenset(model for value in values if (model := _named(value.strip(), card)) is not None)


@dataclass(frozen=True, slots=True)
class _Look:
    """What is new of one kind in a snapshot: id to first day.

    `models`: all new models. `reported`: new keys that have an alert, which names their models.
    """

    snapshot: Snapshot
    as_of: datetime
    kind: ScopeKind
    new: Mapping[str, date]
    models: AbstractSet[str] = frozenset()
    reported: AbstractSet[str] = frozenset()

    @property
    def until(self) -> datetime:
        """End of the look, slightly after the age of the data: some newer usage is known as well."""
        return self.as_of + 10 * MINUTE

    @property
    def what(self) -> What:
        if self.kind is ScopeKind.KEY:
            return "key"
        return "model" if self.kind is ScopeKind.MODEL else "feature"


class FirstSeenDetector:
    """Keys and models as Anthropic counts them, features as applications log them."""

    name = "what is first seen"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._rules = context.rules.of(FirstSeenRules)
        self._baselines: dict[str, Baseline] | None = None
        self._new: dict[ScopeKind, tuple[tuple[object, ...], dict[str, date]]] = {}
        self._opened: dict[Identity, datetime] = {}
        self._looked_at: tuple[int, int] | None = None
        self._set: tuple[object, frozenset[str]] | None = None

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """Alerts for what is new and spends, and the ends of those for what is known by now."""
        incidents = self._context.alerts.incidents_in(("key", "model", "feature"))
        known = {
            Identity(AlertKind.FIRST_SEEN, subject, key): incident.status
            for (subject, key), found in incidents.items()
            for incident in found
            if incident.kind is AlertKind.FIRST_SEEN
        }
        yield from self._known_by_now({each for each, status in known.items() if status is Status.OPEN}, mode, now)
        if not self._rules.enabled:
            return
        usage, logged = self._context.snapshots.current(), self._context.logged.current()
        looked_at = usage.serial, logged.serial
        if looked_at == self._looked_at:
            return
        if usage.as_of is not None:
            keys, models = (self._new_of(USAGE, usage, usage.as_of, kind) for kind in OF_USAGE)
            fired = yield from self._fired(
                _Look(usage, usage.as_of, ScopeKind.KEY, keys, models.keys()), known, mode, now
            )
            reported = frozenset(id_ for id_ in keys if id_ in fired or _identity("key", id_) in known)
            look = _Look(usage, usage.as_of, ScopeKind.MODEL, models, reported=reported)
            yield from self._fired(look, known, mode, now)
        if logged.as_of is not None:
            features = self._new_of(LOGGED, logged, logged.as_of, ScopeKind.FEATURE)
            yield from self._fired(_Look(logged, logged.as_of, ScopeKind.FEATURE, features), known, mode, now)
        self._looked_at = looked_at

    def _known_by_now(self, open_: AbstractSet[Identity], mode: str, now: datetime) -> Iterator[Sequence[Transition]]:
        if not open_ <= self._opened.keys():
            opened = self._context.incidents.opened((AlertKind.FIRST_SEEN,), now)
            self._opened = {each.identity: each.first_opened_at for each in opened}
        steps = {
            identity: step
            for identity in open_
            if (step := decide_first_seen(ZERO, Status.OPEN, self._opened.get(identity), self._rules, now)) is not None
        }
        if not steps:
            return
        standing = self._context.alerts.standing()
        said = {each.identity: each for each in standing if isinstance(each, FirstSeenAlert)}
        for identity, step in steps.items():
            # Without a message, since the channel shows no such alerts, nobody reads the figures.
            payload = said.get(identity) or self._unsaid(identity, step, mode, now)
            # A key that was new may have had no name yet.
            payload = replace(payload, name=self._name(payload.what, payload.id))
            yield [Transition(restated(payload, step, mode=mode, now=now))]

    def _unsaid(self, identity: Identity, step: Step, mode: str, now: datetime) -> FirstSeenAlert:
        id_, opened_at = identity.subject, self._opened[identity]
        return FirstSeenAlert(
            **at_step(step, mode, now),
            what=WHAT.validate_python(identity.key),
            id=id_,
            name=id_,
            first_day=opened_at.date(),
            usd=self._rules.floor_usd,
            floor_usd=self._rules.floor_usd,
            callers=(),
            models=(),
            as_of=opened_at,
        )

    def _name(self, what: What, id_: str) -> str:
        return self._context.snapshots.current().names.keys.get(id_, id_) if what == "key" else id_

    def _new_of(self, source: str, snapshot: Snapshot, as_of: datetime, kind: ScopeKind) -> dict[str, date]:
        """What is new: id to first day. Computed again once a caller or a day is new."""
        if not snapshot.callers:
            # The very first usage of all has no history before it.
            return {}
        at = (snapshot.index, snapshot.callers, as_of.date())
        found = self._new.get(kind)
        if found is None or found[0] != at:
            baseline = self._baseline(source, snapshot, as_of.date())
            found = self._new[kind] = at, new_of(_first_days(snapshot, kind), baseline, as_of.date())
        return found[1]

    def _baseline(self, source: str, snapshot: Snapshot, today: date) -> Baseline:
        state_store = self._context.state_store
        if self._baselines is None:
            stored = state_store.get(STATE_KEY) or {}
            self._baselines = {
                name: Baseline(date.fromisoformat(each["day"]), frozenset(each["young"]))
                for name, each in stored.items()
            }
        if source not in self._baselines:
            kinds = (ScopeKind.FEATURE,) if source == LOGGED else OF_USAGE
            firsts = [item for kind in kinds for item in _first_days(snapshot, kind).items()]
            found = Baseline(today, frozenset(id_ for id_, first in firsts if first >= today))
            baselines = self._baselines | {source: found}
            values = {n: {"day": each.day.isoformat(), "young": sorted(each.young)} for n, each in baselines.items()}
            state_store.put(STATE_KEY, values)
            self._baselines = baselines
        return self._baselines[source]

    def _fired(
        self, look: _Look, known: Mapping[Identity, Status], mode: str, now: datetime
    ) -> Generator[Sequence[Transition], None, set[str]]:
        """Returns the ids for which an alert opens."""
        fired = set()
        for id_, first_day in look.new.items():
            if _identity(look.what, id_) in known:
                continue
            scope = Scope(look.kind, id_)
            usd = look.snapshot.usd(scope, look.until - DAY, look.until)
            step = decide_first_seen(usd, None, None, self._rules, now)
            if step is not None and look.kind is ScopeKind.MODEL:
                usd = self._of_others(look, scope, now)
                step = decide_first_seen(usd, None, None, self._rules, now)
            # A later import of old logs may show an older first day.
            if step is not None and _first_days(look.snapshot, look.kind).get(id_) == first_day:
                fired.add(id_)
                yield [Transition(self._payload(step, look, scope, usd, mode, now), step.post)]
        return fired

    def _of_others(self, look: _Look, scope: Scope, now: datetime) -> Decimal:
        """USD of a model in 24 hours, without reported keys and callers that the fallback mode has switched to it."""
        snapshot, set_, total = look.snapshot, self._models_set(look.snapshot.card, now), ZERO
        for caller, usd in recent_spend(snapshot, look.until).by_caller(scope):
            used = snapshot.index.models_of_key(caller, snapshot.callers)
            has_others = len({_model(model, snapshot.card) for model in used}) > 1
            is_moved = scope.value in set_ and has_others
            if not is_moved and caller.api_key_id not in look.reported:
                total += usd
        return total

    def _models_set(self, card: RateCard, now: datetime) -> frozenset[str]:
        """Models that modes of the last week have set; read again after a mode change, and once a day."""
        review, change = self._context.review, self._context.state().change
        at = (None if change is None else change.id, now.date())
        if self._set is None or self._set[0] != at:
            found = models_set(review.in_force(now), review.modes, floor_day(now) - NEW_FOR - DAY, card)
            self._set = at, found
        return self._set[1]

    def _payload(self, step: Step, look: _Look, scope: Scope, usd: Decimal, mode: str, now: datetime) -> FirstSeenAlert:
        snapshot, id_ = look.snapshot, scope.value or ""
        recent = recent_spend(snapshot, look.until)
        used = {_model(caller.model, snapshot.card) for caller, _ in recent.by_caller(scope)}
        return FirstSeenAlert(
            **at_step(step, mode, now),
            what=look.what,
            id=id_,
            name=self._name(look.what, id_),
            first_day=look.new[id_],
            usd=usd,
            floor_usd=self._rules.floor_usd,
            callers=tuple(named_mover(mover, snapshot.names) for mover in recent.movers(scope)),
            models=tuple(sorted(used & look.models)),
            as_of=look.as_of,
        )


def _identity(what: What, id_: str) -> Identity:
    return Identity(AlertKind.FIRST_SEEN, subject_of(id_), what)


def _first_days(snapshot: Snapshot, kind: ScopeKind) -> dict[str, date]:
    """First day by id; all spellings of a model share one id."""
    found = snapshot.index.first_days(kind, snapshot.callers)
    if kind is not ScopeKind.MODEL:
        return found
    models: dict[str, date] = {}
    for text, day in found.items():
        model = _model(text, snapshot.card)
        models[model] = min(models.get(model, day), day)
    return models


def _named(word: str, card: RateCard) -> str | None:
    """The model that a variable names; a family name means its newest model."""
    try:
        return model_named(word, card).id
    except UnknownModelError:
        return None


def _model(text: str, card: RateCard) -> str:
    found = card.find(text)
    return text if found is None else found.id
