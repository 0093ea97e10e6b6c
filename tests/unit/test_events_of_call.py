"""One logged call becomes the events that its price needs, and no more."""

from datetime import UTC, datetime

from bot.ledger.events_of_call import RecordLabels, events_of_call, labels_in, transcript_tags
from bot.ledger.model import Outcome
from bot.pricing.responses import Call, Part
from bot.pricing.tokens import TokenCounts

AT = datetime(2026, 6, 28, 10, tzinfo=UTC)


def test_a_call_is_one_event_with_all_that_is_known_of_it() -> None:
    call = Call("claude-opus-4-8", TokenCounts(10, output_tokens=5), feature="support", user="u1", session="s1")
    (event,) = events_of_call(call, "msg_1", AT, RecordLabels((("team", "red"),), "wrk", "key", Outcome.ERROR, "req_1"))
    its = event.dimensions
    assert (its.model, its.feature, its.user_id, its.tags) == ("claude-opus-4-8", "support", "u1", (("team", "red"),))
    assert (its.workspace, its.key, event.outcome, event.request_id) == ("wrk", "key", Outcome.ERROR, "req_1")
    assert (event.id, event.at, event.requests, event.session) == ("msg_1", AT, 1, "s1")


def test_what_was_billed_besides_is_no_further_request() -> None:
    advice = Part("claude-fable-5", TokenCounts(7, output_tokens=1))
    call = Call("claude-opus-4-8", TokenCounts(10, output_tokens=5), outside=(advice,))
    events = events_of_call(call, "msg_1", AT)
    assert [(event.id, event.dimensions.model, event.requests) for event in events] == [
        ("msg_1", "claude-opus-4-8", 1),
        ("msg_1#1", "claude-fable-5", 0),
    ]


def test_a_response_of_two_models_is_divided_and_one_of_two_equal_requests_is_not() -> None:
    first, second = TokenCounts(4, output_tokens=2), TokenCounts(6, output_tokens=3)
    two = Call("a", first + second, inside=(Part("a", first), Part("b", second)))
    assert [(event.id, event.counts) for event in events_of_call(two, "x", AT)] == [("x", first), ("x#i1", second)]
    one = Call("a", first + second, inside=(Part("a", first), Part("a", second)))
    assert [event.counts for event in events_of_call(one, "x", AT)] == [first + second]


def test_a_long_prompt_is_kept_apart() -> None:
    (event,) = events_of_call(Call("a", TokenCounts(cache_read_input_tokens=200_001)), "x", AT)
    assert event.dimensions.prompts_above == 200_000


def test_labels_stand_in_the_record_or_in_its_metadata() -> None:
    tags = {"team": "red", "pr": 812, "odd": [1], "empty": ""}
    found = RecordLabels((("pr", "812"), ("team", "red")), "wrkspc_1", "key_1", Outcome.RATE_LIMITED, "req_1")
    own = {"workspace": "wrkspc_1", "key": "key_1", "tags": tags, "outcome": "rate_limited", "request_id": "req_1"}
    assert labels_in(own) == found
    assert labels_in({"metadata": own}) == found
    assert labels_in({"model": "a"}) == RecordLabels()


def test_a_transcript_is_tagged_with_its_project_and_branch() -> None:
    assert transcript_tags("/home/me/work/shop/", "main") == (("branch", "main"), ("project", "shop"))
    assert transcript_tags("C:\\work\\shop", "") == (("project", "shop"),)
    assert transcript_tags(None, None) == ()
