"""`/claude-cost budget try` and `budget suggest`: what a budget would have reported, and limits from history."""

import re
from dataclasses import replace
from zoneinfo import ZoneInfo

from bot.alerts.replay import replayed
from bot.budgets.budget import ATTRIBUTED, CHAT, ORGANIZATION, Budget, PeriodKind, Scope, ScopeKind
from bot.budgets.parsing import BudgetWordsError, budget_of, budget_words, split_budget_words
from bot.budgets.scopes import NoMatchError, is_of_user
from bot.budgets.snapshot import Snapshot
from bot.budgets.suggestion import Suggestion, pace_of, suggested
from bot.language import tr
from bot.messages import Block, Message
from bot.services import Services
from handlers.render.budget import another_scope, set_button, where
from handlers.render.budget_trial import Proposed, no_history, suggestions_message, trial_message, unknown_scope
from handlers.render.parts import said

_SCOPE = re.compile(rf"(?<!\S)(?=organization(?:\s|$)|(?:{'|'.join(kind for kind in ScopeKind)}):)")
"""A scope without `scope=`."""

LONGEST_NAME = 60
MOST_OF_A_NAME = 999


def try_answer(services: Services, words: str, hidden: str | None) -> Message:
    """`budget try NAME [KEY=VALUE…]`: a budget in force, as it is or changed, or a new one.

    Raises `BudgetWordsError`.
    """
    name, values = split_budget_words(words)
    configured, kept = services.budgets.configured(name), services.budgets.find(name)
    budget = budget_of(name, values, configured or kept)
    found = _resolved(services, budget.scope, hidden)
    if isinstance(found, Message):
        return found
    replay = replayed(_snapshot(services, found), replace(budget, scope=found), services.rules)
    if replay is None:
        return said(no_history(str(budget.scope)))
    notes = []
    buttons = []
    if configured is not None:
        notes.append(where(configured))
    elif kept is not None and kept.scope != budget.scope:
        notes.append(another_scope(kept))
    elif budget != kept:
        buttons.append(_button(services, budget))
    return trial_message(budget, replay, notes, buttons, services.clock())


def suggest_answer(services: Services, words: str, hidden: str | None) -> Message:
    """`budget suggest [scope=…] [period=…] [zone=…]`. Raises `BudgetWordsError`."""
    typed = words if "scope" in words.lower() else _SCOPE.sub("scope=", words)
    values = split_budget_words(f"suggestion {typed}")[1]
    for key in values:
        if key not in ("scope", "period", "zone"):
            raise BudgetWordsError(
                tr("{key}= is what history proposes: `budget suggest` takes scope=, period= and zone=.", key=key)
            )
    asked = budget_of("suggestion", {**values, "hard": "1"})
    scope = _resolved(services, asked.scope, hidden)
    if isinstance(scope, Message):
        return scope
    snapshot, now = _snapshot(services, scope), services.clock()
    pace = pace_of(snapshot, scope)
    if pace is None:
        return said(no_history(str(asked.scope)))
    kinds = [asked.period] if "period" in values else [PeriodKind.MONTH, PeriodKind.WEEK, PeriodKind.DAY]
    found = []
    for kind in kinds:
        suggestion = suggested(snapshot, scope, kind, asked.zone, pace, now)
        if suggestion is None:
            continue
        budget = _budget(services, asked.scope, asked.zone, suggestion)
        replay = replayed(snapshot, replace(budget, scope=scope), services.rules)
        if replay is not None:
            found.append(Proposed(suggestion, budget, replay, _button(services, budget)))
    return suggestions_message(str(asked.scope), found, pace)


def _snapshot(services: Services, scope: Scope) -> Snapshot:
    return services.logged.current() if scope.is_logged else services.snapshots.current()


def _resolved(services: Services, scope: Scope, hidden: str | None) -> Scope | Message:
    """The scope with the id that usage is stored under, or why nothing can be said of it.

    `hidden`: why this person may not see what single users spend.
    """
    counted = services.budgets.teams.scope(scope)
    if hidden is not None and any(map(is_of_user, (counted, *counted.parts))):
        return said(hidden)
    if scope.kind in ATTRIBUTED:
        return said(tr("Anthropic attributes dollars by the day only, so a budget of this kind cannot be replayed."))
    try:
        return services.review.scope_of(scope)
    except NoMatchError as error:
        return said(unknown_scope(str(scope), str(error)))


def _button(services: Services, budget: Budget) -> Block:
    before = services.budgets.find(budget.name)
    return set_button(
        before, budget, f"{services.budgets.version(budget.name)} {budget_words(budget)}", label=tr("Set this budget")
    )


def _budget(services: Services, scope: Scope, zone: ZoneInfo, suggestion: Suggestion) -> Budget:
    """The chat budget with this scope and period, changed by the suggestion, or else a new one."""
    kept = [one.budget for one in services.budgets.kept() if services.budgets.configured(one.budget.name) is None]
    same = next((each for each in kept if each.scope == scope and each.period is suggestion.period), None)
    soft, hard = suggestion.soft_usd, suggestion.hard_usd
    if same is not None:
        return replace(same, soft_usd=soft, hard_usd=hard)
    return Budget(_free_name(services, scope, suggestion.period), scope, suggestion.period, zone, soft, hard, CHAT)


def _free_name(services: Services, scope: Scope, period: PeriodKind) -> str:
    whose = ORGANIZATION.kind.value if scope.value is None else scope.value
    word = re.sub(r"[^\w.-]+", "-", whose).strip("-.") or scope.kind.value
    end = f"-{period}"
    taken = {budget.name for budget in services.budgets.in_force()} | {
        one.budget.name for one in services.budgets.kept()
    }
    names = (f"{word[: LONGEST_NAME - len(end) - 4]}{end}{'' if n == 1 else f'-{n}'}" for n in range(1, MOST_OF_A_NAME))
    return next(name for name in names if name not in taken)
