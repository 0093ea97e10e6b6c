"""Destinations through Apprise: from an address to something that takes letters.

Apprise knows some 180 services. It blocks, so every letter has a thread; it sleeps between two sends and can retry by
itself, both of which are switched off, because the outbox does that. What Apprise writes to its log may name addresses,
so it goes nowhere: reasons are given in words of our own.
"""

import asyncio
import ctypes
import difflib
import hashlib
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from typing import Any

from apprise import Apprise, AppriseAsset, AppriseResult, NotifyFormat, NotifyType
from apprise.common import OverflowMode
from apprise.manager_plugins import NotificationManager
from apprise.plugins.base import NotifyBase
from apprise.result import AppriseResultStatus
from apprise.utils.parse import parse_urls
from pydantic import SecretStr

from bot.alerts.outside import Told
from bot.message import PlainMessage, Tone
from bot.notify.bounded_requests import bound_requests
from bot.notify.chatwork import SCHEMA, ChatWork

TELL_SECONDS = 60
"""How long one letter may take with all its recipients."""

NAME_LIMIT = 60
"""Characters of a destination's name."""

_TYPES: dict[Tone, NotifyType] = {
    "soft": NotifyType.WARNING,
    "hard": NotifyType.FAILURE,
    "resolved": NotifyType.SUCCESS,
}

FOR_GOOD = (401, 403, 404, 410)
"""HTTP answers that do not change by themselves: a token that was revoked, a webhook that is gone."""

_STATUS = re.compile(r"\berror=(\d{3})\b")
_NO_CONNECTION = re.compile(r"connection error", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9]{1,19})://", re.IGNORECASE)


def service_of(url: str) -> NotifyBase:
    """What Apprise makes of an address. Raises ValueError with a sentence that does not quote it."""
    _prepare()
    if len(parse_urls(url)) > 1:
        raise ValueError("this is more than one address; write one [[destination]] for each.")
    service = Apprise.instantiate(url, asset=_asset())
    if service is None:
        raise ValueError(_why_refused(url))
    service.request_rate_per_sec = 0
    service.retry = 0
    # An optional service would report success whatever became of the message.
    service.optional = False
    if service.overflow_mode is OverflowMode.UPSTREAM:
        # A service that takes less than a whole alert refuses it for ever; the first lines say what happened.
        service.overflow_mode = OverflowMode.TRUNCATE
    return service


def default_name(service: NotifyBase) -> str:
    """Scheme and host; secrets that some services have in the place of the host are unreadable."""
    scheme, _, rest = service.url(privacy=True).partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}"[:NAME_LIMIT]


class AppriseDestination:
    """One destination, for one letter at a time."""

    def __init__(self, name: str, url: SecretStr) -> None:
        self.name = name
        self._service = service_of(url.get_secret_value())
        self._apprise = Apprise(asset=_asset())
        self._apprise.add(self._service)
        self._thread: threading.Thread | None = None

    async def tell(self, letter: PlainMessage, reached: frozenset[str]) -> Told:
        """Send to those recipients of the destination that are not in `reached`, for at most `TELL_SECONDS`.

        At most one thread: while an earlier one does not end, nothing else is sent.
        """
        if self._thread is not None and self._thread.is_alive():
            _interrupt(self._thread)
            return Told("an earlier message to it still hangs", reached)
        marks = set(reached)
        self._thread, told = _in_thread(lambda: self._tell(letter, reached, marks))
        try:
            async with asyncio.timeout(TELL_SECONDS):
                return await asyncio.wrap_future(told)
        except TimeoutError:
            _interrupt(self._thread)
            return Told(f"it has not answered within {TELL_SECONDS} s", frozenset(marks))

    def _tell(self, letter: PlainMessage, reached: frozenset[str], marks: set[str]) -> Told:
        # The hooks by which Apprise's services spare those who have a message already; by themselves they forget.
        _hook(self._service, "is_delivered", lambda key, per_message=False: _mark(key) in marks)
        _hook(self._service, "mark_delivered", lambda key, per_message=False: marks.add(_mark(key)))
        result = self._apprise.notify(
            title=letter.title, body=letter.body, notify_type=_TYPES[letter.tone], body_format=NotifyFormat.TEXT
        )
        error = None if result.status is AppriseResultStatus.SUCCESS else _reason(result, some=marks != reached)
        for_good = error is not None and any(f"status {status}" in error for status in FOR_GOOD)
        result.close()
        return Told(error, frozenset(marks), for_good)


class _OutOfTimeError(BaseException):
    """No service catches this."""


def _in_thread(work: Callable[[], Told]) -> tuple[threading.Thread, Future[Told]]:
    """In no pool: one that hangs must hold up neither another destination, nor the database, nor the end."""
    future: Future[Told] = Future()

    def run() -> None:
        with suppress(_OutOfTimeError):
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001  # whoever waits for the future gets it
                future.set_exception(error)

    future.set_running_or_notify_cancel()
    thread = threading.Thread(target=run, name="destination", daemon=True)
    thread.start()
    return thread, future


def _interrupt(thread: threading.Thread) -> None:
    """Raise `_OutOfTimeError` in a thread as soon as it gets a byte, or runs into the limit of one connection.

    Each wait for a byte has a limit; their sum has none, so that a server that dribbles would hold it for ever.
    """
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_OutOfTimeError))


def _hook(service: NotifyBase, name: str, function: Callable[..., Any]) -> None:
    setattr(service, name, function)


def _mark(key: object) -> str:
    """Recognises a recipient without naming it: marks are stored."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def _reason(result: AppriseResult, *, some: bool) -> str:
    """A clause on why the destination did not take the letter. Apprise's own words are not quoted."""
    lines = [entry.message for entry in result.logs()]
    for line in lines:
        status = _STATUS.search(line)
        if status is not None:
            return f"it answers with HTTP status {status[1]}"
    if any(_NO_CONNECTION.search(line) for line in lines):
        return "there is no connection to it, or it refuses the login"
    return "some of its recipients do not take the message" if some else "it does not take the message"


def _why_refused(url: str) -> str:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "this is no address of Apprise, such as mailto://USER:PASSWORD@HOST?to=NAME@HOST."
    name = scheme[1].lower()
    known = NotificationManager().schemas()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}://?" if nearest else "see github.com/caronc/apprise for those it knows."
        return f"Apprise knows no addresses that begin with {name}://; {hint}"
    return f"this {name}:// address lacks a part or has a wrong one; see how Apprise wants it written."


def _asset() -> AppriseAsset:
    # A redirected message becomes a request for a page, whose answer looks like success. Without a time limit of its
    # own Apprise works in the calling thread; each connection has its limit all the same.
    return AppriseAsset(
        app_id="claude-cost",
        app_desc="spend on the Claude API",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        service_timeout=0,
    )


@cache
def _prepare() -> None:
    bound_requests()
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)  # what results carry, whatever else is logged
    manager = NotificationManager()
    if SCHEMA not in manager:
        manager.add(ChatWork, schemas=(SCHEMA,))
