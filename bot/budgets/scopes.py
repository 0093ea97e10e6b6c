"""Whose spend a scope means: ids and names are looked up, and what the organisation does not have is refused.

A scope that matches nothing would be $0.00 for ever, which nobody could tell from a team that spends nothing.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bot.budgets.budget import Budget, Scope, ScopeKind
from bot.pricing.card import RateCard
from bot.store.usage import Names
from bot.usage.source import DEFAULT_WORKSPACE

IsUsed = Callable[[Scope], bool]
"""Whether any known usage has exactly this id."""


class NoMatchError(Exception):
    """Nothing in the organisation is meant by a scope; the text is one sentence with the remedy.

    `certain`: False where the lists of workspaces and keys have not been read, so that it may exist after all.
    """

    def __init__(self, sentence: str, *, certain: bool) -> None:
        super().__init__(sentence)
        self.certain = certain


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A budget whose scope matches nothing: it counts nothing, and says so. `certain`: as in `NoMatchError`."""

    budget: Budget
    sentence: str
    certain: bool


def matched(budgets: Sequence[Budget], names: Names, is_used: IsUsed, card: RateCard) -> list[Budget | Unmatched]:
    """Each budget with the id that its usage is stored under, or why it counts nothing."""
    found: list[Budget | Unmatched] = []
    for budget in budgets:
        try:
            found.append(replace(budget, scope=resolved(budget.scope, names, is_used, card)))
        except NoMatchError as error:
            found.append(Unmatched(budget, str(error), error.certain))
    return found


def resolved(scope: Scope, names: Names, is_used: IsUsed, card: RateCard) -> Scope:
    """The scope with the id that usage is stored under. Raises `NoMatchError`.

    Workspaces and keys are meant by id or by name, in any case of letters; the default workspace also by `default`.
    """
    if scope.kind is ScopeKind.ORGANIZATION:
        return scope
    if scope.kind is ScopeKind.MODEL:
        return _model(scope, is_used, card)
    value = scope.value or ""
    known = names.workspaces if scope.kind is ScopeKind.WORKSPACE else names.keys
    found = _ids(scope.kind, value, names)
    if len(found) == 1:
        return replace(scope, value=found[0])
    if found:
        ids = " or ".join(f"{scope.kind}:{id_}" for id_ in sorted(found))
        raise NoMatchError(f"Several are called {value}: write {ids}.", certain=True)
    if is_used(scope):
        return scope
    if names.read_at is None:
        raise NoMatchError(
            f"Whether there is a {scope.kind} {value} is not known yet: the lists of workspaces and keys have not been "
            "read, and no usage has that id. Where the usage of an Enterprise plan comes without keys and workspaces, "
            "use organization or model.",
            certain=False,
        )
    raise NoMatchError(f"There is no {scope.kind} {value} in this organisation{_near(scope, known)}", certain=True)


def _ids(kind: ScopeKind, value: str, names: Names) -> list[str]:
    wanted = value.casefold()
    if kind is ScopeKind.KEY:
        return _by_id_or_name(wanted, names.keys)
    if wanted in (DEFAULT_WORKSPACE, (names.default_id or DEFAULT_WORKSPACE).casefold()):
        return [DEFAULT_WORKSPACE]
    return _by_id_or_name(wanted, names.workspaces)


def _by_id_or_name(wanted: str, known: dict[str, str]) -> list[str]:
    by_id = [id_ for id_ in known if id_.casefold() == wanted]
    return by_id or [id_ for id_, name in known.items() if name.casefold() == wanted]


def _model(scope: Scope, is_used: IsUsed, card: RateCard) -> Scope:
    value = scope.value or ""
    if card.index.family(value) is not None or card.find(value) is not None or is_used(scope):
        return scope
    near = difflib.get_close_matches(value.lower(), [*card.models, *card.families()], n=1)
    hint = f": did you mean model:{near[0]}?" if near else "."
    raise NoMatchError(f"There is no model {value} in the price table, and no usage has it{hint}", certain=True)


def _near(scope: Scope, known: dict[str, str]) -> str:
    value = (scope.value or "").casefold()
    words = {word.casefold(): id_ for id_, name in known.items() for word in (id_, name)}
    near = difflib.get_close_matches(value, words, n=1)
    if near:
        id_ = words[near[0]]
        return f": did you mean {scope.kind}:{id_} ({known[id_]})?"
    some = ", ".join(sorted(known.values())[:5])
    return f"; it has {some}{' and others' if len(known) > 5 else ''}." if some else "; it has none."
