"""Composition root: builds the bot from its settings, and closes it in reverse order."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version

import aiohttp
import httpx
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Engine

from bot import slack_api
from bot.alerts.asks import AskStore
from bot.alerts.cycle_state import CycleStateStore, DueStore
from bot.alerts.detector import DetectorContext, Evaluator, Look
from bot.alerts.incident import LEVELS, AlertKind
from bot.alerts.lifecycle_store import LifecycleTimer
from bot.alerts.notice_contents import ContentStore
from bot.alerts.rules import AlertRules, Receiver, Routes
from bot.alerts.store import AlertStore, IncidentStore, SpikeStore
from bot.amounts import count, with_dollar_sign
from bot.budgets.budget import ATTRIBUTED, Budget
from bot.budgets.calendar_store import CalendarStore
from bot.budgets.greeting_store import Greeter
from bot.budgets.live import LiveSource
from bot.budgets.owners import Teams
from bot.budgets.raise_store import Raises, RaiseStore
from bot.budgets.review import BudgetReview, Reviews
from bot.budgets.snapshots import Snapshots, attributed_snapshots
from bot.budgets.store import Budgets, BudgetStore
from bot.budgets.usage_index import LedgerIndex
from bot.clock import Clock
from bot.config.settings import Settings, SettingsError
from bot.db.backup import with_backup
from bot.db.engine import DamagedDatabaseError, open_database
from bot.db.later import Later
from bot.db.lease import Lease
from bot.db.retention import prune
from bot.db.sqlite import SqliteEngine
from bot.db.state import StateStore
from bot.digests.content import DigestSources
from bot.digests.settings_store import DigestSettingsStore
from bot.digests.store import DigestPoster, DigestStore
from bot.doctor.check import Check, State
from bot.doctor.examination import examine
from bot.doctor.slack import sample_limit_alert
from bot.fallback.admins import Admins, UserSpend
from bot.fallback.approvals import Approvals, ProposalStore
from bot.fallback.auto_fallback import AutoFallback
from bot.fallback.impact import ModeImpacts, mode_in_force
from bot.fallback.reconciler import Reconciler
from bot.fallback.service import ChangeSignal, FallbackService
from bot.fallback.store import ModeStore, TargetStore
from bot.fallback.targets.base import Target
from bot.fallback.targets.registry import targets_from, tidy_targets
from bot.fallback.verifier import UsageVerifier, Verifier
from bot.ledger.clickhouse_ledger import ledger_from
from bot.ledger.otlp.ingest import OtlpIngest
from bot.ledger.otlp.store import OtlpStore
from bot.messages import Message
from bot.metrics import CHANNEL, Metrics, destination_labels
from bot.mode import Mode, modes_from_chain
from bot.modes.changes import period_end
from bot.notify.background import BackgroundDelivery
from bot.notify.languages import Languages
from bot.notify.model import Destination, always
from bot.notify.outbox import Outbox
from bot.notify.results import FROM_ZERO, CountResult
from bot.notify.slack import SlackDestination
from bot.notify.slack_client import bolt_app, web_client
from bot.notify.slack_connection import NativeBlocks, ResponseUrls, Workspace
from bot.notify.workspace_store import claim
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.store import EstimateStore
from bot.runner.cycle import Bot
from bot.runner.ending import close_in_thread, close_within
from bot.runner.leadership import Leadership
from bot.services import Services
from bot.steady_clock import SteadyClock
from bot.threads import InFlight, Threads
from bot.traces import start_traces
from bot.usage.anthropic.attribution_cache import Attribution
from bot.usage.anthropic.client import Transport, new_http
from bot.usage.anthropic.limits import RateLimitCache
from bot.usage.anthropic.token_count import TokenCounter
from bot.usage.attributed_store import AttributedStore
from bot.usage.attribution_poller import AttributionPoller
from bot.usage.organization_store import claim_organization
from bot.usage.poller import Poller, build_poller
from bot.usage.store import UsageStore

import handlers  # isort: skip  # the only import of the user interface in bot/

log = logging.getLogger(__name__)

CLOSE_SECONDS = 0.5
"""Seconds for each step of the clean-up at the end."""

TRACES_SECONDS = 2.0
"""Seconds for sending the last spans at the end."""

OF_LOGGED = " of logged usage"
OF_ATTRIBUTED = " of attributed spend"
"""Suffixes for the names of evaluators whose budgets count that."""

ATTRIBUTED_KINDS = (AlertKind.LIMIT, AlertKind.NO_DATA, AlertKind.NEW_PERIOD, AlertKind.FORECAST)
"""Kinds of alerts for attributed spend. It is known by the day, so a spike does not show in it."""

LIMITS_WAIT = timedelta(seconds=30)
"""The longest wait for the rate limits, which only an estimate asks for."""


def slack_client(settings: Settings, session: aiohttp.ClientSession) -> AsyncWebClient:
    """A client of Slack's Web API for the bot token, without retries of its own."""
    return web_client(settings.slack_bot_token, settings.slack_api_url, session)


