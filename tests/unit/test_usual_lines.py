"""The straight way of reading a line: it says the same as the general way, or nothing at all."""

import json
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from bot.pricing.responses import Call
from bot.pricing.tally import FileCalls
from bot.usage.logs.calls import CallReader
from bot.usage.logs.streams import parsed
from bot.usage.logs.usage_block import Skipped
from bot.usage.logs.usual_lines import MOST_OPEN, UsualLines

USAGE: dict[str, Any] = {
    "input_tokens": 10,
    "output_tokens": 20,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 40,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7},
    "server_tool_use": {"web_search_requests": 1},
    "service_tier": "standard",
    "iterations": [{"type": "message", "input_tokens": 10, "output_tokens": 20}],
}
MESSAGE: dict[str, Any] = {
    "id": "msg_01",
    "model": "claude-opus-4-8",
    "role": "assistant",
    "content": [],
    "usage": USAGE,
}
LINE: dict[str, Any] = {
    "type": "assistant",
    "timestamp": "2026-09-01T10:00:00.123Z",
    "sessionId": "s",
    "message": MESSAGE,
}

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([1.0, 1e3, 1.5, -0.0, -1, 10**10, 10**11, 10**30, "", "5", "x", "\ud800", "é\x7f", "<synthetic>"]),
    st.sampled_from(["msg_2", "msg_", "msg_é", "relay", "x" * 250, "user", "result", "2026-09-01", "1e3"]),
    st.sampled_from([[], {}, [{}], {"usage": USAGE}, [USAGE], {"input_tokens": 3, "output_tokens": 4}]),
    st.integers(-2, 50),
)
names = st.sampled_from(
    [
        *(
            *LINE,
            *MESSAGE,
            *USAGE,
            "ephemeral_5m_input_tokens",
            "user",
            "feature",
            "model_id",
            "ts",
            "requestId",
            "cwd",
        ),
        *("prompt_tokens", "cache_read", "speed", "inference_geo", "toolUseResult", "data", "has_more", "usage"),
    ]
)
places = st.sampled_from(["line", "message", "usage", "cache_creation", "iteration"])
around = st.sampled_from(
    [
        (b"", b""),
        (b"\xef\xbb\xbf", b""),
        (b"", b"\r\n"),
        (b" \t", b" \n"),
        (b"\x00", b""),
        (b"x ", b""),
        (b"", b"}"),
        (b"", b"\x0c"),
        (b"\x0b", b""),
        (b"", b"\xff"),
        (b"", b" {}"),
    ]
)
texts = st.sampled_from(
    [
        (b"input_tokens", b"input\\u005ftokens"),
        (b'"usage"', b'"us\\u0061ge"'),
        (b"20", b"2e1"),
        (b"20", b"020"),
        (b"20", b"NaN"),
        (b"20", b"1e999"),
        (b"20", b"9" * 5000),
        (b'"s"', b'"\xff"'),
        (b'"s"', b'"\\ud800"'),
        (b"[]", b"[" + b"9" * 5000 + b"]"),
        (b"[]", b'["\xff"]'),
        (b"[]", b"[" * 1500 + b"]" * 1500),
        (b"[]", b"[1,]"),
        (b'"input_tokens"', b'"input_tokens": 1, "input_tokens"'),
        (b'"s"', b'"a\tb"'),
        (b'"s"', b'"a\\qb"'),
        (b'"message"', b'"message": {"usage": {"input_tokens": 9, "output_tokens": 9}}, "message"'),
        (b"", b""),
    ]
)


def _progress(line: dict[str, Any]) -> dict[str, Any]:
    """The line as a sub-agent's, inside of one about its progress."""
    inner = {name: value for name, value in line.items() if name != "sessionId"}
    return {"type": "progress", "sessionId": "s", "data": {"type": "agent_progress", "message": inner}}


def _file() -> FileCalls:
    return FileCalls("f", lambda model: not model.startswith("gpt"))


def _said(calls: FileCalls) -> tuple[object, ...]:
    its = calls.responses
    states = {key: (its.names[int.from_bytes(state[:4], "little")], state[4:]) for key, state in its.states.items()}
    return states, its.parts, its.repeats, calls.nameless, calls.sessions, calls.not_claude, calls.skipped


