"""The `usage` block of a Messages response, as APIs, logs and transcripts write it, parsed into counts and terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeGuard

from bot.pricing.responses import Part
from bot.pricing.tokens import Terms, TokenCounts

Record = Mapping[str, Any]
"""A JSON object."""


class Skipped(StrEnum):
    """Why a line or record is not counted."""

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
    CUT_OFF = "JSON that breaks off or is damaged"
    MONEY = "a cost report or bill: dollars, no tokens"
    NO_MODEL_IN_REPORT = "a usage report that is not grouped by model"


class UnusableError(Exception):
    """A record cannot be counted."""

    def __init__(self, reason: Skipped) -> None:
        super().__init__(reason.value)
        self.reason = reason


MOST_TOKENS = 10_000_000_000
"""A thousand times the longest context window, with room for records that sum up a day."""

LONGEST_NUMBER = 20
"""Digits of a count that is written as text."""

INPUT = ("input_tokens",)
OUTPUT = ("output_tokens",)
FRESH_INPUT = ("uncached_input_tokens", "input_tokens_no_cache", "non_cached_input_tokens", "fresh_input_tokens")
"""Input that neither came from nor went to a cache, for blocks with an inclusive `input_tokens`."""

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
        "promptTokens",
        "promptTokenCount",
        "inputTokenCount",
        "outputTokenCount",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "llm.token_count.prompt",
    }
)
"""Field names of other APIs and of adapters, whose input often includes cache reads."""

PI_NAMES = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cacheRead": "cache_read_input_tokens",
    "cacheWrite": "cache_creation_input_tokens",
}
"""Counts of the coding agent pi, which uses its own names."""

NEVER_INSIDE = frozenset({"compaction", "advisor_message"})
"""Kinds of `iterations` that the block's own counts leave out (platform.claude.com, compaction and advisor tool)."""


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


def has_own_names(block: Record) -> bool:
    """Whether a block names its cached tokens as the Claude API does, so that `input_tokens` leaves them out."""
    return "cache_read_input_tokens" in block or "cache_creation_input_tokens" in block


def has_lifetimes(block: Record) -> bool:
    """Whether the cache writes of a block are split by their lifetime."""
    return is_object(block.get("cache_creation"))


def counts_in(block: Record) -> TokenCounts:
    """The tokens of a block. Null is none; `iterations` are not read. Raises `UnusableError` for impossible counts."""
    return counts_and_unsplit_in(block)[0]


def counts_and_unsplit_in(block: Record) -> tuple[TokenCounts, int]:
    """The tokens of a block, and how many of its 5-minute writes have no stated lifetime.

    Raises `UnusableError` for impossible counts.
    """
    if not is_complete(block):
        raise UnusableError(Skipped.INCOMPLETE)
    split = block.get("cache_creation")
    one_hour = five_minutes = 0
    if isinstance(split, dict):
        one_hour = _count(split, ("ephemeral_1h_input_tokens",))
        five_minutes = _count(split, ("ephemeral_5m_input_tokens",))
    one_hour = one_hour or _count(block, CACHE_WRITE_1H)
    five_minutes = five_minutes or _count(block, CACHE_WRITE_5M)
    # The part of the sum beyond its parts has no stated lifetime; the default is five minutes.
    unsplit = max(0, _count(block, CACHE_WRITE) - one_hour - five_minutes)
    tools = block.get("server_tool_use")
    counts = TokenCounts(
        uncached_input_tokens=_count(block, INPUT),
        cache_creation_5m_input_tokens=five_minutes + unsplit,
        cache_creation_1h_input_tokens=one_hour,
        cache_read_input_tokens=_count(block, CACHE_READ),
        output_tokens=_count(block, OUTPUT),
        web_search_requests=_count(tools, ("web_search_requests",)) if isinstance(tools, dict) else 0,
    )
    return _without_cache_in_input(block, counts), unsplit


def _without_cache_in_input(block: Record, counts: TokenCounts) -> TokenCounts:
    """The counts of a block whose `input_tokens` holds the cached tokens too, if the block itself shows that."""
    for name in FRESH_INPUT:
        if block.get(name) is not None:
            fresh = _whole(block[name])
            if counts.uncached_input_tokens == fresh + counts.prompt_tokens - counts.uncached_input_tokens:
                return counts._replace(uncached_input_tokens=fresh)
    return counts


