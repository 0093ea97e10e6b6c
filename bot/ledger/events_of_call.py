"""Events of the ledger from one call of a log and its labels. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from bot.ledger.model import LONGEST_NAME, SEVERAL, Dimensions, Event, Outcome, Tags, prompts_above, tags_of
from bot.pricing.responses import Call, Part
from bot.pricing.tally import requests_of

MOST_TAGS = 20
LONGEST_TAG_NAME = 64

WORKSPACE = ("workspace", "workspace_id")
KEY = ("key", "api_key_id", "api_key_name")
REQUEST_ID = ("request_id", "requestId", "_request_id")
AROUND = ("metadata", "labels", "context")
"""Objects of a record in which applications put labels."""

OUTCOMES = {
    **{outcome.value: outcome for outcome in Outcome},
    "success": Outcome.OK,
    "failed": Outcome.ERROR,
    "429": Outcome.RATE_LIMITED,
    "rate_limit": Outcome.RATE_LIMITED,
}
"""Spellings of the outcome of a request in applications' logs."""

CLAUDE_CODE = "claude-code"
"""Feature of Claude Code's transcripts."""


class RecordLabels(NamedTuple):
    """What a record says about a call apart from its counts."""

    tags: Tags = ()
    workspace: str | None = None
    key: str | None = None
    outcome: Outcome = Outcome.OK
    request_id: str | None = None


NO_LABELS = RecordLabels()


def labels_in(record: Mapping[str, Any]) -> RecordLabels:
    """The labels of a record, in it or in one of the objects that `AROUND` names."""
    parts = [record, *(part for name in AROUND if isinstance(part := record.get(name), dict))]
    tags: Mapping[str, Any] = next((part["tags"] for part in parts if isinstance(part.get("tags"), dict)), {})
    outcome = outcome_of(_first(parts, ("outcome",)))
    return RecordLabels(
        tags_of(dict(_tags(tags))),
        _first(parts, WORKSPACE),
        _first(parts, KEY),
        outcome or Outcome.OK,
        _first(parts, REQUEST_ID),
    )


def outcome_of(value: object) -> Outcome | None:
    """The outcome that a record names; None for any other value."""
    if value is None or value == "":
        return Outcome.OK
    if isinstance(value, str):
        return OUTCOMES.get(value.strip().lower())
    return Outcome.RATE_LIMITED if value == 429 else None


def transcript_tags(folder: object, branch: object) -> Tags:
    """Tags of a line of a Claude Code transcript: the last part of the folder, and the branch."""
    project = folder.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(folder, str) else ""
    named = {"branch": branch if isinstance(branch, str) else "", "project": project}
    return tags_of({name: value[:LONGEST_NAME] for name, value in named.items() if value})


def events_of_call(call: Call, event_id: str, at: datetime, labels: RecordLabels = NO_LABELS) -> list[Event]:
    """The events of a call: one, plus one with `requests` 0 for each further billed part.

    `event_id` is the id of the response; further parts are called `ID#1`, … if billed on top of the response's own
    counts, and `ID#i1`, … if its counts divide into requests to several models or at several prices. `at`: aware UTC.
    """
    divided = _divided(call)
    first = _event(call, event_id, at, labels, divided[0], 1)
    # The requests of a response have their own lifetimes.
    unsplit = min(call.unsplit, call.counts.cache_creation_5m_input_tokens) if first.counts == call.counts else 0
    events = [replace(first, unsplit=unsplit) if unsplit else first]
    for number, part in enumerate(divided[1:], 1):
        events.append(_event(call, f"{event_id}#i{number}", at, labels, part, 0))
    for number, part in enumerate(call.outside, 1):
        events.append(_event(call, f"{event_id}#{number}", at, labels, part, 0))
    return events


def _divided(call: Call) -> tuple[Part, ...]:
    """The requests of a response, or the whole response if dividing it changes no price."""
    if not call.inside:
        return (Part(call.model, call.counts),)
    parts = requests_of(call)
    if len({(part.model, prompts_above(part.counts.prompt_tokens)) for part in parts}) == 1:
        whole = parts[0].counts
        for part in parts[1:]:
            whole = whole + part.counts
        if prompts_above(whole.prompt_tokens) == prompts_above(parts[0].counts.prompt_tokens):
            return (Part(parts[0].model, whole),)
    return parts


def _event(call: Call, event_id: str, at: datetime, labels: RecordLabels, part: Part, requests: int) -> Event:
    above = SEVERAL if call.is_sum else prompts_above(part.counts.prompt_tokens)
    dimensions = Dimensions(
        part.model, call.feature, call.user, labels.tags, labels.workspace, labels.key, call.terms, above
    )
    return Event(event_id, at, dimensions, part.counts, labels.outcome, requests, labels.request_id, call.session)


def _tags(tags: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(tags.items())[:MOST_TAGS]:
        text = _text(value)
        if name and text is not None:
            yield name[:LONGEST_TAG_NAME], text


def _first(parts: list[Mapping[str, Any]], names: tuple[str, ...]) -> str | None:
    return next((text for part in parts for name in names if (text := _text(part.get(name))) is not None), None)


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    # Python writes out no number of more than 4,300 digits.
    if isinstance(value, int) and abs(value) > 10**LONGEST_NAME:
        return None
    text = str(value).strip()
    return text[:LONGEST_NAME] or None