def sample_alert(now: datetime) -> Message:
    """A limit alert as this version draws it. Doctor has Slack validate it."""
    return handlers.limit_message(sample_limit_alert(now), None)


@dataclass(frozen=True, slots=True)
class Base:
    """The parts that everything else is built on: settings, clock, database, connections and threads."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    threads: Threads
    engine: Engine
    leadership: Leadership
    client: AsyncWebClient
    http: httpx.AsyncClient
    rate_limits: RateLimitCache
    attribution: Attribution
    response_urls: ResponseUrls
    workspace: Workspace
    in_flight: InFlight
    later: Later

    @property
    def all_deliver(self) -> bool:
        """Whether every copy delivers, as on PostgreSQL. With SQLite only the leader does."""
        return not isinstance(self.engine, SqliteEngine)


@asynccontextmanager
async def bot_from(
    settings: Settings, clock: Clock, *, most_waiting: timedelta | None = None, hears_clicks: bool = True
) -> AsyncIterator[Bot]:
    """Build the bot, and close it at the end of the context.

    `most_waiting`: longest total wait of one poll for Anthropic's rate limit; None for no limit. `hears_clicks`:
    whether people can acknowledge alerts; if not, nothing is escalated. Raises `SettingsError` or `DatabaseError`.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(with_dollar_sign(settings.display.dollar_sign))
        if settings.traces:
            stack.push_async_callback(close_in_thread, "the traces", TRACES_SECONDS, await asyncio.to_thread(_traces))
        base = await _base(stack, settings, clock)
        rules = settings.alert_rules if hears_clicks else replace(settings.alert_rules, escalate_after=None)
        raises, teams = RaiseStore(base.engine), Teams(settings.teams)
        store = BudgetStore(base.engine, _channel_of(settings, teams))
        budgets = Budgets(settings.budgets, store, clock, teams, raises)
        alerts = await _alerts(base, rules, budgets)
        await asyncio.to_thread(tidy_targets, settings.fallback_file, time.time())
        targets = targets_from(settings.fallback_file)
        services = await asyncio.to_thread(_services, base, alerts, targets, budgets, raises)
        slack = bolt_app(base.client)
        handlers.register(slack, services, base.in_flight)
        outbox, others = _outboxes(base, alerts, _rendering(base, rules, targets, services))
        destinations = BackgroundDelivery(others, base.in_flight)
        stack.push_async_callback(close_within, "the destinations", CLOSE_SECONDS, destinations.close)
        poller, attribution = _pollers(base, stack, services.usage, most_waiting)
        cycle_state = CycleStateStore(base.engine)
        context = _detector_context(base, services, cycle_state, outbox, others)
        logged = _logged(base, services, context)
        attributed = _attributed(base, services, context)
        reacting = (Evaluator(AlertKind.LIMIT, context), Evaluator(AlertKind.LIMIT, logged, OF_LOGGED))
        greeter = Greeter(base.engine, services.usage.data_state, services.budgets.in_force, services.admins.ids)
        yield Bot(
            settings=settings,
            services=services,
            poller=poller,
            attribution=attribution,
            outbox=outbox,
            destinations=destinations,
            leadership=base.leadership,
            all_deliver=base.all_deliver,
            slack=slack,
            in_flight=base.in_flight,
            workspace=base.workspace,
            cycle_state=cycle_state,
            greeter=greeter,
            looks=(greeter, *_looks(base, services, context, logged, attributed, reacting)),
            reacting=reacting,
            lifecycle_timer=LifecycleTimer(alerts.life, rules, clock),
            delivery_health=Evaluator(AlertKind.DELIVERY, context),
            due=DueStore(base.engine, alerts.destinations.names, rules),
            claim=partial(claim, base.engine),
            prune_history=partial(prune, base.engine, retention=settings.retention),
        )