def terms_in(block: Record) -> Terms:
    """The terms of a block, as far as it has them."""
    return Terms(_word(block, "service_tier"), _word(block, "inference_geo"), _word(block, "speed"))


@dataclass(frozen=True, slots=True)
class Iterations:
    """Content of `iterations` of a response.

    `inside`: the requests that its own counts divide into; empty if unknown. `outside`: what was billed on top. `odd`:
    number of unreadable iterations.
    """

    inside: tuple[Part, ...] = ()
    outside: tuple[Part, ...] = ()
    odd: int = 0


NO_ITERATIONS = Iterations()


def iterations_in(block: Record, model: str, counts: TokenCounts) -> Iterations:
    """Separate iterations that repeat `counts` from those billed on top.

    Compaction and advice are never in the counts. Of the others, those whose prompts sum up to the counts repeat them.
    If no such choice exists, a plain message repeats them if it names no other model, and the rest does not.
    """
    entries = block.get("iterations")
    if not entries:
        return NO_ITERATIONS
    if not isinstance(entries, list):
        return Iterations(odd=1)
    if len(entries) == 1 and _is_only_message(entries[0], model):
        return NO_ITERATIONS
    parts: list[tuple[str, Part]] = []
    odd = 0
    for entry in entries:
        try:
            if not is_object(entry):
                raise UnusableError(Skipped.NOT_AN_OBJECT)
            own = _word(entry, "model") or model
            parts.append((_word(entry, "type") or "message", Part(own, counts_in(entry))))
        except UnusableError:
            odd += 1
    attempts = [(kind, part) for kind, part in parts if kind not in NEVER_INSIDE]
    inside, found = _repeating(attempts, model, counts)
    repeated = {id(part) for part in inside}
    outside = tuple(part for _, part in parts if id(part) not in repeated)
    return Iterations(tuple(inside) if found else (), outside, odd)


def _is_only_message(entry: Any, model: str) -> bool:
    """Whether this is the usual case: a single plain message, which is the response itself."""
    return (
        is_object(entry)
        and entry.get("type") == "message"
        and entry.get("model", model) == model
        and is_complete(entry)
    )


def _repeating(attempts: list[tuple[str, Part]], model: str, counts: TokenCounts) -> tuple[list[Part], bool]:
    """The parts that the counts already contain, and whether these sum up to the counts."""
    choices = [
        [part for _, part in attempts],
        [part for _, part in attempts if part.model == model],
        [part for kind, part in attempts if kind == "fallback_message"],
        [part for kind, part in attempts if kind == "message" and part.model == model],
        [part for kind, part in attempts if kind == "message"],
        [part for _, part in attempts[-1:]],
    ]
    for is_enough in (_sum_up, _sum_up_but_for_output):
        for choice in choices:
            if choice and is_enough(choice, counts):
                return choice, True
    fell_back = any(kind == "fallback_message" for kind, _ in attempts)
    return [part for kind, part in attempts if kind == "message" and (part.model == model or not fell_back)], False


def _sum_up_but_for_output(parts: Sequence[Part], counts: TokenCounts) -> bool:
    """Whether the parts' prompts sum up to the whole prompt; early states of a stream lack output."""
    whole = sum((part.counts for part in parts), TokenCounts())
    return (
        whole.uncached_input_tokens == counts.uncached_input_tokens
        and whole.cache_read_input_tokens == counts.cache_read_input_tokens
        and whole.prompt_tokens == counts.prompt_tokens
        and whole.output_tokens <= counts.output_tokens
    )


def _sum_up(parts: Sequence[Part], counts: TokenCounts) -> bool:
    output = sum(part.counts.output_tokens for part in parts)
    return output == counts.output_tokens and _sum_up_but_for_output(parts, counts)


def translated_from_pi(part: Record) -> Record | None:
    """A block of pi with the API's names; None for anything else."""
    if not part.keys() >= PI_NAMES.keys():
        return None
    return {ours: part[theirs] for theirs, ours in PI_NAMES.items()}


def _count(block: Record, names: tuple[str, ...]) -> int:
    """The first of these counts in the block."""
    for name in names:
        value = block.get(name)
        if value is not None:
            return value if type(value) is int and 0 <= value <= MOST_TOKENS else _whole(value)
    return 0


def _whole(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and 0 < len(value) <= LONGEST_NUMBER and value.isdigit():
        value = int(value)
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
