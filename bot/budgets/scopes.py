"""Resolve scopes: look up ids and names, and reject what the organization does not have.

A scope that matches nothing would be $0.00 forever, and look like a team that spends nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.budgets.budget import ATTRIBUTED, LOGGED, Budget, Scope, ScopeKind
from bot.language import Text, restored, tr_lazy, tr_noop
from bot.ledger.interning import names_a_user
from bot.listed import Alternatives
from bot.pricing.card import RateCard
from bot.typed_text import nearest
from bot.usage.model import DEFAULT_WORKSPACE
from bot.usage.store import Dimension, UsageStore
from bot.usage.store_reads import AttributedNames, Names

IsUsed = Callable[[Scope], bool]
"""Whether any known usage has exactly this id."""

_DIMENSIONS: Mapping[ScopeKind, Dimension] = {
    ScopeKind.WORKSPACE: "workspace_id",
    ScopeKind.KEY: "api_key_id",
    ScopeKind.MODEL: "model",
}


class NoMatchError(Exception):
    """A scope matches nothing in the organization; the message is one sentence with the remedy.

    `certain`: False if it may exist after all. `unread`: because the lists have not been read.
    """

    def __init__(self, why: str | Text, *, certain: bool, unread: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.certain = certain
        self.unread = unread


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A budget whose scope matches nothing, so that it counts nothing. `certain`, `unread`: as in the error."""

    budget: Budget
    why: str | Text
    certain: bool
    unread: bool = False

    @property
    def sentence(self) -> str:
        """The reason, in the language in force."""
        return str(self.why)


def is_of_user(scope: Scope) -> bool:
    """Whether the scope is a single user's spend."""
    tag = (scope.value or "").partition("=")[0]
    return scope.kind in (ScopeKind.USER, ScopeKind.ACTOR) or (scope.kind is ScopeKind.TAG and names_a_user(tag))


def used_in(store: UsageStore) -> IsUsed:
    """Asks the store about each scope of Anthropic's usage; synchronous."""
    return lambda scope: store.has_usage_of(_DIMENSIONS[scope.kind], scope.value or "")


def matched(budgets: Sequence[Budget], names: Names, is_used: IsUsed, card: RateCard) -> list[Budget | Unmatched]:
    """Each budget with the id that its usage is stored under, or why it counts nothing."""
    found: list[Budget | Unmatched] = []
    lookup = _Lookup(names)
    for budget in budgets:
        try:
            found.append(replace(budget, scope=_resolved(budget.scope, lookup, is_used, card)))
        except NoMatchError as error:
            found.append(Unmatched(budget, error.why, error.certain, error.unread))
    return found


def resolved(scope: Scope, names: Names, is_used: IsUsed, card: RateCard) -> Scope:
    """The scope with the id that usage is stored under. Raises `NoMatchError`.

    Workspaces and keys are matched by id or name, ignoring case; the default workspace also by `default`.
    """
    return _resolved(scope, _Lookup(names), is_used, card)


class _Lookup:
    """Ids by name, indexed on first use."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._by_word: dict[ScopeKind, dict[str, list[str]]] = {}

    def ids(self, kind: ScopeKind, value: str) -> list[str]:
        """The matching ids; an exact id comes before those with that name."""
        wanted = value.casefold()
        default_id = self.names.default_id or DEFAULT_WORKSPACE
        if kind is ScopeKind.WORKSPACE and wanted in (DEFAULT_WORKSPACE, default_id.casefold()):
            return [DEFAULT_WORKSPACE]
        found = self._by_word.get(kind)
        if found is None:
            found = self._by_word[kind] = {}
            known = self.names.keys if kind is ScopeKind.KEY else self.names.workspaces
            for id_, name in known.items():
                found.setdefault(f"name {name.casefold()}", []).append(id_)
                found.setdefault(f"id {id_.casefold()}", []).append(id_)
        return found.get(f"id {wanted}") or found.get(f"name {wanted}") or []


def _resolved(scope: Scope, lookup: _Lookup, is_used: IsUsed, card: RateCard) -> Scope:
    names = lookup.names
    if scope.kind is ScopeKind.ORGANIZATION:
        return scope
    if scope.kind is ScopeKind.TEAM:
        return _team(scope, lookup, is_used, card)
    if scope.kind is ScopeKind.MODEL:
        return _model(scope, is_used, card)
    if scope.kind in LOGGED:
        return _logged(scope, is_used)
    if scope.kind in ATTRIBUTED:
        return attributed(scope, names.attributed.get(scope.kind.value))
    value = scope.value or ""
    known = names.workspaces if scope.kind is ScopeKind.WORKSPACE else names.keys
    found = lookup.ids(scope.kind, value)
    if len(found) == 1:
        return replace(scope, value=found[0])
    if found:
        raise NoMatchError(_several(scope, found), certain=True)
    if is_used(scope):
        return scope
    if names.read_at is None:
        raise NoMatchError(
            tr_lazy(
                "Whether there is a {kind} {value} is not known yet: the lists of workspaces and keys have not been "
                "read, and no usage has that id. Where the usage of an Enterprise plan comes without keys and "
                "workspaces, use organization or model.",
                kind=scope.kind,
                value=value,
            ),
            certain=False,
            unread=True,
        )
    raise NoMatchError(_not_there(scope, known), certain=True)


def _team(scope: Scope, lookup: _Lookup, is_used: IsUsed, card: RateCard) -> Scope:
    """The team's scope with the parts that exist. One that certainly does not exist may be misspelled."""
    if not scope.parts:
        raise NoMatchError(
            tr_lazy(
                "There is no team {team}: set a [[team]] of that name in the file that CLAUDE_COST_CONFIG names.",
                team=scope.value,
            ),
            certain=True,
        )
    found: dict[Scope, None] = {}
    missing: list[NoMatchError] = []
    for part in scope.parts:
        try:
            found[_resolved(part, lookup, is_used, card)] = None
        except NoMatchError as error:
            if error.certain:
                why = tr_lazy("Team {team} has {scope}. {why}", team=scope.value, scope=part, why=error.why)
                raise NoMatchError(why, certain=True) from None
            missing.append(error)
    if not found:
        raise missing[0]
    return replace(scope, parts=tuple(found))


