"""`/claude-cost status` and `doctor`: the state of spend and of the bot itself."""

from collections.abc import Iterable
from dataclasses import replace

from bot.alerts.day_drift import settled_days
from bot.alerts.incident import AlertKind, subject_of
from bot.alerts.lifecycle import OpenAlert
from bot.budgets.account import Detail
from bot.clock import DAY
from bot.doctor.check import MARKS, Check, State, summary, title
from bot.language import tr
from bot.listed import labelled
from bot.messages import Message
from bot.notify.store import UnreachableChannel
from bot.services import Services
from bot.usage.store_reads import Names
from handlers.render.drift_alert import truth_lines
from handlers.render.parts import lead, shown
from handlers.render.status import status_message
from handlers.requests import Request

TRUTH_DAYS = 7
"""Settled days for which `status` compares computed and billed."""

LINE_LIMIT = 700
"""Longest finding in characters: some name a path and quote an error."""


async def status_command(services: Services, request: Request) -> Message:
    """`status`: every budget, the mode, the open alerts, and the age of all of it."""
    return await services.threads.commands(status_of, services)


async def doctor_command(services: Services, request: Request) -> Message:
    """`doctor`: the checks of the command line inside the running bot, with the settings of the start.

    Failures and warnings come first.
    """
    checks = await services.examine()
    order = (State.FAIL, State.WARN, State.OK, State.SKIPPED)
    ranked = sorted(checks, key=lambda check: order.index(check.state))
    lines = [shown(line, LINE_LIMIT) for line in summary(checks)]
    return Message([lead(*lines, *map(_line, ranked))])


def _line(check: Check) -> str:
    return labelled(f"{tr(MARKS[check.state])} · {title(check)}", shown(check.text, LINE_LIMIT))


def with_names(open_alerts: Iterable[OpenAlert], names: Names) -> list[OpenAlert]:
    """The alerts with the names of new keys."""
    keys = {subject_of(id_): name for id_, name in names.keys.items()}
    return [
        replace(alert, name=keys.get(alert.identity.subject)) if alert.identity.kind is AlertKind.FIRST_SEEN else alert
        for alert in open_alerts
    ]


def status_of(services: Services) -> Message:
    """The answer to `status`. Reads the database."""
    now = services.clock()
    today = now.date()
    snapshot = services.snapshots.current()
    settled = settled_days(snapshot, today - 2 * TRUTH_DAYS * DAY, today)
    spending = services.review.spending(now)
    return status_message(
        spending.sums(),
        snapshot.data,
        services.fallback.state(),
        services.notices.last_error(),
        now,
        services.poll_seconds,
        services.destinations.waiting(),
        services.display,
        truth_lines(settled[-TRUTH_DAYS:], snapshot.data.billed_read_at),
        with_names(services.lifecycle.open_alerts(), snapshot.names),
        services.review.unmatched(),
        lambda spend, worst: spending.detailed(spend, Detail.ALL if worst else Detail.ENDS | Detail.WHY),
        _unreachable(services),
    )


def _unreachable(services: Services) -> list[UnreachableChannel]:
    """Channels of budgets in force to which the bot cannot post."""
    wanted = {budget.channel for budget in services.budgets.in_force()}
    return [each for channel, each in services.notices.unreachable().items() if channel in wanted]
