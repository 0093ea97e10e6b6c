"""`claude-cost` in processes that start quickly: `python -m tests.scenario.forked FD`.

Importing the product takes most of a start. This program does it once and forks a process for every command line that
arrives on the socket FD; that process has an environment, a folder, outputs and signals of its own.
"""

import asyncio
import fcntl
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import termios
from asyncio import StreamReader
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from bot.__main__ import COMMANDS, MODULES
from bot.__main__ import main as claude_cost

ROOT = Path(__file__).resolve().parents[2]
LONGEST_MESSAGE = 65_536
INHERITED = ("PATH", "COVERAGE_PROCESS_CONFIG")
OUT, ERR, STATUS = range(3)
"""The descriptors that come with a command line."""


class Process(Protocol):
    """The parts of `asyncio.subprocess.Process` that the tests use."""

    pid: int

    @property
    def returncode(self) -> int | None: ...

    def send_signal(self, signal: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    async def wait(self) -> int: ...

    async def communicate(self) -> tuple[bytes, bytes]: ...


class ForkedProcess:
    """A process of the fork server, used like `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, out: StreamReader, err: StreamReader, status: StreamReader) -> None:
        self.pid = pid
        self._out, self._err, self._status = out, err, status
        self._returncode: int | None = None

    @property
    def returncode(self) -> int | None:
        """Known once somebody has waited for the end."""
        return self._returncode

    def send_signal(self, signal: int) -> None:
        """Raises ProcessLookupError where the process has ended."""
        if self._returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """The exit code, or the negative number of the signal that has ended it."""
        if self._returncode is None:
            self._returncode = int(await self._status.read())
        return self._returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """All output until its end."""
        out, err, _ = await asyncio.gather(self._out.read(), self._err.read(), self.wait())
        await asyncio.sleep(0)  # for the pipes to be closed
        return out, err


class ForkServer:
    """The program of this file, as a process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.scenario.forked", str(theirs.fileno())],
                cwd=ROOT,
                env={name: os.environ[name] for name in INHERITED if name in os.environ},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    async def start(
        self, words: Sequence[str], environ: Mapping[str, str], folder: Path, terminal: int | None = None
    ) -> ForkedProcess:
        """`claude-cost` with these words. `terminal`: descriptor of its own terminal, which then gets all output."""
        ends = [os.pipe() for _ in (OUT, ERR, STATUS)]
        asked = {"words": words, "environ": dict(environ), "folder": str(folder), "terminal": terminal is not None}
        given = [write for _, write in ends]
        if terminal is not None:
            given[OUT] = given[ERR] = terminal
        try:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], given)
        finally:
            for _, write in ends:
                os.close(write)
        out, err, status = [await _reader(read) for read, _ in ends]
        return ForkedProcess(int(await status.readline()), out, err, status)

    def close(self) -> None:
        self._socket.close()
        self._process.wait(60)


async def _reader(descriptor: int) -> StreamReader:
    reader = StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    """The fork server, ended at the end."""
    server = ForkServer()
    try:
        yield server
    finally:
        server.close()


def main(descriptor: int) -> int:
    """Fork a process for every command line, until the other end is closed. Returns the exit code of each process."""
    for name in ("bot.cli.command_parser", *(MODULES.get(each, f"bot.cli.{each}") for each in COMMANDS)):
        import_module(name)
    gc.freeze()  # A garbage collection in a fork would copy the shared memory.
    with socket.socket(fileno=descriptor) as tests:
        while True:
            asked, descriptors, _, _ = socket.recv_fds(tests, LONGEST_MESSAGE, 3)
            if not asked:
                return 0
            if not os.fork():
                break
            for one in descriptors:
                os.close(one)
            while _an_ended_child():
                pass
    return _in_between(json.loads(asked), descriptors)


def _an_ended_child() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return False


def _in_between(asked: dict[str, Any], descriptors: Sequence[int]) -> int:
    """Tell how the process ends, for which only its parent can wait."""
    status = descriptors[STATUS]
    if child := os.fork():
        for one in (descriptors[OUT], descriptors[ERR]):
            os.close(one)
        os.write(status, f"{child}\n".encode())
        _, ended = os.waitpid(child, 0)
        os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
        os._exit(0)
    os.close(status)
    if asked["terminal"]:
        os.setsid()
        fcntl.ioctl(descriptors[OUT], termios.TIOCSCTTY, 0)
        os.dup2(descriptors[OUT], 0)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for target, source in enumerate((descriptors[OUT], descriptors[ERR]), 1):
        os.dup2(source, target)
        os.close(source)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    return claude_cost(asked["words"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
