"""Several spans of one call → one. Works on one request: an exporter sends the spans of a call together.

Spans with the same id the ledger counts once, also across requests, and keeps the largest of each count. Within one
request the one that says most is kept instead.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bot.ledger.otlp.calls import Candidate
from bot.ledger.otlp.model import Span
from bot.pricing.tokens import TokenCounts

DEEPEST = 64
"""Generations of spans between a call and a span around it."""

MOST_OPEN = 64
"""Calls with equal counts that run at once in one service, among which the second report of a call is looked for."""

OFFICIAL = "com.anthropic."
"""How the instrumentations of Anthropic itself are called."""

Parents = Mapping[tuple[str, str], str]
"""The parent of a span, by the ids of its trace and itself."""


def noting_parents(spans: Iterable[Span], parents: dict[tuple[str, str], str]) -> Iterator[Span]:
    """The same spans; `parents` learns of each that has one."""
    for span in spans:
        if span.parent_id:
            parents[span.trace_id, span.span_id] = span.parent_id
        yield span


def once(candidates: Sequence[Candidate], parents: Parents) -> list[Candidate]:
    """The calls, each once."""
    return _without_second_reports(_without_wrappers(_best_of_each_id(candidates), parents))


def _best_of_each_id(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of reports of one response by several emitters, the official one, else one with lifetimes of caches."""
    best: dict[str, Candidate] = {}
    for one in candidates:
        if one.id is not None:
            known = best.setdefault(one.id, one)
            if known.source.scope != one.source.scope and _worth(one) > _worth(known):
                best[one.id] = one
    return [one for one in candidates if one.id is None or one.source.scope == best[one.id].source.scope]


def _worth(one: Candidate) -> tuple[bool, bool]:
    return one.source.scope.startswith(OFFICIAL), one.call.unsplit == 0


def _without_wrappers(candidates: Sequence[Candidate], parents: Parents) -> list[Candidate]:
    """Without spans around calls, recognised by counts that are the sum of those calls."""
    by_place = {one.place[:2]: one for one in candidates if one.place[1]}
    inner: defaultdict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in candidates:
        around = _nearest_around(one, by_place, parents)
        if around is not None:
            inner[around].append(one)
    dropped = {
        place
        for place, calls in inner.items()
        if _plain_counts(by_place[place]) == sum((_plain_counts(call) for call in calls), TokenCounts())
        and not any(_are_two(by_place[place], call) for call in calls)
    }
    return [one for one in candidates if one.place[:2] not in dropped]


def _nearest_around(
    one: Candidate, by_place: Mapping[tuple[str, str], Candidate], parents: Parents
) -> tuple[str, str] | None:
    trace, own, parent = one.place
    for _ in range(DEEPEST):
        if not parent or parent == own:
            return None
        if (trace, parent) in by_place:
            return trace, parent
        parent = parents.get((trace, parent), "")
    return None


def _without_second_reports(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Without reports of a call by a second instrumentation of the same process.

    They have equal counts and overlap in time, and at most one of them has the id of the response. Each report takes
    away one of each other instrumentation, so that calls in parallel stay as many as they are.
    """
    alike: defaultdict[object, list[Candidate]] = defaultdict(list)
    resources: dict[int, object] = {}
    for one in candidates:
        resource = one.source.resource
        sent_by = resources.setdefault(id(resource), frozenset(resource.items()))
        alike[sent_by, _plain_counts(one), one.labels.outcome].append(one)
    dropped: set[int] = set()
    for group in alike.values():
        if len({one.source.scope for one in group}) > 1:
            dropped |= _second_reports(group)
    return [one for one in candidates if id(one) not in dropped]


def _second_reports(group: list[Candidate]) -> set[int]:
    dropped: set[int] = set()
    running: list[tuple[Candidate, set[str]]] = []
    for one in sorted(group, key=lambda each: (each.started_ns, -each.ended_ns)):
        scope = one.source.scope
        running = [(other, seen) for other, seen in running if other.ended_ns >= one.started_ns][-MOST_OPEN:]
        for place, (other, seen) in enumerate(running):
            if scope not in seen and not _are_two(other, one) and (other.id is None or one.id is None):
                seen.add(scope)
                kept, gone = (one, other) if other.id is None and one.id is not None else (other, one)
                dropped.add(id(gone))
                running[place] = (kept, seen)
                break
        else:
            running.append((one, {scope}))
    return dropped


def _plain_counts(one: Candidate) -> TokenCounts:
    """Without lifetimes of caches, which not every emitter tells."""
    counts = one.call.counts
    written = counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens
    return counts._replace(cache_creation_5m_input_tokens=written, cache_creation_1h_input_tokens=0)


def _are_two(one: Candidate, other: Candidate) -> bool:
    """Whether two ids prove that they are two responses."""
    return one.id is not None and other.id is not None and one.id != other.id and _is_proof(one) and _is_proof(other)


def _is_proof(one: Candidate) -> bool:
    return one.id is not None and one.id.startswith(("msg_", "req_"))
