"""Numbers the dimensions of usage, so that the usage of thousands of keys fits into arrays.

Numbers are assigned on first sight and never change, so that earlier counts stay valid. Not for several writers at
once.

Rows of the ledger have the shape of rows of usage. Their workspace is the feature, their key everything else that
distinguishes events, as one text (`bot.ledger.model.Labels`).
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bot.budgets.budget import ATTRIBUTED, LOGGED, Scope, ScopeKind
from bot.budgets.spend import same_model
from bot.ledger.model import Labels
from bot.pricing.card import RateCard
from bot.pricing.tokens import Terms

Numbers = npt.NDArray[np.int64]

ORGANIZATION_ID = 0
"""Scope number of the whole organization."""


class Caller(NamedTuple):
    """A user of a model; `api_key_id` is None for usage without a key."""

    model: str
    workspace_id: str
    api_key_id: str | None


@dataclass(frozen=True, slots=True)
class Rate:
    """What decides the price of tokens on a day. `prompt_tokens`: see `unit_prices`."""

    model: str
    terms: Terms
    prompt_tokens: int | None = None


class Column:
    """A growing array of numbers."""

    def __init__(self) -> None:
        self._values: Numbers = np.zeros(64, dtype=np.int64)
        self._length = 0

    def add(self, value: int) -> None:
        """Append a value."""
        if self._length == len(self._values):
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self._values[self._length] = value
        self._length += 1

    def lower(self, places: Numbers, value: int) -> None:
        """Lower the values at these indexes that are above `value`."""
        above = places[self._values[places] > value]
        self._values[above] = value

    @property
    def values(self) -> Numbers:
        """All values so far."""
        return self._values[: self._length]


class UsageIndex:
    """Groups (rows with equal dimensions), callers, rates and scopes, each numbered from 0.

    A caller's key belongs to its workspace: usage without a key is one caller per workspace.
    """

    _WHOLE = ScopeKind.WORKSPACE
    """The kind of scope that consists of keys."""

    dimensions = 6
    """Number of dimensions at the start of a row: model, workspace, key, service tier, region, speed."""

    def __init__(self, card: RateCard) -> None:
        self._card = card
        self._groups: dict[tuple[Any, ...], int] = {}
        self._callers: dict[Caller, int] = {}
        self._rates: dict[Rate, int] = {}
        self._scopes: dict[tuple[ScopeKind, str, str | None], int] = {(ScopeKind.ORGANIZATION, "", None): 0}
        self._of_scope: dict[Scope, Numbers] = {}
        self._keys: dict[str, list[int]] = {}
        self._rate_list: list[Rate] = []
        self._caller_list: list[Caller] = []
        self._pairs: list[tuple[str, str | None]] = []
        self.caller_of_group, self.rate_of_group = Column(), Column()
        self.workspace_of_caller, self.key_of_caller, self.model_of_caller = Column(), Column(), Column()
        self.first_day_of_caller = Column()

    @property
    def scopes(self) -> int:
        """Number of scopes."""
        return len(self._scopes)

    @property
    def rates(self) -> Sequence[Rate]:
        return self._rate_list

    @property
    def callers(self) -> Sequence[Caller]:
        return self._caller_list

    def caller(self, caller: Caller) -> int | None:
        """Number of a caller; None if it was never seen."""
        return self._callers.get(caller)

    def key_number(self, workspace_id: str, api_key_id: str | None) -> int | None:
        """Number of a key in its workspace, or of its usage without one; None if it was never seen."""
        return self._scopes.get((ScopeKind.KEY, api_key_id or "", workspace_id))

    def groups_of(self, rows: Sequence[Sequence[Any]], day: date) -> npt.NDArray[np.int32]:
        """The group of each row, whose first values are its dimensions; used on `day`."""
        known, count = self._groups, self.dimensions
        found = [known.get(tuple(row[:count])) for row in rows]
        if None in found:
            found = [
                self._new_group(tuple(row[:count]), day) if group is None else group
                for row, group in zip(rows, found, strict=True)
            ]
        groups = np.array(found, dtype=np.int32)
        self.first_day_of_caller.lower(self.caller_of_group.values[groups], day.toordinal())
        return groups

    def add_callers(self, callers: Iterable[tuple[str, str, str]], day: date) -> None:
        """Add callers known only to have used something by `day`; no key is empty."""
        found = [self._caller(Caller(model, workspace_id, key or None), day) for model, workspace_id, key in callers]
        self.first_day_of_caller.lower(np.array(found, dtype=np.int64), day.toordinal())

    def of(self, scope: Scope) -> Numbers:
        """Numbers whose usage the scope counts, without overlap; empty if there are none."""
        # Keep this reference: another thread that adds a scope replaces the cache, and an old result must go with it.
        known = self._of_scope
        found = known.get(scope)
        if found is None:
            found = known[scope] = np.array(self._find(scope), dtype=np.int64)
        return found

    def first_days(self, kind: ScopeKind, count: int) -> dict[str, date]:
        """First day of use among the first `count` callers, by value of this kind."""
        first = np.full(self.scopes, date.max.toordinal())
        np.minimum.at(first, self._column(kind).values[:count], self.first_day_of_caller.values[:count])
        found: dict[str, int] = {}
        for (value, _), number in self.groups(kind):
            if value is not None and number < len(first):
                found[value] = min(found.get(value, date.max.toordinal()), int(first[number]))
        return {value: date.fromordinal(day) for value, day in found.items()}

    def models_of_key(self, caller: Caller, count: int) -> frozenset[str]:
        """All models used by a caller's key, or without one in its workspace."""
        mine = self.key_of_caller.values[:count] == self.key_number(caller.workspace_id, caller.api_key_id)
        return frozenset(self.callers[each].model for each in np.flatnonzero(mine).tolist())

    def callers_in(self, scope: Scope, count: int) -> npt.NDArray[np.bool_]:
        """Mask of the first `count` callers that the scope counts."""
        if scope.kind is ScopeKind.ORGANIZATION:
            return np.ones(count, dtype=np.bool_)
        values, numbers = self._column(scope.kind).values[:count], self.of(scope)
        return values == numbers[0] if len(numbers) == 1 else np.isin(values, numbers)

    def ids(self, kind: ScopeKind) -> list[tuple[str, str | None, int]]:
        """Value, workspace (of a key) and number of every scope of this kind; the value is empty for usage without a
        key.
        """
        # Copy in one go: another thread may add some.
        found = list(self._scopes.items())
        return [(value, workspace, number) for (each, value, workspace), number in found if each is kind]

    def groups(self, kind: ScopeKind, tag: str | None = None) -> list[tuple[tuple[str | None, str | None], int]]:
        """The value of this kind (and a key's workspace) under which each scope's usage counts, without overlap.

        None for usage without a key.
        """
        if kind is ScopeKind.KEY:
            return [((value or None, workspace), number) for value, workspace, number in self.ids(kind)]
        return [((value, None), number) for value, _, number in self.ids(kind)]

    def _column(self, kind: ScopeKind) -> Column:
        """The scope of this kind for each caller."""
        if kind is ScopeKind.MODEL:
            return self.model_of_caller
        return self.workspace_of_caller if kind is ScopeKind.WORKSPACE else self.key_of_caller

    def _find(self, scope: Scope) -> Sequence[int]:
        value = scope.value or ""
        if scope.kind is ScopeKind.TEAM:
            return self._union(scope.parts)
        if scope.kind is ScopeKind.ORGANIZATION:
            return [ORGANIZATION_ID]
        if scope.kind in ATTRIBUTED:
            # Rows of tokens carry no attribution.
            return []
        if scope.kind is ScopeKind.KEY:
            return self._keys.get(value, [])
        if scope.kind is ScopeKind.WORKSPACE:
            number = self._scopes.get((ScopeKind.WORKSPACE, value, None))
            return [] if number is None else [number]
        is_it: Callable[[str], bool] = lambda model: model == value or same_model(value, model, self._card)  # noqa: E731
        return [number for model, _, number in self.ids(ScopeKind.MODEL) if is_it(model)]

    def _union(self, parts: Sequence[Scope]) -> list[int]:
        """Numbers of keys in their workspaces, each once even if several parts have it."""
        found = {number for part in parts if part.kind is not self._WHOLE for number in self.of(part).tolist()}
        wholes = {part.value for part in parts if part.kind is self._WHOLE}
        found |= {number for _, workspace, number in self.ids(ScopeKind.KEY) if workspace in wholes}
        return sorted(found)

    def _new_group(self, key: tuple[Any, ...], day: date) -> int:
        if key in self._groups:
            return self._groups[key]
        # Intern texts: many rows share them.
        key = tuple(sys.intern(value) if isinstance(value, str) else value for value in key)
        model, workspace_id, api_key_id, tier, geo, speed, *prompt = key
        caller = self._caller(Caller(model, workspace_id, api_key_id), day)
        rate = self._rate(Rate(model, Terms(tier, geo, speed), *prompt))
        self.caller_of_group.add(caller)
        self.rate_of_group.add(rate)
        self._groups[key] = len(self._groups)
        return self._groups[key]

    def _caller(self, caller: Caller, day: date) -> int:
        found = self._callers.get(caller)
        if found is not None:
            return found
        self.workspace_of_caller.add(self._scope(ScopeKind.WORKSPACE, caller.workspace_id))
        self.key_of_caller.add(self._scope(ScopeKind.KEY, caller.api_key_id or "", caller.workspace_id))
        self.model_of_caller.add(self._scope(ScopeKind.MODEL, caller.model))
        self.first_day_of_caller.add(day.toordinal())
        self._caller_list.append(caller)
        self._callers[caller] = len(self._callers)
        return self._callers[caller]

    def _scope(self, kind: ScopeKind, value: str, workspace_id: str | None = None) -> int:
        key = (kind, value, workspace_id)
        found = self._scopes.get(key)
        if found is None:
            found = self._scopes[key] = len(self._scopes)
            if kind is ScopeKind.KEY and value:
                self._add_key(value, found)
            # A scope that matched less before, such as a family of models, may match this one too.
            self._of_scope = {}
        return found

    def _add_key(self, value: str, number: int) -> None:
        self._keys.setdefault(value, []).append(number)

    def _rate(self, rate: Rate) -> int:
        found = self._rates.get(rate)
        if found is None:
            found = self._rates[rate] = len(self._rates)
            self._rate_list.append(rate)
        return found


