"""Read attributes of a resource and a call: model, counts, terms, feature, user, session and tags.

`gen_ai.usage.input_tokens` is the whole prompt by convention, and so is the prompt count of OpenInference (from 0.1.14)
and of OpenLLMetry (every version that knows caches); cached tokens are subtracted. An emitter that leaves cached tokens
out is recognised by its own figures: its input is smaller than the cached part, or its total is the sum of all parts.

A tag is an attribute of the resource that the team itself has set (`OTEL_RESOURCE_ATTRIBUTES=team=search`). Attributes
set by OpenTelemetry's conventions and detectors are not tags, since they distinguish machines and processes: there
would be a sum for each.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from bot.ledger.events_of_call import LONGEST_TAG_NAME, MOST_TAGS
from bot.ledger.model import Outcome, Tags, tags_of
from bot.ledger.otlp.model import Attributes, Source
from bot.ledger.otlp.names import (
    ALIASES,
    ATTRIBUTE_TAGS,
    CLAUDE_CODE_COUNTS,
    CLAUDE_CODE_USERS,
    TAG_PREFIX,
    Meaning,
    count,
    said,
    text,
)
from bot.pricing.model_ids import spelled
from bot.pricing.model_names import Kind, KnowsModels, is_foreign, kind_of
from bot.pricing.responses import Call, Part
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.usage.logs.records import SYNTHETIC_MODEL, call_in


class Passed(StrEnum):
    """Why something that counts tokens is not summed, although nothing is wrong with it."""

    NOT_CLAUDE = "not a Claude model"
    BILLED_ELSEWHERE = "Claude on a cloud platform, which bills it"
    SUM_OF_CALLS = "an agent or a chain, whose calls count themselves"
    SECOND_SPAN = "a second span of a call"
    IN_METRICS = "in the time that the metrics of its service have counted"
    IN_EVENTS = "metrics of a service whose spans or events count"
    SYNTHETIC = "a client's own notice (<synthetic>), no call"


PLATFORMS = (
    *("aws", "amazon", "bedrock", "gcp", "google", "vertex", "azure", "az."),
    *("openrouter", "databricks", "snowflake"),
)
"""Prefixes of providers that bill Claude themselves."""

SDK_SCOPE = "com.anthropic.sdk."
CLAUDE_CODE_SCOPE = "com.anthropic.claude_code"

SUMMING = frozenset(
    {
        *("invoke_agent", "create_agent", "invoke_workflow", "execute_tool", "plan", "embeddings", "retrieval"),
        *("agent", "chain", "tool", "retriever", "reranker", "embedding", "guardrail", "evaluator", "prompt"),
        *("workflow", "task"),
    }
)
"""Operations and kinds of spans that are not calls of a model, in lower case."""


def is_claude_code(source: Source) -> bool:
    """Whether Claude Code itself reports, from a terminal or a desktop."""
    service = str(source.resource.get("service.name", ""))
    return source.scope.startswith(CLAUDE_CODE_SCOPE) or service.startswith("claude-code")


def is_sum(attributes: Attributes) -> bool:
    """Whether a span is of an agent, a chain or a tool, which repeats the counts of its calls."""
    return (said(attributes, Meaning.OPERATION) or "").lower() in SUMMING


def passed(source: Source, attributes: Attributes, model: str | None, card: KnowsModels) -> Passed | None:
    """Why Anthropic does not bill a call; None if it does."""
    provider = (said(attributes, Meaning.PROVIDER) or "").lower()
    if provider.startswith(PLATFORMS) or _is_platform_client(source.scope):
        return Passed.BILLED_ELSEWHERE
    is_anthropic = provider.startswith("anthropic") or source.scope.startswith("com.anthropic.")
    if model is None:
        return None if is_anthropic else Passed.NOT_CLAUDE
    if model == SYNTHETIC_MODEL:
        return Passed.SYNTHETIC
    if spelled(model).platform in ("bedrock", "vertex", "azure"):
        return Passed.BILLED_ELSEWHERE
    if is_anthropic:
        return Passed.NOT_CLAUDE if is_foreign(model) else None
    kind = kind_of(model, card)
    is_claude = kind is Kind.KNOWN or (kind is Kind.UNKNOWN_CLAUDE and "claude" in model.lower())
    return None if is_claude else Passed.NOT_CLAUDE


def call_of(source: Source, attributes: Attributes, model: str | None) -> Call | None:
    """What a span or a record counts; None without tokens. Raises `UnusableError` for impossible counts.

    The model is empty if none is named.
    """
    if is_claude_code(source) and (counts := _claude_code_counts(attributes)) is not None:
        return Call(model or "", counts[0], _terms(attributes), unsplit=counts[1])
    whole = _recorded_response(source, attributes)
    if whole is not None:
        return whole
    read = count(attributes, ALIASES[Meaning.CACHE_READ]) or 0
    five, hour, unsplit = _writes(attributes)
    output = count(attributes, ALIASES[Meaning.OUTPUT])
    fresh = _uncached(attributes, read + five + hour + unsplit, output or 0)
    if fresh is None and output is None:
        return None
    counts_found = TokenCounts(
        uncached_input_tokens=fresh or 0,
        cache_creation_5m_input_tokens=five + unsplit,
        cache_creation_1h_input_tokens=hour,
        cache_read_input_tokens=read,
        output_tokens=output or 0,
        web_search_requests=count(attributes, ALIASES[Meaning.WEB_SEARCHES]) or 0,
    )
    return Call(
        model or "",
        counts_found,
        _terms(attributes),
        response=said(attributes, Meaning.RESPONSE_ID),
        unsplit=unsplit,
        outside=_compaction(attributes, model or ""),
    )


def uncached(input_tokens: int, cached: int, output: int, total: int | None) -> int:
    """The part of `input_tokens` that is not cached, whichever of the two conventions the emitter follows."""
    if input_tokens < cached or (cached and total == input_tokens + cached + output):
        return input_tokens
    return input_tokens - cached


def _uncached(attributes: Attributes, cached: int, output: int) -> int | None:
    stated = count(attributes, ALIASES[Meaning.UNCACHED])
    if stated is not None:
        return stated
    given = count(attributes, ALIASES[Meaning.INPUT])
    if given is None:
        return 0 if cached else None
    return uncached(given, cached, output, count(attributes, ALIASES[Meaning.TOTAL]))


def _writes(attributes: Attributes) -> tuple[int, int, int]:
    """Cache writes for five minutes, for an hour, and without a lifetime."""
    five = count(attributes, ALIASES[Meaning.CACHE_WRITE_5M]) or 0
    hour = count(attributes, ALIASES[Meaning.CACHE_WRITE_1H]) or 0
    written = count(attributes, ALIASES[Meaning.CACHE_WRITE]) or 0
    return five, hour, max(0, written - five - hour)


def _claude_code_counts(attributes: Attributes) -> tuple[TokenCounts, int] | None:
    fresh, read, written, output = (count(attributes, names) for names in CLAUDE_CODE_COUNTS.values())
    if fresh is None and output is None:
        return None
    return TokenCounts(fresh or 0, written or 0, 0, read or 0, output or 0), written or 0


def _compaction(attributes: Attributes, model: str) -> tuple[Part, ...]:
    """Tokens of a compaction, billed on top of the call's own counts."""
    fresh = count(attributes, ALIASES[Meaning.COMPACTION_INPUT]) or 0
    output = count(attributes, ALIASES[Meaning.COMPACTION_OUTPUT]) or 0
    return (Part(model, TokenCounts(uncached_input_tokens=fresh, output_tokens=output)),) if fresh or output else ()


