"""The `usage` block of a Messages response, as APIs, logs and transcripts write it → counts and terms."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeGuard

from bot.pricing.tally import Beside
from bot.pricing.tokens import Terms, TokenCounts

Record = Mapping[str, Any]
"""A JSON object."""


class Skipped(StrEnum):
    """Why a line or a record is in no sum."""

    NOT_UTF8 = "not UTF-8 text"
    NOT_JSON = "not JSON"
    TOO_LONG = "longer than 64 MB"
    NOT_AN_OBJECT = "not a JSON object"
    NO_USAGE = "no usage in it"
    FOREIGN = "usage that is not in the Claude API's terms"
    SEVERAL = "several usage blocks in one record"
    INCOMPLETE = "usage without both input_tokens and output_tokens"
    NOT_WHOLE = "a token count that is not a whole number"
    NEGATIVE = "a negative token count"
    BEYOND_BELIEF = "a token count beyond 10,000,000,000"
    NO_MODEL = "usage without a model"
    SYNTHETIC = "a client's own notice (<synthetic>), no call"


class UnusableError(Exception):
    """A record cannot be counted."""

    def __init__(self, reason: Skipped) -> None:
        super().__init__(reason.value)
        self.reason = reason


MOST_TOKENS = 10_000_000_000
"""More than a thousand times the longest context there is, and room for records that sum up a day."""

INPUT = ("input_tokens",)
OUTPUT = ("output_tokens",)
CACHE_READ = ("cache_read_input_tokens", "cache_read", "cache_read_tokens")
CACHE_WRITE = (
    "cache_creation_input_tokens",
    "cache_create",
    "cache_creation_tokens",
    "cache_create_tokens",
    "cache_write",
    "cache_write_tokens",
)
CACHE_WRITE_1H = ("cache_creation_1h_input_tokens", "cache_creation_1h", "cache_write_1h", "cache_write_1h_tokens")
CACHE_WRITE_5M = ("cache_creation_5m_input_tokens", "cache_creation_5m", "cache_write_5m", "cache_write_5m_tokens")

FOREIGN_NAMES = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "input_tokens_details",
        "input_token_details",
        "inputTokens",
        "outputTokens",
        "promptTokenCount",
    }
)
"""Names of other APIs and of libraries that translate; there, input often includes what was read from a cache."""

PI_NAMES = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cacheRead": "cache_read_input_tokens",
    "cacheWrite": "cache_creation_input_tokens",
}
"""The coding agent pi writes the same counts under names of its own."""

BESIDE = frozenset({"compaction", "advisor_message"})
"""Kinds of `iterations` that are billed and are not in the block's own counts (platform.claude.com, compaction and
advisor tool). The other kinds repeat the block."""


def is_object(value: Any) -> TypeGuard[Record]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_foreign(part: Record) -> bool:
    """Whether an object counts tokens, and not under the names of the Claude API."""
    return not FOREIGN_NAMES.isdisjoint(part) and not is_object(part.get("cache_creation"))


def is_usage(part: Record) -> bool:
    """Whether an object counts tokens under the names of the Claude API."""
    return any(name in part and not isinstance(part[name], dict | list) for name in ("input_tokens", "output_tokens"))


def is_complete(block: Record) -> bool:
    """Whether a block has what every response has; events of a stream have one half."""
    return block.get("input_tokens") is not None and block.get("output_tokens") is not None


def has_lifetimes(block: Record) -> bool:
    """Whether the cache writes of a block are told apart by their lifetime."""
    return is_object(block.get("cache_creation"))


def counts_in(block: Record) -> TokenCounts:
    """The tokens of a block. Null is none; `iterations` are not read. Raises `UnusableError` for impossible counts."""
    if not is_complete(block):
        raise UnusableError(Skipped.INCOMPLETE)
    split = _object(block, "cache_creation")
    one_hour = _count(split, ("ephemeral_1h_input_tokens",)) or _count(block, CACHE_WRITE_1H)
    five_minutes = _count(split, ("ephemeral_5m_input_tokens",)) or _count(block, CACHE_WRITE_5M)
    # What the sum has beyond its parts was written without a lifetime, and the default lifetime is five minutes.
    unsplit = max(0, _count(block, CACHE_WRITE) - one_hour - five_minutes)
    return TokenCounts(
        uncached_input_tokens=_count(block, INPUT),
        cache_creation_5m_input_tokens=five_minutes + unsplit,
        cache_creation_1h_input_tokens=one_hour,
        cache_read_input_tokens=_count(block, CACHE_READ),
        output_tokens=_count(block, OUTPUT),
        web_search_requests=_count(_object(block, "server_tool_use"), ("web_search_requests",)),
    )


def terms_in(block: Record) -> Terms:
    """The terms of a block, as far as it tells them."""
    return Terms(_word(block, "service_tier"), _word(block, "inference_geo"), _word(block, "speed"))


def beside_in(block: Record, model: str) -> Iterator[Beside]:
    """What a response by `model` was billed for beside its own counts."""
    iterations = block.get("iterations")
    for iteration in iterations if isinstance(iterations, list) else ():
        if is_object(iteration) and iteration.get("type") in BESIDE:
            yield Beside(_word(iteration, "model") or model, counts_in(iteration))


def translated_from_pi(part: Record) -> Record | None:
    """A block of pi under the API's names; None for anything else."""
    if not part.keys() >= PI_NAMES.keys():
        return None
    return {ours: part[theirs] for theirs, ours in PI_NAMES.items()}


def _count(block: Record, names: tuple[str, ...]) -> int:
    """The first of these counts that the block has."""
    for name in names:
        value = block.get(name)
        if value is not None:
            return _whole(value)
    return 0


def _whole(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # data frames write whole numbers as 12.0 where a column has gaps
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnusableError(Skipped.NOT_WHOLE)
    if value < 0:
        raise UnusableError(Skipped.NEGATIVE)
    if value > MOST_TOKENS:
        raise UnusableError(Skipped.BEYOND_BELIEF)
    return value


def _word(part: Record, name: str) -> str | None:
    value = part.get(name)
    return value if isinstance(value, str) and value else None


def _object(part: Record, name: str) -> Record:
    value = part.get(name)
    return value if is_object(value) else {}
