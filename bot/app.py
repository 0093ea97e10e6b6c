"""Composition root: builds everything from settings, and closes it in reverse."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

import aiohttp
import httpx
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Engine

from bot import slack_api
from bot.alerts.cycle_state import CycleStateStore
from bot.alerts.day_drift import DayDrift, settled_days
from bot.alerts.delivery import DeliveryDetector
from bot.alerts.detector import Detector
from bot.alerts.drift import DriftDetector
from bot.alerts.due import DueStore
from bot.alerts.forecast import ForecastDetector
from bot.alerts.incident_store import IncidentStore
from bot.alerts.life_watch import LifecycleTimer
from bot.alerts.limits import LimitDetector
from bot.alerts.new_period import NewPeriodDetector
from bot.alerts.no_data import NoDataDetector
from bot.alerts.notice_contents import ContentStore
from bot.alerts.receiver import Receiver
from bot.alerts.spike import SpikeDetector
from bot.alerts.spike_store import SpikeStore
from bot.alerts.store import AlertStore
from bot.budgets.book import BudgetBook
from bot.budgets.budget import LOGGED
from bot.budgets.ledger_index import LedgerIndex
from bot.budgets.review import BudgetReview
from bot.budgets.reviews import Reviews
from bot.budgets.snapshots import Snapshots
from bot.budgets.store import BudgetStore
from bot.clock import Clock
from bot.config.settings import Settings
from bot.db.engine import open_database
from bot.db.later import Later
from bot.db.lease import Lease
from bot.db.state import StateStore
from bot.doctor.check import Check, State
from bot.doctor.examination import examine
from bot.doctor.slack import sample_limit_alert
from bot.fallback.admins import Admins
from bot.fallback.approvals import Approvals
from bot.fallback.auto_watch import AutoWatch
from bot.fallback.change_signal import ChangeSignal
from bot.fallback.impact import Prospects, mode_in_force
from bot.fallback.proposal_store import ProposalStore
from bot.fallback.reconciler import Reconciler
from bot.fallback.service import FallbackService
from bot.fallback.store import ModeStore
from bot.fallback.target_store import TargetStore
from bot.fallback.targets.base import Target
from bot.fallback.targets.registry import targets_from, tidy_targets
from bot.fallback.verification_watch import Verifier
from bot.fallback.verifying import Proving
from bot.in_flight import InFlight
from bot.ledger.store import SqlLedger
from bot.messages import Message
from bot.mode import modes_from_chain
from bot.modes.expiry import period_end
from bot.notify.background import BackgroundDelivery
from bot.notify.destination import Destination
from bot.notify.outbox import Outbox
from bot.notify.response_urls import ResponseUrls
from bot.notify.slack import SlackDestination
from bot.notify.slack_connection import Workspace
from bot.phrases import count
from bot.pricing.card import load_rate_card
from bot.pricing.store import EstimateStore
from bot.runner.cycle import Bot
from bot.runner.ending import close_in_thread, close_within
from bot.runner.leadership import Leadership
from bot.services import Services
from bot.steady_clock import SteadyClock
from bot.threads import Threads
from bot.usage.anthropic.client import Transport
from bot.usage.anthropic.limits import RateLimitCache
from bot.usage.anthropic.token_count import TokenCounter
from bot.usage.poller import build_poller
from bot.usage.store import UsageStore

import handlers  # isort: skip  # the one place where bot/ knows of the user interface

log = logging.getLogger(__name__)

BOLTS_OWN = ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET")
CLOSE_SECONDS = 0.5
"""For each step of the clean-up at the end."""

LIMITS_WAIT = timedelta(seconds=30)
"""For the rate limits, which only an estimate asks for."""


def slack_client(settings: Settings, session: aiohttp.ClientSession) -> AsyncWebClient:
    """Slack's Web API for the bot token, without retries of its own."""
    return AsyncWebClient(
        token=settings.slack_bot_token.get_secret_value() if settings.slack_bot_token else None,
        base_url=settings.slack_api_url,
        timeout=slack_api.TIMEOUT_SECONDS,
        session=session,
        retry_handlers=[],
    )


def _slack_app(client: AsyncWebClient) -> AsyncApp:
    # With both of these in the environment, Bolt would ignore our token and take us for an app of many workspaces.
    of_bolt = {name: os.environ.pop(name) for name in BOLTS_OWN if name in os.environ}
    try:
        # The HTTP port verifies signatures, before anything of a request is parsed.
        return AsyncApp(client=client, request_verification_enabled=False)
    finally:
        os.environ.update(of_bolt)


def sample_alert(now: datetime) -> Message:
    """An alert as this version draws it, for Slack to check."""
    return handlers.alert_message(sample_limit_alert(now), None)


