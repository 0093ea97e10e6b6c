"""Requests to `POST /v1/usage` at random: right ones, broken ones, hostile ones."""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

TOKEN = "ingest-token"
GOOD, BROKEN = frozenset({200}), frozenset({200, 400, 413, 415})
"""64 MB of brackets."""

TYPES = ("application/json", "application/x-ndjson", "application/json; charset=utf-8")
ODD_TYPES = ("", "text/plain", "application/json; charset=utf-16", "nonsense", "a/b; c", "application/octet-stream")
ENCODINGS = ("gzip", "br", "identity", "GZIP", "gzip, gzip", "x")
WRONG = ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"bearer  {TOKEN} x", TOKEN)
NAMES = (
    *("id", "feature", "user_id", "model", "input_tokens", "output_tokens", "cache_read", "cache_create", "usage"),
    *("time", "timestamp", "service_tier", "speed", "inference_geo", "web_search_requests", "workspace", "key"),
    *("session", "tags", "outcome", "iterations", "message", "metadata", "cache_creation", "server_tool_use"),
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, and the statuses that are right for it."""

    body: bytes
    headers: Mapping[str, str]
    statuses: frozenset[int]


def attempt(random: Random) -> Attempt:
    """The next request."""
    body = random.choice(BODIES)(random)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": random.choice(TYPES)}
    statuses = BROKEN
    fate = random.randrange(12)
    if fate == 0:
        headers["Authorization"] = random.choice(WRONG)
        statuses = frozenset({401})
    elif fate == 1:
        headers["Content-Type"] = random.choice(ODD_TYPES)
        statuses = BROKEN
    elif fate == 2:
        headers["Content-Encoding"] = random.choice(ENCODINGS)
    elif fate in (3, 4):
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
        if random.randrange(3) == 0:
            body = damaged(random, body)
    elif fate == 5:
        body = damaged(random, body)
    return Attempt(body, headers, statuses)


def damaged(random: Random, body: bytes) -> bytes:
    """The body cut somewhere, or with some bytes changed."""
    changed = bytearray(body[: random.randrange(len(body) + 1)] if random.randrange(2) else body)
    for _ in range(random.randrange(4)):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def any_value(random: Random, depth: int = 0) -> Any:
    """A random JSON value, with names of usage in its objects."""
    kind = random.randrange(12 if depth < 4 else 9)
    plain: tuple[Any, ...] = (
        None,
        random.random() < 0.5,
        random.randrange(1000),
        -random.randrange(10**12),
        10 ** random.randrange(400),
        random.random() * 10 ** random.randrange(300),
        "".join(chr(random.randrange(0x300)) for _ in range(random.randrange(9))),
        random.choice(("claude-opus-5-5", "msg_1", "2026-11-20T10:00:00Z", "ok", "429", "\ud800", "\0", "<synthetic>")),
        "x" * random.randrange(3000),
    )
    if kind < len(plain):
        return plain[kind]
    if kind == 9:
        return [any_value(random, depth + 1) for _ in range(random.randrange(4))]
    return {_name(random): any_value(random, depth + 1) for _ in range(random.randrange(5))}


def _name(random: Random) -> str:
    return random.choice(NAMES) if random.randrange(4) else str(any_value(random, 9))[:40]


def _record(random: Random) -> Any:
    record: dict[str, Any] = {
        "id": f"msg_{random.randrange(10_000)}",
        "model": "claude-opus-5-5",
        "input_tokens": random.randrange(1000),
        "output_tokens": random.randrange(1000),
    }
    for _ in range(random.randrange(4)):
        record[_name(random)] = any_value(random)
    return record if random.randrange(8) else any_value(random)


def _array(random: Random) -> bytes:
    return json.dumps([_record(random) for _ in range(random.randrange(8))]).encode()


def _lines(random: Random) -> bytes:
    return b"\n".join(json.dumps(_record(random)).encode() for _ in range(random.randrange(8)))


def _object(random: Random) -> bytes:
    return json.dumps(_record(random), indent=random.choice((None, 2))).encode()


def _deep(random: Random) -> bytes:
    deep = random.choice((b"[", b'{"a":', b'[{"usage":')) * random.randrange(1, 5000)
    return random.choice((deep, b"[" + deep + b"]", b'{"model":' + deep, b"[{}," + deep))


def _noise(random: Random) -> bytes:
    return random.randbytes(random.randrange(200))


@cache
def _packed() -> bytes:
    return gzip.compress(b"[" * 2**26, 1)


def _bomb(random: Random) -> bytes:
    return _packed() if random.randrange(60) == 0 else b"[" * random.randrange(100_000)


def _large(random: Random) -> bytes:
    return b"[" + b",".join([random.choice((b"0", b"{}", b'"\\u0000"', b"[[]]"))] * random.randrange(3000)) + b"]"


BODIES: tuple[Callable[[Random], bytes], ...] = (
    *(_array, _array, _array, _lines, _lines, _object, _object),
    *(_deep, _noise, _bomb, _large),
)
