"""The part of claude-cost that runs inside the team's own applications: which model to use now, and what was used.

It imports the standard library alone; `with_fallback` and `with_usage` use the `anthropic` package that the application
has anyway. Environment variables:

- `CLAUDE_COST_FALLBACK_URL`: the bot's HTTP port, such as `http://127.0.0.1:8080`, with `CLAUDE_COST_READ_TOKEN` (or
  `CLAUDE_COST_READ_TOKEN_FILE`) where the bot asks for one. Without it the env file at `CLAUDE_COST_FALLBACK_FILE` is
  followed (default: `claude-cost.env` in the working directory).
- `CLAUDE_COST_FALLBACK_CHAIN`: the team's models in falling order of price, as the bot has them.
- `CLAUDE_COST_URL`: the bot's HTTP port, to which the usage of each request is sent in the background, with
  `CLAUDE_COST_INGEST_TOKEN` (or `CLAUDE_COST_INGEST_TOKEN_FILE`). Over plain http a token goes to the loopback and to
  the hosts in `CLAUDE_COST_ALLOW_HTTP` only.
- `CLAUDE_COST_SPOOL`: the directory for usage that the bot has not taken yet (default: one of this user's).
- `CLAUDE_COST_USAGE_LOG`: a file to which each response's usage is appended as a line of JSON, for `claude-cost price`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from claude_cost_client.follower import Follower
from claude_cost_client.labels import usage_labels
from claude_cost_client.sender import UsageSender

__all__ = ["UsageSender", "current_model", "flush_usage", "usage_labels", "with_fallback", "with_usage"]

Client = TypeVar("Client")

_follower = Follower()
_sender = UsageSender()


def current_model(preferred: str) -> str:
    """The model to use now in place of `preferred`: itself, or the team's ceiling where that is cheaper.

    Costs about as much as reading an environment variable, waits for no network and raises nothing: a daemon thread
    follows the bot, and what it last knew holds while the bot is gone. Before the first answer over HTTP the process's
    own `CLAUDE_FALLBACK_MODE` and `CLAUDE_MODEL` count. See `Ceiling` for which models are cheaper.
    """
    try:
        return _follower.models[preferred]
    except KeyError:
        return _follower.answer(preferred)


def with_fallback(
    client: Client,
    chain: Sequence[str] | None = None,
    *,
    feature: str | None = None,
    longest_wait: float = 10.0,
    sender: UsageSender | None = None,
) -> Client:
    """A copy of an `anthropic` client (sync or async) that obeys the ceiling and goes down the chain under load.

    It shares the connections of `client`, does its own retries (`max_retries` is 0) and covers everything that posts
    to `/v1/messages`: `create`, `stream`, `parse`, raw responses and the beta of these. A request begins with
    `current_model(model)`. An overloaded or unavailable model (529, 500, 502, 503, 504, no connection, a timeout) is
    followed by the next one of the chain; a streamed answer changes the model only before its first token. A rate
    limit's `retry-after` is waited for once, up to `longest_wait` seconds. Everything else, above all a spent budget
    (400, 402, or 429 without `retry-after`), is raised as it is; so is the last model's failure.

    `chain`: models in falling order of price; default: the mode's, else `CLAUDE_COST_FALLBACK_CHAIN`. Usage is recorded
    as by `with_usage`. Raises TypeError for anything but an `Anthropic` or `AsyncAnthropic` client, whose model ids are
    those of the chain, and ImportError without version 2 of `anthropic`. A client that was wrapped before, by this or
    by `with_usage`, is wrapped anew.
    """
    try:
        from claude_cost_client.middleware import chained
        from claude_cost_client.recording import Recorder
    except ImportError as error:
        raise ImportError("with_fallback needs the official client: pip install 'anthropic>=2.12'") from error

    return chained(client, _follower, chain, Recorder(sender or _sender, feature), longest_wait)


def with_usage(client: Client, *, feature: str | None = None, sender: UsageSender | None = None) -> Client:
    """A copy of an `anthropic` client (sync or async) that records what each request used, and changes nothing else.

    Covers everything that posts to `/v1/messages`, streams included, and the results of message batches as they are
    read. Each attempt is a record, also one that was refused. `feature`: of requests outside of `usage_labels`.
    `sender`: default: the one of the environment. Raises TypeError for anything but an `Anthropic` or `AsyncAnthropic`
    client, and ImportError without version 2 of `anthropic`.
    """
    try:
        from claude_cost_client.middleware import recorded
        from claude_cost_client.recording import Recorder
    except ImportError as error:
        raise ImportError("with_usage needs the official client: pip install 'anthropic>=2.12'") from error

    return recorded(client, Recorder(sender or _sender, feature))


def flush_usage(timeout: float = 5.0) -> bool:
    """Send waiting usage, such as before a function's environment is frozen; `timeout`: seconds.

    Returns whether the bot has everything now. A process that exits does this automatically.
    """
    return _sender.flush(timeout)
