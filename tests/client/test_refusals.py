"""Next step after a refused request, and events of a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_cost_client.event_stream import Event, EventReader
from claude_cost_client.refusals import JITTER, Attempts, Refusal, refusal_in_stream, refusal_of
from tests.client.applications import NOW, OPUS, SONNET


@given(st.lists(st.tuples(st.sampled_from(["", "ping", "message_start"]), st.text("ab: é", max_size=9))), st.data())
def test_events_are_the_same_however_the_network_cuts_them(events: list[tuple[str, str]], data: st.DataObject) -> None:
    text = "".join((f"event: {name}\r\n" if name else "") + f"data: {body}\n\n" for name, body in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    reader, found = EventReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += reader.feed(text[start:end])
    assert found == [Event(name or "message", body) for name, body in events]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
def test_an_unavailable_model_is_followed_by_the_next(status: int) -> None:
    assert not refusal_of(status, {}, None, NOW).final


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (400, {}, None),
        (401, {}, None),
        (402, {}, "linked_organization_spend_limit_reached"),
        (404, {}, None),
        (413, {}, None),
        (429, {}, None),
        (429, {}, "enforced_spend_limit_reached"),
        (429, {"retry-after": "5"}, "contract_spend_limit_reached"),
    ],
)
def test_a_spent_budget_or_a_wrong_request_is_the_applications(
    status: int, headers: dict[str, str], code: str | None
) -> None:
    assert refusal_of(status, headers, code, NOW).final


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7), ("0.5", 0.5), ("-3", 0), ("Mon, 16 Nov 2026 09:00:08 GMT", 8), ("soon", None), ("inf", None)],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(retry_after: str, seconds: float | None) -> None:
    assert refusal_of(429, {"retry-after": retry_after}, "ramp_limit_exceeded", NOW) == Refusal(
        "a rate limit", retry_after=seconds
    )


def test_milliseconds_count_more_than_seconds_if_they_can_be_read() -> None:
    for headers, seconds in (
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "nan", "retry-after": "1"}, None),
    ):
        assert refusal_of(429, headers, None, NOW) == Refusal("a rate limit", retry_after=seconds)
    assert refusal_of(429, {"retry-after-ms": "250"}, "enforced_spend_limit_reached", NOW).final


def test_in_a_stream_only_a_fault_of_the_model_leads_to_another() -> None:
    assert not refusal_in_stream("overloaded_error").final
    assert not refusal_in_stream("api_error").final
    assert refusal_in_stream("rate_limit_error").final
    assert refusal_in_stream("invalid_request_error").final


def test_a_rate_limit_is_waited_for_once_and_then_the_next_model_is_asked() -> None:
    attempts = Attempts([OPUS, SONNET], longest_wait=10)
    limited = Refusal("a rate limit", retry_after=8.0)
    assert attempts.after(limited, chance=1.0) == 8 * (1 + JITTER)
    assert attempts.model == OPUS
    assert attempts.after(limited, chance=0.0) == 0
    assert attempts.model == SONNET
    assert attempts.after(limited, chance=0.0) == 8
    assert attempts.after(limited, chance=0.0) is None
    assert attempts.model == SONNET


def test_a_rate_limit_beyond_the_cap_is_not_waited_for() -> None:
    attempts = Attempts([OPUS, SONNET], longest_wait=10)
    assert attempts.after(Refusal("a rate limit", retry_after=11.0), chance=0.0) == 0
    assert attempts.model == SONNET


@given(
    st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 100)), min_size=20, max_size=20),
    st.integers(1, 5),
    st.floats(0, 1),
)
def test_every_model_is_asked_at_most_twice_and_no_pause_is_shorter_than_asked(
    refusals: list[tuple[bool, float | None]], count: int, chance: float
) -> None:
    models = [f"model-{number}" for number in range(count)]
    attempts, asked = Attempts(models, longest_wait=10), []
    for final, retry_after in refusals:
        asked.append(attempts.model)
        pause = attempts.after(Refusal("x", final, retry_after), chance)
        if pause is None:
            break
        again = attempts.model == asked[-1]
        assert pause <= 10 * (1 + JITTER)
        assert pause >= (retry_after or 0) if again else pause == 0
    assert len(asked) <= 2 * count
    assert asked == sorted(asked)