def _model(scope: Scope, is_used: IsUsed, card: RateCard) -> Scope:
    value = scope.value or ""
    if card.index.family(value) is not None or card.find(value) is not None or is_used(scope):
        return scope
    near = nearest(value, [*card.models, *card.families()])
    if near:
        text = tr_lazy(
            "There is no model {value} in the price table, and no usage has it: did you mean model:{near}?",
            value=value,
            near=near,
        )
    else:
        text = tr_lazy("There is no model {value} in the price table, and no usage has it.", value=value)
    raise NoMatchError(text, certain=True)


def _logged(scope: Scope, is_used: IsUsed) -> Scope:
    if is_used(scope):
        return scope
    raise NoMatchError(
        tr_lazy(
            "No usage is logged with the {kind} {value} yet: it counts from the first event that has it.",
            kind=scope.kind,
            value=scope.value,
        ),
        certain=False,
    )


def attributed(scope: Scope, known: AttributedNames | None) -> Scope:
    """The scope with Anthropic's id of attribution, matched by id or name. Raises `NoMatchError`."""
    if known is None or not known.known:
        error = None if known is None else known.error
        yet = tr_lazy(
            "What Anthropic attributes to each {kind} has not been read yet: the bot reads it at its next poll.",
            kind=scope.kind,
        )
        raise NoMatchError(yet if error is None else restored(error), certain=False, unread=True)
    value, names = scope.value or "", known.names
    by_id = [id_ for id_ in names if _same(id_, value)]
    for found in (by_id, [id_ for id_, name in names.items() if _same(name, value)]):
        if len(found) == 1 or value in found:
            return replace(scope, value=value if value in found else found[0])
        if found:
            raise NoMatchError(_several(scope, found), certain=True)
    raise NoMatchError(_not_there(scope, names), certain=True)


def _same(known: str, typed: str) -> bool:
    """Whether the typed name means it: `Claude Code` is `claude_code`."""
    return _plain(known) == _plain(typed)


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", "_", text.strip().casefold())


MOST_NAMED = 5
"""Most existing names listed in a message."""

ELSEWHERE = (
    tr_noop("There is no {kind} {value} in this organization: did you mean {meant}?"),
    tr_noop("There is no {kind} {value} in this organization; it has none."),
    tr_noop("There is no {kind} {value} in this organization; it has {names}."),
    tr_noop("There is no {kind} {value} in this organization; it has {names} and others."),
)
ATTRIBUTED_ELSEWHERE = (
    tr_noop("Anthropic attributes nothing to the {kind} {value}: did you mean {meant}?"),
    tr_noop("Anthropic attributes nothing to the {kind} {value} so far."),
    tr_noop("Anthropic attributes nothing to the {kind} {value}, but to {names}."),
    tr_noop("Anthropic attributes nothing to the {kind} {value}, but to {names} and others."),
)
"""Messages: with a near match, without any, and with a list of all or some that exist."""


def _several(scope: Scope, found: Sequence[str]) -> Text:
    ids = [f"{scope.kind}:{id_}" for id_ in sorted(found)]
    return tr_lazy("Several are called {value}: write {ids}.", value=scope.value, ids=Alternatives(ids))


def _not_there(scope: Scope, known: Mapping[str, str]) -> Text:
    """`known`: names by id."""
    one_is_near, none, all_of_them, some = ATTRIBUTED_ELSEWHERE if scope.kind in ATTRIBUTED else ELSEWHERE
    value = scope.value or ""
    words = {word.casefold(): id_ for id_, name in known.items() for word in (id_, name)}
    near = nearest(value.casefold(), words)
    named = {"kind": scope.kind, "value": value}
    if near:
        id_ = words[near]
        called = "" if known[id_] == id_ else f" ({known[id_]})"
        return Text(one_is_near, {**named, "meant": f"{scope.kind}:{id_}{called}"})
    if not known:
        return Text(none, named)
    names = ", ".join(sorted(known.values())[:MOST_NAMED])
    return Text(all_of_them if len(known) <= MOST_NAMED else some, {**named, "names": names})
