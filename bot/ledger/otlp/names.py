"""Names under which emitters report the same thing: one table, in order of preference, each name with its source.

The first name that a span has counts, so a span with old and new names counts once.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from math import isfinite

from bot.ledger.otlp.model import Attributes
from bot.secret_shapes import one_line
from bot.usage.logs.usage_block import MOST_TOKENS, Skipped, UnusableError

LONGEST_NAME = 200


class Meaning(Enum):
    """Meaning of an attribute. `INPUT` is the whole prompt, cached tokens included; `UNCACHED` leaves them out."""

    INPUT = auto()
    UNCACHED = auto()
    CACHE_READ = auto()
    CACHE_WRITE = auto()
    CACHE_WRITE_5M = auto()
    CACHE_WRITE_1H = auto()
    OUTPUT = auto()
    TOTAL = auto()
    WEB_SEARCHES = auto()
    COMPACTION_INPUT = auto()
    COMPACTION_OUTPUT = auto()
    MODEL = auto()
    PROVIDER = auto()
    OPERATION = auto()
    RESPONSE_ID = auto()
    REQUEST_ID = auto()
    RESPONSE = auto()
    USER = auto()
    SESSION = auto()
    FEATURE = auto()
    AGENT = auto()
    WORKSPACE = auto()
    KEY = auto()
    TIER = auto()
    GEO = auto()
    SPEED = auto()
    ERROR = auto()


NOW = "semantic-conventions-genai, 2026-11"
FORMER = "semantic-conventions before 2026-05"
PLATFORM = "platform.claude.com/docs/en/api/opentelemetry/spans; anthropic SDK 2.14.0"
SENTRY = "Sentry's conventions"
INFERENCE = "openinference-semantic-conventions 0.1.42"
TRACELOOP = "opentelemetry-semantic-conventions-ai 0.5.1 and before"
PYDANTIC = "pydantic-ai"
OURS = "claude-cost"
OTEL = "OpenTelemetry's general conventions"
CODE = "code.claude.com/docs/en/monitoring-usage"

ALIASES: Mapping[Meaning, Mapping[str, str]] = {
    Meaning.UNCACHED: {"gen_ai.usage.details.input_tokens": PYDANTIC, "gen_ai.usage.uncached_input_tokens": OURS},
    Meaning.INPUT: {
        "gen_ai.usage.input_tokens": NOW,
        "gen_ai.usage.prompt_tokens": FORMER,
        "llm.token_count.prompt": INFERENCE,
        "llm.usage.input_tokens": TRACELOOP,
        "llm.usage.prompt_tokens": TRACELOOP,
        "llm.anthropic.usage.input_tokens": TRACELOOP,
        "llm.anthropic.usage.prompt_tokens": TRACELOOP,
    },
    Meaning.CACHE_READ: {
        "gen_ai.usage.cache_read.input_tokens": NOW,
        "gen_ai.usage.cache_read_input_tokens": TRACELOOP,
        "gen_ai.usage.input_tokens.cached": SENTRY,
        "gen_ai.usage.input_tokens.cache_read": SENTRY,
        "llm.token_count.prompt_details.cache_read": INFERENCE,
        "llm.token_count.prompt.cache_read": INFERENCE,
        "gen_ai.usage.details.cache_read_input_tokens": PYDANTIC,
        "gen_ai.usage.details.cache_read_tokens": PYDANTIC,
        "llm.usage.cache_read_input_tokens": TRACELOOP,
        "llm.anthropic.usage.cache_read_input_tokens": TRACELOOP,
        "gen_ai.usage.cache_read_tokens": "OpenClaw",
    },
    Meaning.CACHE_WRITE: {
        "gen_ai.usage.cache_write.input_tokens": NOW,
        "gen_ai.usage.cache_creation.input_tokens": FORMER,
        "gen_ai.usage.cache_creation_input_tokens": TRACELOOP,
        "gen_ai.usage.input_tokens.cache_write": SENTRY,
        "llm.token_count.prompt_details.cache_write": INFERENCE,
        "llm.token_count.prompt.cache_write": INFERENCE,
        "gen_ai.usage.details.cache_creation_input_tokens": PYDANTIC,
        "gen_ai.usage.details.cache_write_tokens": PYDANTIC,
        "llm.usage.cache_creation_input_tokens": TRACELOOP,
        "llm.anthropic.usage.cache_creation_input_tokens": TRACELOOP,
        "gen_ai.usage.cache_write_tokens": "OpenClaw",
    },
    Meaning.CACHE_WRITE_5M: {
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": PLATFORM,
        "gen_ai.usage.cache_creation.ephemeral_5m_input_tokens": FORMER,
        "gen_ai.usage.cache_creation_5m_input_tokens": OURS,
        "gen_ai.usage.details.ephemeral_5m_input_tokens": PYDANTIC,
    },
    Meaning.CACHE_WRITE_1H: {
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": PLATFORM,
        "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens": FORMER,
        "gen_ai.usage.cache_creation_1h_input_tokens": OURS,
        "gen_ai.usage.details.ephemeral_1h_input_tokens": PYDANTIC,
    },
    Meaning.OUTPUT: {
        "gen_ai.usage.output_tokens": NOW,
        "gen_ai.usage.completion_tokens": FORMER,
        "llm.token_count.completion": INFERENCE,
        "llm.usage.output_tokens": TRACELOOP,
        "llm.usage.completion_tokens": TRACELOOP,
        "llm.anthropic.usage.output_tokens": TRACELOOP,
        "llm.anthropic.usage.completion_tokens": TRACELOOP,
    },
    Meaning.TOTAL: {
        "gen_ai.usage.total_tokens": TRACELOOP,
        "llm.usage.total_tokens": TRACELOOP,
        "llm.token_count.total": INFERENCE,
    },
    Meaning.WEB_SEARCHES: {
        "anthropic.usage.server_tool_use.web_search_requests": PLATFORM,
        "gen_ai.usage.server_tool_use.web_search_requests": OURS,
        "gen_ai.usage.web_search_requests": OURS,
    },
    Meaning.COMPACTION_INPUT: {"anthropic.usage.compaction.input_tokens": PLATFORM},
    Meaning.COMPACTION_OUTPUT: {"anthropic.usage.compaction.output_tokens": PLATFORM},
    Meaning.MODEL: {
        "gen_ai.response.model": NOW,
        "llm.response.model_name": INFERENCE,
        "gen_ai.request.model": NOW,
        "llm.model_name": INFERENCE,
        "llm.request.model_name": INFERENCE,
        "llm.response.model": TRACELOOP,
        "llm.request.model": TRACELOOP,
        "model": CODE,
    },
    Meaning.PROVIDER: {
        "gen_ai.provider.name": NOW,
        "llm.provider": INFERENCE,
        "gen_ai.system": FORMER,
        "llm.system": INFERENCE,
        "llm.vendor": TRACELOOP,
    },
    Meaning.OPERATION: {
        "gen_ai.operation.name": NOW,
        "openinference.span.kind": INFERENCE,
        "traceloop.span.kind": TRACELOOP,
        "llm.request.type": TRACELOOP,
    },
    Meaning.RESPONSE_ID: {"gen_ai.response.id": NOW, "llm.response.id": TRACELOOP},
    Meaning.REQUEST_ID: {"anthropic.request.id": PLATFORM, "request_id": CODE},
    Meaning.RESPONSE: {"output.value": INFERENCE},
    Meaning.USER: {
        "enduser.id": OTEL,
        "user.id": OTEL,
        "gen_ai.user": TRACELOOP,
        "llm.user": TRACELOOP,
        "traceloop.association.properties.user_id": TRACELOOP,
        "user.email": OTEL,
    },
    Meaning.SESSION: {
        "session.id": OTEL,
        "gen_ai.conversation.id": NOW,
        "anthropic.session.id": PLATFORM,
        "traceloop.association.properties.session_id": TRACELOOP,
    },
    Meaning.FEATURE: {"claude_cost.feature": OURS, "feature": OURS},
    Meaning.AGENT: {"gen_ai.agent.name": NOW, "agent.name": INFERENCE},
    Meaning.WORKSPACE: {"anthropic.workspace.id": PLATFORM, "claude_cost.workspace": OURS},
    Meaning.KEY: {"anthropic.api_key.id": OURS, "claude_cost.key": OURS},
    Meaning.TIER: {
        "anthropic.response.service_tier": PLATFORM,
        "gen_ai.response.service_tier": OURS,
        "gen_ai.openai.response.service_tier": FORMER,
    },
    Meaning.GEO: {"anthropic.response.inference_geo": OURS, "gen_ai.response.inference_geo": OURS},
    Meaning.SPEED: {"anthropic.response.speed": OURS, "speed": CODE},
    Meaning.ERROR: {"error.type": OTEL, "http.response.status_code": OTEL, "status_code": CODE},
}

CLAUDE_CODE_COUNTS: Mapping[Meaning, Mapping[str, str]] = {
    Meaning.UNCACHED: {"input_tokens": CODE},
    Meaning.CACHE_READ: {"cache_read_tokens": CODE},
    Meaning.CACHE_WRITE: {"cache_creation_tokens": CODE},
    Meaning.OUTPUT: {"output_tokens": CODE},
}
"""Claude Code's own spans and events, whose input leaves out cached tokens as in the API's usage block."""

CLAUDE_CODE_USERS = ("user.email", "user.account_uuid", "user.account_id", "user.id")
"""A person before an installation, which is what `user.id` means in Claude Code."""

TAG_PREFIX = "claude_cost.tag."
"""Prefix of attributes of a span or record that are tags of this call alone."""

ATTRIBUTE_TAGS = {
    "gen_ai.agent.name": "agent",
    "agent.name": "agent",
    "skill.name": "skill",
    "query_source": "query_source",
}
"""Attributes that are tags because they have few values."""

_SINGLE = {"event.name", "event.sequence", "event.timestamp"}
_READ = (
    {name for table in (ALIASES, CLAUDE_CODE_COUNTS) for names in table.values() for name in names}
    | {*CLAUDE_CODE_USERS, *ATTRIBUTE_TAGS}
    | _SINGLE
)


def is_read(name: str) -> bool:
    """Whether the ledger reads this attribute of spans and log records."""
    return name in _READ or (name.startswith(TAG_PREFIX) and len(name) <= LONGEST_NAME)


def text(attributes: Attributes, names: Iterable[str]) -> str | None:
    """The first non-empty of these attributes, at most 200 characters; numbers become text."""
    for name in names:
        value = attributes.get(name)
        if value is None or isinstance(value, bool):
            continue
        if found := one_line(str(value)[:LONGEST_NAME]):
            return found
    return None


def said(attributes: Attributes, meaning: Meaning) -> str | None:
    """Value of the attribute with this meaning."""
    return text(attributes, ALIASES[meaning])


def count(attributes: Attributes, names: Iterable[str]) -> int | None:
    """The first present count. Raises `UnusableError` for one that is not a count."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return whole(value)
    return None


def whole(value: str | float | bool) -> int:
    """A count of tokens. Raises `UnusableError`."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnusableError(Skipped.NOT_WHOLE)
    if value < 0:
        raise UnusableError(Skipped.NEGATIVE)
    if value > MOST_TOKENS:
        raise UnusableError(Skipped.BEYOND_BELIEF)
    return value
