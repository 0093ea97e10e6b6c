"""All checks: Slack, Anthropic, the database and the machine."""

import asyncio
import os
from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta

import httpx
from slack_sdk.web.async_client import AsyncWebClient

from bot.clock import Clock
from bot.config.env_file import is_open_to_others
from bot.config.settings import Settings
from bot.doctor.anthropic import check_console_limit, check_usage_apis
from bot.doctor.check import Check, State, run_checks, without_secrets
from bot.doctor.configuration import secrets_of
from bot.doctor.database import check_clickhouse, check_database, shown_database
from bot.doctor.slack import Met, check_admins, check_channel, check_connection, check_own_channels, check_sample, meet
from bot.language import ntr, tr
from bot.listed import all_of
from bot.messages import Message
from bot.pricing.card import RateCard
from bot.steady_clock import FAIL_ABOVE, WARN_ABOVE, ClockOffsets, SteadyClock
from bot.usage.anthropic.client import new_http

SECONDS = 8
"""Seconds for each check; there are two rounds."""

OLD_CARD = timedelta(days=90)

ORDER = (
    "paths",
    "env_file",
    *(
        "slack_token",
        "slack_scopes",
        "slack_connection",
        "channel",
        "budget_channels",
        "digest_channels",
        "sample_alert",
        "admins",
    ),
    *("anthropic", "anthropic_analytics", "anthropic_admin", "cost_report", "console_limit"),
    *(
        "database",
        "lease",
        "freshness",
        "outbox",
        "destinations",
        "budgets",
        "scopes",
        "usage_rows",
        "attribution",
        "ledger",
        "fallback_file",
        "targets",
    ),
    *("clock", "rate_card"),
    "rollups",
)
"""Every name that a finding may have, in the order of the report; scripts rely on them."""

DATABASE_VARIABLE = "CLAUDE_COST_DATABASE_URL"
CHANNEL_VARIABLES = frozenset({DATABASE_VARIABLE, "CLAUDE_COST_CONFIG"})
LEDGER_VARIABLES = frozenset({"CLAUDE_COST_LEDGER_URL", "CLAUDE_COST_CONFIG"})


async def examine(
    settings: Settings,
    client: AsyncWebClient,
    sample: Message,
    card: RateCard,
    clock: Clock,
    *,
    wrong: frozenset[str] = frozenset(),
    seconds: float = SECONDS,
    steady: SteadyClock | None = None,
) -> tuple[Check, ...]:
    """Every finding, free of secrets. Posts nothing, and does not change the database.

    `wrong`: variables that could not be read; checks that need them are skipped rather than run with defaults.
    `sample`: an alert as this version renders it. `steady`: the running bot's clock, which has seen jumps.
    """
    offsets = ClockOffsets(clock if steady is None else steady.wall)
    jumped = None if steady is None else steady.jump_said()
    met: list[Met] = []

    async def slack() -> Sequence[Check]:
        met.append(await meet(client, offsets))
        return met[0].checks

    async def memory() -> Sequence[Check]:
        return await asyncio.to_thread(check_database, settings, clock, int(seconds))

    async def clickhouse() -> Sequence[Check]:
        return [await asyncio.to_thread(check_clickhouse, settings.ledger_url, int(seconds))]

    async def note(answer: httpx.Response) -> None:
        offsets.note("Anthropic", answer.headers)

    async with new_http(settings.anthropic_base_url) as http:
        http.event_hooks = {"response": [note]}
        first: dict[str, Awaitable[Sequence[Check]]] = {}
        if "SLACK_API_URL" not in wrong:
            first["slack_token"] = slack()
        if "ANTHROPIC_BASE_URL" not in wrong:
            first["anthropic"] = check_usage_apis(http, settings, clock)
            first["console_limit"] = check_console_limit(http, settings.anthropic_admin_key, settings.budgets)
        if DATABASE_VARIABLE not in wrong:
            first["database"] = memory()
        if settings.ledger_url and wrong.isdisjoint(LEDGER_VARIABLES):
            first["ledger"] = clickhouse()
        found = await run_checks(first, seconds)
    who = met[0] if met else Met(False, None, ())
    second = _with_slack(settings, client, sample, clock, who, wrong, seconds)
    found += await run_checks(second, seconds)
    found += [
        _paths(settings, wrong),
        *_env_file(settings),
        judge_clock(offsets.found, jumped),
        judge_rate_card(card, clock),
    ]
    found.sort(key=lambda check: ORDER.index(check.name))
    return without_secrets(found, secrets_of(settings))


