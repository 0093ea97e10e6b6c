"""`/claude-cost report`, `forecast`, `limits` and `cache`: spend, its expected end, and limits."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

from bot.alerts.day_drift import settled_days
from bot.amounts import day_name
from bot.budgets.budget import ORGANIZATION, Period
from bot.budgets.course import course_of
from bot.budgets.logged_requests import (
    Coverage,
    MinuteOfModel,
    busiest_minutes,
    closed_until,
    coverage_from,
    group_of,
    grouped,
    requests_of,
)
from bot.budgets.report import LOGGED_BY, SECOND, SECONDS_IN_HOUR, GroupBy, Report, Use, cache_uses, report_of
from bot.budgets.report_words import ReportWords, ReportWordsError, report_words
from bot.budgets.snapshot import Snapshot
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.language import tr
from bot.ledger.interning import names_a_user
from bot.ledger.model import Sums
from bot.messages import Message
from bot.pricing.throughput import Limits, Pool, load_rate_limits
from bot.pricing.tokens import STANDARD
from bot.services import Services
from bot.typed_text import nearest, words_in
from bot.usage.model import AttributedBy, NotAttributedError
from handlers.render.attribution import attributed_message
from handlers.render.drift_alert import truth_lines
from handlers.render.forecast import MOST_BUDGETS, forecast_message
from handlers.render.limits import limits_message
from handlers.render.logged_requests import OfGroups, Traffic, coverage_lines, nobody, noun
from handlers.render.parts import code, said, shown
from handlers.render.report import MOST_ROWS, cache_message, report_message
from handlers.requests import Request, dated

MOST_IN_TOP = 5


async def report_command(services: Services, request: Request) -> Message:
    """`report [today|…|FROM..TO] [by …]`: by default the month by model. Days are UTC days."""
    try:
        asked = report_words(request.words, services.clock())
    except ReportWordsError as error:
        return await dated(services, no_report(error))
    refused = await _refused(services, request, asked)
    if refused is not None:
        return refused
    by = asked.by
    if isinstance(by, AttributedBy):
        return await _attributed(services, asked, by)
    message = await services.threads.commands(_report, services, asked, by, draws=True)
    if message is None:
        return await _attributed(services, asked, by)
    return await dated(services, message)


async def _refused(services: Services, request: Request, asked: ReportWords) -> Message | None:
    """The refusal to show what single users spend; None if allowed."""
    by_user = asked.by in (GroupBy.USER, AttributedBy.ACTOR)
    if not by_user and not (asked.tag is not None and names_a_user(asked.tag)):
        return None
    refusal = await services.user_spend.refusal(request.person)
    if refusal is None:
        return None
    services.fallback.refused(request.person.id, "report", "what single users spend is for admins")
    return said(refusal)


def no_report(error: ReportWordsError) -> Message:
    """The answer to invalid words of a report."""
    return said(error.sentence(code(error.word)))


async def forecast_command(services: Services, request: Request) -> Message:
    """`forecast [BUDGET]`: a range for every budget, or for one, with the day on which each limit is crossed."""
    return await services.threads.commands(_forecast, services, request.words)


async def limits_command(services: Services, request: Request) -> Message:
    """`limits`: every budget with its limits and origin, the organization's rate limits or the table by tier, and how
    close the logged traffic of the last day came.
    """
    measured = await services.rate_limits.measured()
    budgets = await services.threads.commands(services.budgets.in_force)
    traffic = await services.threads.commands(_traffic, services, measured or {})
    return limits_message(budgets, measured, load_rate_limits(), traffic)


async def _attributed(services: Services, asked: ReportWords, by: AttributedBy | GroupBy) -> Message:
    """Anthropic's own attribution; also for reports by user if no application logs any."""
    first, after = asked.period.starts_at, asked.period.ends_at
    try:
        if isinstance(by, AttributedBy):
            found = await services.attribution.spend(by, first, after)
        else:
            found = await services.attribution.spend_by_user(first, after)
    except NotAttributedError as error:
        return said(str(error) if isinstance(by, AttributedBy) else f"{_nothing_logged(asked)} {_log_page()} {error}")
    more = [] if isinstance(by, AttributedBy) else [_nothing_logged(asked)]
    if found.starts_at > first:
        begin = day_name(found.starts_at.date(), services.clock())
        more.append(tr("Anthropic has nothing older than {day}: the days before are left out.", day=begin))
    return attributed_message(found, asked.period.key, services.display, more)


def _nothing_logged(asked: ReportWords) -> str:
    return tr("No application has logged usage of {period}, which `report by user` shows first.", period=tr(asked.name))


