"""Attributes of a resource and a call → feature, user, session and tags.

A tag is an attribute of the resource that the team itself has set (`OTEL_RESOURCE_ATTRIBUTES=team=search`). What
OpenTelemetry's conventions and detectors set is none, since it tells machines and processes apart: there would be a
sum for each of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bot.ledger.events_of_call import LONGEST_TAG_NAME, MOST_TAGS
from bot.ledger.model import Outcome, Tags, tags_of
from bot.ledger.otlp.model import Attributes, Source
from bot.ledger.otlp.names import (
    ALIASES,
    ATTRIBUTE_TAGS,
    CLAUDE_CODE_USERS,
    TAG_PREFIX,
    Meaning,
    said,
    text,
)
from bot.ledger.otlp.usage import is_claude_code

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
"""First words of names that OpenTelemetry, its detectors and the instrumentations set themselves."""

ALLOWED = {
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
    "service.namespace": "namespace",
    "k8s.namespace.name": "k8s_namespace",
    "vcs.repository.name": "repository",
}
"""Of these, the ones that take few values, and what the tag is called."""


@dataclass(frozen=True, slots=True)
class Sender:
    """What is known of who made a call, and of how it ended."""

    feature: str | None = None
    user_id: str | None = None
    tags: Tags = ()
    workspace: str | None = None
    key: str | None = None
    session: str | None = None
    request_id: str | None = None
    outcome: Outcome = Outcome.OK


def labels_of(source: Source, attributes: Attributes, outcome: Outcome = Outcome.OK) -> Sender:
    """What a call says of itself, then what its resource says."""
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
    """SDKs make up `unknown_service:python` where nobody has named the service."""
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
