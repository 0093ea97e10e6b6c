"""Labels of requests: nesting, threads, tasks, generators."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from claude_cost_client import usage_labels
from claude_cost_client.labels import Labels, current_labels


def seen() -> tuple[str | None, str | None, dict[str, str]]:
    labels = current_labels()
    return labels.feature, labels.user_id, dict(labels.tags)


NONE: tuple[None, None, dict[str, str]] = (None, None, {})


def test_the_inner_scope_counts_and_tags_are_merged() -> None:
    with usage_labels(feature="support", user_id="u1", tags={"team": "search", "pr": "1"}):
        assert seen() == ("support", "u1", {"team": "search", "pr": "1"})
        with usage_labels(feature="summary", tags={"pr": "2"}):
            assert seen() == ("summary", "u1", {"team": "search", "pr": "2"})
        assert seen() == ("support", "u1", {"team": "search", "pr": "1"})
    assert seen() == NONE


def test_one_scope_may_be_entered_again_inside_itself() -> None:
    scope = usage_labels(feature="support")
    with scope, scope:
        assert seen()[0] == "support"
    assert seen() == NONE


def test_an_error_ends_the_scope_and_passes() -> None:
    with pytest.raises(KeyError), usage_labels(feature="support"):
        raise KeyError
    assert seen() == NONE


def test_a_function_keeps_its_name_answer_and_arguments() -> None:
    @usage_labels(feature="support")
    def answer(first: int, *, second: int = 2) -> object:
        """Adds."""
        return first + second, seen()

    assert answer(1, second=3) == (4, ("support", None, {}))
    assert (answer.__name__, answer.__doc__, seen()) == ("answer", "Adds.", NONE)


async def test_tasks_have_labels_of_their_own() -> None:
    @usage_labels(feature="support")
    async def answer(user: str) -> object:
        with usage_labels(user_id=user):
            await asyncio.sleep(0)
            return seen()

    found = await asyncio.gather(*(answer(f"u{number}") for number in range(20)))
    assert found == [("support", f"u{number}", {}) for number in range(20)]
    assert seen() == NONE


async def test_a_task_keeps_the_labels_that_it_was_started_in() -> None:
    async def later() -> object:
        await asyncio.sleep(0)
        return seen()

    with usage_labels(feature="support"):
        task = asyncio.create_task(later())
        assert await asyncio.to_thread(seen) == ("support", None, {})
    assert await task == ("support", None, {})


def test_a_thread_has_labels_where_the_context_is_copied() -> None:
    found: list[object] = []
    with usage_labels(feature="support"):
        context = contextvars.copy_context()
        threads = [
            threading.Thread(target=lambda: found.append(seen())),
            threading.Thread(target=lambda: found.append(context.run(seen))),
        ]
        for thread in threads:
            thread.start()
            thread.join()
    assert found == [NONE, ("support", None, {})]


def test_ten_threads_use_one_decorator_at_once() -> None:
    together = threading.Barrier(10)
    found: list[object] = []

    @usage_labels(feature="support")
    def work(user: str) -> None:
        with usage_labels(user_id=user):
            together.wait()
            found.append(seen())

    threads = [threading.Thread(target=work, args=(f"u{number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == [("support", f"u{number}", {}) for number in range(10)]


def test_a_generator_has_them_while_its_body_runs_and_its_caller_has_not() -> None:
    ended: list[object] = []

    @usage_labels(feature="stream")
    def parts(count: int) -> Iterator[object]:
        try:
            for _ in range(count):
                yield seen()
        finally:
            ended.append(seen())

    stream = parts(3)
    assert next(stream) == ("stream", None, {})
    assert seen() == NONE
    with usage_labels(user_id="u1"):
        assert next(stream) == ("stream", "u1", {})
    assert list(stream) == [("stream", None, {})]
    left = parts(3)
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert ended == [("stream", None, {})] * 2


def test_what_is_sent_and_thrown_into_a_generator_reaches_its_body() -> None:
    @usage_labels(feature="stream")
    def echo() -> Generator[str | None, str, str]:
        got: str | None = None
        while got != "end":
            try:
                got = yield got
            except KeyError:
                got = "caught"
        return "done"

    generator = echo()
    assert next(generator) is None
    assert generator.send("a") == "a"
    assert generator.throw(KeyError()) == "caught"
    with pytest.raises(StopIteration, match="done"):
        generator.send("end")


async def test_an_asynchronous_generator_has_them_while_its_body_runs() -> None:
    ended: list[object] = []

    @usage_labels(feature="stream")
    async def parts() -> AsyncIterator[object]:
        try:
            for _ in range(3):
                await asyncio.sleep(0)
                yield seen()
        finally:
            ended.append(seen())

    async for part in parts():
        assert (part, seen()) == (("stream", None, {}), NONE)
    left = parts()
    await anext(left)
    await left.aclose()  # type: ignore[attr-defined]
    assert ended == [("stream", None, {})] * 2


def test_a_generator_that_is_left_open_ends_its_own_scope_only() -> None:
    def parts() -> Iterator[None]:
        with usage_labels(feature="stream", tags={"a": "1"}):
            yield

    stream = parts()
    next(stream)
    with usage_labels(user_id="u1"):
        stream.close()  # type: ignore[attr-defined]
        assert seen() == (None, "u1", {})
    assert seen() == NONE


def test_a_scope_that_is_left_in_another_context_changes_nothing_there() -> None:
    scope = usage_labels(feature="stream")
    contextvars.copy_context().run(scope.__enter__)
    with usage_labels(feature="support"):
        scope.__exit__(None, None, None)
        assert seen()[0] == "support"


def test_labels_are_short_texts_and_a_secret_key_is_none_of_them() -> None:
    odd: dict[str, object] = {"": "x", "none": None, "number": 7, "long": "y" * 900, "empty": ""}
    with usage_labels(feature="f" * 900, user_id=42, tags=odd, key="sk-ant-api03-secret", session=""):  # type: ignore[arg-type]
        tags = (("long", "y" * 200), ("number", "7"))
        assert current_labels() == Labels(feature="f" * 200, user_id="42", tags=tags)
    with usage_labels(key="ingest-2", workspace="wrkspc_1"):
        assert current_labels() == Labels(key="ingest-2", workspace="wrkspc_1")


def test_of_too_many_tags_the_inner_ones_stay() -> None:
    inner = {f"b{number:02}": "1" for number in range(15)}
    with usage_labels(tags={f"a{number:02}": "1" for number in range(30)}):
        assert len(current_labels().tags) == 20
        with usage_labels(tags={**inner, "n" * 100: "1"}):
            tags = dict(current_labels().tags)
    assert len(tags) == 20
    assert set(inner) | {"n" * 64} <= set(tags)
