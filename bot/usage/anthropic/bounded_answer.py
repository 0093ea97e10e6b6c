"""The body of an answer over httpx, read piece by piece: what it says of its own length is not believed.

httpx unpacks each piece as a whole, a thousand times its size, and every layer of several encodings.
"""

import asyncio
import zlib
from collections.abc import Iterator
from io import BytesIO

import httpx

ACCEPTED = "gzip, deflate"
"""The header `Accept-Encoding`: what can be unpacked here, whatever else is installed."""

_STEP_BYTES = 2**20


class TooLargeError(Exception):
    """An answer has more bytes, unpacked, than the caller wants to hold."""


async def bounded_answer(http: httpx.AsyncClient, request: httpx.Request, most: int) -> tuple[httpx.Response, bytes]:
    """An answer and its body. No redirect is followed.

    Raises `TooLargeError` where the body has more than `most` bytes, unpacked, and what httpx raises.
    """
    request.headers["accept-encoding"] = ACCEPTED
    answer = await http.send(request, stream=True, follow_redirects=False)
    if answer.is_stream_consumed:  # by a transport that has no network behind it
        return answer, answer.content
    try:
        decoder = _decoder_for(answer.headers.get("content-encoding", ""))
        body = BytesIO()
        async for raw in answer.aiter_raw():
            for count, piece in enumerate(decoder.unpacked(raw)):
                if count:  # what unpacks to many pieces leaves the loop between them
                    await asyncio.sleep(0)
                body.write(piece)
                if body.tell() > most:
                    raise TooLargeError
        return answer, body.getvalue()
    finally:
        await answer.aclose()


class _Plain:
    def unpacked(self, raw: bytes) -> Iterator[bytes]:
        yield raw


class _Zlib:
    """gzip, and deflate with its header or, as some servers send it, without."""

    def __init__(self, bits: int, otherwise: int | None = None) -> None:
        self._unpacker = zlib.decompressobj(bits)
        self._otherwise = otherwise

    def unpacked(self, raw: bytes) -> Iterator[bytes]:
        while raw and not self._unpacker.eof:
            try:
                piece = self._unpacker.decompress(raw, _STEP_BYTES)
            except zlib.error as error:
                if self._otherwise is None:
                    raise httpx.DecodingError(str(error)) from None
                self._unpacker, self._otherwise = zlib.decompressobj(self._otherwise), None
                continue
            self._otherwise = None
            raw = self._unpacker.unconsumed_tail
            if piece:
                yield piece


def _decoder_for(encoding: str) -> _Plain | _Zlib:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Zlib(zlib.MAX_WBITS, -zlib.MAX_WBITS)
        case other:
            raise httpx.DecodingError(f"nobody asked for {other[:40]!r}")
