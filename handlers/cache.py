"""`/claude-cost cache`: hit rates against the break-even, with the dollars."""

from bot.budgets.cache_use import Use, cache_uses
from bot.budgets.logged_requests import group_of
from bot.budgets.report import LOGGED_BY, GroupBy
from bot.budgets.report_words import ReportWords, ReportWordsError, report_words
from bot.messages import Message
from bot.pricing.tokens import STANDARD
from bot.services import Services
from bot.usage.attribution import AttributedBy
from handlers.render.cache import cache_message
from handlers.render.parts import said
from handlers.report import is_logged, no_report
from handlers.requests import Request


async def cache_command(services: Services, request: Request) -> Message:
    """`cache [PERIOD] [by …]`: by feature where applications log usage, otherwise by model of Anthropic's usage."""
    try:
        asked = report_words(request.words, services.clock())
    except ReportWordsError as error:
        return no_report(error)
    by = asked.by
    if isinstance(by, AttributedBy) or by is GroupBy.WORKSPACE:
        return said(f"`cache` is known by model, key, feature, user or tag:NAME, not by {by}.")
    return await services.threads.commands(_cache, services, asked, by)


def _cache(services: Services, asked: ReportWords, by: GroupBy) -> Message:
    if not asked.by_given and is_logged(services, asked.period):
        by = GroupBy.FEATURE
    logged = by in LOGGED_BY
    snapshot = services.logged.current() if logged else services.snapshots.current()
    starts_at = asked.period.starts_at
    counted_until = snapshot.counted_until
    if counted_until is None or counted_until <= starts_at:
        return said(f"Nothing is known of {asked.name} yet.")
    until = min(counted_until, asked.period.ends_at)
    on = (until - until.resolution).date()
    used: list[Use]
    if logged:
        totals = services.ledger.totals(starts_at, asked.period.ends_at)
        used = [(group_of(of, by, asked.tag), of.model, of.terms, sums.counts) for of, sums in totals.items()]
    else:
        by_model = by is GroupBy.MODEL
        tokens = services.usage.totals(starts_at, until)
        used = [(model if by_model else key, model, STANDARD, counts) for (key, model), counts in tokens.items()]
    uses = cache_uses(used, services.card, on)
    if not uses:
        return said(f"No input is known of {asked.name}, so there is nothing that could be cached.")
    said_by = str(by) if asked.tag is None else f"{by}:{asked.tag}"
    names = services.snapshots.current().names.keys
    labels = [f"no {by}" if use.row is None else names.get(use.row, use.row) for use in uses]
    return cache_message(list(zip(labels, uses, strict=True)), asked.period, until, said_by, on, logged=logged)
