"""Fast reading of usual records by their shape: names and types decide once where everything is. Pure.

A shape is usual if counts and names are all in the record itself or all counts in its `usage`. `bot.usage.logs` decides
about all other records; for usual ones both give the same result, this many times faster.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bot.ledger.events_of_call import AROUND, KEY, WORKSPACE, RecordLabels, labels_in
from bot.ledger.events_of_call import REQUEST_ID as SHOWN_REQUEST_ID
from bot.ledger.model import PROMPT_EDGES, Dimensions, prompts_above
from bot.pricing.responses import Call
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.logs.calls import CONSOLE_NAMES
from bot.usage.logs.moments import moment_in
from bot.usage.logs.records import (
    FEATURE,
    LONGEST_NAME,
    MESSAGE_ID,
    MODEL,
    REQUEST_ID,
    SESSION,
    SYNTHETIC_MODEL,
    TIME,
    USER,
)
from bot.usage.logs.usage_block import (
    CACHE_READ,
    CACHE_WRITE,
    CACHE_WRITE_1H,
    CACHE_WRITE_5M,
    FOREIGN_NAMES,
    FRESH_INPUT,
    INPUT,
    MOST_TOKENS,
    OUTPUT,
)

MOST_SHAPES = 2_000
MOST_LABELS = 20_000
"""Combinations of labels that are cached."""

TERMS = Terms._fields
COUNTS = (INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, CACHE_WRITE_1H, CACHE_WRITE_5M)

NOT_SEARCHED = frozenset({"content", "toolUseResult"})
"""Conversation content, which is never searched."""

UNUSUAL = frozenset(
    {"message", "iterations", "cacheRead", *AROUND, *FOREIGN_NAMES, *FRESH_INPUT, *CONSOLE_NAMES} - {*MODEL}
)
SPECIAL_TYPES = frozenset({"result", "assistant", "progress", "user", "message_start", "message_delta", "message_stop"})
"""Values of `type` that mean more than a plain record."""

OF_THE_RECORD = frozenset({*MODEL, *TIME, *SESSION, *REQUEST_ID, *MESSAGE_ID, *FEATURE, *USER})
IN_USAGE = ("cache_creation", "server_tool_use")
LIFETIMES = {"ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens"}
TOOLS = {"web_search_requests", "web_fetch_requests"}
NOT_A_TAG = frozenset({*FEATURE, *USER, *MODEL, *INPUT, *OUTPUT, *FOREIGN_NAMES, "input", "amount"})
"""Names that would give an object of tags another meaning."""

SCALARS = frozenset({str, int, float, bool, type(None)})

Names = tuple[str, ...]


class Found(NamedTuple):
    """Content of a usual record. `dimensions`: of its event, if it is one. `request_id`: as stored."""

    response: str | None
    model: str
    counts: TokenCounts
    unsplit: int
    at: datetime | None
    session: str | None
    labels: RecordLabels
    dimensions: Dimensions

    def call(self) -> Call:
        """The call, equal to the result of `call_in`."""
        named = self.dimensions
        return Call(
            self.model,
            self.counts,
            named.terms,
            self.at,
            feature=named.feature,
            user=named.user_id,
            response=self.response,
            session=self.session,
            unsplit=self.unsplit,
        )


class _Shape(NamedTuple):
    """Where everything is in records of one shape; names in order, those of texts only."""

    usage: bool
    has_type: bool
    has_role: bool
    has_tags: bool
    counts: tuple[str | None, ...]
    models: Names
    times: Names
    sessions: Names
    responses: Names
    has_id: bool
    request_ids: Names
    features: Names
    users: Names
    labels: Names


class RecordShapes:
    """Reads usual records. Shapes and labels seen before cost next to nothing."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[object, ...], _Shape | None] = {}
        self._blocks: dict[tuple[object, ...], tuple[str | None, ...] | None] = {}
        self._known: dict[tuple[object, ...], tuple[RecordLabels, Dimensions]] = {}

    def read(self, record: Mapping[str, Any]) -> Found | None:
        """Content of the record; None if it is unusual."""
        key = (*record, *map(type, record.values()))
        try:
            shape = self._shapes[key]
        except KeyError:
            shape = _shape_of(record)
            _remember(self._shapes, MOST_SHAPES, key, shape)
        if shape is None or (shape.has_type and record["type"] in SPECIAL_TYPES):
            return None
        block, names = record, shape.counts
        if shape.usage:
            block = record["usage"]
            of_block = self._counts_of(block)
            if of_block is None:
                return None
            names = of_block
        counted = _counts(block, names)
        model = _first_text(record, shape.models)
        if counted is None or model is None or model == SYNTHETIC_MODEL:
            return None
        counts, unsplit = counted
        labelled = self._labels(record, block, shape, model, counts)
        if labelled is None:
            return None
        labels, dimensions = labelled
        at = None
        for name in shape.times:
            at = moment_in(record[name])
            if at is not None:
                break
        response = _first_text(record, shape.responses)
        if response is None and shape.has_id:
            own = record["id"]
            is_message = (
                own.startswith("msg_")
                or (shape.has_type and record["type"] == "message")
                or (shape.has_role and record["role"] == "assistant")
            )
            if own and (is_message or _first_text(record, shape.request_ids) is not None):
                response = own[:LONGEST_NAME]
        if shape.request_ids:
            labels = labels._replace(request_id=_request_id(record, shape.request_ids))
        return Found(response, model, counts, unsplit, at, _first_text(record, shape.sessions), labels, dimensions)

    def _counts_of(self, block: Mapping[str, Any]) -> tuple[str | None, ...] | None:
        key = (*block, *map(type, block.values()))
        try:
            return self._blocks[key]
        except KeyError:
            usual = OF_THE_RECORD.isdisjoint(block) and UNUSUAL.isdisjoint(block)
            usual = usual and all(type(value) in SCALARS or name in IN_USAGE for name, value in block.items())
            usual = usual and not any(isinstance(block.get(name), list) for name in IN_USAGE)
            names = _count_names(block) if usual and _texts(block, TERMS) is not None else None
            _remember(self._blocks, MOST_SHAPES, key, names)
            return names

    def _labels(
        self, record: Mapping[str, Any], block: Mapping[str, Any], shape: _Shape, model: str, counts: TokenCounts
    ) -> tuple[RecordLabels, Dimensions] | None:
        prompt = counts[0] + counts[1] + counts[2] + counts[3]
        above = prompts_above(prompt) if prompt > PROMPT_EDGES[0] else 0
        feature, user = _first_text(record, shape.features), _first_text(record, shape.users)
        terms = Terms(block.get("service_tier") or None, block.get("inference_geo") or None, block.get("speed") or None)
        key: tuple[object, ...] = (shape.labels, model, feature, user, above, terms)
        key += tuple([record[name] for name in shape.labels])
        if shape.has_tags:
            tags = record["tags"]
            for value in tags.values():
                if type(value) is not str:
                    return None
            key = (*key, *tags.items())
        found = self._known.get(key)
        if found is not None:
            return found
        if shape.has_tags and not NOT_A_TAG.isdisjoint(tags):
            return None
        labels = labels_in(record)._replace(request_id=None)
        named = (labels.tags, labels.workspace, labels.key, terms, above)
        found = labels, Dimensions(model, feature, user, *named)
        _remember(self._known, MOST_LABELS, key, found)
        return found


