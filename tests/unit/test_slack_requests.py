"""Slack's requests are read strictly: everything else gets one sentence."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web.slack_events import FORM, JSON, UnreadableBodyError, read

COMMAND = {"command": "/claude-cost", "text": "status", "user_id": "U1", "team_id": "T1", "response_url": "https://x/"}
CLICK: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U1", "team_id": "T1"},
    "team": {"id": "T1", "domain": "x"},
    "enterprise": None,
    "actions": [{"action_id": "a", "value": "1", "type": "button"}],
    "response_url": "https://hooks.slack.com/actions/1",
    "trigger_id": "1.2",
    "message": {"text": "anything"},
}


def interaction(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


def test_a_command_keeps_what_handlers_need() -> None:
    assert read(urlencode(COMMAND | {"token": "x", "text": "fallback on because payload & more"}).encode(), FORM) == {
        **COMMAND,
        "text": "fallback on because payload & more",
    }


def test_a_click_loses_what_nobody_looks_at() -> None:
    read_back = read(interaction(CLICK), FORM)
    assert read_back["user"] == CLICK["user"]
    assert read_back["actions"] == CLICK["actions"]
    assert read_back["message"] == {"text": "anything"}
    assert read_back["team"] == {"id": "T1"}
    assert "enterprise" not in read_back


def test_an_event_keeps_who_wrote_what_and_where() -> None:
    event = {"type": "app_mention", "user": "U1", "text": "status", "ts": "1.0", "channel": "C1", "user_team": "T1"}
    bot = {"user_id": "U0BOT", "is_bot": True}
    wrapper = {"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": event, "authorizations": [bot]}
    more = {"api_app_id": "A1", "event": event | {"blocks": [{}], "edited": None}}
    assert read(json.dumps(wrapper | more).encode(), JSON) == wrapper


def test_an_event_that_nobody_listens_to_keeps_its_name_alone() -> None:
    event = {"type": "team_join", "user": {"id": "U1"}}
    assert read(json.dumps({"type": "event_callback", "event": event}).encode(), JSON)["event"] == {"type": "team_join"}


def test_a_shortcut_keeps_the_message_that_it_is_about() -> None:
    asked = {"type": "message_action", "callback_id": "estimate_prompt", "message": {"text": "a prompt", "ts": "1.0"}}
    read_back = read(interaction({"user": {"id": "U1"}, **asked}), FORM)
    assert {name: read_back[name] for name in asked} == asked


def test_an_event_and_the_check_of_the_address_come_as_json() -> None:
    assert read(b'{"type": "url_verification", "challenge": "c"}', JSON)["challenge"] == "c"
    assert read(b'{"type": "event_callback", "event": {"type": "app_home_opened"}}', JSON)["type"] == "event_callback"


DEEP = "[" * 5_000 + "]" * 5_000
ODD_PAYLOADS = [
    *("", "[]", "1", "null", "true", '"x"', "{}", '{"type":1}', '{"type":"block_actions"}', "{", "NaN", DEEP),
    '{"a":' * 5_000 + "1" + "}" * 5_000,
    json.dumps(CLICK | {"actions": []}),
    json.dumps(CLICK | {"actions": {}}),
    json.dumps(CLICK | {"actions": [1]}),
    json.dumps(CLICK | {"actions": [{"action_id": 1}]}),
    json.dumps(CLICK | {"user": "U1"}),
    json.dumps(CLICK | {"user": {"id": ["U1"]}}),
    json.dumps(CLICK | {"team": "T1"}),
    json.dumps(CLICK | {"response_url": 1}),
    json.dumps(CLICK | {"response_url": ["https://x/"]}),
    json.dumps(CLICK | {"type": "view_submission"}),
    json.dumps(CLICK | {"type": "view_submission", "view": {"id": "V", "state": {"values": []}}}),
    json.dumps(CLICK | {"type": "shortcut"}),
    json.dumps(CLICK | {"type": "block_suggestion"}),
    json.dumps(CLICK | {"message": {"ts": 1.5}}),
    json.dumps({"type": "message_action", "callback_id": "estimate_prompt", "user": {"id": "U1"}, "message": "x"}),
    json.dumps(CLICK | {"trigger_id": "\ud800"}),
    '{"type":"block_actions","user":{"id":' + "9" * 10_000 + "}}",
]


@pytest.mark.parametrize("payload", ODD_PAYLOADS, ids=lambda text: ascii(text)[:60])
def test_a_payload_of_another_shape_is_one_sentence(payload: str) -> None:
    with pytest.raises(UnreadableBodyError, match=r"^The body [^\n]*\.$"):
        read(urlencode({"payload": payload}).encode(), FORM)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"", JSON),
        (b"[]", JSON),
        (b'"x"', JSON),
        (b"\xff\xfe", FORM),
        (b"\xff\xfe", JSON),
        (b"text=%ff&command=/c&user_id=U1", FORM),
        (b"&".join(b"a%d=1" % each for each in range(200)), FORM),
        (urlencode(COMMAND).encode(), JSON),
        (json.dumps(COMMAND).encode(), FORM),
        (b'{"type": "event_callback", "event": []}', JSON),
        (b'{"type": "event_callback", "event": {"type": {}}}', JSON),
        (b'{"type": "event_callback", "event": {"type": "message", "user": {"id": "U1"}}}', JSON),
        (b'{"type": "event_callback", "event": {"type": "team_join"}, "authorizations": [1]}', JSON),
        (DEEP.encode(), JSON),
        (urlencode({"command": "/claude-cost"}).encode(), FORM),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_body_of_another_kind_is_one_sentence(body: bytes, content_type: str) -> None:
    with pytest.raises(UnreadableBodyError, match=r"^The body [^\n]*\.$"):
        read(body, content_type)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(place=st.sampled_from([*CLICK, "view"]), value=json_values)
def test_whatever_stands_in_a_field_it_is_read_or_refused(place: str, value: object) -> None:
    try:
        payload = read(interaction(CLICK | {place: value}), FORM)
    except UnreadableBodyError:
        return
    assert isinstance(payload["user"]["id"], str)
    assert all(isinstance(action["action_id"], str) for action in payload["actions"])


@given(body=st.binary(max_size=60), content_type=st.sampled_from([FORM, JSON]))
def test_random_bytes_are_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(UnreadableBodyError):
        read(body, content_type)
