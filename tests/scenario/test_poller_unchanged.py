"""Unchanged responses of Anthropic are not written again; hours that another copy may have written are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select

from bot.clock import DAY, HOUR
from bot.db.schema import usage, usage_hours
from bot.language import spoken
from bot.usage.anthropic.admin import PAGE_MOST_BYTES
from bot.usage.anthropic.client import MOST_BYTES
from bot.usage.model import DataState, Read, TooManyRowsError, UsageChoice
from bot.usage.plan import Sizes
from tests.anthropic_reports import (
    ANSWERS,
    KEYS,
    MINUTE,
    MONTH,
    NOW,
    SUPPORT,
    USAGE,
    Reports,
    altered,
    fails,
    fill,
    output_of,
    passes,
    poll,
    reports_in,
)

LAST_HOURS = Read("1m", NOW.replace(hour=10, minute=0), NOW.replace(hour=13, minute=0))


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    async with reports_in(tmp_path) as reports:
        yield reports


def inserted(engine: Engine) -> list[int]:
    """Number of usage rows inserted by each later statement."""
    counts: list[int] = []

    @event.listens_for(engine, "before_cursor_execute")
    def count(_: object, cursor: object, statement: str, parameters: list[object], context: object, many: bool) -> None:
        if statement.startswith("INSERT INTO usage ("):
            counts.append(len(parameters) if many else 1)

    return counts


def minutes(reports: Reports, count: int) -> None:
    for index in range(count):
        reports.use(1, NOW - 6 * MINUTE - index * MINUTE)


@pytest.mark.parametrize("choice", ["admin", "analytics"])
@pytest.mark.parametrize("key", [ANSWERS, None])
async def test_a_poll_writes_only_the_minutes_that_have_changed(
    reports: Reports, choice: UsageChoice, key: str | None
) -> None:
    poller = reports.poller(choice)
    minutes(reports, 60)
    reports.use(5, NOW - HOUR, key=key, workspace=SUPPORT)
    await poll(reports, poller)
    written = inserted(reports.engine)
    reports.clock.advance(MINUTE)
    assert (await poll(reports, poller), sum(written)) == (1 if key else 2, 0)
    reports.use(100, NOW - 30 * MINUTE)
    reports.use(1000, NOW - 5 * MINUTE)
    reports.clock.advance(MINUTE)
    await poll(reports, poller)
    assert sum(written) == 2
    assert reports.stored() == reports.reported(MONTH)
    assert {state.read_at for state in reports.store.hours(NOW - 2 * HOUR).values()} == {NOW + 2 * MINUTE}


async def test_what_another_copy_has_written_since_is_read_and_written_anew(reports: Reports) -> None:
    here, there = reports.poller("admin"), reports.poller("admin")
    minutes(reports, 30)
    await poll(reports, here)
    late = reports.use(100, NOW - 30 * MINUTE)
    reports.clock.advance(MINUTE)
    await poll(reports, there)
    assert reports.output() == 130
    reports.clock.advance(MINUTE)
    reports.history.correct(late, reports.clock())
    await poll(reports, here)
    assert reports.output() == 30


async def test_what_was_not_stored_after_all_is_read_and_written_anew(reports: Reports) -> None:
    poller = reports.poller("admin")
    minutes(reports, 30)
    await poll(reports, poller)
    stored = reports.stored()
    reports.use(100, NOW - 30 * MINUTE)
    reports.clock.advance(MINUTE)

    async def lost() -> bool:
        return False

    kept, poller.may_store = poller.may_store, lost
    assert not (await poller.poll(MONTH)).ok
    assert reports.stored() == stored
    poller.may_store = kept
    reports.clock.advance(MINUTE)
    await poll(reports, poller)
    assert reports.output() == 130


async def test_a_key_that_belongs_elsewhere_moves_its_usage_though_the_answer_is_the_same(reports: Reports) -> None:
    poller = reports.poller("admin")
    reports.use(7, NOW - HOUR, key=ANSWERS)
    await poll(reports, poller)

    def moved(body: dict[str, list[dict[str, str]]]) -> None:
        for key in body["data"]:
            key["workspace_id"] = "wrkspc_01Elsewhere"

    reports.clock.advance(MINUTE)
    await poll(reports, poller)
    reports.wire.forget()
    reports.wire.script(KEYS, altered(moved))
    # An unknown key makes the lists be read again.
    reports.use(1, NOW - 5 * MINUTE, key="apikey_01New")
    reports.clock.advance(MINUTE)
    assert (await poller.poll(MONTH)).ok
    with reports.engine.connect() as connection:
        found = connection.execute(select(usage.c.workspace_id).where(usage.c.api_key_id == ANSWERS)).scalars().all()
    assert found == ["wrkspc_01Elsewhere"]


async def test_a_page_that_is_too_large_is_asked_for_with_fewer_buckets(reports: Reports) -> None:
    minutes(reports, 60)
    admin = reports.admin(page_bytes=6_000)
    assert output_of(await admin.usage(LAST_HOURS)) == 60
    limits = [call.values("limit")[0] for call in reports.wire.to(USAGE)]
    assert limits[0] == "1440"
    assert limits[1] == "90"
    reports.wire.forget()
    await admin.usage(LAST_HOURS)
    assert {call.values("limit")[0] for call in reports.wire.to(USAGE)} == {limits[-1]}


async def test_one_bucket_may_be_larger_than_a_page_should_be(reports: Reports) -> None:
    minutes(reports, 3)
    assert output_of(await reports.admin(page_bytes=10).usage(LAST_HOURS)) == 3


async def test_an_answer_of_more_than_a_thousand_pages_is_read_to_the_last_one(reports: Reports) -> None:
    reports.server.page_most = 1
    minutes(reports, 60)
    days = Read("1m", NOW.replace(minute=0) - 17 * HOUR, NOW.replace(minute=0) + HOUR)
    assert output_of(await reports.admin().usage(days)) == 60
    assert len(reports.wire.to(USAGE)) > 1000


SMALL = Sizes(part=24, most=40, packed_from=10)
"""A day of one row an hour is a part."""


async def test_a_new_install_that_is_cut_off_goes_on_where_it_ended(reports: Reports) -> None:
    total = fill(reports, 300)
    reports.wire.script(USAGE, *[passes] * 6, *[fails(500)] * 4)
    outcome = await reports.poller("admin", sizes=SMALL).poll(MONTH)
    data = reports.store.data_state()
    assert (outcome.ok, data) == (False, DataState(error=data.error, error_since=NOW))
    assert spoken(data.error or "") == outcome.error
    known = reports.store.hours(MONTH)
    assert len(known) > 24
    reports.wire.forget()
    assert await poll(reports, reports.poller("admin", sizes=SMALL)) > 2
    asked = {call.values("starting_at")[0] for call in reports.wire.to(USAGE)}
    assert not asked & {f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in list(known)[1:]}
    assert reports.output() == total
    assert reports.store.data_state().as_of == NOW - 5 * MINUTE
    assert reports.stored() == reports.reported(MONTH)


async def test_a_change_of_source_is_stored_all_at_once(reports: Reports) -> None:
    fill(reports, 300)
    await poll(reports, reports.poller("analytics", sizes=SMALL))
    stored = reports.stored()
    reports.use(100, NOW - 3 * DAY)
    reports.wire.forget()
    reports.wire.script(USAGE, *[passes] * 6, *[fails(500)] * 4)
    assert not (await reports.poller("admin", sizes=SMALL).poll(MONTH)).ok
    assert reports.stored() == stored
    with reports.engine.connect() as connection:
        assert set(connection.execute(select(usage_hours.c.source)).scalars()) == {"analytics"}
    await poll(reports, reports.poller("admin", sizes=SMALL))
    assert reports.stored() == reports.reported(MONTH)


async def test_a_part_with_too_many_rows_is_read_as_smaller_ones(reports: Reports) -> None:
    for index in range(200):
        reports.use(1, NOW - 100 * HOUR - index % 10 * HOUR, model=f"claude-opus-5-{index}")
    total = 200 + fill(reports, 300)
    await poll(reports, reports.poller("admin", sizes=SMALL))
    assert reports.output() == total
    with pytest.raises(TooManyRowsError):
        await reports.admin().usage(Read("1h", NOW.replace(minute=0) - 120 * HOUR, NOW.replace(minute=0)), {}, 40)


async def test_the_parsing_ends_with_its_poller(reports: Reports) -> None:
    transport = reports.transport()
    assert await transport.work(len, b"abc") == 3
    transport.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        await transport.work(len, b"abc")
    assert MOST_BYTES > PAGE_MOST_BYTES