@asynccontextmanager
async def bot_from(
    settings: Settings, clock: Clock, *, most_waiting: timedelta | None = None, hears_clicks: bool = True
) -> AsyncIterator[Bot]:
    """Everything, built and closed again. `most_waiting`: the most that one poll may wait for Anthropic in all.

    `hears_clicks`: whether people can acknowledge alerts; where they cannot, nothing is escalated.
    """
    async with AsyncExitStack() as stack:
        threads = Threads()
        stack.callback(threads.close)
        engine = await asyncio.to_thread(open_database, settings.database_url)
        stack.push_async_callback(close_in_thread, "the database", CLOSE_SECONDS, engine.dispose)
        leadership = await stack.enter_async_context(Leadership(Lease(engine)).kept())
        session = await stack.enter_async_context(slack_api.new_session())
        client = slack_client(settings, session)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=settings.anthropic_base_url))
        if isinstance(clock, SteadyClock):
            http.event_hooks = {"response": [partial(_note_date, clock)]}
        limits = RateLimitCache(Transport(http, settings.anthropic_admin_key, most_waiting=LIMITS_WAIT), clock)
        stack.push_async_callback(close_within, "the rate limits", CLOSE_SECONDS, limits.close)
        rules = settings.alert_rules if hears_clicks else replace(settings.alert_rules, escalate_after=None)
        wanted = {receiver.name: receiver.levels for receiver in settings.destinations}
        alerts = AlertStore(engine, wanted, rules.channel_levels)
        await _warn_of_stranded(alerts)
        await asyncio.to_thread(tidy_targets, settings.fallback_file, time.time())
        targets = targets_from(settings.fallback_file)
        in_flight = InFlight()
        workspace = Workspace()
        response_urls = ResponseUrls(session, client, in_flight)
        admins = Admins(settings.admins, client, workspace)
        later = Later(threads.later, in_flight)
        stack.push_async_callback(close_within, "the last writes", CLOSE_SECONDS, later.close)
        hash_users = settings.ledger_rules.hash_users
        ledger = await asyncio.to_thread(partial(SqlLedger, engine, hash_users=hash_users))
        services = _services(
            settings,
            engine,
            ledger,
            alerts,
            targets,
            client,
            http,
            limits,
            response_urls,
            admins,
            clock,
            leadership,
            threads,
            later,
        )
        slack = _slack_app(client)
        handlers.register(slack, services, in_flight)
        rendering = handlers.Rendering(
            targets, workspace, settings.display, rules.late_after, services.review.usage.is_stale
        )
        to_slack = SlackDestination(client, settings.channel)
        outbox_of = partial(
            Outbox, clock=clock, still_leads=leadership.held, predecessor_alive=leadership.previous_may_live
        )
        outbox = outbox_of(alerts.notices, to_slack, rendering.blocks, in_thread=threads.delivery)
        others = [
            outbox_of(ContentStore(engine, each.name), each, rendering.plain, in_thread=threads.destinations)
            for each in _destinations(settings.destinations)
        ]
        destinations = BackgroundDelivery(others, in_flight)
        stack.push_async_callback(close_within, "the destinations", CLOSE_SECONDS, destinations.close)
        poller = build_poller(
            http,
            settings.anthropic_admin_key,
            settings.usage_api,
            services.usage,
            clock,
            most_waiting=most_waiting,
            may_store=leadership.still_held,
        )
        stack.callback(poller.close)

        def refusing() -> frozenset[str]:
            return frozenset(each.name for each in (outbox, *others) if each.refused is not None)

        cycle_state = CycleStateStore(engine)
        life = LifecycleTimer(alerts.life, rules, clock)
        delivery_watch = DeliveryDetector(
            alerts, lambda: outbox.blocked, refusing, lambda: services.fallback.state().mode.name, clock
        )
        reacting = (LimitDetector(services.logged, services.alerts, services.review.logged),)
        yield Bot(
            settings=settings,
            services=services,
            poller=poller,
            outbox=outbox,
            destinations=destinations,
            leadership=leadership,
            slack=slack,
            in_flight=in_flight,
            workspace=workspace,
            cycle_state=cycle_state,
            detectors=_detectors(settings, engine, services, cycle_state, reacting),
            reacting=reacting,
            life=life,
            delivery_watch=delivery_watch,
            due=DueStore(engine, alerts.destinations.names, rules),
        )


async def _warn_of_stranded(alerts: AlertStore) -> None:
    for name, waiting in (await asyncio.to_thread(alerts.destinations.stranded)).items():
        log.warning("%s for a destination named %s, which is not configured any more", _waiting(waiting), name)


