"""Expected spend: set at an alert by anybody in the channel; and `/claude-cost calendar`, which admins change."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.lifecycle_store import Handled
from bot.budgets.calendar import CalendarWordsError, Entry, Reach, next_window, parse_entry, reach_of, split_name
from bot.budgets.calendar_store import ACTION, FullError
from bot.budgets.scopes import NoMatchError
from bot.clock import DAY
from bot.db.state import Person
from bot.language import tr, tr_noop
from bot.messages import Message
from bot.services import Services
from bot.threads import InFlight
from bot.typed_text import cleaned, first_word, nearest, words_in
from handlers.asking import command_ask, refused
from handlers.render.expected import (
    DAYS,
    EXPECT_ACTION,
    FORM,
    LENGTHS,
    UNDO_ACTION,
    UNTIL,
    alert_of,
    calendar_list,
    expected_answer,
    expected_form,
    not_in_calendar,
    undo_answer,
    was_added,
    was_removed,
    would_count_nothing,
    would_quiet_nothing,
)
from handlers.render.fields import filled_fields
from handlers.render.help import unknown_action
from handlers.render.parts import code, said, sentence
from handlers.requests import (
    Click,
    Request,
    answering,
    click_of,
    on_click,
    open_view,
    person_of,
    reply,
    response_url_of,
)

ACTIONS = ("list", "add", "remove")
USE = tr_noop("use `calendar list`, `calendar add NAME every fri 22:00 for 6h` or `calendar remove NAME`")
NO_ROW = 0
"""Id of no row, for a forged button."""


async def calendar_command(services: Services, request: Request) -> Message:
    """`calendar [list | add NAME every|on … for TIME [zone=…] [for=SCOPE] | remove NAME]`."""
    action, rest = first_word(request.typed)
    action = action.lower() or "list"
    if action == "list":
        if words_in(rest):
            word = code(words_in(rest)[0])
            return said(tr("{word} is not known here: `calendar list` takes no words: {use}.", word=word, use=tr(USE)))
        return await services.threads.commands(_listed, services)
    if action not in ACTIONS:
        return unknown_action("calendar", action, ACTIONS, tr(USE))
    try:
        return await _changed(services, request.person, action, rest)
    except (CalendarWordsError, FullError) as error:
        return said(sentence(str(error)))


async def _changed(services: Services, person: Person, action: str, rest: str) -> Message:
    # Reject invalid words first, so that a request to an admin has valid ones.
    entry = parse_entry(rest, services.clock().date()) if action == "add" else None
    permission = await services.admins.may_switch(person, tr_noop("change the calendar"))
    if permission.refusal is not None:
        words = f"{action} {rest}"
        return refused(services, person, permission, ACTION, words, command_ask(f"calendar {cleaned(words)}"))
    if entry is None:
        return await services.threads.commands(_removed, services, person.id, rest)
    return await services.threads.commands(_added, services, person.id, entry)


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the button below an alert, to its form, and to the button that withdraws it."""

    async def on_open(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            view = expected_form(click_of(body, action).id or NO_ROW, response_url_of(body) or "")
            if not await open_view(client, body, view):
                await reply(services, body, said(tr("The form could not be opened: try again in a minute.")))

    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        async with answering(services, in_flight, body):
            until = filled_fields(body["view"]["state"]).get(UNTIL, "")
            alert_id, by = alert_of(body["view"]), person_of(body).id
            handled = await services.threads.commands(_expect, services, alert_id, by, until)
            await reply(services, body, expected_answer(handled))

    app.action(EXPECT_ACTION)(on_open)
    app.view(FORM)(on_submit)
    app.action(re.compile(f"^{UNDO_ACTION}(:|$)"))(on_click(services, in_flight, _undo))


def until_of(choice: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When a choice of the form ends: a day ends at midnight in the budget's zone. None for a forged choice."""
    if choice in LENGTHS:
        return now + LENGTHS[choice]
    if choice not in DAYS:
        return None
    day = now.astimezone(zone).date() + DAYS[choice] * DAY
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _expect(services: Services, alert_id: int, by: str, choice: str) -> Handled:
    now = services.clock()
    subject = services.lifecycle.subject(alert_id)
    budget = None if subject is None else services.budgets.effective(subject)
    until = until_of(choice, ZoneInfo("UTC") if budget is None else budget.zone, now)
    if until is None or until - now < timedelta(minutes=1):
        return Handled("unknown")
    handled = services.lifecycle.expect(alert_id, by, until, now)
    services.calendar.changed()
    return handled


async def _undo(services: Services, click: Click) -> Message:
    return await services.threads.commands(_taken_back, services, click.id or NO_ROW, click.person.id)


def _taken_back(services: Services, expectation_id: int, by: str) -> Message:
    found = services.lifecycle.expect_no_more(expectation_id, by, services.clock())
    services.calendar.changed()
    return undo_answer(found)


def _listed(services: Services) -> Message:
    now = services.clock()
    plans = services.calendar.plans(now)
    following = [next_window(one.entry, now) for one in plans.kept]
    return calendar_list(plans.kept, following, [each for each in plans.expected if each.holds(now)])


def _added(services: Services, by: str, entry: Entry) -> Message:
    now = services.clock()
    if entry.scope is not None:
        try:
            scope = services.review.scope_of(entry.scope)
        except NoMatchError as error:
            if error.certain:
                return would_count_nothing(entry, str(error))
            scope = entry.scope
        reach = reach_of(services.budgets.teams.scope(scope), services.budgets.in_force())
        if reach is Reach.NOTHING:
            return would_quiet_nothing(entry)
        entry = Entry(entry.name, entry.rule, entry.at, entry.lasts, entry.zone, scope)
    else:
        reach = Reach.ALL
    replaced = services.calendar.add(entry, by, now)
    return was_added(entry, next_window(entry, now), replaced is not None, reach)


def _removed(services: Services, by: str, words: str) -> Message:
    name, rest = split_name(words)
    known = [one.entry.name for one in services.calendar.plans(services.clock()).kept]
    if rest and f"{name} {rest}" in known:
        # A name may contain the words that begin a rule.
        name = f"{name} {rest}"
    found = next((each for each in known if each.lower() == name.lower()), name)
    if not name:
        return said(tr("`calendar remove` takes one name: {use}.", use=tr(USE)))
    if services.calendar.remove(found, by, services.clock()):
        return was_removed(found)
    return not_in_calendar(name, nearest(name, known))
