"""A stand-in for the bot's HTTP port."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.client.applications import MODES


class ModeServer:
    """A stand-in for the bot's HTTP port. `status`: answered in place of the mode. `streams`: serves events too."""

    def __init__(self, streams: bool = True, token: str | None = None) -> None:
        self.mode = "degraded"
        self.status = 200
        self.streams = streams
        self.token = token
        self.requests: list[tuple[str, str | None, int]] = []
        self.open_streams = 0
        self.streams_opened = 0
        self.silent = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                """Tests read their own output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._stopped = threading.Event()
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def body(self) -> bytes:
        return json.dumps({"mode": self.mode, "variables": dict(MODES[self.mode].variables), "by": "U1"}).encode()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        known = handler.headers.get("If-None-Match")
        status = self.status
        if self.token is not None and handler.headers.get("Authorization") != f"Bearer {self.token}":
            status = 401
        etag = f'"{self.mode}"'
        if status == 200 and handler.path == "/v1/fallback/stream":
            return self._stream(handler) if self.streams else self._finish(handler, 404, b"", etag)
        if status == 200 and known == etag:
            status = 304
        self.requests.append((handler.path, known, status))
        return self._finish(handler, status, self.body() if status == 200 else b"", etag)

    def _finish(self, handler: BaseHTTPRequestHandler, status: int, body: bytes, etag: str) -> None:
        handler.send_response(status)
        handler.send_header("ETag", etag)
        if status == 302:
            handler.send_header("Location", self.url + "/elsewhere")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _stream(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.end_headers()
        self.open_streams += 1
        self.streams_opened += 1
        sent = None
        try:
            while not self._stopped.wait(0.01) and self.streams:
                if sent != self.mode and not self.silent:
                    sent = self.mode
                    handler.wfile.write(b": heartbeat\n\nevent: fallback\ndata: " + self.body() + b"\n\n")
        except OSError:
            return
        finally:
            self.open_streams -= 1

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
