"""Checks of the stored usage: whether its price is fully determined, and whether every budget's scope matches."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select

from bot.amounts import span
from bot.budgets.budget import ATTRIBUTED, Budget, PeriodKind, Scope, ScopeKind, period_at
from bot.budgets.scopes import IsUsed, Unmatched, matched, used_in
from bot.clock import Clock
from bot.db.schema import ledger_dimensions
from bot.doctor.check import Check, State
from bot.language import ntr, spoken, tr
from bot.pricing.card import RateCard
from bot.usage.attributed_days import AttributedState
from bot.usage.attributed_store import AttributedStore
from bot.usage.model import AttributedBy, is_stale, not_ahead
from bot.usage.store import UsageStore


@dataclass(frozen=True, slots=True)
class UsageFindings:
    """Findings of the open UTC month. `odd_rows`: the last sentence about incomplete rows."""

    odd_days: int
    odd_rows: str | None
    unknown_terms: frozenset[str]
    unmatched: tuple[Unmatched, ...]
    attribution: tuple[tuple[str, AttributedState | None], ...] = ()
    """Each dimension of Anthropic's attribution that a budget counts; None if it was never read."""


def usage_findings(engine: Engine, budgets: Sequence[Budget], card: RateCard, clock: Clock) -> UsageFindings:
    """Read the findings from the database."""
    store = UsageStore(engine)
    now = clock()
    month = period_at(PeriodKind.MONTH, ZoneInfo("UTC"), now)
    attributed = AttributedStore(engine)
    names = replace(store.names(), attributed=attributed.names())
    states = attributed.states()
    kinds = sorted({budget.scope.kind for budget in budgets} & ATTRIBUTED)
    billed, logged = used_in(store), _logged_in(engine)
    used: IsUsed = lambda scope: (logged if scope.is_logged else billed)(scope)  # noqa: E731
    found = matched(budgets, names, used, card)
    return UsageFindings(
        odd_days=len(store.odd_days(month.starts_at, now)),
        odd_rows=store.data_state().odd_rows,
        unknown_terms=store.unknown_terms(month.starts_at, now),
        unmatched=tuple(each for each in found if isinstance(each, Unmatched)),
        attribution=tuple((kind.value, states.get(AttributedBy(kind.value))) for kind in kinds),
    )


def _logged_in(engine: Engine) -> IsUsed:
    """Whether applications have ever logged anything in a scope."""
    columns = {ScopeKind.FEATURE: ledger_dimensions.c.feature, ScopeKind.USER: ledger_dimensions.c.user_id}

    def is_used(scope: Scope) -> bool:
        with engine.connect() as connection:
            column = columns.get(scope.kind)
            if column is not None:
                query = select(ledger_dimensions.c.id).where(column == scope.value).limit(1)
                return connection.execute(query).first() is not None
            name, _, value = (scope.value or "").partition("=")
            stored = connection.execute(select(ledger_dimensions.c.tags).distinct()).scalars()
            return any(json.loads(tags).get(name) == value for tags in stored)

    return is_used


def judge_usage(findings: UsageFindings, now: datetime) -> list[Check]:
    """One finding about the exactness of sums, one about scopes, one for each dimension that budgets count."""
    attribution = [_attribution(by, state, now) for by, state in findings.attribution]
    return [_exactness(findings), _scopes(findings.unmatched), *attribution]


def _attribution(by: str, state: AttributedState | None, now: datetime) -> Check:
    name = "attribution"
    if state is None or (state.as_of is None and state.error is None):
        text = tr("What Anthropic attributes by {by} has not been read yet: the bot reads it at its next poll.", by=by)
        return Check(name, State.SKIPPED, text)
    if state.error is not None:
        return Check(name, State.FAIL, tr("Budgets by {by} have no new data: {why}", by=by, why=spoken(state.error)))
    data = not_ahead(state.data, now)
    assert data.as_of is not None
    values = {"by": by, "time": f"{data.as_of:%Y-%m-%d %H:%M}"}
    if is_stale(data, now, 0):
        text = tr(
            "What Anthropic attributes by {by} is complete up to {time} UTC, {age} ago, which is later than usual.",
            age=span(now - data.as_of),
            **values,
        )
        return Check(name, State.WARN, text)
    if state.odd_days:
        text = ntr(
            "What Anthropic attributes by {by} is complete up to {time} UTC, but rows of {number} day could not be "
            "read: sums are at least sums.",
            "What Anthropic attributes by {by} is complete up to {time} UTC, but rows of {number} days could not be "
            "read: sums are at least sums.",
            len(state.odd_days),
            **values,
        )
        return Check(name, State.WARN, text)
    return Check(name, State.OK, tr("What Anthropic attributes by {by} is complete up to {time} UTC.", **values))


def _exactness(findings: UsageFindings) -> Check:
    name = "usage_rows"
    if findings.odd_days:
        text = spoken(findings.odd_rows or "") or tr("Some rows of Anthropic's report could not be read in full.")
        concerns = ntr(
            "That concerns {number} day of this month.",
            "That concerns {number} days of this month.",
            findings.odd_days,
        )
        return Check(name, State.WARN, f"{text} {concerns}")
    if findings.unknown_terms:
        text = tr(
            "Anthropic's report leaves the {terms} of some of this month's usage open: its sums are at least sums.",
            terms=tr(" and ").join(sorted(findings.unknown_terms)),
        )
        remedy = tr("Ask Anthropic for the fast-mode beta, or use the analytics API.")
        return Check(name, State.WARN, text, remedy)
    return Check(name, State.OK, tr("Every row of this month's usage says all that its price depends on."))


def _scopes(unmatched: Sequence[Unmatched]) -> Check:
    if not unmatched:
        return Check("scopes", State.OK, tr("Every budget's scope is known in this organization."))
    certain = [each for each in unmatched if each.certain]
    in_order = sorted(unmatched, key=lambda each: not each.certain)
    said = " ".join(f"{each.budget.name}: {each.sentence}" for each in in_order)
    if certain:
        text = ntr(
            "{number} budget counts nothing: {which}",
            "{number} budgets count nothing: {which}",
            len(certain),
            which=said,
        )
        return Check("scopes", State.FAIL, text, tr("Correct the scope where the budget is set."))
    return Check("scopes", State.WARN, said, tr("Start the bot, which reads the lists, and look again."))
