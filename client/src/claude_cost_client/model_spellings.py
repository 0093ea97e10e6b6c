# Written by `python -m tests.contract.client_copies`: change bot/pricing/model_spellings.py instead.
"""The patterns of `model_ids`: platforms, regions, dates and other text around a model's name.

The bot and the client hold the same text.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from claude_cost_client.model_ids import FAMILIES, GENERATION, INSTANT, Platform, Spelling

_ARN = re.compile(r"(?:[\w.-]+/)*arn:aws[\w-]*:bedrock:[\w-]*:[^:/]*:([\w-]+)/")
_ARNS_WITH_MODEL = ("foundation-model", "inference-profile")
_VERTEX_PATH = re.compile(r"(?:(?:https:)?//)?(?:[\w.-]+/)*publishers/anthropic/models/")
_VERTEX_LOCATION = re.compile(r"/locations/([\w-]+)/")
_GATEWAY_PATH = re.compile(r"(?:[\w.~+-]+/)+")
_AWS_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_BEDROCK_PROFILE = re.compile(r"(us-gov|apac|amer|global|[a-z]{2})\.(?=anthropic\.)")
_WORDS_OF_CLAUDE = re.compile("|".join(("claude", INSTANT, *FAMILIES)))
_SDK_PREFIX = re.compile(r"[a-z][a-z_-]*:")
_MAKER = re.compile(r"(?:anthropic|databricks)[\s_-]+(?=claude)")

_DATE = re.compile(r"(?:[@:\s_-]|\s\()(20\d\d)-?(\d\d)-?(\d\d)\)?$")
_BEDROCK_VERSION = re.compile(r"(?<!claude)(?<!instant)-v\d+(?::\d+)?(?::\d+k)?$")
_LONG_CONTEXT = re.compile(r"\s*\[1m\]$|[\s_:-]1m$|\s*\(1m(?: context)?\)$")
_FAST = re.compile(r"[\s_:-]fast$")
_BATCH = re.compile(r"[\s_:-]batch$")
_OF_NO_PRICE = re.compile(
    r"(?:[@:\s_-](?:latest|default)|[\s_:-](?:think|thinking|reasoning|extended|extended-thinking)"
    r"|:(?:beta|nitro|floor|online|exacto|self-moderated|(?:stream)?rawpredict)"
    r"|-(?:minimal|low|medium|high|xhigh|max|48k|100k|200k))$"
)
"""Aliases, thinking, effort and routing: none of them changes what a token costs."""

_SEPARATORS = re.compile(r"[\s_-]+")
_JOINTS = re.compile(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])")

_V = r"(0|[1-9]\d?)(?:-(0|[1-9]\d?))?"
_F = f"({'|'.join(FAMILIES)})"
_NAMED = re.compile(rf"(?:claude-)?(?:{_F}(?:-{_V})?|{_V}-{_F})")
_INSTANT = re.compile(rf"claude-instant(?:-{_V})?|instant-{_V}")
_GENERATION = re.compile(r"claude-([12])(?:-(\d))?")
_WITH_V = re.compile(r"claude-(instant-)?v([12])(?:[:.](\d)(?::\d+k)?)?")


def read_spelling(text: str) -> Spelling:
    """What a text (in lower case, with plain hyphens) says about a model."""
    if _WORDS_OF_CLAUDE.search(text) is None:
        # Most texts name no model; an ARN alone still names its platform.
        return Spelling(platform="bedrock") if _ARN.match(text) else Spelling()
    place = _place(text)
    if place is None:
        return Spelling(platform="bedrock")
    prefix, platform, regional = place
    rest = text[len(prefix) :]
    found: dict[str, Any] = {}
    named = _named(rest)
    if named is None:
        rest, found = _without_suffixes(rest)
        named = _named(rest)
    if named is None:
        return Spelling(platform=platform, regional=regional, prefix=prefix)
    family, version = named
    stem = "claude" if family == GENERATION else f"claude-{family}"
    name = "-".join([stem, *version])
    bare = not version and family in FAMILIES
    if platform is None and "@" in text:
        platform = "vertex"
    return Spelling(name, family, bare, platform=platform, regional=regional, prefix=prefix, **found)


def _place(text: str) -> tuple[str, Platform | None, bool] | None:
    """The part before the model, its platform, and whether it names a region at a premium.

    None for an ARN without a model name, such as an application inference profile's.
    """
    path = _VERTEX_PATH.match(text)
    if path is not None:
        location = _VERTEX_LOCATION.search(path[0])
        return path[0], "vertex", location is not None and location[1] != "global"
    arn = _ARN.match(text)
    if arn is not None and arn[1] not in _ARNS_WITH_MODEL:
        return None
    prefix = arn[0] if arn is not None else _gateway(text)
    segments = [] if arn is not None else re.split("[/:]", prefix)
    regional = any(_AWS_REGION.fullmatch(segment) for segment in segments)
    platform = _platform_in(segments) if prefix else None
    profile = _BEDROCK_PROFILE.match(text, len(prefix))
    if profile is not None:
        prefix += profile[0]
        regional = profile[1] != "global"
    if text.startswith("anthropic.", len(prefix)):
        prefix, platform = f"{prefix}anthropic.", "bedrock"
    else:
        maker = _MAKER.match(text, len(prefix))
        if maker is not None:
            prefix += maker[0]
            platform = platform or "gateway"
    return prefix, "bedrock" if arn is not None else platform, regional


def _gateway(text: str) -> str:
    """`openrouter/anthropic/` of a path, `bedrock:` of a library that puts the provider first."""
    prefix = ""
    for pattern in (_SDK_PREFIX, _GATEWAY_PATH, _SDK_PREFIX):
        found = pattern.match(text, len(prefix))
        if found is not None and (pattern is _GATEWAY_PATH or not _WORDS_OF_CLAUDE.search(found[0])):
            prefix += found[0]
    return prefix


def _platform_in(segments: list[str]) -> Platform:
    words = " ".join(segments)
    if "bedrock" in words:
        return "bedrock"
    if "vertex" in words:
        return "vertex"
    return "azure" if "azure" in words else "gateway"


def _without_suffixes(text: str) -> tuple[str, dict[str, Any]]:
    """The text without known suffixes, in any order, each at most once; and their meaning."""
    found: dict[str, Any] = {}
    while True:
        before = text
        for pattern, fact in ((_LONG_CONTEXT, "long_context"), (_FAST, "fast"), (_BATCH, "batch")):
            text, times = pattern.subn("", text)
            if times:
                found[fact] = True
        date = _DATE.search(text)
        if date is not None and "date" not in found and _is_day(*date.groups()):
            found["date"] = "".join(date.groups())
            text = text[: date.start()]
        text = _BEDROCK_VERSION.sub("", _OF_NO_PRICE.sub("", text))
        if text == before:
            return text, found


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _named(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Family and version: `opus`, `4`, `8`. A trailing zero does not count: `opus-4-0` is Opus 4."""
    text = _SEPARATORS.sub("-", text)
    with_v = _WITH_V.fullmatch(text)
    if with_v is not None:
        return (INSTANT if with_v[1] else GENERATION), _version(with_v[2], with_v[3])
    text = _JOINTS.sub("-", text.replace(".", "-"))
    named = _NAMED.fullmatch(text)
    if named is not None:
        return named[1] or named[6], _version(named[2] or named[4], named[3] or named[5])
    instant = _INSTANT.fullmatch(text)
    if instant is not None:
        return INSTANT, _version(instant[1] or instant[3], instant[2] or instant[4])
    generation = _GENERATION.fullmatch(text)
    return None if generation is None else (GENERATION, _version(generation[1], generation[2]))


def _version(major: str | None, minor: str | None) -> tuple[str, ...]:
    if major is None:
        return ()
    return (major,) if minor in (None, "0") else (major, str(minor))