def _with_slack(
    settings: Settings,
    client: AsyncWebClient,
    sample: Message,
    clock: Clock,
    who: Met,
    wrong: frozenset[str],
    seconds: float,
) -> dict[str, Awaitable[Sequence[Check]]]:
    """Checks that call Slack as `who`, the result of the token's check."""
    found: dict[str, Awaitable[Sequence[Check]]] = {}
    if "CLAUDE_COST_ADMINS" not in wrong:
        found["admins"] = check_admins(client, settings, who)
    if "SLACK_API_URL" not in wrong:
        found["slack_connection"] = check_connection(client, settings)
        found["channel"] = check_channel(client, settings.channel, who)
        if wrong.isdisjoint(CHANNEL_VARIABLES):
            found["budget_channels"] = check_own_channels(client, settings, clock, who, int(seconds))
        found["sample_alert"] = check_sample(client, sample, who)
    return found


def judge_rate_card(card: RateCard, clock: Clock) -> Check:
    """How long ago the packaged prices were checked."""
    days = (clock().date() - card.checked_on).days
    day = card.checked_on.isoformat()
    if days > 0:
        text = ntr(
            "List prices were checked on {day}, {number} day ago.",
            "List prices were checked on {day}, {number} days ago.",
            days,
            day=day,
        )
    elif days == 0:
        text = tr("List prices were checked on {day}, today.", day=day)
    else:
        # No age if the clock is behind that day, as in the demo.
        text = tr("List prices were checked on {day}.", day=day)
    if days > OLD_CARD.days:
        return Check("rate_card", State.WARN, text, tr("Update the bot: prices may have changed since."))
    return Check("rate_card", State.OK, text)


def _paths(settings: Settings, wrong: frozenset[str]) -> Check:
    file = settings.fallback_file
    if DATABASE_VARIABLE in wrong:
        return Check("paths", State.OK, tr("Absolute paths: fallback file {file}.", file=file))
    database = shown_database(settings.database_url)
    text = tr("Absolute paths: database {database}, fallback file {file}.", database=database, file=file)
    return Check("paths", State.OK, text)


def _env_file(settings: Settings) -> list[Check]:
    """Whether others may read the file of settings; no finding without one."""
    file = settings.env_file
    if file is None:
        return []
    text = tr("Settings that the environment does not have are read from {file}.", file=file)
    if not is_open_to_others(file, os.environ):
        return [Check("env_file", State.OK, text)]
    others = tr("Other users of this machine may read or change it, and it holds secrets.")
    return [Check("env_file", State.WARN, f"{text} {others}", tr("Restrict it: chmod 600 {path}", path=file))]


def judge_clock(offsets: Mapping[str, timedelta], jumped: str | None = None) -> Check:
    """Judge by the server whose clock differs most. `jumped`: a sentence about a jump that the running bot saw."""
    check = _judge(offsets)
    if jumped is None:
        return check
    state = State.WARN if check.state is State.OK else check.state
    return Check(check.name, state, f"{jumped} {check.text}", check.remedy)


def _judge(offsets: Mapping[str, timedelta]) -> Check:
    if not offsets:
        return Check("clock", State.SKIPPED, tr("Not checked, since no server responded."))
    server, offset = max(offsets.items(), key=lambda item: abs(item[1]))
    seconds = int(abs(offset).total_seconds())
    if abs(offset) <= WARN_ABOVE:
        servers = all_of(sorted(offsets))
        text = tr(
            "The machine's clock agrees with {servers} within {seconds} s.",
            servers=servers,
            seconds=WARN_ABOVE.seconds,
        )
        return Check("clock", State.OK, text)
    if offset > timedelta():
        text = tr("The machine's clock is {seconds} s ahead of {server}'s.", seconds=seconds, server=server)
    else:
        text = tr("The machine's clock is {seconds} s behind {server}'s.", seconds=seconds, server=server)
    remedy = tr("Let the machine set its clock from the network (NTP).")
    if abs(offset) > FAIL_ABOVE:
        what = tr("Slack's signatures are refused and ages are wrong at more than 5 minutes.")
        return Check("clock", State.FAIL, f"{text} {what}", remedy)
    return Check("clock", State.WARN, text, remedy)