def _recorded_response(source: Source, attributes: Attributes) -> Call | None:
    """The whole response, if OpenInference has recorded it: with its id, lifetimes of caches, tier and iterations."""
    if not source.scope.endswith("instrumentation.anthropic"):
        return None
    for name in ALIASES[Meaning.RESPONSE]:
        text = attributes.get(name)
        if not isinstance(text, str) or not text.startswith("{"):
            continue
        try:
            response: Any = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            continue
        if not isinstance(response, dict) or response.get("type") != "message":
            continue
        call = call_in(response)
        if isinstance(call, Call):
            return call
    return None


def _terms(attributes: Attributes) -> Terms:
    speed = said(attributes, Meaning.SPEED)
    terms = Terms(
        said(attributes, Meaning.TIER), said(attributes, Meaning.GEO), "standard" if speed == "normal" else speed
    )
    return STANDARD if terms == STANDARD else terms


def _is_platform_client(scope: str) -> bool:
    """Whether it is the official client for a cloud platform: its scope names language and platform."""
    return scope.startswith(SDK_SCOPE) and "." in scope.removeprefix(SDK_SCOPE)


LONGEST_TAG = 200

OF_CONVENTIONS = frozenset(
    {
        *("android", "app", "aws", "azure", "browser", "cicd", "client", "cloud", "cloudfoundry", "container", "cpu"),
        *("db", "deployment", "destination", "device", "disk", "dotnet", "enduser", "error", "event"),
        *("faas", "feature"),
        *("gcp", "gen_ai", "hardware", "heroku", "host", "http", "hw", "k8s", "llm", "log", "messaging", "net"),
        *("network", "nodejs", "oci", "openinference", "organization", "os", "otel", "peer", "process", "python"),
        *("server", "service", "session", "source", "system", "telemetry", "terminal", "thread", "tls", "traceloop"),
        *("url", "user", "user_agent", "vcs", "webengine", "wsl", "zone", "anthropic", "claude_cost"),
    }
)
"""First words of attribute names that OpenTelemetry, its detectors and the instrumentations set."""