def _shape_of(record: Mapping[str, Any]) -> _Shape | None:
    """The shape; None if anything in it is unusual, whatever its values."""
    usage = type(record.get("usage")) is dict
    for name, value in record.items():
        if type(value) in SCALARS or (type(value) is list and name in NOT_SEARCHED):
            continue
        if type(value) is not dict or name not in ("usage", "tags"):
            return None
    if not UNUSUAL.isdisjoint(record):
        return None
    if type(record.get("type", "")) is not str or type(record.get("id") or "") is not str:
        return None
    if usage and not {*INPUT, *OUTPUT}.isdisjoint(record):
        return None
    counts = (None,) * len(COUNTS) if usage else _count_names(record)
    found = [_texts(record, names) for names in (MODEL, SESSION, MESSAGE_ID, REQUEST_ID, FEATURE, USER)]
    terms, labels = () if usage else _texts(record, TERMS), _texts(record, (*WORKSPACE, *KEY, "outcome"))
    if counts is None or terms is None or labels is None or None in found:
        return None
    models, sessions, responses, request_ids, features, users = (names or () for names in found)
    times = tuple(name for name in TIME if record.get(name) is not None)
    has_id = type(record.get("id")) is str
    named = "type" in record, "role" in record, type(record.get("tags")) is dict
    return _Shape(
        usage, *named, counts, models, times, sessions, responses, has_id, request_ids, features, users, labels
    )


def _count_names(block: Mapping[str, Any]) -> tuple[str | None, ...] | None:
    """The name of each of `COUNTS`, None if the block lacks it; None for a block that lacks its first two."""
    found: list[str | None] = []
    for names in COUNTS:
        name = next((name for name in names if block.get(name) is not None), None)
        if name is not None and type(block[name]) is not int:
            return None
        found.append(name)
    return None if found[0] is None or found[1] is None else tuple(found)


def _texts(record: Mapping[str, Any], names: Iterable[str]) -> Names | None:
    """The names with a text; None if one of them has anything else."""
    found = tuple(name for name in names if record.get(name) is not None)
    return found if all(type(record[name]) is str for name in found) else None


def _counts(block: Mapping[str, Any], names: Sequence[str | None]) -> tuple[TokenCounts, int] | None:
    """The counts and how many writes have no lifetime; None for impossible ones."""
    uncached, output, read, written, one_hour, five_minutes = (0 if name is None else block[name] for name in names)
    searches = 0
    split, tools = block.get("cache_creation"), block.get("server_tool_use")
    if type(split) is dict:
        hour, minutes = split.get("ephemeral_1h_input_tokens") or 0, split.get("ephemeral_5m_input_tokens") or 0
        if type(hour) is not int or type(minutes) is not int or not split.keys() <= LIFETIMES:
            return None
        one_hour, five_minutes = hour or one_hour, minutes or five_minutes
    if type(tools) is dict:
        searches = tools.get("web_search_requests") or 0
        if type(searches) is not int or not tools.keys() <= TOOLS:
            return None
    unsplit = written - one_hour - five_minutes
    if unsplit < 0:
        unsplit = 0
    numbers = (uncached, output, read, written, one_hour, five_minutes, searches)
    if min(numbers) < 0 or max(numbers) > MOST_TOKENS:
        return None
    return TokenCounts(uncached, five_minutes + unsplit, one_hour, read, output, searches), unsplit


def _first_text(record: Mapping[str, Any], names: Names) -> str | None:
    for name in names:
        text: str = record[name]
        if text:
            return text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME]
    return None


def _request_id(record: Mapping[str, Any], names: Names) -> str | None:
    for name in SHOWN_REQUEST_ID:
        if name in names and (text := record[name].strip()):
            return str(text[:LONGEST_NAME])
    return None


def _remember(kept: dict[tuple[object, ...], Any], most: int, key: tuple[object, ...], value: Any) -> None:
    if len(kept) >= most:
        kept.clear()
    kept[key] = value
