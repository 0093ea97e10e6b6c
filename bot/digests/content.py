"""Build a digest of some UTC days from the stores, through the functions that reports and `status` use."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from bot.budgets.account import Detail
from bot.budgets.budget import ORGANIZATION, Budget, Period, PeriodKind, Scope, ScopeKind, parse_scope
from bot.budgets.budget_spend import BudgetSpend, NamedCause, NamedMover, named_cause, named_mover
from bot.budgets.logged_requests import group_of
from bot.budgets.model_news import (
    AHEAD,
    IN_USE_FOR,
    models_in_use,
    price_change_of,
    repriced,
    retirement_of,
    retiring,
    stretch_in_use,
)
from bot.budgets.owners import team_name
from bot.budgets.recent import recent_spend
from bot.budgets.report import GroupBy, Report, report_of
from bot.budgets.review import Reviews
from bot.budgets.scopes import NoMatchError, is_of_user
from bot.budgets.snapshots import Snapshots
from bot.budgets.spend import ZERO, Spend, in_scope, is_settled, price_usage
from bot.budgets.trend import LEAST_USD, MOST_MOVERS, Mover, Recent, RecentUsage, causes
from bot.clock import DAY, floor_day
from bot.digests.cheaper import Cheaper, Use, cheaper
from bot.digests.model import Digest, DigestRow, EstimatePace
from bot.digests.schedule import MOST_BUDGETS, DigestRule
from bot.language import tr_lazy
from bot.ledger.model import Dimensions
from bot.ledger.store import SqlLedger
from bot.pricing.card import Model, RateCard
from bot.pricing.store import EstimateStore
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.model import DayUsage
from bot.usage.store import UsageStore

MOST_DIGEST_ROWS = 5
MOST_ESTIMATES = 5

REST = "…"
"""Label of the row that sums up the remaining ones."""

WHOLE = Decimal(1)


@dataclass(frozen=True, slots=True)
class DigestSources:
    """Sources of digests. Synchronous; asynchronous callers use a thread."""

    usage: UsageStore
    ledger: SqlLedger
    snapshots: Snapshots
    logged: Snapshots
    review: Reviews
    estimates: EstimateStore
    card: RateCard


class _Caller(NamedTuple):
    model: str
    workspace_id: str
    api_key_id: str | None


def digest_of(
    sources: DigestSources, rule: DigestRule, period: Period, before: Period, now: datetime, *, asked: bool = False
) -> Digest | None:
    """The digest of these UTC days, compared with `before`; None if nothing is known of them.

    Raises `NoMatchError` if the rule's scope matches nothing in the organization.

    `asked`: shown to somebody on request, not posted to the channel.
    """
    maker = _Maker(sources, rule, period, before, now)
    found = maker.made()
    return found if found is None or not asked else replace(found, rule="")


class _Maker:
    def __init__(self, sources: DigestSources, rule: DigestRule, period: Period, before: Period, now: datetime) -> None:
        self._sources, self._rule, self._now = sources, rule, now
        self._period, self._before = period, before
        self._budget = None if rule.budget is None else _budget(sources.review, rule.budget)
        if self._budget is not None:
            self._scope = self._budget.scope
        else:
            self._scope = ORGANIZATION if rule.scope is None else sources.review.scope_of(rule.scope)
        self._is_whole = self._scope == ORGANIZATION
        self._is_logged = self._scope.is_logged
        self._usage, self._logged = sources.snapshots.current(), sources.logged.current()
        self._snapshot = sources.review.of(self._scope).snapshot

    def made(self) -> Digest | None:
        report = report_of(self._snapshot, self._period, self._before, GroupBy.MODEL)
        if report is None or self._snapshot.as_of is None:
            return None
        by, rows, rows_usd = self._rows(report)
        movers, why = self._changes(report)
        computed, before = self._compared(report)
        used, tokens = self._in_use()
        card, today, days = self._sources.card, self._now.astimezone(UTC).date(), IN_USE_FOR // DAY
        first, last = self._period.starts_at.date(), max(self._period.ends_at, self._now).date() + AHEAD
        return Digest(
            every=_every(self._rule.every),
            rule=self._rule.key,
            scope=self._said_scope(),
            budget=self._rule.budget,
            logged=self._is_logged,
            language=self._rule.language,
            period=self._period,
            as_of=self._snapshot.as_of,
            decided_at=self._now,
            spend=self._spend(report),
            computed_usd=computed,
            before_usd=before,
            before=None if before is None else self._before.key,
            unbilled_days=self._unbilled(),
            missing_hours=report.known.of_hours - report.known.hours,
            by=by,
            rows=rows,
            rows_usd=rows_usd,
            movers=movers,
            causes=why,
            of_last_day=self._of_last_day(report),
            budgets=tuple(self._budgets()),
            cheaper=self._cheaper(),
            estimates=tuple(self._estimates()),
            prices=tuple(price_change_of(*each, tokens, days, card) for each in repriced(used, first, last)),
            retirements=tuple(retirement_of(model, tokens, days, card, today) for model in retiring(used, today)),
        )

    def _said_scope(self) -> str | None:
        if self._budget is not None and not self._is_whole:
            return str(self._budget.scope)
        return None if self._rule.scope is None else str(self._rule.scope)

    def _spend(self, report: Report) -> Spend:
        if self._snapshot is not self._usage:
            return self._snapshot.spend(self._scope, self._period)
        return self._sources.review.usage.live.beside(self._usage).spend(self._scope, report.period)

    def _compared(self, report: Report) -> tuple[Decimal, Decimal | None]:
        """Computed USD, and those of the stretch before if every hour of both is known."""
        before = report.before
        if self._is_whole:
            return report.computed_usd, None if before is None else before.usd
        computed = self._snapshot.usd(self._scope, self._period.starts_at, self._period.ends_at)
        return computed, None if before is None else self._snapshot.usd(self._scope, before.starts_at, before.until)

    def _rows(self, by_model: Report) -> tuple[Literal["model", "feature"], tuple[DigestRow, ...], Decimal]:
        """The largest rows, and one that sums up the others; none if the digest is about a part of the organization."""
        if not self._is_whole:
            return "model", (), ZERO
        by_feature = None
        if self._logged.as_of is not None:
            self._logged.have(self._period.starts_at, self._period.ends_at)
            if self._logged.spend(ORGANIZATION, self._period).total_usd:
                by_feature = report_of(self._logged, self._period, self._before, GroupBy.FEATURE)
        report = by_feature or by_model
        groups = [group for group in report.groups if group.usd or group.before_usd]
        listed = [DigestRow(label=str(group.id or ""), usd=group.usd, before_usd=group.before_usd) for group in groups]
        rest = listed[MOST_DIGEST_ROWS:]
        if len(rest) > 1:
            known = [row.before_usd for row in rest if row.before_usd is not None]
            together = sum((row.usd for row in rest), ZERO)
            listed = listed[:MOST_DIGEST_ROWS]
            listed.append(DigestRow(label=REST, usd=together, before_usd=sum(known, ZERO) if known else None))
        return "model" if by_feature is None else "feature", tuple(listed), report.computed_usd

    def _changes(self, report: Report) -> tuple[tuple[NamedMover, ...], tuple[NamedCause, ...]]:
        """Who spent more or less than before, and why; for running days, of the last 24 hours."""
        if self._snapshot is not self._usage or self._usage.as_of is None:
            return (), ()
        if self._of_last_day(report):
            recent = recent_spend(self._usage)
            since = recent.until - DAY
            return (
                tuple(
                    named_mover(mover, self._usage.names, seen_before=recent.seen_before(mover, since))
                    for mover in recent.movers(self._scope)
                ),
                tuple(named_cause(cause, self._usage.names) for cause in recent.causes(self._scope, since)),
            )
        last, before = (list(self._day_usage(period)) for period in (self._period, self._before))
        names, new = self._usage.names, self._new_models()
        known = Recent(last, before, self._period.ends_at - self._period.starts_at)
        if self._before.ends_at - self._before.starts_at != known.covered:
            # Months differ in length, so compare means per day.
            share = WHOLE * (known.covered // DAY) / ((self._before.ends_at - self._before.starts_at) // DAY)
            known = replace(known, before=[replace(row, share=share) for row in before])
        found = causes(known, ORGANIZATION, self._sources.card, new if before else frozenset())
        return (
            tuple(named_mover(mover, names, seen_before=True) for mover in _moved(last, before)),
            tuple(named_cause(cause, names) for cause in found),
        )

    def _of_last_day(self, report: Report) -> bool:
        return self._now < self._period.ends_at or report.before is None

    def _day_usage(self, period: Period) -> Iterator[RecentUsage]:
        """Usage of the scope in these days, summed by caller, terms and price."""
        first, last = period.starts_at.date(), (period.ends_at - period.ends_at.resolution).date()
        card = self._sources.card
        sums: dict[tuple[str, str, str | None, Terms, date], tuple[date, TokenCounts]] = {}
        with self._sources.usage.reading() as reader:
            for day, rows in reader.day_rows(first, last).items():
                for model, workspace, key, tier, geo, speed, *counts in rows:
                    valid = card.resolve(model, day).rates.valid_from
                    at = (model, workspace, key or None, Terms(tier, geo, speed), valid)
                    _, known = sums.get(at, (day, TokenCounts()))
                    sums[at] = day, known + TokenCounts(*counts)
        usage = [
            DayUsage(day, model, workspace, key, terms, counts)
            for (model, workspace, key, terms, _), (day, counts) in sums.items()
        ]
        priced = price_usage((row for row in usage if in_scope(self._scope, row, card)), card)
        return (RecentUsage(row, WHOLE) for row in priced)

    def _new_models(self) -> frozenset[str]:
        index, first = self._usage.index, self._period.starts_at.date()
        days = index.first_days(ScopeKind.MODEL, self._usage.callers)
        return frozenset(model for model, day in days.items() if day >= first)

    def _unbilled(self) -> int:
        """Days of the period that are over or running, and whose bill may still change."""
        if self._snapshot is not self._usage:
            return 0
        read_at = self._usage.data.billed_read_at
        until = min(self._period.ends_at, self._now)
        days = range(-((self._period.starts_at - until) // DAY))
        return sum(not is_settled(self._period.starts_at.date() + day * DAY, read_at) for day in days)

    def _budgets(self) -> Iterator[BudgetSpend]:
        """Each budget in its period of the digest's last day: as in `status` if that is running, else its sum."""
        last = self._period.ends_at - self._period.ends_at.resolution
        chosen = [budget for budget in self._sources.review.budgets if self._shows(budget)]
        for review in self._sources.review.all:
            mine = [each for each in chosen if self._sources.review.of(each.scope) is review][:MOST_BUDGETS]
            asked: list[tuple[Budget, Period]] = [(each, each.period_at(min(last, self._now))) for each in mine]
            yield from review.spends_in(asked, self._now, Detail.ENDS) if asked else ()

    def _shows(self, budget: Budget) -> bool:
        """Whether the digest shows this budget: a team's digest shows the team's budgets."""
        if self._rule.budget is not None:
            return budget.name == self._rule.budget
        if self._rule.budgets and budget.name not in self._rule.budgets:
            return False
        if self._is_whole or budget.scope == self._scope:
            return True
        team = team_name(budget)
        return self._scope.kind is ScopeKind.TEAM and (team or "").casefold() == (self._scope.value or "").casefold()

    def _in_use(self) -> tuple[Collection[Model], Mapping[tuple[str, Terms], TokenCounts]]:
        """Models used within the scope in the last two weeks, and their tokens."""
        since, until = stretch_in_use(self._usage.as_of or self._now)
        if self._is_whole:
            return models_in_use(self._usage, since, until).values(), self._sources.usage.tokens_of(None, since, until)
        tokens: dict[tuple[str, Terms], TokenCounts] = {}
        if self._is_logged:
            uses = [
                (each.model, each.terms, sums.counts)
                for each, sums in self._sources.ledger.totals(since, until).items()
                if self._counts(each)
            ]
        elif self._snapshot is self._usage:
            days = Period("", floor_day(until) - IN_USE_FOR + DAY, floor_day(until) + DAY)
            usages = (row.priced.usage for row in self._day_usage(days))
            uses = [(usage.model, usage.terms, usage.counts) for usage in usages]
        else:
            # Anthropic attributes USD, not tokens.
            uses = []
        for model, terms, counts in uses:
            tokens[model, terms] = tokens.get((model, terms), TokenCounts()) + counts
        models = {found.id: found for id_, _ in tokens if (found := self._sources.card.find(id_)) is not None}
        return models.values(), tokens

    def _cheaper(self) -> tuple[Cheaper, ...]:
        """Savings by feature if applications log usage, by key otherwise."""
        starts_at, ends_at = self._period.starts_at, self._period.ends_at
        on = (min(ends_at, self._now) - ends_at.resolution).date()
        callers: dict[str, list[Use]] = {}
        for dimensions, sums in self._sources.ledger.totals(starts_at, ends_at).items():
            if self._is_whole or (self._is_logged and self._counts(dimensions)):
                feature = group_of(dimensions, GroupBy.FEATURE)
                if feature is not None:
                    use = Use(dimensions.model, dimensions.terms, sums.counts, sums.requests or None)
                    callers.setdefault(feature, []).append(use)
        if not callers and self._snapshot is self._usage:
            names = self._usage.names
            for row in self._day_usage(self._period):
                usage = row.priced.usage
                key = usage.api_key_id
                who = names.workspaces.get(usage.workspace_id, usage.workspace_id) if key is None else key
                label = names.keys.get(who, who)
                callers.setdefault(label, []).append(Use(usage.model, usage.terms, usage.counts))
        return cheaper(callers, self._sources.card, on)

    def _counts(self, dimensions: Dimensions) -> bool:
        """Whether the scope counts logged usage with these dimensions."""
        tags = (Scope(ScopeKind.TAG, f"{name}={value}") for name, value in dimensions.tags)
        mine = {
            Scope(ScopeKind.FEATURE, dimensions.feature),
            Scope(ScopeKind.USER, dimensions.user_id),
            Scope(ScopeKind.MODEL, dimensions.model),
            *tags,
        }
        return any(part in mine for part in self._scope.parts or (self._scope,))

    def _is_within(self, scope: Scope | None) -> bool:
        try:
            found = None if scope is None else self._sources.review.scope_of(scope)
        except NoMatchError:
            return False
        return found is not None and (found == self._scope or found in self._scope.parts)

    def _estimates(self) -> Iterator[EstimatePace]:
        """Saved estimates with usage to compare with, as in `estimate show`."""
        shown = 0
        for kept in self._sources.estimates.all():
            scope = None if kept.scope is None else parse_scope(kept.scope)
            if not self._is_whole and not self._is_within(scope):
                continue
            # Only admins may see what single users spend, and everybody reads a digest.
            measured = None if scope is None or is_of_user(scope) else self._sources.review.measured(scope)
            if measured is None or isinstance(measured, str) or shown == MOST_ESTIMATES:
                continue
            _, stretch, computed = measured
            monthly = stretch.monthly(computed.usd)
            if monthly is not None:
                shown += 1
                yield EstimatePace(name=kept.name, estimated_usd=kept.monthly_usd, monthly_usd=monthly)


