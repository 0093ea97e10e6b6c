"""A streamed response that is held back until its first token, then passed on as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2

from claude_cost_client.event_stream import StreamedMessage
from claude_cost_client.refusals import Refusal, refusal_in_stream

Done = Callable[[dict[str, Any], bool], None]
"""Takes the message of a stream that told its usage, and whether the stream came to its end."""


class _Held:
    """What has arrived before the first token, and what it means."""

    def __init__(self, http: httpx2.Response, done: Done | None) -> None:
        self.http = http
        self.chunks: list[bytes] = []
        self.failure: httpx2.HTTPError | None = None
        self._seen = StreamedMessage()
        self._done = done

    def hold(self, chunk: bytes) -> bool:
        """Keep a chunk; whether the stream may now be judged."""
        self.chunks.append(chunk)
        self._seen.feed(chunk)
        return self._seen.has_token or self._seen.error is not None

    def verdict(self) -> Refusal | None:
        if self._seen.has_token:
            return None
        if self._seen.error is not None:
            return refusal_in_stream(self._seen.error)
        return Refusal("a stream that ended before its first token")

    def follow(self, chunk: bytes) -> None:
        """Read along behind the first token, for the usage."""
        if self._done is not None:
            self._seen.feed(chunk)

    def end(self) -> None:
        """Tell the usage, once."""
        done, self._done = self._done, None
        if done is not None and self._seen.message is not None:
            done(self._seen.message, self._seen.complete)

    def response(self, stream: httpx2.SyncByteStream | httpx2.AsyncByteStream) -> httpx2.Response:
        """The same response with `stream` as its body, which is decoded already."""
        headers = self.http.headers.copy()
        for name in ("content-encoding", "content-length"):
            headers.pop(name, None)
        return httpx2.Response(
            self.http.status_code,
            headers=headers,
            stream=stream,
            request=self.http.request,
            extensions=self.http.extensions,
        )


class Body(httpx2.SyncByteStream):
    """For the synchronous client. `done` is called when the stream has ended or is closed; None: nobody asks."""

    def __init__(self, http: httpx2.Response, done: Done | None) -> None:
        self._held = _Held(http, done)
        self._chunks = http.iter_bytes()

    def begin(self) -> Refusal | None:
        """Wait for the first token; why there is none. A broken connection is raised again by whoever reads on."""
        try:
            for chunk in self._chunks:
                if self._held.hold(chunk):
                    break
        except httpx2.HTTPError as error:
            self._held.failure = error
        except BaseException:
            self.close()
            raise
        return self._held.verdict()

    def as_response(self) -> httpx2.Response:
        """The response with this body."""
        return self._held.response(self)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._held.chunks
            if self._held.failure is not None:
                raise self._held.failure
            for chunk in self._chunks:
                self._held.follow(chunk)
                yield chunk
        finally:
            self._held.end()

    def close(self) -> None:
        self._held.http.close()
        self._held.end()


class AsyncBody(httpx2.AsyncByteStream):
    """The same for the asynchronous client."""

    def __init__(self, http: httpx2.Response, done: Done | None) -> None:
        self._held = _Held(http, done)
        self._chunks = http.aiter_bytes()

    async def begin(self) -> Refusal | None:
        """Wait for the first token; why there is none."""
        try:
            async for chunk in self._chunks:
                if self._held.hold(chunk):
                    break
        except httpx2.HTTPError as error:
            self._held.failure = error
        except BaseException:
            await self.aclose()
            raise
        return self._held.verdict()

    def as_response(self) -> httpx2.Response:
        """The response with this body."""
        return self._held.response(self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self._held.chunks:
                yield chunk
            if self._held.failure is not None:
                raise self._held.failure
            async for chunk in self._chunks:
                self._held.follow(chunk)
                yield chunk
        finally:
            self._held.end()

    async def aclose(self) -> None:
        await self._held.http.aclose()
        self._held.end()
