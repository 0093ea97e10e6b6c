"""How a stretch is asked about in parts, and whom a row of Anthropic's attribution is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import parse_scope
from bot.budgets.report import GroupBy
from bot.budgets.report_words import ReportWordsError, report_words
from bot.clock import DAY, HOUR, MINUTE
from bot.usage.anthropic.attribution import LONGEST, NOT_BEFORE, Rows, actor_in, first_kept, ranges, who_in
from bot.usage.anthropic.pages import PageParts
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
@pytest.mark.parametrize("rest", ["", ":", ":x", ":x=y"])
def test_no_scope_is_taken_that_nothing_would_count(kind: str, rest: str) -> None:
    with pytest.raises(ValueError, match=f"no budget counts .* {kind}, which only `report by {kind}` shows"):
        parse_scope(kind + rest)
