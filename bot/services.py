"""The services that handlers may call, built by the composition root."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.alerts.asks import AskStore
from bot.alerts.lifecycle_store import LifecycleStore
from bot.alerts.notice_contents import ContentStore
from bot.alerts.rules import DetectorRules
from bot.alerts.store import AlertStore
from bot.budgets.calendar_store import CalendarStore
from bot.budgets.raise_store import Raises
from bot.budgets.review import Reviews
from bot.budgets.snapshots import Snapshots
from bot.budgets.store import Budgets
from bot.clock import Clock
from bot.db.later import Later
from bot.digests.content import DigestSources
from bot.digests.settings_store import DigestSettingsStore
from bot.display import Display
from bot.doctor.check import Check
from bot.fallback.admins import Admins, UserSpend
from bot.fallback.approvals import Approvals
from bot.fallback.impact import ModeImpacts
from bot.fallback.service import FallbackService
from bot.ledger.otlp.ingest import OtlpIngest
from bot.ledger.store import SqlLedger
from bot.metrics import Metrics
from bot.notify.languages import Languages
from bot.notify.slack_connection import NativeBlocks, ResponseUrls, Workspace
from bot.notify.store import BacklogStore
from bot.pricing.card import RateCard
from bot.pricing.store import EstimateStore
from bot.threads import Threads
from bot.usage.anthropic.attribution_cache import Attribution
from bot.usage.anthropic.limits import RateLimitCache
from bot.usage.anthropic.token_count import TokenCounter
from bot.usage.store import UsageStore


@dataclass(frozen=True, slots=True)
class Services:
    """One record, built once."""

    usage: UsageStore
    ledger: SqlLedger
    otlp: OtlpIngest
    snapshots: Snapshots
    logged: Snapshots
    attributed: Snapshots
    alerts: AlertStore
    lifecycle: LifecycleStore
    asks: AskStore
    notices: ContentStore
    destinations: BacklogStore
    budgets: Budgets
    raises: Raises
    calendar: CalendarStore
    review: Reviews
    fallback: FallbackService
    mode_impacts: ModeImpacts
    approvals: Approvals
    admins: Admins
    user_spend: UserSpend
    estimates: EstimateStore
    digests: DigestSources
    digest_settings: DigestSettingsStore
    counter: TokenCounter
    response_urls: ResponseUrls
    native_blocks: NativeBlocks
    workspace: Workspace
    rate_limits: RateLimitCache
    attribution: Attribution
    card: RateCard
    rules: DetectorRules
    examine: Callable[[], Awaitable[tuple[Check, ...]]]
    clock: Clock
    poll_seconds: int
    display: Display
    languages: Languages
    threads: Threads
    later: Later
    metrics: Metrics
