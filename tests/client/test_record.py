"""The usage record of one response, and of a request that was refused."""

from typing import Any

import pytest

from bot.usage.logs.records import call_in
from claude_cost_client.labels import Labels
from claude_cost_client.record import failure_of, record_of
from tests.client.applications import NOW, OPUS, SONNET

MESSAGE: dict[str, Any] = {"id": "msg_1", "model": SONNET, "usage": {"input_tokens": 1, "output_tokens": 2}}


def test_it_has_the_names_of_the_contract_and_leaves_out_what_is_not_known() -> None:
    labels = Labels("search", "u1", "s1", "wrkspc_1", "ingest-2", (("pr", "7"), ("team", "core")))
    assert record_of(MESSAGE, NOW, labels, request_id="req_1", preferred=OPUS) == {
        "id": "msg_1",
        "request_id": "req_1",
        "time": "2026-11-16T09:00:00+00:00",
        "feature": "search",
        "user_id": "u1",
        "model": SONNET,
        "preferred_model": OPUS,
        "workspace": "wrkspc_1",
        "key": "ingest-2",
        "session": "s1",
        "tags": {"pr": "7", "team": "core"},
        "outcome": "ok",
        "usage": MESSAGE["usage"],
    }
    plain = record_of(MESSAGE, NOW, Labels(), preferred=SONNET)
    assert plain is not None
    assert set(plain) == {"id", "time", "model", "outcome", "usage"}


@pytest.mark.parametrize("usage", [None, {}, [], "text"])
def test_without_usage_there_is_none(usage: object) -> None:
    assert record_of({**MESSAGE, "usage": usage}, NOW, Labels()) is None


@pytest.mark.parametrize("given", [None, "", 7, "x" * 201, "msg_1\n"])
def test_a_response_without_a_usable_id_gets_one_that_no_other_has(given: object) -> None:
    records = [record_of({**MESSAGE, "id": given}, NOW, Labels()) for _ in range(2)]
    assert len({record["id"] for record in records if record}) == 2


def test_the_bot_reads_both_kinds() -> None:
    labels = Labels("search", "u1", "s1", tags=(("team", "core"),))
    done = record_of(MESSAGE, NOW, labels)
    refused = failure_of(OPUS, NOW, labels, outcome="rate_limited", request_id="req_1", preferred=None)
    assert done is not None
    calls: list[Any] = [call_in(record) for record in (done, refused)]
    for call in calls:
        assert (call.feature, call.user, call.session, call.at) == ("search", "u1", "s1", NOW)
    assert [call.model for call in calls] == [SONNET, OPUS]
    assert (calls[0].response, calls[1].counts.output_tokens) == ("msg_1", 0)
