"""Where a service reads the fallback mode from: the env file that the bot manages, or the bot's HTTP port."""

import http.client
import json
import logging
import os
import random
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from bot.client.ceiling import MODE_VARIABLE
from bot.client.env_text import variables_in
from bot.client.event_stream import EventReader

log = logging.getLogger("claude_cost.client")

Learn = Callable[[Mapping[str, str]], object]
"""Takes the variables of the mode in force."""

FILE_SECONDS = 1.0
POLL_SECONDS = 5.0
SILENT_SECONDS = 60.0
"""A stream that says nothing for so long is opened anew: its connection may be dead."""
ANSWER_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0

LONGEST_ANSWER = 1_000_000


class Source(Protocol):
    """Something that knows the mode's variables."""

    def at_once(self) -> Mapping[str, str] | None:
        """The variables, where they can be had without waiting."""

    def follow(self, learn: Learn, stopped: threading.Event) -> None:
        """Tell every change until `stopped`. Raises nothing; says once in the log why the source is silent."""


class EnvFileSource:
    """The env file; looked at every second, read when it has changed. `expected`: its absence is worth a warning."""

    def __init__(self, path: str, expected: bool) -> None:
        self._path = os.path.expanduser(path)
        # Absolute from now on, so that a service that changes its directory keeps its file.
        with suppress(OSError):  # of a working directory that has been removed
            self._path = os.path.abspath(self._path)
        self._seen: tuple[int, ...] | None = None
        self._complaints = _Complaints(logging.WARNING if expected else logging.INFO)

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
        self._seen = seen
        self._complaints.end()
        return variables_in(text)

    def follow(self, learn: Learn, stopped: threading.Event) -> None:
        """Look every second."""
        while not stopped.wait(FILE_SECONDS):
            if (variables := self.at_once()) is not None:
                learn(variables)


class HttpSource:
    """`GET /v1/fallback`, then its stream of server-sent events; where there is no stream, the former every 5 s.

    `token` is asked for at every connection, so that it may be renewed; it goes to no other address.
    """

    def __init__(self, url: str, token: Callable[[], str | None]) -> None:
        self._url = url.rstrip("/") + "/v1/fallback"
        self._token = token
        self._etag: str | None = None
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._complaints = _Complaints()

    def at_once(self) -> Mapping[str, str] | None:
        """A server has to be waited for."""
        return None

    def follow(self, learn: Learn, stopped: threading.Event) -> None:
        """Ask, listen, and after a failure ask again, after a longer and longer pause."""
        if not self._url.startswith(("http://", "https://")):
            self._complaints.say("%s is no http address: correct CLAUDE_COST_FALLBACK_URL", self._url)
            return
        pause = FIRST_PAUSE_SECONDS
        while not stopped.is_set():
            try:
                self._ask(learn)
                self._complaints.end()
                pause = FIRST_PAUSE_SECONDS
                if not self._listen(learn, stopped):
                    pause = POLL_SECONDS
            except (OSError, http.client.HTTPException, ValueError) as error:
                # The text of an error may repeat a header, so only its kind is told.
                reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
                self._complaints.say("%s does not answer (%s); the fallback mode stays as it was", self._url, reason)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
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
        """Until the stream ends; whether there was one."""
        try:
            response = self._open("/stream", SILENT_SECONDS, {"Accept": "text/event-stream"})
        except urllib.error.HTTPError as error:
            error.close()
            return False
        with response:
            if response.headers.get_content_type() != "text/event-stream":
                return False
            events = EventReader()
            try:
                while not stopped.is_set() and (line := response.readline(LONGEST_ANSWER)):
                    for event in events.feed(line):
                        learn(_variables(json.loads(event.data)))
            except (OSError, http.client.HTTPException):
                # Ended, silent or broken: what has been missed is asked for at once.
                pass
        return True

    def _open(self, path: str, timeout: float, headers: dict[str, str]) -> Any:
        token = self._token()
        if token:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        return self._opener.open(urllib.request.Request(self._url + path, headers=headers), timeout=timeout)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


class _Complaints:
    """Says in the log once why the source is silent, and again only after it has spoken in between."""

    def __init__(self, level: int = logging.WARNING) -> None:
        self._level = level
        self._said = False

    def say(self, sentence: str, *words: object) -> None:
        if not self._said:
            log.log(self._level, sentence, *words)
        self._said = True

    def end(self) -> None:
        self._said = False


def _variables(answer: Any) -> dict[str, str]:
    """The variables in an answer of `/v1/fallback`. Raises ValueError for anything else."""
    if not isinstance(answer, dict) or not isinstance(variables := answer.get("variables"), dict):
        raise ValueError("no answer of /v1/fallback")
    if MODE_VARIABLE not in variables:
        variables = {**variables, MODE_VARIABLE: answer.get("mode")}
    return {name: value for name, value in variables.items() if isinstance(value, str)}