def _log_page() -> str:
    return tr("The page docs/usage-log.md of claude-cost has the log's format and how to send it.")


def _traffic(services: Services, measured: Mapping[Pool, Limits]) -> Traffic | None:
    as_of = services.ledger.head().data.as_of
    if as_of is None:
        return None
    since = floor_hour(services.clock() - DAY)
    totals = services.ledger.totals(since, as_of + MINUTE)
    minutes = [
        MinuteOfModel(at, model, sums.requests, sums.counts)
        for at, model, sums in services.ledger.minutes_of_models(since)
    ]
    by = {str(each): grouped(totals, each) for each in (GroupBy.FEATURE, GroupBy.MODEL)}
    return Traffic(since, as_of, by, busiest_minutes(minutes, measured, services.card))


async def top_command(services: Services, request: Request) -> Message:
    """`top [PERIOD] [by …]`: the largest rows of a report; by feature if applications log, otherwise by key."""
    try:
        asked = report_words(request.words, services.clock())
    except ReportWordsError as error:
        return no_report(error)
    refused = await _refused(services, request, asked)
    if refused is not None:
        return refused
    if isinstance(asked.by, AttributedBy):
        return await _attributed(services, asked, asked.by)
    found = await services.threads.commands(_top, services, asked, asked.by)
    return await _attributed(services, asked, asked.by) if found is None else found


def _top(services: Services, asked: ReportWords, by: GroupBy) -> Message | None:
    if not asked.by_given:
        by = GroupBy.FEATURE if is_logged(services, asked.period) else GroupBy.KEY
    return _report(services, asked, by, MOST_IN_TOP)


def _report(
    services: Services, asked: ReportWords, by: GroupBy, most: int = MOST_ROWS, *, draws: bool = False
) -> Message | None:
    """The report; None by user if nothing is logged: Anthropic may know more. `draws`: with a chart."""
    logged = by in LOGGED_BY
    snapshot = services.logged.current() if logged else services.snapshots.current()
    report = report_of(snapshot, asked.period, asked.before, by, asked.tag)
    course = course_of(snapshot, report) if draws and report is not None else None
    if report is not None and logged:
        share = coverage_lines(_coverage(services, asked.period))
        if by is GroupBy.USER:
            share.append(tr("Whom Anthropic itself attributes spend to: `report by actor`."))
        requests = _requests(services, report)
        return report_message(report, snapshot.names, services.display, share, requests, most, course)
    if by is GroupBy.USER:
        return None
    if logged:
        unknown = tr(
            "No application has logged usage of {period}: what a {by} spends is known only from the usage log of your "
            "applications.",
            period=tr(asked.name),
            by=noun(by),
        )
        return said(f"{unknown} {_log_page()}")
    if report is not None:
        report = with_provisional(services, snapshot, report)
        closing = _truth(services, snapshot, report)
        if by is GroupBy.KEY:
            closing = [*closing, *_coverage_by_key(services, asked.period)]
        return report_message(report, snapshot.names, services.display, closing, most=most, course=course)
    if snapshot.as_of is not None and snapshot.as_of > asked.period.starts_at:
        return said(tr("Nothing is known of {period}: no usage of those days is stored here.", period=tr(asked.name)))
    return said(tr("Nothing is known of {period} yet: the data ends before it began.", period=tr(asked.name)))


def with_provisional(services: Services, snapshot: Snapshot, report: Report) -> Report:
    """A report of Anthropic's usage with provisional spend in its sum, as in `status`."""
    live = services.review.usage.live.beside(snapshot)
    return replace(report, spend=live.spend(ORGANIZATION, report.period))


def _coverage_by_key(services: Services, period: Period) -> list[str]:
    """Coverage of the logs; empty if no application logs."""
    return coverage_lines(_coverage(services, period)) if is_logged(services, period) else []


def is_logged(services: Services, period: Period) -> bool:
    """Whether applications have logged any cost in the period."""
    logged = services.logged.current()
    if logged.as_of is None:
        return False
    logged.have(period.starts_at, period.ends_at)
    return bool(logged.spend(ORGANIZATION, period).total_usd)


