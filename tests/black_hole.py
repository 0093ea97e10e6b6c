"""A proxy that can stop passing bytes without closing anything, as a network that is cut does."""

import socket
import threading
from contextlib import suppress
from types import TracebackType

TICK_SECONDS = 0.05


class BlackHole:
    """Passes TCP connections on to `host` and `port` until `open` is cleared; it still accepts new ones then."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(TICK_SECONDS)
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.open = threading.Event()
        self.open.set()
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> "BlackHole":
        self._begin(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _begin(self, work: object, *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                client, _ = self._server.accept()
                self._begin(self._pass, client, socket.create_connection(self._target))

    def _pass(self, *ends: socket.socket) -> None:
        with ends[0], ends[1], suppress(OSError):
            for end in ends:
                end.settimeout(TICK_SECONDS)
            while not self._over.is_set():
                if not self.open.is_set():
                    self._over.wait(TICK_SECONDS)
                elif not all(self._pass_on(end, other) for end, other in (ends, ends[::-1])):
                    return

    def _pass_on(self, end: socket.socket, other: socket.socket) -> bool:
        """Whether the connection goes on."""
        try:
            data = end.recv(65536)
        except TimeoutError:
            return True
        if self.open.is_set():
            other.sendall(data)
        return data != b""
