"""Feature, user and tags of the requests of a piece of code; follows threads, tasks and generators."""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, NamedTuple, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

LONGEST_LABEL, LONGEST_TAG_NAME = 200, 64
MOST_TAGS = 20
"""Most tags. The bot rejects records with longer or more labels, and usage matters more than labels."""


class Labels(NamedTuple):
    """Labels of a request. `tags`: sorted by name."""

    feature: str | None = None
    user_id: str | None = None
    session: str | None = None
    workspace: str | None = None
    key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def within(self, outer: Labels) -> Labels:
        """Merge: this one overrides `outer`; tags are merged, and these are kept if there are too many."""
        own = {name: value for name, value in self._asdict().items() if value is not None}
        merged = {**dict(self.tags), **{name: value for name, value in outer.tags if name not in dict(self.tags)}}
        own["tags"] = tuple(sorted(list(merged.items())[:MOST_TAGS]))
        return outer._replace(**own)


class _Scope(NamedTuple):
    """One entered `usage_labels`. `labels`: including those of the scopes around it."""

    owner: usage_labels
    labels: Labels
    outer: _Scope | None


_scope: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar("claude_cost_usage_labels", default=None)


def current_labels() -> Labels:
    """Labels of the calling code."""
    scope = _scope.get()
    return Labels() if scope is None else scope.labels


class usage_labels:  # noqa: N801  a context manager and decorator, which are written in lower case
    """Names feature, user and tags of all requests that are made inside: `with usage_labels(feature="support"):`.

    Also a decorator for functions, coroutine functions and (asynchronous) generator functions; there the labels hold
    while the body runs, and not for the caller in between. Scopes nest: the inner one counts, and tags are merged. The
    labels are those at the time of the request, also for a stream that is read later. Threads have those of the
    context that they are started in where that is copied (`asyncio.to_thread`, `contextvars.copy_context().run`).

    Values that are not text are written as text, and None is left out. A label has at most 200 characters, the name of
    a tag 64, and there are at most 20 tags; what is longer is cut. `key` is
    the id or name of an API key; the key itself is never recorded.
    """

    def __init__(
        self,
        *,
        feature: str | None = None,
        user_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        session: str | None = None,
        workspace: str | None = None,
        key: str | None = None,
    ) -> None:
        self._own = Labels(
            label(feature), label(user_id), label(session), label(workspace), key_label(key), tags_of(tags)
        )

    def __enter__(self) -> usage_labels:
        outer = _scope.get()
        _scope.set(_Scope(self, self._own.within(current_labels()), outer))
        return self

    def __exit__(self, *error: object) -> None:
        # A generator may be closed in another context, or while an inner scope is open: end only its own scope.
        _scope.set(_without(self, _scope.get()))

    def __call__(self, function: F) -> F:
        if inspect.isasyncgenfunction(function):

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return _AsyncSteps(self, function(*args, **kwargs))
        elif inspect.isgeneratorfunction(function):

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return (yield from _Steps(self, function(*args, **kwargs)))
        elif inspect.iscoroutinefunction(function):

            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            wrapped = awaited
        else:

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return cast(F, functools.wraps(function)(wrapped))


class _Steps(Generator[Any, Any, Any]):
    """A generator whose every step runs under labels."""

    def __init__(self, labels: usage_labels, generator: Generator[Any, Any, Any]) -> None:
        self._labels = labels
        self._generator = generator

    def send(self, value: Any) -> Any:
        with self._labels:
            return self._generator.send(value)

    def throw(self, *error: Any) -> Any:
        with self._labels:
            return self._generator.throw(*error)

    def close(self) -> None:
        with self._labels:
            self._generator.close()


class _AsyncSteps(AsyncGenerator[Any, Any]):
    """`_Steps` for an asynchronous generator."""

    def __init__(self, labels: usage_labels, generator: AsyncGenerator[Any, Any]) -> None:
        self._labels = labels
        self._generator = generator

    async def asend(self, value: Any) -> Any:
        with self._labels:
            return await self._generator.asend(value)

    async def athrow(self, *error: Any) -> Any:
        with self._labels:
            return await self._generator.athrow(*error)

    async def aclose(self) -> None:
        with self._labels:
            await self._generator.aclose()


def label(value: object) -> str | None:
    """A label as recorded; None if empty."""
    if value is None:
        return None
    return str(value)[:LONGEST_LABEL] or None


def key_label(value: object) -> str | None:
    """The id or name of an API key; None for anything that looks like the key itself."""
    text = label(value)
    return None if text is not None and text.startswith("sk-ant-") else text


def tags_of(tags: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Tags sorted by name; those without name or value are left out."""
    named = {str(name)[:LONGEST_TAG_NAME]: label(value) for name, value in (tags or {}).items()}
    kept = [(name, value) for name, value in named.items() if name and value is not None]
    return tuple(sorted(kept[:MOST_TAGS]))


def _without(owner: usage_labels, scope: _Scope | None) -> _Scope | None:
    """The scopes without the innermost one of an owner; unchanged if it has none here."""
    inner = []
    at = scope
    while at is not None and at.owner is not owner:
        inner.append(at.owner)
        at = at.outer
    if at is None:
        return scope
    kept = at.outer
    for each in reversed(inner):
        kept = _Scope(each, each._own.within(kept.labels if kept is not None else Labels()), kept)
    return kept