ALLOWED = {
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
    "service.namespace": "namespace",
    "k8s.namespace.name": "k8s_namespace",
    "vcs.repository.name": "repository",
}
"""Those with few values, and the name of their tag."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who made a call, and how it ended."""

    feature: str | None = None
    user_id: str | None = None
    tags: Tags = ()
    workspace: str | None = None
    key: str | None = None
    session: str | None = None
    request_id: str | None = None
    outcome: Outcome = Outcome.OK


def labels_of(source: Source, attributes: Attributes, outcome: Outcome = Outcome.OK) -> Sender:
    """Labels of a call, completed by those of its resource."""
    resource = source.resource

    def either(meaning: Meaning) -> str | None:
        return said(attributes, meaning) or said(resource, meaning)

    return Sender(
        feature=either(Meaning.FEATURE) or _service(resource) or said(attributes, Meaning.AGENT),
        user_id=_user(source, attributes),
        tags=_tags(resource, attributes),
        workspace=either(Meaning.WORKSPACE),
        key=either(Meaning.KEY),
        session=either(Meaning.SESSION),
        request_id=said(attributes, Meaning.REQUEST_ID),
        outcome=outcome,
    )


def _service(resource: Attributes) -> str | None:
    """The service name, ignoring `unknown_service:python`, which SDKs use by default."""
    name = text(resource, ("service.name",))
    return None if name is None or name.startswith("unknown_service") else name


def _user(source: Source, attributes: Attributes) -> str | None:
    names: Iterable[str] = CLAUDE_CODE_USERS if is_claude_code(source) else ALIASES[Meaning.USER]
    return text(attributes, names) or text(source.resource, names)


def _tags(resource: Attributes, attributes: Attributes) -> Tags:
    """The first 20 by name, those of the call before those of its resource."""
    own = {name.removeprefix(TAG_PREFIX): name for name in sorted(attributes) if name.startswith(TAG_PREFIX)}
    for attribute, tag in ATTRIBUTE_TAGS.items():
        if attribute in attributes:
            own.setdefault(tag, attribute)
    found = {tag: value for tag, name in own.items() if (value := text(attributes, (name,))) is not None}
    for name in sorted(resource):
        explicit = name.startswith(TAG_PREFIX)
        tag = name.removeprefix(TAG_PREFIX) if explicit else ALLOWED.get(name, name)
        if tag == name and not explicit and name.partition(".")[0] in OF_CONVENTIONS:
            continue
        if (value := text(resource, (name,))) is not None:
            found.setdefault(tag, value)
    named = [(tag, value[:LONGEST_TAG]) for tag, value in found.items() if 0 < len(tag) <= LONGEST_TAG_NAME]
    return tags_of(dict(named[:MOST_TAGS]))
