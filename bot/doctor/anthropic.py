"""Checks of the key's access at Anthropic, by one small read each, and of the Console's spend limit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import httpx
from pydantic import SecretStr

from bot.amounts import usd
from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind
from bot.clock import DAY, HOUR, Clock, floor_day, floor_hour
from bot.config.settings import Settings
from bot.doctor.check import Check, State
from bot.language import tr, tr_noop
from bot.usage.anthropic import admin, analytics
from bot.usage.anthropic.admin import rfc3339
from bot.usage.anthropic.client import BadRequestError, NotServedError, Query, Transport
from bot.usage.anthropic.limits import ConsoleLimits, read_console_limits
from bot.usage.anthropic.responses import Page, parsed
from bot.usage.model import RefusedError, SourceError, SourceName, UsageChoice
from bot.usage.poller import FRESH

NO_KEY = tr_noop("Not checked, since ANTHROPIC_ADMIN_KEY is missing or wrong.")


@dataclass(frozen=True, slots=True)
class Access:
    """Result of the reads from one of the two APIs; the errors are None on success.

    `refreshed_at`: the API's own `as of`, if it has one.
    """

    source: SourceName
    error: SourceError | None
    bill_error: SourceError | None
    refreshed_at: datetime | None

    def too_old(self, now: datetime) -> bool:
        """Whether the data is older than `auto` accepts."""
        return self.refreshed_at is not None and now - self.refreshed_at > FRESH


async def check_usage_apis(http: httpx.AsyncClient, settings: Settings, clock: Clock) -> list[Check]:
    """Check both APIs, and the cost report of the one that the bot reads."""
    transport = _transport(http, settings.anthropic_admin_key)
    if transport is None:
        names = ("anthropic_analytics", "anthropic_admin", "cost_report")
        return [Check(name, State.SKIPPED, tr(NO_KEY)) for name in names]
    now = clock()
    of_analytics, of_admin = await try_usage_apis(transport, now)
    return judge_usage_apis(settings.usage_api, of_analytics, of_admin, now)


async def try_usage_apis(transport: Transport, now: datetime) -> tuple[Access, Access]:
    """One small read of each report, of the analytics API and of the admin API."""
    return await asyncio.gather(_analytics(transport, now), _admin(transport, now))


async def check_console_limit(http: httpx.AsyncClient, key: SecretStr | None, budgets: Sequence[Budget]) -> list[Check]:
    """Compare the Console's monthly limit with the organization's hard limit."""
    transport = _transport(http, key)
    if transport is None:
        return [Check("console_limit", State.SKIPPED, tr(NO_KEY))]
    hard_usd = _hard_usd(budgets)
    try:
        limits = await read_console_limits(transport)
    except (RefusedError, NotServedError, BadRequestError):
        text = tr(
            "Whether Anthropic's Console has a spend limit cannot be read with this key or for this organization."
        )
        return [Check("console_limit", State.SKIPPED, text, _aim(hard_usd))]
    except SourceError as error:
        text = tr("The Console's spend limit is not known: {why}", why=error)
        return [Check("console_limit", State.SKIPPED, text, _aim(hard_usd))]
    return [judge_console_limit(limits, hard_usd)]


def judge_usage_apis(choice: UsageChoice, analytics: Access, admin: Access, now: datetime) -> list[Check]:
    """`auto` needs one of the two; a configured one must work."""
    used = _used(choice, analytics, admin, now)
    checks = [
        _api(access, needed=access.source == choice or used is None or used is access, used=used, now=now)
        for access in (analytics, admin)
        if choice in ("auto", access.source)
    ]
    checks += [
        Check(
            f"anthropic_{access.source}",
            State.SKIPPED,
            tr("Not needed: CLAUDE_COST_USAGE_API is {choice}.", choice=choice),
        )
        for access in (analytics, admin)
        if choice not in ("auto", access.source)
    ]
    return [*checks, _bill(used)]


def judge_console_limit(limits: ConsoleLimits, hard_usd: Decimal | None) -> Check:
    """Without a limit at or below our hard limit, spend continues after the hard alert."""
    own_usd = limits.own_usd
    aim = _aim(hard_usd)
    if own_usd is None:
        text = tr("No monthly spend limit is set in Anthropic's Console: nothing stops requests.")
        if limits.tier_usd is not None:
            text = tr(
                "No monthly spend limit is set in Anthropic's Console: nothing stops requests, short of Anthropic's "
                "own cap of {cap} a month.",
                cap=usd(limits.tier_usd),
            )
        return Check("console_limit", State.WARN, text, aim)
    own = usd(own_usd)
    if hard_usd is None:
        text = tr(
            "Anthropic's Console stops requests at {own} a month; there is no hard limit of the month to compare it "
            "with.",
            own=own,
        )
        return Check("console_limit", State.OK, text)
    hard = usd(hard_usd)
    if own_usd > hard_usd:
        text = tr(
            "Anthropic's Console stops requests at {own} a month, which is above the hard limit of {hard}.",
            own=own,
            hard=hard,
        )
        return Check("console_limit", State.WARN, text, aim)
    text = tr("Anthropic's Console stops requests at {own} a month; the hard limit is {hard}.", own=own, hard=hard)
    return Check("console_limit", State.OK, text)


def _aim(hard_usd: Decimal | None) -> str:
    if hard_usd is None:
        return tr("Set a monthly limit in Anthropic's Console (Settings, Billing): it alone stops requests.")
    return tr(
        "Set a monthly limit of at most {most} in Anthropic's Console (Settings, Billing): it alone stops requests.",
        most=usd(hard_usd),
    )


def _hard_usd(budgets: Sequence[Budget]) -> Decimal | None:
    hard = [
        budget.hard_usd
        for budget in budgets
        if budget.scope == ORGANIZATION and budget.period is PeriodKind.MONTH and budget.hard_usd is not None
    ]
    return max(hard, default=None)


def _transport(http: httpx.AsyncClient, key: SecretStr | None) -> Transport | None:
    # No retries: a failure now is the finding.
    return None if key is None else Transport(http, key, most_waiting=timedelta(0))


def _used(choice: UsageChoice, analytics: Access, admin: Access, now: datetime) -> Access | None:
    """The API that a poll would read from now."""
    order = [analytics, admin]
    if choice != "auto":
        order = [access for access in order if access.source == choice]
    elif analytics.too_old(now):
        order = [admin, analytics]
    return next((access for access in order if access.error is None), None)


def _api(access: Access, *, needed: bool, used: Access | None, now: datetime) -> Check:
    name = f"anthropic_{access.source}"
    if access.error is None:
        return _readable(name, access, used, now)
    if needed:
        return Check(name, State.FAIL, str(access.error))
    if not isinstance(access.error, RefusedError | NotServedError):
        return Check(name, State.WARN, str(access.error))
    if used is None:
        return Check(name, State.SKIPPED, tr("The key may not read the {api} API here.", api=access.source))
    text = tr(
        "The key may not read the {api} API here, and need not: the bot reads the {used} API.",
        api=access.source,
        used=used.source,
    )
    return Check(name, State.SKIPPED, text)


def _readable(name: str, access: Access, used: Access | None, now: datetime) -> Check:
    """Finding about an API that answers."""
    if access.refreshed_at is None:
        return Check(name, State.OK, tr("The key may read usage from the {api} API.", api=access.source))
    state = State.OK
    if not access.too_old(now):
        text = tr_noop("The key may read usage from the {api} API, whose data is as of {time} UTC.")
    elif used is not access:
        text = tr_noop(
            "The key may read usage from the {api} API, whose data is as of {time} UTC; that is too old, so that the "
            "bot reads the admin API."
        )
    else:
        state = State.WARN
        text = tr_noop(
            "The key may read usage from the {api} API, whose data is as of {time} UTC: that is older than {minutes} "
            "min."
        )
    at = f"{access.refreshed_at:%Y-%m-%d %H:%M}"
    return Check(name, state, tr(text, api=access.source, time=at, minutes=FRESH.seconds // 60))


def _bill(used: Access | None) -> Check:
    name = "cost_report"
    if used is None:
        return Check(name, State.SKIPPED, tr("Not checked, since no usage API can be read."))
    if used.bill_error is None:
        return Check(name, State.OK, tr("The cost report can be read from the {api} API.", api=used.source))
    text = tr(
        "Every day stays computed from list prices, since the cost report cannot be read. {why}", why=used.bill_error
    )
    return Check(name, State.WARN, text)


async def _analytics(transport: Transport, now: datetime) -> Access:
    hour, day = floor_hour(now), floor_day(now)
    usage, bill = await asyncio.gather(
        _page(transport, analytics.USAGE_PATH, _range(hour - HOUR, hour, "time_bucket_width", "1h"), [analytics.BETA]),
        _page(transport, analytics.COST_PATH, _range(day - DAY, day, "time_bucket_width", "1d"), [analytics.BETA]),
    )
    if isinstance(usage, SourceError):
        return Access("analytics", usage, _error(bill), None)
    return Access("analytics", None, _error(bill), usage.data_refreshed_at)


async def _admin(transport: Transport, now: datetime) -> Access:
    hour, day = floor_hour(now), floor_day(now)
    usage, bill = await asyncio.gather(
        _page(transport, admin.USAGE_PATH, _range(hour - HOUR, hour, "bucket_width", "1h"), []),
        _page(transport, admin.COST_PATH, _range(day - DAY, day, "bucket_width", "1d"), []),
    )
    return Access("admin", _error(usage), _error(bill), None)


def _range(starts_at: datetime, ends_at: datetime, width_name: str, width: str) -> Query:
    return [
        ("starting_at", rfc3339(starts_at)),
        ("ending_at", rfc3339(ends_at)),
        (width_name, width),
        ("limit", "1"),
    ]


async def _page(transport: Transport, path: str, query: Query, betas: Sequence[str]) -> Page | SourceError:
    try:
        return parsed(Page, await transport.get(path, query, betas), path)
    except SourceError as error:
        return error


def _error(answer: Page | SourceError) -> SourceError | None:
    return answer if isinstance(answer, SourceError) else None
