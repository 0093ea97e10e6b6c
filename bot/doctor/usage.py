"""Checks of the stored usage: whether its price is fully determined, and whether every budget's scope matches."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from bot.amounts import count
from bot.budgets.budget import Budget, PeriodKind, period_at
from bot.budgets.scopes import Unmatched, matched, used_in
from bot.clock import Clock
from bot.doctor.check import Check, State
from bot.pricing.card import RateCard
from bot.usage.store import UsageStore


@dataclass(frozen=True, slots=True)
class UsageFindings:
    """Findings of the open UTC month. `odd_rows`: the last sentence about incomplete rows."""

    odd_days: int
    odd_rows: str | None
    unknown_terms: frozenset[str]
    unmatched: tuple[Unmatched, ...]


def usage_findings(engine: Engine, budgets: Sequence[Budget], card: RateCard, clock: Clock) -> UsageFindings:
    """Read the findings from the database."""
    store = UsageStore(engine)
    now = clock()
    month = period_at(PeriodKind.MONTH, ZoneInfo("UTC"), now)
    found = matched(budgets, store.names(), used_in(store), card)
    return UsageFindings(
        odd_days=len(store.odd_days(month.starts_at, now)),
        odd_rows=store.data_state().odd_rows,
        unknown_terms=store.unknown_terms(month.starts_at, now),
        unmatched=tuple(each for each in found if isinstance(each, Unmatched)),
    )


def judge_usage(findings: UsageFindings) -> list[Check]:
    """One finding about the exactness of sums, one about scopes."""
    return [_exactness(findings), _scopes(findings.unmatched)]


def _exactness(findings: UsageFindings) -> Check:
    name = "usage_rows"
    if findings.odd_days:
        text = findings.odd_rows or "Some rows of Anthropic's report could not be read in full."
        return Check(name, State.WARN, f"{text} That concerns {count(findings.odd_days, 'day')} of this month.")
    if findings.unknown_terms:
        terms = " and ".join(sorted(findings.unknown_terms))
        text = f"Anthropic's report leaves the {terms} of some of this month's usage open: its sums are at least sums."
        return Check(name, State.WARN, text, "Ask Anthropic for the fast-mode beta, or use the analytics API.")
    return Check(name, State.OK, "Every row of this month's usage says all that its price depends on.")


def _scopes(unmatched: Sequence[Unmatched]) -> Check:
    if not unmatched:
        return Check("scopes", State.OK, "Every budget's scope is known in this organization.")
    said = " ".join(f"{each.budget.name}: {each.sentence}" for each in unmatched)
    if any(each.certain for each in unmatched):
        text = f"{count(len(unmatched), 'budget counts', 'budgets count')} nothing: {said}"
        return Check("scopes", State.FAIL, text, "Correct the scope where the budget is set.")
    return Check("scopes", State.WARN, said, "Start the bot, which reads the lists, and look again.")