def _budget(review: Reviews, name: str) -> Budget:
    """The budget with this name. Raises `NoMatchError`."""
    found = next((budget for budget in review.budgets if budget.name == name), None)
    if found is not None:
        return found
    unmatched = next((each for each in review.unmatched() if each.budget.name == name), None)
    why = tr_lazy("There is no budget {budget} any more.", budget=name) if unmatched is None else unmatched.why
    raise NoMatchError(why, certain=True)


def _moved(last: Iterable[RecentUsage], before: Iterable[RecentUsage]) -> list[Mover]:
    """The three callers whose USD changed most, by at least what moves a budget."""
    now, then = _by_caller(last), _by_caller(before)
    changes = [(abs(now.get(caller, ZERO) - then.get(caller, ZERO)), caller) for caller in now.keys() | then.keys()]
    largest = sorted(changes, key=lambda each: (-each[0], str(tuple(each[1]))))[:MOST_MOVERS]
    return [
        Mover(*caller, now.get(caller, ZERO), then.get(caller)) for change, caller in largest if change >= LEAST_USD
    ]


def _by_caller(rows: Iterable[RecentUsage]) -> Mapping[_Caller, Decimal]:
    found: dict[_Caller, Decimal] = {}
    for row in rows:
        usage = row.priced.usage
        caller = _Caller(usage.model, usage.workspace_id, usage.api_key_id)
        found[caller] = found.get(caller, ZERO) + row.usd
    return found


def _every(kind: PeriodKind) -> Literal["day", "week", "month"]:
    if kind is PeriodKind.DAY:
        return "day"
    return "week" if kind is PeriodKind.WEEK else "month"
