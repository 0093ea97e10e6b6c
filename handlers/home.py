"""The Home tab: how spend stands, without typing. Drawn when somebody opens it, and refreshed while they look.

Slack does not report when somebody leaves the tab: whoever opened it within `VIEWED_FOR` seconds counts as looking.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.asks import Ask, Wanted
from bot.budgets.account import Detail
from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind
from bot.budgets.course import course_of
from bot.budgets.report import GroupBy, Report, report_of
from bot.budgets.report_words import REPORTS_IN, ReportWords, report_words
from bot.budgets.snapshot import Snapshot
from bot.db.engine import database_problem
from bot.db.state import Person
from bot.language import language, tr, tr_noop
from bot.messages import Block, Message
from bot.services import Services
from bot.slack_api import CallError, LimitedCallError, RefusedCallError, as_object, call
from bot.threads import InFlight
from bot.usage.model import is_stale
from handlers.asking import refused
from handlers.budget import budget_command
from handlers.digest_settings import abouts
from handlers.estimate import open_form
from handlers.fallback import change_view
from handlers.kept_estimates import newest_with_pace
from handlers.render.budget import unmatched_line
from handlers.render.forms import text_view
from handlers.render.home import (
    BUDGETS_ACTION,
    ESTIMATE_ACTION,
    FALLBACK_ACTION,
    FORECAST_ACTION,
    MOST_BUDGETS,
    MOST_KEPT,
    MOST_MOVERS,
    REFRESH_ACTION,
    REPORT_ACTION,
    HomeContent,
    Stretch,
    home_view,
)
from handlers.render.parts import age_line, paragraph, said
from handlers.render.status import problem_lines, share_of_limit, waiting_lines
from handlers.report import forecast_command, report_command, with_provisional
from handlers.requests import Request, answering, dated, person_of, update_view
from handlers.status import with_names

log = logging.getLogger(__name__)

VIEWED_FOR = 15 * 60
"""Seconds for which somebody who opened the tab counts as looking."""

EVERY = 30
"""Seconds between two checks for changes. With `MOST_VIEWERS`, stays below Slack's rate limit."""

MOST_VIEWERS = 40

TITLES = {
    REPORT_ACTION: tr_noop("Report"),
    FORECAST_ACTION: tr_noop("Forecast"),
    FALLBACK_ACTION: tr_noop("Fallback mode"),
    BUDGETS_ACTION: tr_noop("Budgets"),
}

REFUSED = frozenset({"invalid_blocks", "invalid_arguments", "invalid_blocks_format"})
"""Errors of `views.publish` about the content of the view (docs.slack.dev)."""


@dataclass(slots=True)
class Viewer:
    """Somebody who has the tab open. `until`: seconds by the loop's clock; `content`: what they see."""

    user: str
    is_admin: bool
    sets_digests: bool
    client: AsyncWebClient
    until: float
    content: HomeContent | None = None