class LedgerIndex(UsageIndex):
    """Scopes are features and sets of labels; users, tags, workspaces and keys are several of those."""

    _WHOLE = ScopeKind.FEATURE
    dimensions = 7
    """Seven: the last one is `prompt_tokens` of `bot.ledger.model.Dimensions`."""

    def __init__(self, card: RateCard) -> None:
        super().__init__(card)
        self._by_label: dict[Scope, list[int]] = {}
        self._labels: dict[str, Labels] = {}
        self.of_calls: list[tuple[Labels, int]] = []
        """Labels that name a workspace or a key, each with its number; only grows."""

    def groups(self, kind: ScopeKind, tag: str | None = None) -> list[tuple[tuple[str | None, str | None], int]]:
        """As in `UsageIndex`. `tag`: name of the tag whose values are wanted."""
        if kind is ScopeKind.MODEL:
            return super().groups(kind)
        if kind is ScopeKind.FEATURE:
            return [((value or None, None), number) for value, _, number in self.ids(ScopeKind.WORKSPACE)]
        numbers = self.ids(ScopeKind.KEY)
        return [((_value(self._labels_of(text), kind, tag), None), number) for text, _, number in numbers]

    def _labels_of(self, text: str) -> Labels:
        found = self._labels.get(text)
        if found is None:
            found = self._labels[text] = Labels.of(text)
        return found

    def _column(self, kind: ScopeKind) -> Column:
        if kind is ScopeKind.FEATURE:
            return self.workspace_of_caller
        return self.model_of_caller if kind is ScopeKind.MODEL else self.key_of_caller

    def _find(self, scope: Scope) -> Sequence[int]:
        if scope.kind is ScopeKind.FEATURE:
            number = self._scopes.get((ScopeKind.WORKSPACE, scope.value or "", None))
            return [] if number is None else [number]
        if scope.kind in LOGGED or scope.kind in (ScopeKind.WORKSPACE, ScopeKind.KEY):
            return self._by_label.get(scope, [])
        return super()._find(scope)

    def _add_key(self, value: str, number: int) -> None:
        labels = self._labels_of(value)
        if labels.workspace or labels.key:
            self.of_calls.append((labels, number))
        for scope in scopes_of_labels(labels):
            self._by_label.setdefault(scope, []).append(number)


def _value(labels: Labels, kind: ScopeKind, tag: str | None) -> str | None:
    if kind is ScopeKind.USER:
        return labels.user_id
    if kind is ScopeKind.TAG:
        return dict(labels.tags).get(tag or "")
    return labels.workspace if kind is ScopeKind.WORKSPACE else labels.key


def scopes_of_labels(labels: Labels) -> list[Scope]:
    """Scopes that count usage with these labels."""
    named = (
        (ScopeKind.USER, labels.user_id),
        (ScopeKind.WORKSPACE, labels.workspace),
        (ScopeKind.KEY, labels.key),
        *((ScopeKind.TAG, f"{name}={value}") for name, value in labels.tags),
    )
    return [Scope(kind, value) for kind, value in named if value]
