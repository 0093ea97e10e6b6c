"""A destination that dribbles, floods or redirects: its message waits with a reason, and it takes the next one."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import responses
from pydantic import SecretStr

from bot.messages import PlainMessage
from bot.notify.apprise import POST_SECONDS, AppriseDestination
from bot.notify.model import Delivered, Failed, SendResult

MESSAGE = PlainMessage("hard limit crossed", "all of it", "hard")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@pytest.fixture(autouse=True)
def loopback() -> Iterator[None]:
    """Calls to this machine get through."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        web.add_passthru("http://127.0.0.1")
        yield


@contextmanager
def serving(answer: Callable[[socket.socket], object]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each request with `answer`; its port, and the requests."""
    listening = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(65_536))
                try:
                    answer(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def destination(port: int, parameters: str = "", post_seconds: float = POST_SECONDS) -> AppriseDestination:
    url = SecretStr(f"json://127.0.0.1:{port}/hook{parameters}")
    return AppriseDestination("hook", url, post_seconds)


def reason(result: SendResult) -> str:
    assert isinstance(result, Failed)
    return result.sentence


def dribbles(connection: socket.socket, begin: bytes, stop: threading.Event) -> None:
    connection.sendall(begin)
    while not stop.wait(0.05):
        connection.sendall(b"x")


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
async def test_a_destination_that_dribbles_times_out_and_is_tried_again_later(
    begin: bytes,
) -> None:
    slow = [True]
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        if slow[0]:
            dribbles(connection, begin, stop)
        else:
            connection.sendall(OK)

    with serving(answer) as (port, _):
        hook = destination(port, post_seconds=0.3)
        assert reason(await hook.post(MESSAGE, {})) == "it has not answered within 0.3 s"
        slow[0] = False
        for _ in range(50):
            await asyncio.sleep(0.1)
            outcome = await hook.post(MESSAGE, {})
            if isinstance(outcome, Delivered):
                break
            assert sum(thread.name == "destination" for thread in threading.enumerate()) <= 1
        stop.set()
    assert outcome == Delivered()


async def test_an_answer_of_any_size_is_cut() -> None:
    sent = [0]

    def floods(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" " * 2**20)
            sent[0] += 1

    with serving(floods) as (port, _):
        assert "no connection" in reason(await destination(port).post(MESSAGE, {}))
    assert sent[0] < 20


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("parameters", ["", "?redirect=yes"])
async def test_no_redirect_takes_the_message_elsewhere(status: int, parameters: str) -> None:
    with serving(lambda connection: connection.sendall(OK)) as (elsewhere, heard):
        location = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        with serving(lambda connection: connection.sendall(location.encode())) as (port, _):
            outcome = await destination(port, parameters).post(MESSAGE, {})
    assert reason(outcome) == f"it responded with HTTP status {status}"
    assert heard == []


async def test_nothing_of_a_response_is_shown_but_its_status(caplog: pytest.LogCaptureFixture) -> None:
    body = b"HTTP/1.1 403 Forbidden\r\nX-Key: internal\r\nContent-Length: 8\r\n\r\ninternal"
    with serving(lambda connection: connection.sendall(body)) as (port, _):
        outcome = await destination(port).post(MESSAGE, {})
    assert reason(outcome) == "it responded with HTTP status 403"
    assert "internal" not in caplog.text