def _traces() -> Callable[[], None]:
    """Start tracing. Returns the function that ends it. Raises `SettingsError`."""
    try:
        return start_traces(version("claude-cost-bot"))
    except ImportError:
        raise SettingsError(
            "CLAUDE_COST_TRACES is otlp, and OpenTelemetry is not installed: install the extra traces of this package, "
            "or set CLAUDE_COST_TRACES=off."
        ) from None
    except ValueError as error:
        raise SettingsError(
            f"CLAUDE_COST_TRACES is otlp, and OpenTelemetry refuses one of its variables ({error}): correct the "
            "OTEL_… variables."
        ) from None


def _rendering(base: Base, rules: AlertRules, targets: Sequence[Target], services: Services) -> handlers.Rendering:
    settings = base.settings
    return handlers.Rendering(
        targets,
        base.workspace,
        settings.display,
        rules.late_after,
        services.review.is_stale,
        settings.spoken,
        settings.channel,
    )


def _pollers(
    base: Base, stack: AsyncExitStack, usage: UsageStore, most_waiting: timedelta | None
) -> tuple[Poller, AttributionPoller]:
    """The pollers of usage and of attributed spend, which `stack` closes."""
    settings, may_store = base.settings, base.leadership.still_held
    poller = build_poller(
        base.http,
        settings.anthropic_admin_key,
        settings.usage_api,
        usage,
        base.clock,
        most_waiting=most_waiting,
        may_store=may_store,
        claim=partial(claim_organization, base.engine),
    )
    stack.callback(poller.close)
    attribution = AttributionPoller(
        AttributedStore(base.engine),
        Transport(base.http, settings.anthropic_admin_key, most_waiting=most_waiting),
        settings.usage_api,
        base.clock,
        may_store,
    )
    stack.push_async_callback(close_within, "the attribution of budgets", CLOSE_SECONDS, attribution.close)
    return poller, attribution


def _open_database(settings: Settings) -> Engine:
    try:
        return open_database(settings.database_url)
    except DamagedDatabaseError as error:
        raise with_backup(error, settings.backup_folder) from None


