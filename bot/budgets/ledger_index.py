"""The dimensions of logged usage as small numbers: features, users, tags, and what else applications log.

Rows of the ledger have the shape of rows of usage. In the place of the workspace stands the feature, in the place of
the key everything else by which events are told apart, as one text (`bot.ledger.model.Labels`).
"""

from collections.abc import Sequence

from bot.budgets.budget import LOGGED, Scope, ScopeKind
from bot.budgets.usage_index import Column, UsageIndex
from bot.ledger.model import Labels
from bot.pricing.card import RateCard


class LedgerIndex(UsageIndex):
    """Its numbered scopes are features and sets of labels; users, tags, workspaces and keys are several of those."""

    def __init__(self, card: RateCard) -> None:
        super().__init__(card)
        self._by_label: dict[Scope, list[int]] = {}
        self._labels: dict[str, Labels] = {}
        self.of_calls: list[tuple[Labels, int]] = []
        """Labels that name a workspace or a key, each with its number; it only grows."""

    def groups(self, kind: ScopeKind, tag: str | None = None) -> list[tuple[tuple[str | None, str | None], int]]:
        """As in the usage index. `tag`: the name of the tag whose values are asked for."""
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
    """The scopes that count what has these labels."""
    named = (
        (ScopeKind.USER, labels.user_id),
        (ScopeKind.WORKSPACE, labels.workspace),
        (ScopeKind.KEY, labels.key),
        *((ScopeKind.TAG, f"{name}={value}") for name, value in labels.tags),
    )
    return [Scope(kind, value) for kind, value in named if value]
