"""Saved estimates: `as=NAME for=SCOPE`, `estimate list`, `estimate show NAME`, `estimate drop NAME`."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from bot.budgets.actuals import Stretch, Used, compared, used_of
from bot.budgets.budget import ATTRIBUTED, LOGGED, Scope, ScopeKind, parse_scope
from bot.budgets.logged_requests import group_of
from bot.budgets.parsing import LONGEST_SCOPE
from bot.budgets.report import GroupBy
from bot.budgets.scopes import NoMatchError, is_of_user
from bot.budgets.spend import same_model
from bot.language import tr, tr_noop
from bot.ledger.model import Sums
from bot.messages import Message
from bot.pricing.estimate import Estimate, estimate
from bot.pricing.store import KeptEstimate
from bot.pricing.tokens import Terms
from bot.pricing.words import WordsError, parse_workload, words_of
from bot.secret_shapes import masked
from bot.services import Services
from bot.typed_text import cleaned, nearest
from bot.usage.store import Dimension
from handlers.prices import priced
from handlers.render.actuals import Pace, actual_message, unknown_pace
from handlers.render.estimate import bound_line, dropped, kept_line, kept_list, kept_message
from handlers.render.parts import code, said, sentence

KEPT_ACTIONS = ("list", "show", "drop")

EXAMPLE_SCOPE = "for=feature:support"
NONE = "none"
"""Ends the comparison with usage."""

_KINDS = "|".join(ScopeKind)
_QUOTED = re.compile(
    rf"""(?<!\S)for\s*=\s*(?:(?P<kind>{_KINDS})\s*:\s*)?["'“”‘’「」](?P<value>[^"'“”‘’「」]*)["'“”‘’「」][,;]*""", re.I
)
_WORD = re.compile(
    rf"(?<!\S)for(?:\s*=\s*(?:(?P<kind>{_KINDS})\s*:\s*)?|\s+(?P<free>{_KINDS})\s*:\s*)(?P<value>[^\s]*)", re.IGNORECASE
)

_COLUMNS: dict[ScopeKind, Dimension] = {ScopeKind.WORKSPACE: "workspace_id", ScopeKind.KEY: "api_key_id"}


class Bound(NamedTuple):
    """The words of a workload, and the scope that it is compared with. `given`: whether a scope was typed."""

    words: str
    scope: Scope | None = None
    given: bool = False


def split_scope(typed: str) -> Bound:
    """Take `for=SCOPE` out of what was typed. Raises `WordsError`."""
    text = typed if (quoted := _QUOTED.search(typed)) else cleaned(typed)
    found = quoted or _WORD.search(text)
    if found is None:
        return Bound(cleaned(typed))
    rest = f"{text[: found.start()]} {text[found.end() :]}"
    if _QUOTED.search(rest) or _WORD.search(rest):
        raise WordsError(tr("{word} is given twice: keep one of them.", word="for="), "for")
    groups = found.groupdict()
    kind, value = groups.get("kind") or groups.get("free"), cleaned(found["value"]).strip(",;")
    written = value if kind is None else f"{kind.lower()}:{value}"
    if not written:
        raise WordsError(
            tr("for= has no value: say whose usage is meant, as in {example}.", example=EXAMPLE_SCOPE), "for"
        )
    if written.lower() == NONE:
        return Bound(cleaned(rest), None, given=True)
    kind_typed, colon, rest_of_it = written.partition(":")
    try:
        scope = parse_scope(f"{kind_typed.lower()}{colon}{rest_of_it}")
    except ValueError as error:
        raise WordsError(
            tr("for= is not understood: {why}; an example is {example}.", why=error, example=EXAMPLE_SCOPE), "for"
        ) from None
    if scope.kind is ScopeKind.TEAM:
        raise WordsError(tr("for= takes one scope, no team: name a feature, a key or a workspace of it."), "for")
    if scope.kind in ATTRIBUTED:
        raise WordsError(
            tr(
                "for= takes no {kind}: Anthropic attributes dollars to it by the day, and an estimate is held against "
                "tokens; an example is {example}.",
                kind=scope.kind,
                example=EXAMPLE_SCOPE,
            ),
            "for",
        )
    if masked(scope.value or "") != (scope.value or ""):
        raise WordsError(tr("for= takes the id or the name of a key, never the key itself: it was not stored."), "for")
    if len(str(scope)) > LONGEST_SCOPE:
        raise WordsError(tr("for= takes at most {most} characters.", most=LONGEST_SCOPE), "for")
    return Bound(cleaned(rest), scope, given=True)


def check_bound(bound: Bound, name: str | None) -> None:
    """Raise `WordsError` for a scope without a name: only saved estimates can be compared later."""
    if bound.given and name is None:
        raise WordsError(tr("for= compares an estimate that is kept: add as=NAME, such as as=support-bot."), "as")


def keep(services: Services, user: str, result: Estimate, bound: Bound) -> list[str]:
    """Save an estimate that has a name; returns lines that say so. Without `for=` the earlier scope stays."""
    workload, store = result.workload, services.estimates
    if workload.name is None:
        return []
    scope, doubt = None, None
    if not bound.given:
        before = store.find(workload.name)
        scope = None if before is None else before.scope
    elif bound.scope is not None:
        meant = _without_user(services, bound.scope)
        scope = str(meant)
        try:
            services.review.scope_of(meant)
        except NoMatchError as error:
            doubt = str(error)
            scope = None if error.certain else scope
    kept = KeptEstimate(
        name=workload.name,
        words=words_of(workload._replace(name=None)),
        monthly_usd=result.monthly_usd,
        rates_checked=result.rates_checked,
        kept_by=user,
        kept_at=services.clock(),
        scope=scope,
    )
    return [kept_line(kept, store.keep(kept)), *bound_line(kept, doubt)]


def _without_user(services: Services, scope: Scope) -> Scope:
    """The scope with the hash of the user, if the ledger stores hashes."""
    if scope.kind is not ScopeKind.USER or services.logged.current().is_used(scope):
        return scope
    return Scope(ScopeKind.USER, services.ledger.user(scope.value or ""))


def kept_answer(services: Services, action: str, name: str = "", *, shows_users: bool = True) -> Message:
    """Answer to `list`, `show` and `drop`. `shows_users`: also show what a single user spends beside an estimate."""
    store = services.estimates
    if action == "list":
        kept_ones = store.all()
        return priced(
            services,
            said(
                "\n".join(
                    kept_list(
                        kept_ones, lambda kept: _pace(services, kept) if shows_users or not _of_user(kept) else None
                    )
                )
            ),
        )
    kept = store.find(name)
    if kept is None:
        near = nearest(name, [other.name for other in store.all()])
        return priced(services, said(_not_kept(name, near)))
    if action == "drop":
        store.drop(name)
        return priced(services, said(dropped(kept)))
    try:
        workload = parse_workload(kept.words, services.card)
    except WordsError as error:
        # This version may not understand stored words of an older one.
        return priced(
            services, said(sentence(tr("{name} cannot be estimated again: {why}", name=kept.name, why=error)))
        )
    now = estimate(workload, services.card, services.clock().date())
    if not shows_users and _of_user(kept):
        return priced(services, said(unknown_pace(kept, tr(NOT_SHOWN))))
    return kept_message(kept, now) if kept.scope is None else _compared(services, kept, now, parse_scope(kept.scope))


NOT_SHOWN = tr_noop("Only admins see what single users spend ([privacy] user_spend in the TOML file).")


def _of_user(kept: KeptEstimate) -> bool:
    return kept.scope is not None and is_of_user(parse_scope(kept.scope))


def kept_refusal(action: str, rest: Sequence[str]) -> str:
    """Why `list`, `show` or `drop` cannot be used with these words."""
    if not rest:
        return tr(
            "The name is missing: type {command}; `estimate list` shows the names.", command=f"`estimate {action} NAME`"
        )
    if action == "list":
        return tr("{word} is not known here: `estimate list` takes no words.", word=code(rest[0]))
    return tr("{word} is not known here: {command} takes one name.", word=code(rest[1]), command=f"`estimate {action}`")


def _not_kept(name: str, near: str | None) -> str:
    if near:
        return tr("No estimate is kept as {name}: did you mean {near}?", name=code(name), near=code(near))
    return tr("No estimate is kept as {name}; `estimate list` shows what is.", name=code(name))


def _compared(services: Services, kept: KeptEstimate, now: Estimate, written: Scope) -> Message:
    found = services.review.measured(written)
    if isinstance(found, str):
        return priced(services, said(unknown_pace(kept, found)))
    scope, stretch, computed = found
    logged = scope.kind in LOGGED
    used = _logged(services, scope, stretch) if logged else _billed(services, scope, stretch)
    monthly = stretch.monthly(computed.usd)
    comparison = compared(kept.monthly_usd, now, used, stretch, monthly, services.card)
    pace = Pace(stretch, monthly, computed.hidden, computed.assumed, logged)
    return priced(services, actual_message(kept, comparison, pace, services.display))


def newest_with_pace(services: Services, most: int) -> list[tuple[KeptEstimate, Decimal | None]]:
    """The newest estimates compared with usage, each with its pace, USD a month, None if unknown.

    Without those of single users, which the Home tab hides from everybody.
    """
    bound = [kept for kept in services.estimates.all() if kept.scope is not None and not _of_user(kept)]
    newest = sorted(bound, key=lambda kept: kept.kept_at, reverse=True)[:most]
    return [(kept, _pace(services, kept)) for kept in newest]


def _pace(services: Services, kept: KeptEstimate) -> Decimal | None:
    """USD a month; None if too little is known."""
    found = None if kept.scope is None else services.review.measured(parse_scope(kept.scope))
    if found is None or isinstance(found, str):
        return None
    _, stretch, computed = found
    return stretch.monthly(computed.usd)


def _logged(services: Services, scope: Scope, stretch: Stretch) -> tuple[Used, ...]:
    value, tag, by = scope.value or "", None, GroupBy(scope.kind.value)
    if scope.kind is ScopeKind.TAG:
        tag, _, value = value.partition("=")
    found: dict[tuple[str, Terms, int | None], Sums] = {}
    for dimensions, sums in services.ledger.totals(stretch.since, stretch.until).items():
        if group_of(dimensions, by, tag) == value:
            at = (dimensions.model, dimensions.terms, dimensions.prompt_tokens)
            found[at] = found.get(at, Sums()).plus(sums)
    return used_of(found)


def _billed(services: Services, scope: Scope, stretch: Stretch) -> tuple[Used, ...]:
    """Usage as counted by Anthropic, which has no requests."""
    column = _COLUMNS.get(scope.kind)
    caller = None if column is None else (column, scope.value or "")
    tokens = services.usage.tokens_of(caller, stretch.since, stretch.until)
    return tuple(
        Used(model, terms, counts, None)
        for (model, terms), counts in tokens.items()
        if scope.kind is not ScopeKind.MODEL
        or model == scope.value
        or same_model(scope.value or "", model, services.card)
    )