async def _base(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Base:
    """Open everything that has to be closed again. `stack` closes it in reverse order."""
    metrics, threads = Metrics(), Threads()
    stack.callback(threads.close)
    engine = await asyncio.to_thread(_open_database, settings)
    stack.push_async_callback(close_in_thread, "the database", CLOSE_SECONDS, engine.dispose)
    leadership = await stack.enter_async_context(Leadership(Lease(engine)).kept())
    metrics.lead_by(leadership.held)
    session = await stack.enter_async_context(slack_api.new_session())
    client = slack_client(settings, session)
    http = await stack.enter_async_context(new_http(settings.anthropic_base_url, metrics.answered))
    if isinstance(clock, SteadyClock):
        http.event_hooks = {"response": [partial(_note_date, clock)]}
    rate_limits = RateLimitCache(Transport(http, settings.anthropic_admin_key, most_waiting=LIMITS_WAIT), clock)
    stack.push_async_callback(close_within, "the rate limits", CLOSE_SECONDS, rate_limits.close)
    attribution = Attribution(Transport(http, settings.anthropic_admin_key), settings.usage_api, clock)
    stack.push_async_callback(close_within, "the attribution", CLOSE_SECONDS, attribution.close)
    in_flight = InFlight()
    later = Later(threads.later, in_flight)
    stack.push_async_callback(close_within, "the last writes", CLOSE_SECONDS, later.close)
    return Base(
        settings=settings,
        clock=clock,
        metrics=metrics,
        threads=threads,
        engine=engine,
        leadership=leadership,
        client=client,
        http=http,
        rate_limits=rate_limits,
        attribution=attribution,
        response_urls=ResponseUrls(session, client, in_flight),
        workspace=Workspace(),
        in_flight=in_flight,
        later=later,
    )


async def _alerts(base: Base, rules: AlertRules, budgets: Budgets) -> AlertStore:
    wanted = {receiver.name: receiver.levels for receiver in base.settings.destinations}
    routes = Routes(base.settings.channel, budgets.in_force)
    alerts = AlertStore(base.engine, wanted, rules.channel_levels, routes, base.metrics.alert_step)
    base.metrics.begin_alerts(LEVELS, [CHANNEL, *destination_labels([*wanted]).values()], FROM_ZERO)
    for name, waiting in (await asyncio.to_thread(alerts.destinations.stranded)).items():
        log.warning("%s for a destination named %s, which is not configured any more", _waiting(waiting), name)
    return alerts


def _channel_of(settings: Settings, teams: Teams) -> Callable[[Budget], str | None]:
    """A function from a budget to the id of its own channel, None for the main one."""

    def of(budget: Budget) -> str | None:
        channel = teams.completed(budget).channel
        return None if channel == settings.channel else channel

    return of


def _waiting(alerts: int) -> str:
    return f"{count(alerts, 'alert')} {'waits' if alerts == 1 else 'wait'}"


def _services(
    base: Base, alerts: AlertStore, targets: Sequence[Target], budgets: Budgets, raises: RaiseStore
) -> Services:
    settings, clock, engine, card = base.settings, base.clock, base.engine, load_rate_card()
    modes = modes_from_chain(settings.fallback_chain, settings.modes)
    usage, ledger = UsageStore(engine), ledger_from(engine, settings.ledger_url, settings.ledger_rules)
    in_background = base.threads.snapshots.submit
    snapshots = Snapshots(usage, card, in_background=in_background)
    logged = Snapshots(ledger, card, LedgerIndex, in_background=in_background)
    attributed = attributed_snapshots(AttributedStore(engine), card, in_background)
    review = _reviews(settings, snapshots, logged, attributed, budgets, modes, card)
    calendar = CalendarStore(engine)
    admins = Admins(settings.admins, base.client, base.workspace)
    fallback = _fallback(base, targets, modes, review.usage)
    for each in review.all:
        each.plans = lambda: calendar.plans(clock())
        each.in_force = partial(mode_in_force, fallback)
    estimates = EstimateStore(engine)
    return Services(
        usage=usage,
        ledger=ledger,
        otlp=OtlpIngest(ledger, OtlpStore(engine), card, ledger.user),
        snapshots=snapshots,
        logged=logged,
        attributed=attributed,
        alerts=alerts,
        lifecycle=alerts.life,
        asks=AskStore(engine),
        notices=alerts.notices,
        destinations=alerts.destinations,
        budgets=budgets,
        raises=Raises(raises, budgets.effective, review.spent_usd, clock, _channel_of(settings, budgets.teams)),
        calendar=calendar,
        review=review,
        fallback=fallback,
        mode_impacts=ModeImpacts(review.usage, fallback, card, clock),
        approvals=Approvals(ProposalStore(engine), fallback, clock),
        admins=admins,
        user_spend=UserSpend(admins, everyone=not settings.hides_users),
        estimates=estimates,
        digests=DigestSources(usage, ledger, snapshots, logged, review, estimates, card),
        digest_settings=DigestSettingsStore(settings.digests, engine, clock, settings.channel),
        counter=TokenCounter(base.http, settings.anthropic_api_key),
        response_urls=base.response_urls,
        native_blocks=NativeBlocks(clock),
        workspace=base.workspace,
        rate_limits=base.rate_limits,
        attribution=base.attribution,
        card=card,
        rules=settings.detector_rules,
        examine=partial(_examined, base, card),
        clock=clock,
        poll_seconds=settings.poll_seconds,
        display=settings.display,
        languages=Languages(base.client, settings.spoken, base.clock),
        threads=base.threads,
        later=base.later,
        metrics=base.metrics,
    )


def _reviews(
    settings: Settings,
    snapshots: Snapshots,
    logged: Snapshots,
    attributed: Snapshots,
    budgets: Budgets,
    modes: Mapping[str, Mode],
    card: RateCard,
) -> Reviews:
    """The reviews of budgets by their source: Anthropic's usage, logged usage and attributed spend."""
    of = partial(BudgetReview, in_force=budgets.in_force, modes=modes, card=card)
    return Reviews(
        of(snapshots, poll_seconds=settings.poll_seconds, live=LiveSource(logged)),
        of(logged, counts=lambda scope: scope.is_logged),
        of(attributed, poll_seconds=settings.poll_seconds, counts=lambda scope: scope.kind in ATTRIBUTED),
        budgets.teams,
    )


def _fallback(
    base: Base, targets: Sequence[Target], modes: Mapping[str, Mode], review: BudgetReview
) -> FallbackService:
    base.metrics.begin_modes(modes)
    return FallbackService(
        ModeStore(base.engine),
        Reconciler(TargetStore(base.engine), targets, base.clock),
        modes,
        base.clock,
        rules=base.settings.fallback_rules,
        period_end=lambda moment: period_end(review.budgets, moment),
        served=base.settings.http_port is not None,
        changes=ChangeSignal(),
        later=base.later,
        count=base.metrics.switched,
    )


async def _examined(base: Base, card: RateCard) -> tuple[Check, ...]:
    """Run the checks of `doctor` from within the running bot."""
    clock = base.clock
    steady = clock if isinstance(clock, SteadyClock) else None
    found = await examine(base.settings, base.client, sample_alert(clock()), card, clock, steady=steady)
    problem = base.leadership.problem()
    if problem is None:
        return found
    # The address may lead to another database by now than the one that this copy has opened.
    return tuple(Check("lease", State.FAIL, problem) if check.name == "lease" else check for check in found)


def _outboxes(base: Base, alerts: AlertStore, rendering: handlers.Rendering) -> tuple[Outbox, list[Outbox]]:
    """The outbox of the alert channel, and one for each further destination."""
    outbox_of = partial(
        Outbox,
        clock=base.clock,
        may_deliver=always if base.all_deliver else base.leadership.held,
        others_alive=always if base.all_deliver else base.leadership.previous_may_live,
    )
    to_slack = SlackDestination(base.client, base.settings.channel)
    labels = destination_labels(alerts.destinations.names)

    def counts(label: str) -> CountResult:
        return partial(base.metrics.delivered, label)

    others = [
        outbox_of(
            ContentStore(base.engine, each.name),
            each,
            rendering.plain,
            in_thread=base.threads.destinations,
            count=counts(labels[each.name]),
        )
        for each in _destinations(base.settings.destinations)
    ]
    in_thread, count_result = base.threads.delivery, counts(CHANNEL)
    return outbox_of(alerts.notices, to_slack, rendering.blocks, in_thread=in_thread, count=count_result), others


async def _note_date(clock: SteadyClock, answer: httpx.Response) -> None:
    clock.note(answer.headers)


def _detector_context(
    base: Base, services: Services, cycle_state: CycleStateStore, outbox: Outbox, others: Sequence[Outbox]
) -> DetectorContext:
    engine = base.engine

    def refusing() -> frozenset[str]:
        return frozenset(each.name for each in (outbox, *others) if each.refused is not None)

    return DetectorContext(
        snapshots=services.snapshots,
        logged=services.logged,
        usage=services.usage,
        ledger=services.ledger,
        review=services.review.usage,
        alerts=services.alerts,
        incidents=IncidentStore(engine),
        spikes=SpikeStore(engine),
        state_store=StateStore(engine),
        state=cycle_state.latest,
        rules=base.settings.detector_rules,
        slack_blocked=lambda: outbox.blocked,
        refusing=refusing,
    )


def _logged(base: Base, services: Services, context: DetectorContext) -> DetectorContext:
    """The context for budgets that count what applications log."""
    state_store = StateStore(base.engine, "logged_")
    return replace(context, snapshots=services.logged, review=services.review.logged, state_store=state_store)


def _attributed(base: Base, services: Services, context: DetectorContext) -> DetectorContext:
    """The context for budgets that count what Anthropic attributes."""
    return replace(
        context,
        snapshots=services.attributed,
        review=services.review.attributed,
        state_store=StateStore(base.engine, "attributed_"),
        attribution=AttributedStore(base.engine),
    )


def _looks(
    base: Base,
    services: Services,
    context: DetectorContext,
    logged: DetectorContext,
    attributed: DetectorContext,
    reacting: Sequence[Evaluator],
) -> tuple[Look, ...]:
    """The checks after every poll, in order. Delivery health is checked after each delivery instead."""
    fallback, snapshots, state = services.fallback, services.snapshots, context.state
    usage_verifier = UsageVerifier(services.usage, snapshots, services.card)
    # The chain steps down after all alerts that may be the reason, and the step is verified after that.
    return (
        *reacting,
        *(Evaluator(kind, context) for kind in AlertKind if kind not in (AlertKind.LIMIT, AlertKind.DELIVERY)),
        *(Evaluator(kind, logged, OF_LOGGED) for kind in (AlertKind.NEW_PERIOD, AlertKind.FORECAST, AlertKind.SPIKE)),
        *(Evaluator(kind, attributed, OF_ATTRIBUTED) for kind in ATTRIBUTED_KINDS),
        DigestPoster(services.digest_settings, services.digests, DigestStore(base.engine)),
        AutoFallback(fallback, services.mode_impacts, services.review.usage, context.incidents, snapshots, state),
        Verifier(fallback, usage_verifier, services.usage, base.settings.fallback_chain, state),
    )


def _destinations(receivers: Sequence[Receiver]) -> list[Destination]:
    if not receivers:
        return []
    # Import lazily: Apprise and its services take most of a second.
    from bot.notify.apprise import AppriseDestination

    return [AppriseDestination(receiver.name, receiver.url) for receiver in receivers]
