"""Streamed responses: held back until the first token, or read along for usage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import httpx2

from claude_cost_client.event_stream import StreamedMessage
from claude_cost_client.refusals import Refusal, refusal_in_stream


class Reader(Protocol):
    """Reads a stream along. Raises nothing."""

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""

    def end(self, broken: bool) -> None:
        """The stream has ended or was closed, or its connection broke. May be called again."""


def _with_body(http: httpx2.Response, stream: httpx2.SyncByteStream | httpx2.AsyncByteStream) -> httpx2.Response:
    """The same response with `stream` as its body, already decoded."""
    headers = http.headers.copy()
    for name in ("content-encoding", "content-length"):
        headers.pop(name, None)
    return httpx2.Response(
        http.status_code, headers=headers, stream=stream, request=http.request, extensions=http.extensions
    )


class ReadBody(httpx2.SyncByteStream):
    """Passes a stream on unchanged, and shows it to a reader."""

    def __init__(self, http: httpx2.Response, reader: Reader) -> None:
        self._http = http
        self._reader = reader

    def as_response(self) -> httpx2.Response:
        """The response with this body."""
        return _with_body(self._http, self)

    def __iter__(self) -> Iterator[bytes]:
        broken = False
        try:
            for chunk in self._http.iter_bytes():
                self._reader.feed(chunk)
                yield chunk
        except httpx2.HTTPError:
            broken = True
            raise
        finally:
            self._reader.end(broken)

    def close(self) -> None:
        self._http.close()
        self._reader.end(False)


class AsyncReadBody(httpx2.AsyncByteStream):
    """`ReadBody` for the asynchronous client."""

    def __init__(self, http: httpx2.Response, reader: Reader) -> None:
        self._http = http
        self._reader = reader

    def as_response(self) -> httpx2.Response:
        """The response with this body."""
        return _with_body(self._http, self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        broken = False
        try:
            async for chunk in self._http.aiter_bytes():
                self._reader.feed(chunk)
                yield chunk
        except httpx2.HTTPError:
            broken = True
            raise
        finally:
            self._reader.end(broken)

    async def aclose(self) -> None:
        await self._http.aclose()
        self._reader.end(False)


class _Held:
    """Chunks before the first token, and their meaning."""

    def __init__(self, http: httpx2.Response) -> None:
        self.http = http
        self.chunks: list[bytes] = []
        self.failure: httpx2.HTTPError | None = None
        self._seen = StreamedMessage()

    def hold(self, chunk: bytes) -> bool:
        """Keep a chunk; returns whether the stream can be judged now."""
        self.chunks.append(chunk)
        self._seen.feed(chunk)
        return self._seen.has_token or self._seen.error is not None

    def verdict(self) -> Refusal | None:
        if self._seen.has_token:
            return None
        if self._seen.error is not None:
            return refusal_in_stream(self._seen.error)
        return Refusal("a stream that ended before its first token")


class Body(httpx2.SyncByteStream):
    """A stream that is held back until its first token, then passed on unchanged. For the synchronous client."""

    def __init__(self, http: httpx2.Response) -> None:
        self._held = _Held(http)
        self._chunks = http.iter_bytes()

    def begin(self) -> Refusal | None:
        """Wait for the first token; returns why there is none. A broken connection is raised again when read on."""
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
        return _with_body(self._held.http, self)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._held.chunks
        if self._held.failure is not None:
            raise self._held.failure
        yield from self._chunks

    def close(self) -> None:
        self._held.http.close()


class AsyncBody(httpx2.AsyncByteStream):
    """`Body` for the asynchronous client."""

    def __init__(self, http: httpx2.Response) -> None:
        self._held = _Held(http)
        self._chunks = http.aiter_bytes()

    async def begin(self) -> Refusal | None:
        """Wait for the first token; returns why there is none."""
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
        return _with_body(self._held.http, self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._held.chunks:
            yield chunk
        if self._held.failure is not None:
            raise self._held.failure
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        await self._held.http.aclose()