def _requests(services: Services, report: Report) -> OfGroups:
    """Requests by row of the report, from the sums of the ledger."""

    def rows(since: datetime, until: datetime) -> dict[str | None, Sums]:
        return grouped(services.ledger.totals(since, until), report.by, report.tag)

    before, now = report.before, rows(report.period.starts_at, report.period.ends_at)
    if before is None:
        return requests_of(now, None, {}, Fraction(0))
    border = floor_hour(before.until)
    share = Fraction((before.until - border) // SECOND, SECONDS_IN_HOUR)
    last = rows(border, border + HOUR) if share else {}
    return requests_of(now, rows(before.starts_at, border), last, share)


def _coverage(services: Services, period: Period) -> Coverage | None:
    usage, logged = services.snapshots.current(), services.logged.current()
    until = closed_until(usage, logged, period)
    if until is None:
        return None
    totals = services.usage.totals(period.starts_at, until)
    logged_totals = services.ledger.totals(period.starts_at, until)
    return coverage_from(usage, logged, period.starts_at, until, totals, logged_totals)


def _truth(services: Services, snapshot: Snapshot, report: Report) -> list[str]:
    first, after = report.period.starts_at.date(), report.period.ends_at.date()
    if after > services.clock().date() >= after - DAY and after - first <= DAY:
        # Today has not settled.
        return []
    return truth_lines(settled_days(snapshot, first, after - DAY), snapshot.data.billed_read_at)


def _forecast(services: Services, words: str) -> Message:
    names = {budget.name.lower(): budget.name for budget in services.budgets.in_force()}
    listed = [word for word in words_in(words) if word.lower() not in ("for", "of", "budget")]
    chosen = [names.get(word.lower()) for word in listed]
    if None in chosen:
        return _no_budget(listed[chosen.index(None)], sorted(names.values()))
    now = services.clock()
    asked = [pair for pair in services.review.present(now) if not chosen or pair[0].name in chosen]
    found = services.review.budget_forecasts(asked[:MOST_BUDGETS], now)
    if not found:
        return said(tr("Nothing can be forecast yet."))
    drawn = next((each for each in found if each.forecast is not None), None)
    line = None
    if drawn is not None:
        line = services.review.of(drawn.budget.scope).line(drawn.budget, drawn.period, now)
    return forecast_message(found, services.display, more=len(asked) - len(found), drawn=drawn, line=line)


def _no_budget(word: str, known: list[str]) -> Message:
    near = nearest(word, known)
    if near is None:
        return said(
            tr(
                "There is no budget {budget}: `forecast` takes the name of a budget, or nothing for all of them.",
                budget=code(word),
            )
        )
    return said(
        tr(
            "There is no budget {budget}: `forecast` takes the name of a budget, or nothing for all of them. Did you "
            "mean `forecast {near}`?",
            budget=code(word),
            near=shown(near),
        )
    )


async def cache_command(services: Services, request: Request) -> Message:
    """`cache [PERIOD] [by …]`: by feature if applications log usage, otherwise by model of Anthropic's usage."""
    try:
        asked = report_words(request.words, services.clock())
    except ReportWordsError as error:
        return no_report(error)
    refused = await _refused(services, request, asked)
    if refused is not None:
        return refused
    by = asked.by
    if isinstance(by, AttributedBy) or by is GroupBy.WORKSPACE:
        return said(tr("`cache` is known by model, key, feature, user or tag:NAME, not by {by}.", by=noun(by)))
    return await services.threads.commands(_cache, services, asked, by)


def _cache(services: Services, asked: ReportWords, by: GroupBy) -> Message:
    if not asked.by_given and is_logged(services, asked.period):
        by = GroupBy.FEATURE
    logged = by in LOGGED_BY
    snapshot = services.logged.current() if logged else services.snapshots.current()
    starts_at = asked.period.starts_at
    counted_until = snapshot.counted_until
    if counted_until is None or counted_until <= starts_at:
        return said(tr("Nothing is known of {period} yet.", period=tr(asked.name)))
    until = min(counted_until, asked.period.ends_at)
    on = (until - until.resolution).date()
    used: list[Use]
    if logged:
        totals = services.ledger.totals(starts_at, asked.period.ends_at)
        used = [
            (group_of(of, by, asked.tag), of.model, of.terms, of.prompt_tokens, sums.counts)
            for of, sums in totals.items()
        ]
    else:
        by_model = by is GroupBy.MODEL
        tokens = services.usage.totals(starts_at, until)
        used = [(model if by_model else key, model, STANDARD, None, counts) for (key, model), counts in tokens.items()]
    uses = cache_uses(used, services.card, on)
    if not uses:
        return said(
            tr("No input is known of {period}, so there is nothing that could be cached.", period=tr(asked.name))
        )
    names = services.snapshots.current().names.keys
    labels = [nobody(by) if use.row is None else names.get(use.row, use.row) for use in uses]
    return cache_message(
        list(zip(labels, uses, strict=True)), asked.period, until, by, on, logged=logged, tag=asked.tag
    )
