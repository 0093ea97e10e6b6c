"""One usage record, as read by `POST /v1/usage` of the bot and by `claude-cost price`. Pure except for generated
ids.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from claude_cost_client.labels import Labels

OK, ERROR, RATE_LIMITED = "ok", "error", "rate_limited"
"""How a request ended: `outcome`."""

TOO_MANY_REQUESTS = 429
LONGEST_ID = 200

NO_TOKENS = {"input_tokens": 0, "output_tokens": 0}
"""The usage of a request that was refused: nothing was billed."""


def record_of(
    message: Mapping[str, Any],
    at: datetime,
    labels: Labels,
    *,
    request_id: str | None = None,
    preferred: str | None = None,
    complete: bool = True,
    outcome: str = OK,
) -> dict[str, Any] | None:
    """The record of one Messages response; None without usage. `at`: aware UTC.

    `preferred`: the model that the application asked for, recorded if another one answered. `complete`: False for a
    stream that broke or was abandoned: its output tokens are those reported until then. The id is the response's, so
    that a record sent again counts once; a response without one gets a new id.
    """
    usage = message.get("usage")
    if not isinstance(usage, dict) or not usage:
        return None
    model = message.get("model")
    record = {
        "id": _id(message.get("id")),
        "request_id": request_id,
        "time": at.isoformat(),
        "model": model,
        "preferred_model": preferred if preferred != model else None,
        **labels._asdict(),
        "tags": dict(labels.tags) or None,
        "outcome": outcome,
        "complete": None if complete else False,
        "usage": usage,
    }
    return {name: value for name, value in record.items() if value is not None}


def failure_of(
    model: str, at: datetime, labels: Labels, *, outcome: str, request_id: str | None = None, preferred: str | None
) -> dict[str, Any]:
    """The record of a request that was refused or not answered. `at`: aware UTC."""
    message = {"model": model, "usage": dict(NO_TOKENS)}
    record = record_of(message, at, labels, request_id=request_id, preferred=preferred, outcome=outcome)
    assert record is not None
    return record


def outcome_of(status: int) -> str:
    """Outcome of an HTTP status of 400 or more."""
    return RATE_LIMITED if status == TOO_MANY_REQUESTS else ERROR


def outcome_in_stream(error_type: str) -> str:
    """Outcome of an `error` event."""
    return RATE_LIMITED if error_type == "rate_limit_error" else ERROR


def new_id() -> str:
    """A new unique id."""
    return f"local_{uuid.uuid4().hex}"


def _id(given: object) -> str:
    return given if isinstance(given, str) and 0 < len(given) <= LONGEST_ID and given.isprintable() else new_id()
