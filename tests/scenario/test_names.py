"""The look-up of workspaces and keys, over real HTTP: names once known stay known, and a failure costs no usage."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.clock import DAY, HOUR
from bot.sandbox.anthropic_server import ANALYTICS_KEY
from bot.sandbox.anthropic_usage import DEFAULT_WORKSPACE_ID
from bot.usage.directory import UNKNOWN_WORKSPACE
from bot.usage.model import Read
from tests.anthropic_reports import (
    ANSWERS,
    INGEST,
    KEYS,
    MINUTE,
    NOW,
    REVIEW,
    SEARCH,
    SUPPORT,
    WORKSPACES,
    Answering,
    Reports,
    by_place,
    fails,
    passes,
    reports_in,
    says,
)

LAST_HOURS = Read("1m", NOW.replace(hour=10, minute=0), NOW.replace(hour=13, minute=0))


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    async with reports_in(tmp_path) as reports:
        yield reports


async def test_names_are_looked_up_once_and_kept(reports: Reports) -> None:
    reports.use(1)
    analytics = reports.analytics()
    for _ in range(3):
        await analytics.usage(LAST_HOURS)
    # Once with the default workspace and once without: what is more is the default one.
    assert (len(reports.wire.to(WORKSPACES)), len(reports.wire.to(KEYS))) == (2, 1)
    names = reports.store.names()
    assert names.workspaces == {SEARCH: "Search", SUPPORT: "Support", "default": "Default"}
    assert names.default_id == DEFAULT_WORKSPACE_ID
    assert names.keys == {INGEST: "ingest-2", ANSWERS: "answers", REVIEW: "code-review"}
    assert names.workspace_of_key == {INGEST: SEARCH, ANSWERS: SUPPORT}
    # A bot that starts anew finds them in its store.
    await reports.analytics().usage(LAST_HOURS)
    assert len(reports.wire.to(KEYS)) == 1


async def test_names_are_looked_up_for_the_admin_report_too(reports: Reports) -> None:
    reports.use(1)
    await reports.admin().usage(LAST_HOURS)
    assert reports.store.names().keys[INGEST] == "ingest-2"


async def test_names_are_looked_up_again_after_a_day(reports: Reports) -> None:
    analytics = reports.analytics()
    await analytics.usage(LAST_HOURS)
    reports.server.keys[INGEST] = ("ingest-3", SEARCH)
    reports.clock.advance(DAY - MINUTE)
    await analytics.usage(LAST_HOURS)
    assert reports.store.names().keys[INGEST] == "ingest-2"
    reports.clock.advance(MINUTE)
    await analytics.usage(LAST_HOURS)
    assert reports.store.names().keys[INGEST] == "ingest-3"


async def test_a_new_key_is_looked_up_at_once(reports: Reports) -> None:
    analytics = reports.analytics()
    reports.use(1)
    await analytics.usage(LAST_HOURS)
    reports.server.keys["apikey_new"] = ("new", SUPPORT)
    reports.use(2, key="apikey_new", workspace=SUPPORT)
    reading = await analytics.usage(LAST_HOURS)
    assert by_place(reading) == {(SEARCH, INGEST): 1, (SUPPORT, "apikey_new"): 2}
    assert reports.store.names().keys["apikey_new"] == "new"


async def test_the_default_workspace_is_not_looked_for_at_every_poll(reports: Reports) -> None:
    analytics = reports.analytics()
    reports.use(1, key=None)
    for _ in range(30):
        await analytics.usage(LAST_HOURS)
        reports.clock.advance(MINUTE)
    assert len(reports.wire.to(WORKSPACES)) == 2


async def test_an_older_api_that_has_no_list_with_the_default_workspace_still_has_one_name_for_it(
    reports: Reports,
) -> None:
    reports.use(1, key=None)
    reports.wire.script(WORKSPACES, passes, fails(400, message="include_default is not known"))
    reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {("default", None): 1}
    assert reports.store.names().default_id is None


async def test_a_key_that_no_list_has_is_shown_by_its_id_and_in_no_workspace(reports: Reports) -> None:
    analytics = reports.analytics()
    reports.use(1, key="apikey_gone", workspace=SEARCH)
    for _ in range(3):
        reading = await analytics.usage(LAST_HOURS)
    assert by_place(reading) == {(UNKNOWN_WORKSPACE, "apikey_gone"): 1}
    assert len(reports.wire.to(KEYS)) == 1


async def test_a_key_that_is_deleted_keeps_its_name_and_its_workspace(reports: Reports) -> None:
    reports.use(1)
    await reports.analytics().usage(LAST_HOURS)
    del reports.server.keys[INGEST]
    reports.clock.advance(DAY)
    reading = await reports.analytics().usage(LAST_HOURS)
    assert len(reports.wire.to(KEYS)) == 2
    assert by_place(reading) == {(SEARCH, INGEST): 1}
    assert reports.store.names().keys[INGEST] == "ingest-2"


async def test_archived_workspaces_and_keys_keep_their_names(reports: Reports) -> None:
    reports.server.archived |= {SEARCH, INGEST}
    reports.use(1)
    reports.use(2, key=None, workspace=SEARCH)
    reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {(SEARCH, INGEST): 1, (SEARCH, None): 2}
    assert reports.store.names().workspaces[SEARCH] == "Search"
    assert reports.store.names().keys[INGEST] == "ingest-2"


async def test_names_that_span_pages_are_read_to_the_last_one(reports: Reports) -> None:
    reports.server.page_most = 2
    reports.server.workspaces.update({f"wrkspc_{index}": f"Workspace {index}" for index in range(5)})
    await reports.analytics().usage(LAST_HOURS)
    names = reports.store.names()
    assert (names.workspaces, len(names.keys)) == (reports.server.workspaces | {"default": "Default"}, 3)
    asked = [call.values("after_id") for call in reports.wire.to(WORKSPACES)]
    assert asked == [[], [SUPPORT], ["wrkspc_1"], ["wrkspc_3"]] * 2
    assert [*dict.fromkeys(call.query.partition("&after_id")[0] for call in reports.wire.to(WORKSPACES))] == [
        "include_archived=true&limit=1000",
        "include_archived=true&include_default=true&limit=1000",
    ]


@pytest.mark.parametrize("path", [WORKSPACES, KEYS])
@pytest.mark.parametrize(
    "answer",
    [
        fails(403),
        fails(404),
        fails(400),
        fails(500),
        says("<html></html>"),
        says({}),
        says({"data": [{"id": "wrkspc_1"}], "has_more": False}),
        says({"data": [], "has_more": True, "last_id": None}),
        says({"data": [], "has_more": True, "last_id": "wrkspc_1"}),
    ],
)
async def test_a_look_up_that_fails_costs_names_and_nothing_else(
    reports: Reports, caplog: pytest.LogCaptureFixture, path: str, answer: Answering
) -> None:
    reports.use(1)
    reports.wire.script(path, answer, times=4)
    with caplog.at_level(logging.WARNING):
        reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {(UNKNOWN_WORKSPACE, INGEST): 1}
    assert reports.store.names().read_at is None
    assert "shown by their ids" in caplog.text


@pytest.mark.parametrize(
    ("answer", "wait"), [(fails(403), HOUR), (fails(404), HOUR), (says("{"), 5 * MINUTE)], ids=["403", "404", "rubbish"]
)
async def test_a_look_up_that_failed_is_tried_again_later_and_not_at_every_poll(
    reports: Reports, answer: Answering, wait: timedelta
) -> None:
    analytics = reports.analytics()
    reports.use(1)
    reports.wire.script(KEYS, answer)
    while reports.clock() < NOW + wait:
        await analytics.usage(LAST_HOURS)
        reports.clock.advance(MINUTE)
    assert len(reports.wire.to(KEYS)) == 1
    reading = await analytics.usage(LAST_HOURS)
    assert by_place(reading) == {(SEARCH, INGEST): 1}


async def test_names_that_are_known_outlive_a_look_up_that_fails(reports: Reports) -> None:
    reports.use(1)
    await reports.analytics().usage(LAST_HOURS)
    reports.clock.advance(DAY)
    reports.wire.script(KEYS, fails(403))
    reading = await reports.analytics().usage(LAST_HOURS)
    assert by_place(reading) == {(SEARCH, INGEST): 1}
    assert reports.store.names().keys[INGEST] == "ingest-2"


async def test_a_key_that_reads_nothing_but_analytics_reads_usage_by_ids(reports: Reports) -> None:
    reports.use(1)
    reports.use(2, key=None)
    reading = await reports.analytics(ANALYTICS_KEY).usage(LAST_HOURS)
    assert by_place(reading) == {(UNKNOWN_WORKSPACE, INGEST): 1, (DEFAULT_WORKSPACE_ID, None): 2}
