"""Splitting a stretch into requests, and whom a row of Anthropic's attribution is about."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.budgets.budget import parse_scope
from bot.budgets.report import GroupBy
from bot.budgets.report_words import ReportWordsError, report_words
from bot.clock import DAY, HOUR, MINUTE
from bot.usage.anthropic.attribution import (
    LONGEST,
    NOT_BEFORE,
    Rows,
    actor_in,
    first_kept,
    ranges,
    read_attributed_days,
    who_in,
)
from bot.usage.anthropic.client import Transport
from bot.usage.anthropic.pages import PageParts
from bot.usage.attributed_days import AttributedReading
from bot.usage.model import AttributedBy, MalformedError, Who

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
MOMENTS = st.integers(0, 4 * 365 * 24 * 60).map(lambda minutes: NOT_BEFORE + minutes * MINUTE)


@given(MOMENTS, st.integers(0, 400 * 24))
def test_the_parts_of_a_stretch_follow_each_other_and_none_is_too_long(starts_at: datetime, hours: int) -> None:
    ends_at = starts_at + hours * HOUR
    parts = ranges(starts_at, ends_at)
    assert sum((end - begin for begin, end in parts), timedelta()) == ends_at - starts_at
    assert all(timedelta() < end - begin <= LONGEST for begin, end in parts)
    assert [end for _, end in parts[:-1]] == [begin for begin, _ in parts[1:]]


@given(MOMENTS)
def test_the_first_day_kept_is_whole_and_at_most_365_days_ago(now: datetime) -> None:
    first = first_kept(now)
    assert first == first.replace(hour=0, minute=0, second=0, microsecond=0)
    assert first >= max(NOT_BEFORE, now - 365 * DAY)
    assert first - DAY < max(NOT_BEFORE, now - 365 * DAY)


@pytest.mark.parametrize(
    ("actor", "who"),
    [
        ({"type": "user_actor", "user_id": "user_1", "name": "Jane", "email_address": "j@x.y"}, Who("user_1", "Jane")),
        ({"type": "user_actor", "user_id": "user_1", "name": None, "email_address": "j@x.y"}, Who("user_1", "j@x.y")),
        ({"type": "user_actor", "user_id": "user_1", "name": " ", "email_address": None}, Who("user_1")),
        (
            {"type": "user_actor", "email_address": "j@x.y"},
            Who('{"email_address": "j@x.y", "type": "user_actor"}', "j@x.y"),
        ),
        ({"type": "service_account_actor", "service_account_id": "svac_1"}, Who("svac_1")),
        ({"type": "api_actor", "api_key_id": "apikey_1"}, Who("apikey_1")),
        ({"type": "new_actor", "robot_id": "robot_1"}, Who("robot_1")),
        ({"type": "new_actor"}, Who('{"type": "new_actor"}')),
    ],
)
def test_an_actor_has_an_id_and_a_name_where_anthropic_gives_one(actor: dict[str, Any], who: Who) -> None:
    assert actor_in(actor) == who


def test_two_federated_identities_without_ids_are_two() -> None:
    aws, gcp = (
        actor_in({"type": "federated_actor", "provider": {"type": name}, "subject": "deploy"})
        for name in ("aws", "gcp")
    )
    assert (aws.name, gcp.name) == ("deploy", "deploy")
    assert aws.id != gcp.id


@pytest.mark.parametrize("value", [7, True, ["user_1"]])
def test_a_group_in_no_known_form_is_odd_and_not_none(value: Any) -> None:
    with pytest.raises(MalformedError):
        who_in({"product": value}, "product")


def test_odd_rows_are_counted_and_an_answer_of_nothing_else_is_refused() -> None:
    def read(value: Any) -> Who:
        return who_in(value, "product")

    some = Rows("/path", read)
    some.take(PageParts([b'{"product": "chat"}', b'{"product": 7}', b"{"], False, None, NOW, 1))
    some.end()
    assert (some.rows, some.odd) == ([Who("chat")], 2)
    none = Rows("/path", read)
    none.take(PageParts([b'{"product": 7}'], False, None, NOW, 1))
    with pytest.raises(MalformedError):
        none.end()


@pytest.mark.parametrize(
    ("typed", "by"),
    [
        ("by product", AttributedBy.PRODUCT),
        ("today by Products", AttributedBy.PRODUCT),
        ("last month by group", AttributedBy.GROUP),
        ("per agent", AttributedBy.AGENT),
        ("by actors", AttributedBy.ACTOR),
        ("by organization", AttributedBy.ORGANIZATION),
        ("by organisation", AttributedBy.ORGANIZATION),
        ("by user", GroupBy.USER),
        ("", GroupBy.MODEL),
    ],
)
def test_what_the_rows_are(typed: str, by: GroupBy | AttributedBy) -> None:
    assert report_words(typed, NOW).by is by


def test_a_slip_of_the_finger_is_understood() -> None:
    with pytest.raises(ReportWordsError, match="Did you mean `report by product`"):
        report_words("by prodcut", NOW)


@pytest.mark.parametrize("kind", ["product", "group", "agent", "actor"])
@pytest.mark.parametrize("rest", ["", ":", ": "])
def test_a_scope_of_anthropics_attribution_needs_a_value(kind: str, rest: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} needs an? (id|NAME) after a colon, as in {kind}:"):
        parse_scope(kind + rest)


COSTS = {"amount": "400.5", "list_amount": None, "currency": "USD"}


def day_row(day: str, product: object = "chat", ends: str | None = None, **cost: object) -> dict[str, Any]:
    begins = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    ends_at = (begins + DAY).isoformat() if ends is None else ends
    group = {"product": product}
    return {"starting_at": begins.isoformat(), "ending_at": ends_at, "group": group, "cost": COSTS | cost}


async def read(
    rows: list[dict[str, Any]], refreshed_at: datetime | None = NOW, by: AttributedBy = AttributedBy.PRODUCT
) -> AttributedReading:
    """The reading of a response with these rows."""
    body = {
        "data": rows,
        "has_more": False,
        "next_page": None,
        "data_refreshed_at": None if refreshed_at is None else refreshed_at.isoformat(),
    }
    http = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    async with httpx.AsyncClient(transport=http, base_url="http://anthropic") as client:
        transport = Transport(client, SecretStr("sk-ant-admin-test"))
        found = await read_attributed_days(transport, by, date(2026, 11, 18), NOW)
        transport.close()
    return found


async def test_cents_are_dollars_and_rows_of_one_day_and_id_are_added_up() -> None:
    found = await read(
        [day_row("2026-11-19"), day_row("2026-11-19", amount="0.5"), day_row("2026-11-20", "a", amount="1")]
    )
    assert [(row.day.day, row.who.id, row.usd) for row in found.rows] == [
        (19, "chat", Decimal("4.01")),
        (20, "a", Decimal("0.01")),
    ]
    assert (found.first.day, found.last.day, found.refreshed_at, found.odd_days) == (18, 20, NOW, frozenset())


@pytest.mark.parametrize(
    ("odd", "days"),
    [
        (day_row("2026-11-19", 7), {19}),
        (day_row("2026-11-19", currency="EUR"), {19}),
        (day_row("2026-11-19", amount="lots"), {19}),
        (day_row("2026-11-19", ends="2026-11-21T00:00:00Z"), {19}),
        (day_row("2026-11-17"), set()),
        (day_row("2026-11-19") | {"starting_at": "2026-11-19T05:00:00Z"}, {19}),
        (day_row("2026-11-19") | {"starting_at": "tomorrow"}, {18, 19, 20}),
        ({"cost": COSTS}, {18, 19, 20}),
    ],
)
async def test_a_row_that_cannot_be_read_leaves_its_day_open(odd: dict[str, Any], days: set[int]) -> None:
    found = await read([day_row("2026-11-20"), odd])
    assert [row.day.day for row in found.rows] == [20]
    assert {day.day for day in found.odd_days} == days


async def test_without_a_refresh_the_newest_day_with_spend_says_how_old_the_data_is() -> None:
    assert (await read([day_row("2026-11-19")], None)).refreshed_at == datetime(2026, 11, 19, tzinfo=UTC)
    assert (await read([], None)).refreshed_at == datetime(2026, 11, 18, tzinfo=UTC)
    assert (await read([], NOW + DAY)).refreshed_at == NOW