def _waiting(alerts: int) -> str:
    return f"{count(alerts, 'alert')} {'waits' if alerts == 1 else 'wait'}"


def _services(
    settings: Settings,
    engine: Engine,
    ledger: SqlLedger,
    alerts: AlertStore,
    targets: Sequence[Target],
    client: AsyncWebClient,
    http: httpx.AsyncClient,
    limits: RateLimitCache,
    response_urls: ResponseUrls,
    admins: Admins,
    clock: Clock,
    leadership: Leadership,
    threads: Threads,
    later: Later,
) -> Services:
    card = load_rate_card()
    modes = modes_from_chain(settings.fallback_chain, settings.modes)
    usage = UsageStore(engine)
    snapshots = Snapshots(usage, card)
    book = BudgetBook(settings.budgets, BudgetStore(engine), clock)
    logged = Snapshots(ledger, card, LedgerIndex)
    review = Reviews(
        BudgetReview(
            snapshots, book.in_force, modes, card, settings.poll_seconds, lambda scope: scope.kind not in LOGGED
        ),
        BudgetReview(logged, book.in_force, modes, card, counts=lambda scope: scope.kind in LOGGED),
    )
    fallback = FallbackService(
        ModeStore(engine),
        Reconciler(TargetStore(engine), targets, clock),
        modes,
        clock,
        rules=settings.fallback_rules,
        period_end=lambda moment: period_end(review.usage.budgets, moment),
        served=settings.http_port is not None,
        changes=ChangeSignal(),
        later=later,
    )
    review.usage.in_force = review.logged.in_force = partial(mode_in_force, fallback)

    async def examined() -> tuple[Check, ...]:
        steady = clock if isinstance(clock, SteadyClock) else None
        found = await examine(settings, client, sample_alert(clock()), card, clock, steady=steady)
        problem = leadership.problem()
        if problem is None:
            return found
        # What is found under the database's address need not be what this copy has opened.
        return tuple(Check("lease", State.FAIL, problem) if check.name == "lease" else check for check in found)

    return Services(
        usage=usage,
        ledger=ledger,
        snapshots=snapshots,
        logged=logged,
        alerts=alerts,
        lifecycle=alerts.life,
        notices=alerts.notices,
        destinations=alerts.destinations,
        budgets=book,
        review=review,
        fallback=fallback,
        prospects=Prospects(review.usage, fallback, card, clock),
        approvals=Approvals(ProposalStore(engine), fallback, clock),
        admins=admins,
        estimates=EstimateStore(engine),
        counter=TokenCounter(http, settings.anthropic_api_key),
        response_urls=response_urls,
        rate_limits=limits,
        card=card,
        examine=examined,
        clock=clock,
        poll_seconds=settings.poll_seconds,
        display=settings.display,
        threads=threads,
        later=later,
    )


async def _note_date(clock: SteadyClock, answer: httpx.Response) -> None:
    clock.note(answer.headers)


def _detectors(
    settings: Settings,
    engine: Engine,
    services: Services,
    cycle_state: CycleStateStore,
    reacting: Sequence[Detector],
) -> tuple[Detector, ...]:
    usage, alerts, review, card = services.usage, services.alerts, services.review.usage, services.card
    snapshots, logged = services.snapshots, services.review.logged
    incidents, state = IncidentStore(engine), cycle_state.latest

    def settled(first: date, last: date) -> list[DayDrift]:
        return settled_days(snapshots.current(), first, last)

    # The chain steps down after all that it may answer, and what it did is proved after that.
    return (
        LimitDetector(snapshots, alerts, review),
        *reacting,
        NoDataDetector(usage, alerts, state, review, settings.poll_seconds),
        NewPeriodDetector(snapshots, alerts, review),
        NewPeriodDetector(services.logged, alerts, logged),
        ForecastDetector(review, alerts, StateStore(engine), settings.forecast_rules),
        ForecastDetector(logged, alerts, StateStore(engine, "logged_"), settings.forecast_rules),
        SpikeDetector(snapshots, alerts, SpikeStore(engine), review, settings.spike_rules),
        SpikeDetector(services.logged, alerts, SpikeStore(engine), logged, settings.spike_rules),
        DriftDetector(usage, alerts, incidents, settled, settings.drift_rules, state),
        AutoWatch(services.fallback, services.prospects, review, incidents, snapshots, state),
        Verifier(services.fallback, Proving(usage, snapshots, card), usage, settings.fallback_chain, state),
    )


def _destinations(receivers: Sequence[Receiver]) -> list[Destination]:
    if not receivers:
        return []
    # Importing Apprise and its services takes most of a second, which only those wait for who use them.
    from bot.notify.apprise import AppriseDestination

    return [AppriseDestination(receiver.name, receiver.url) for receiver in receivers]