def _general(lines: list[bytes]) -> FileCalls:
    calls = _file()
    for value in map(parsed, lines):
        found: list[Call | Skipped] = []
        if isinstance(value, Skipped):
            found = [value]
        elif isinstance(value, dict):
            found = list(CallReader().calls(value))
        for one in found:
            if isinstance(one, Skipped):
                calls.skipped[one.value] += 1
            else:
                calls.add(one)
    return calls


def _taken(*lines: bytes, most_open: int = MOST_OPEN) -> int:
    """Number of lines taken by the fast path; fails if the paths differ."""
    straight = _file()
    usual = UsualLines(straight, most_open=most_open)
    others = usual.take(lines)
    usual.finish()
    left = list(others)
    assert _said(straight) == _said(_general([line for line in lines if not (left[:1] == [line] and left.pop(0))]))
    return len(lines) - len(others)


@given(
    st.lists(st.tuples(places, names, odd, st.booleans()), max_size=3), around, texts, st.integers(0, 60), st.booleans()
)
@example([], (b"", b""), (b"", b""), 0, False)
@example([], (b"", b""), (b"", b""), 0, True)
def test_both_ways_say_the_same_of_hostile_lines(
    changes: list[tuple[str, str, Any, bool]],
    around: tuple[bytes, bytes],
    text: tuple[bytes, bytes],
    cut: int,
    is_progress: bool,
) -> None:
    line = json.loads(json.dumps(LINE))
    parts = {"line": line, "message": line["message"], "usage": line["message"]["usage"]}
    parts["cache_creation"] = parts["usage"]["cache_creation"]
    parts["iteration"] = parts["usage"]["iterations"][0]
    for place, name, value, is_removed in changes:
        if is_removed:
            parts[place].pop(name, None)
        else:
            parts[place][name] = value
    if is_progress:
        line = _progress(line)
        if changes and changes[0][0] == "line":
            line[changes[0][1]] = changes[0][2]
    written = json.dumps(line, separators=(",", ":") if is_progress else None).encode().replace(*text)
    _taken(around[0] + written[: len(written) - cut if cut > 50 else None] + around[1])


states = st.builds(
    lambda name, model, output, at, session, tier: {
        **LINE,
        "timestamp": at,
        "sessionId": session,
        "message": {**MESSAGE, "id": name, "model": model, "usage": {**USAGE, "output_tokens": output, **tier}},
    },
    st.sampled_from(["msg_1", "msg_2", "msg_3", "relay"]),
    st.sampled_from(["claude-opus-4-8", "claude-haiku-4-5", "gpt-5", "<synthetic>"]),
    st.integers(1, 3),
    st.sampled_from(["2026-09-01T10:00:00.123Z", "2026-08-31T23:59:59.999Z", "2026-09-01T10:00:01+02:00", "", "soon"]),
    st.sampled_from(["s", "t", ""]),
    st.sampled_from([{}, {"service_tier": "batch"}, {"cache_creation": None}, {"output_tokens": "7"}]),
)


@given(st.lists(states, max_size=12), st.integers(1, 3))
def test_both_ways_say_the_same_of_the_states_of_responses(lines: list[dict[str, Any]], most_open: int) -> None:
    _taken(*(json.dumps(line).encode() for line in lines), most_open=most_open)


def test_the_usual_lines_take_the_straight_way() -> None:
    said = {**LINE, "type": "user", "message": {"role": "user", "content": [{"usage": USAGE}]}}
    progress = json.dumps(_progress(LINE), separators=(",", ":")).encode()
    assert all(_taken(line) for line in (json.dumps(LINE).encode(), json.dumps(said).encode(), progress))


def test_both_ways_say_the_same_of_real_transcripts(shared: Path) -> None:
    files = sorted((shared / "data" / "claude-code").rglob("*.jsonl"))[::5]
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    assert sum(map(_taken, lines)) > len(lines) / 2
    assert _taken(*lines) > len(lines) / 2
