"""Sources of the fallback mode: the env file that the bot manages, or the bot's HTTP port."""

from __future__ import annotations

import http.client
import json
import logging
import math
import os
import random
import re
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from claude_cost_client.ceiling import MODE_VARIABLE
from claude_cost_client.event_stream import EventReader
from claude_cost_client.wire import Complaints, opener_for

log = logging.getLogger("claude_cost.client")

Learn = Callable[[Mapping[str, str]], object]
"""Receives the variables of the mode in force."""

SETTLED_SECONDS = 0.1
"""A file that changed less than this ago is read again: a second write may leave time and size unchanged."""
STREAM_AGAIN_SECONDS = 600.0
"""Seconds after a stream without data until the next attempt; the mode is polled meanwhile."""
ANSWER_SECONDS = 10.0

LONGEST_ANSWER = 1_000_000


class Pace(NamedTuple):
    """Intervals of a source, in seconds.

    `file`: between two checks of the env file, one `os.stat` each. `poll`: between two requests without a stream.
    `silent`: a stream without data for this long is reopened, since its connection may be dead; the bot writes every 15
    s. `first_pause`, `longest_pause`: after failures, each pause twice as long as the one before.
    """

    file: float = 0.15
    poll: float = 5.0
    silent: float = 40.0
    first_pause: float = 0.5
    longest_pause: float = 10.0


PACE = Pace()


class Source(Protocol):
    """A source of the mode's variables."""

    def at_once(self) -> Mapping[str, str] | None:
        """The variables, if available without waiting."""

    def follow(self, learn: Learn, stopped: threading.Event) -> None:
        """Report every change until `stopped`. Raises nothing; logs once why the source is silent."""


class EnvFileSource:
    """The env file; checked every 0.15 s, read when changed. `expected`: warn if it is missing."""

    def __init__(self, path: str, expected: bool, pace: Pace = PACE) -> None:
        self._pace = pace
        self._path = os.path.expanduser(path)
        # Make it absolute, so that a service that changes its directory keeps its file.
        with suppress(OSError):  # The working directory has been removed.
            self._path = os.path.abspath(self._path)
        self._seen: tuple[int, ...] | None = None
        self._complaints = Complaints(logging.WARNING if expected else logging.INFO)

    def at_once(self) -> Mapping[str, str] | None:
        """The file's variables if it is new or has changed since the last time; None if not, or unreadable."""
        try:
            status = os.stat(self._path)
            if not stat.S_ISREG(status.st_mode):
                self._complaints.say("%s is no file; the fallback mode stays as it was", self._path)
                return None
            seen = status.st_mtime_ns, status.st_ino, status.st_size
            if seen == self._seen:
                return None
            with open(self._path, encoding="utf-8", errors="replace", newline="") as file:
                text = file.read()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._complaints.say("%s cannot be read (%s); the fallback mode stays as it was", self._path, reason)
            return None
        # Another machine's clock may differ; its files are read once, as soon as they look different.
        settled = abs(time.time() - status.st_mtime) > SETTLED_SECONDS
        self._seen = seen if settled else None
        self._complaints.end()
        return variables_in(text)

    def follow(self, learn: Learn, stopped: threading.Event) -> None:
        """Check repeatedly."""
        while not stopped.wait(self._pace.file):
            if (variables := self.at_once()) is not None:
                learn(variables)


class HttpSource:
    """`GET /v1/fallback`, then its stream of server-sent events; without a stream, polls every 5 s.

    A stream without initial data, as behind a buffering proxy, is given up; after ten minutes of polling it is tried
    again. `token`: called at every connection, so that it may be renewed; sent nowhere else.
    """

    def __init__(self, url: str, token: Callable[[], str | None], pace: Pace = PACE) -> None:
        self._pace = pace
        self._url = url.rstrip("/") + "/v1/fallback"
        self._token = token
        self._etag: str | None = None
        self._opener = opener_for(url)
        self._complaints = Complaints()
        self._stream_from = -math.inf

    def at_once(self) -> Mapping[str, str] | None:
        """Always None: a server has to be waited for."""
        return None

    def follow(self, learn: Learn, stopped: threading.Event) -> None:
        """Request, then listen; after a failure retry with growing pauses."""
        if not self._url.startswith(("http://", "https://")):
            self._complaints.say("%s is no http address: correct CLAUDE_COST_FALLBACK_URL", self._url)
            return
        retry_after = self._pace.first_pause
        while not stopped.is_set():
            try:
                self._ask(learn)
                self._complaints.end()
                retry_after = self._pace.first_pause
                pause = self._pace.first_pause if self._listen(learn, stopped) else self._pace.poll
            except (OSError, http.client.HTTPException, ValueError) as error:
                # The text of an error may repeat a header, so log only its kind.
                reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
                self._complaints.say("%s does not answer (%s); the fallback mode stays as it was", self._url, reason)
                pause, retry_after = retry_after, min(self._pace.longest_pause, retry_after * 2)
            stopped.wait(pause * random.uniform(0.75, 1.25))

    def _ask(self, learn: Learn) -> None:
        headers = {"If-None-Match": self._etag} if self._etag else {}
        try:
            with self._open("", ANSWER_SECONDS, headers) as response:
                body = response.read(LONGEST_ANSWER)
                etag = response.headers.get("ETag")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.NOT_MODIFIED:
                return
            raise
        learn(_variables(json.loads(body)))
        self._etag = etag

    def _listen(self, learn: Learn, stopped: threading.Event) -> bool:
        """Listen until the stream ends; False if there is none, or none is tried yet."""
        begun_at = time.monotonic()
        if begun_at < self._stream_from:
            return False
        arrived = False
        try:
            with self._open("/stream", self._pace.silent, {"Accept": "text/event-stream"}) as response:
                if response.headers.get_content_type() != "text/event-stream":
                    return False
                events = EventReader()
                while not stopped.is_set() and (line := response.readline(LONGEST_ANSWER)):
                    arrived = True
                    for event in events.feed(line):
                        learn(_variables(json.loads(event.data)))
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except (OSError, http.client.HTTPException):
            # Ended, silent or broken: request what was missed at once.
            pass
        if arrived or time.monotonic() - begun_at < self._pace.silent:
            return True
        # The bot sends the mode at once, so something on the way buffers the stream.
        self._stream_from = time.monotonic() + STREAM_AGAIN_SECONDS
        return False

    def _open(self, path: str, timeout: float, headers: dict[str, str]) -> Any:
        token = self._token()
        if token:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        return self._opener.open(urllib.request.Request(self._url + path, headers=headers), timeout=timeout)


def _variables(answer: Any) -> dict[str, str]:
    """The variables in a response of `/v1/fallback`. Raises ValueError for anything else."""
    if not isinstance(answer, dict) or not isinstance(variables := answer.get("variables"), dict):
        raise ValueError("no answer of /v1/fallback")
    if MODE_VARIABLE not in variables:
        variables = {**variables, MODE_VARIABLE: answer.get("mode")}
    return {name: value for name, value in variables.items() if isinstance(value, str)}


_BLANK = "[ \\t]*"
_LINE = re.compile(rf"{_BLANK}(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*){_BLANK}={_BLANK}(.*?){_BLANK}", re.DOTALL)


def variables_in(text: str) -> dict[str, str]:
    """Variables by name; the last line that sets a name counts. Other lines are ignored.

    A line ends at a line feed, a carriage return or both, and at no other character. A byte order mark is skipped.
    """
    found = {}
    for line in re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")):
        if match := _LINE.fullmatch(line):
            found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["\\$`])', r"\1", value[1:-1])
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    return value