class HomeTabs:
    """The open tabs of this process. Idle while nobody looks."""

    def __init__(
        self, services: Services, in_flight: InFlight, every: float = EVERY, viewed_for: float = VIEWED_FOR
    ) -> None:
        self._services = services
        self._in_flight = in_flight
        self._every = every
        self._viewed_for = viewed_for
        self._viewers: OrderedDict[str, Viewer] = OrderedDict()
        self._following: asyncio.Task[None] | None = None

    async def show(self, person: Person, client: AsyncWebClient) -> None:
        """Draw the tab for somebody, and keep it fresh from now on."""
        content, permission, mine = await asyncio.gather(
            self._services.threads.commands(home_content, self._services),
            self._services.admins.may_switch(person),
            abouts(self._services, person),
        )
        until = asyncio.get_running_loop().time() + self._viewed_for
        viewer = Viewer(person.id, permission.allowed, mine.any, client, until)
        self._viewers.pop(person.id, None)
        self._viewers[person.id] = viewer
        if len(self._viewers) > MOST_VIEWERS:
            self._viewers.popitem(last=False)
        await self._publish(viewer, content)
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while not await self._in_flight.drains_within(self._every):
            now = asyncio.get_running_loop().time()
            for viewer in [each for each in self._viewers.values() if each.until <= now]:
                del self._viewers[viewer.user]
            if not self._viewers:
                return
            async with self._in_flight.work():
                await self.refresh()

    async def refresh(self) -> None:
        """Redraw the tabs whose content has changed."""
        contents: dict[str, HomeContent] = {}
        for viewer in list(self._viewers.values()):
            try:
                content = await self._content(viewer, contents)
            except SQLAlchemyError as error:
                log.warning("the Home tabs are not refreshed: %s", database_problem(error))
                return
            if viewer.content != content and not await self._publish(viewer, content):
                return

    async def _content(self, viewer: Viewer, known: dict[str, HomeContent]) -> HomeContent:
        """Content in the viewer's language. `known`: cache by language."""
        async with self._services.languages.reader(viewer.user):
            if language() not in known:
                known[language()] = await self._services.threads.commands(home_content, self._services)
            return known[language()]

    async def _publish(self, viewer: Viewer, content: HomeContent) -> bool:
        """Publish the tab; False if Slack asks to wait."""
        native = self._services.native_blocks
        drawn = [not native.refused] if native.refused else [True, False]
        for index, with_charts in enumerate(drawn):
            async with self._services.languages.reader(viewer.user):
                view = home_view(
                    content, for_admin=viewer.is_admin, native=with_charts, sets_digests=viewer.sets_digests
                )
            try:
                await call(viewer.client.views_publish(user_id=viewer.user, view=view))
            except LimitedCallError as error:
                log.warning("the Home tab was not shown: %s", error)
                return False
            except CallError as error:
                if isinstance(error, RefusedCallError) and error.code in REFUSED and index + 1 < len(drawn):
                    continue
                log.warning("the Home tab was not shown: %s", error)
                return True
            if index:
                native.refuse()
            viewer.content = content
            return True
        return True


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to people who open the Home tab, and to its buttons."""
    tabs = HomeTabs(services, in_flight)

    async def on_opened(event: dict[str, Any], body: dict[str, Any], client: AsyncWebClient) -> None:
        if event.get("tab") == "home":
            async with answering(services, in_flight, {**body, "user_id": event.get("user")}):
                await tabs.show(person_of({**body, "user_id": event.get("user")}), client)

    async def on_refresh(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await tabs.show(person_of(body), client)

    async def on_estimate(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await open_form(services, body, client)

    async def on_question(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await _answer_in_view(services, body, client, str(action.get("action_id")))

    app.action(REFRESH_ACTION)(on_refresh)
    app.action(ESTIMATE_ACTION)(on_estimate)
    for question in (REPORT_ACTION, FORECAST_ACTION, FALLBACK_ACTION, BUDGETS_ACTION):
        app.action(question)(on_question)
    app.event("app_home_opened")(on_opened)


async def _answer_in_view(services: Services, body: dict[str, Any], client: AsyncWebClient, action: str) -> None:
    """Open a view at once, before the `trigger_id` expires, and fill it afterwards."""
    title = TITLES[action]
    waiting = text_view(tr(title), said(tr("One moment …")))
    try:
        opened = await call(client.views_open(trigger_id=str(body.get("trigger_id")), view=waiting))
    except CallError as error:
        log.warning("the form was not opened: %s", error)
        return
    view = await _answer(services, person_of(body), action)
    await update_view(client, str(as_object(opened.data.get("view")).get("id")), view)


async def _answer(services: Services, person: Person, action: str) -> Block:
    title = tr(TITLES[action])
    if action == REPORT_ACTION:
        return text_view(title, await report_command(services, Request(person, "month")))
    if action == FORECAST_ACTION:
        return text_view(title, await dated(services, await forecast_command(services, Request(person, ""))))
    if action == FALLBACK_ACTION:
        permission = await services.admins.may_switch(person)
        if permission.refusal is not None:
            return text_view(title, refused(services, person, permission, "home", action, Ask(Wanted.OTHER_MODE)))
        return await change_view(services, "")
    budgets = await budget_command(services, Request(person, "list"))
    # Forms need a channel for their answers.
    listed = [part for part in budgets.parts if not any(block["type"] == "actions" for block in part.blocks)]
    how = tr("To set one, type `/claude-cost budget set`: it opens a form.")
    return text_view(title, Message([*listed, paragraph(how)]))


def home_content(services: Services) -> HomeContent:
    """Current content of the tab. Reads the database."""
    now = services.clock()
    snapshot, mode = services.snapshots.current(), services.fallback.state()
    problems = problem_lines(snapshot.data, mode, services.notices.last_error())
    problems += waiting_lines(services.destinations.waiting())
    opened = [
        (alert, None if alert.posted is None else services.workspace.permalink(alert.posted))
        for alert in with_names(services.lifecycle.open_alerts(), snapshot.names)
    ]
    content = HomeContent(
        unmatched=[unmatched_line(each) for each in services.review.unmatched()],
        open_alerts=opened,
        mode=mode,
        kept=newest_with_pace(services, MOST_KEPT),
        problems=problems,
        now=now,
        age=age_line(snapshot.data, now, services.poll_seconds),
        is_stale=snapshot.as_of is not None and is_stale(snapshot.data, now, services.poll_seconds),
        display=services.display,
    )
    return content if snapshot.as_of is None else _with_spend(services, snapshot, content)


def _with_spend(services: Services, snapshot: Snapshot, content: HomeContent) -> HomeContent:
    now = content.now
    month = report_words("month", now)
    of_month = _report(services, snapshot, month)
    today = report_words("today", now)
    reports = [(today.name, _report(services, snapshot, today)), (month.name, of_month)]
    spending = services.review.spending(now)
    sums = sorted(spending.sums(), key=share_of_limit, reverse=True)
    ends = services.review.usage.spend_against(MONTH, now, Detail.ENDS)
    return replace(
        content,
        stretches=[Stretch(name, report) for name, report in reports if report is not None],
        ends=None if of_month is None else ends,
        course=None if of_month is None else course_of(snapshot, of_month),
        names=snapshot.names,
        budgets=[spending.detailed(spend, Detail.ENDS) for spend in sums[:MOST_BUDGETS]],
        more_budgets=max(0, len(sums) - MOST_BUDGETS),
        movers=services.review.usage.movers(month.period, now, MOST_MOVERS),
    )


MONTH = Budget("", ORGANIZATION, PeriodKind.MONTH, REPORTS_IN, None, None, "")
"""The organization's month as in reports, independent of configured budgets."""


def _report(services: Services, snapshot: Snapshot, asked: ReportWords) -> Report | None:
    """Report of a day or a month; None if nothing is known of it."""
    report = report_of(snapshot, asked.period, asked.before, GroupBy.MODEL)
    return None if report is None else with_provisional(services, snapshot, report)
