"""Destinations through Apprise, which knows some 180 services, and a plug-in for ChatWork, which it lacks.

Apprise blocks, so each message gets a thread. Its throttling and its retries are off, since the outbox retries. Its log
may name addresses, so it is discarded, and failures get a reason of our own. Its services use `requests`, which is
bounded here: no endless response and no redirects. No address makes the bot send a file or fetch another address.

Source: developer.chatwork.com, `POST /rooms/{room_id}/messages` with the header `X-ChatWorkToken` and a form field
`body`.
"""

import asyncio
import ctypes
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from typing import Any

import requests
from apprise import Apprise, AppriseAsset, AppriseResult, NotifyFormat, NotifyType
from apprise.apprise_attachment import AppriseAttachment
from apprise.common import OverflowMode
from apprise.exception import AppriseImproperlyConfigured
from apprise.manager_attachment import AttachmentManager
from apprise.manager_plugins import NotificationManager
from apprise.plugins.base import NotifyBase
from apprise.result import AppriseResultStatus
from apprise.url import URLBase
from apprise.utils.parse import parse_urls
from pydantic import SecretStr
from requests.adapters import HTTPAdapter

from bot.messages import PlainMessage, Tone
from bot.notify.model import CALL_SECONDS, Address, Delivered, Destination, Failed, May, SendResult, Withheld, always
from bot.typed_text import nearest

log = logging.getLogger(__name__)

POST_SECONDS = 60
"""The longest time for one message to all its recipients."""

NAME_LIMIT = 60
"""Characters of a destination's name."""

_TYPES: dict[Tone, NotifyType] = {
    "soft": NotifyType.WARNING,
    "hard": NotifyType.FAILURE,
    "resolved": NotifyType.SUCCESS,
}

FOR_GOOD = (401, 403, 404, 410)
"""HTTP statuses that a retry does not change: a revoked token, a deleted webhook."""

KEY_FILE = "keyfile"
"""The attribute of a service for a file that is read and not sent."""

_STATUS = re.compile(r"\berror=(\d{3})\b")
_NO_CONNECTION = re.compile(r"connection error", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9]{1,19})://", re.IGNORECASE)


def service_of(url: str) -> NotifyBase:
    """Apprise's service for an address. Raises `ValueError`: one sentence, which does not quote the address."""
    _prepare()
    if len(parse_urls(url)) > 1:
        raise ValueError("this is more than one address; write one [[destination]] for each.")
    service = Apprise.instantiate(url, asset=_asset())
    if service is None:
        raise ValueError(_why_refused(url))
    sent = [name for name, value in vars(service).items() if isinstance(value, AppriseAttachment) and len(value)]
    if any(name != KEY_FILE for name in sent):
        raise ValueError("this address names a template, which is a file that would be sent: leave it out.")
    service.request_rate_per_sec = 0
    service.retry = 0
    # An optional service reports success even when delivery failed.
    service.optional = False
    if service.overflow_mode is OverflowMode.UPSTREAM:
        # A service with a short limit would refuse a long alert for ever. The first lines say what happened.
        service.overflow_mode = OverflowMode.TRUNCATE
    return service


def default_name(service: NotifyBase) -> str:
    """Scheme and host of the address. Apprise masks secrets that some services have in place of the host."""
    scheme, _, rest = service.url(privacy=True).partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}"[:NAME_LIMIT]


class AppriseDestination(Destination):
    """One destination, which sends one message at a time."""

    def __init__(self, name: str, url: SecretStr, post_seconds: float = POST_SECONDS) -> None:
        self.name = name
        self.call_seconds = CALL_SECONDS + post_seconds
        self._post_seconds = post_seconds
        self._service = service_of(url.get_secret_value())
        self._apprise = Apprise(asset=_asset())
        self._apprise.add(self._service)
        self._thread: threading.Thread | None = None

    async def post(
        self,
        message: PlainMessage,
        identity: Mapping[str, str],
        thread: Address | None = None,
        *,
        broadcast: bool = False,
        reached: AbstractSet[str] = frozenset(),
        channel: str | None = None,
        may: May = always,
    ) -> SendResult:
        """Send to the recipients that are not in `reached`, within `post_seconds`.

        There is at most one thread: while an earlier one hangs, nothing else is sent. A failure concerns this message
        alone, and its outcome never counts as unknown, because no service can be searched for the message.
        """
        if not may():
            return Withheld()
        if self._thread is not None and self._thread.is_alive():
            _interrupt(self._thread)
            return _failed("an earlier message to it still hangs", reached)
        hashes = set(reached)
        self._thread, result = _in_thread(lambda: self._notify(message, reached, hashes))
        try:
            async with asyncio.timeout(self._post_seconds):
                return await asyncio.wrap_future(result)
        except TimeoutError:
            _interrupt(self._thread)
            return _failed(f"it has not answered within {self._post_seconds} s", hashes)

    def _notify(self, message: PlainMessage, reached: AbstractSet[str], hashes: set[str]) -> SendResult:
        # Apprise asks these hooks which recipients have the message already, and does not store them itself.
        _hook(self._service, "is_delivered", lambda key, per_message=False: _recipient_hash(key) in hashes)
        _hook(self._service, "mark_delivered", lambda key, per_message=False: hashes.add(_recipient_hash(key)))
        try:
            result = self._apprise.notify(
                title=message.title, body=message.body, notify_type=_TYPES[message.tone], body_format=NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001  # whatever a service raises, the next message gets out
            log.error("%s failed at a message (%s)", self.name, type(error).__name__)
            return _failed(f"it failed with an internal error ({type(error).__name__})", hashes)
        if result.status is AppriseResultStatus.SUCCESS:
            result.close()
            return Delivered()
        why = _reason(result, some=hashes != reached)
        result.close()
        return _failed(why, hashes, for_good=any(f"status {status}" in why for status in FOR_GOOD))


def _failed(why: str, reached: AbstractSet[str], *, for_good: bool = False) -> Failed:
    return Failed(why, alone=True, for_good=for_good, reached=frozenset(reached))


class _OutOfTimeError(BaseException):
    """Ends a thread. It is a `BaseException`, so that no service catches it."""


def _in_thread(work: Callable[[], SendResult]) -> tuple[threading.Thread, Future[SendResult]]:
    """Run `work` in a thread of its own: one that hangs delays no other destination and no shutdown."""
    future: Future[SendResult] = Future()

    def run() -> None:
        with suppress(_OutOfTimeError):
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001  # passed on to the waiter
                future.set_exception(error)

    future.set_running_or_notify_cancel()
    thread = threading.Thread(target=run, name="destination", daemon=True)
    thread.start()
    return thread, future


def _interrupt(thread: threading.Thread) -> None:
    """Raise `_OutOfTimeError` in a thread, when it next gets a byte or a connection times out.

    Each wait for a byte has a limit, but their sum has none: a slow server would hold the thread for ever.
    """
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_OutOfTimeError))


def _hook(service: NotifyBase, name: str, function: Callable[..., Any]) -> None:
    setattr(service, name, function)


def _recipient_hash(key: object) -> str:
    """A hash by which a recipient is recognised, so that its address need not be stored."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def _reason(result: AppriseResult, *, some: bool) -> str:
    """Why the destination refused the message, as a clause that quotes nothing. `some`: some recipients have it."""
    lines = [entry.message for entry in result.logs()]
    for line in lines:
        status = _STATUS.search(line)
        if status is not None:
            return f"it responded with HTTP status {status[1]}"
    if any(_NO_CONNECTION.search(line) for line in lines):
        return "there is no connection to it, or it refuses the login"
    return "some of its recipients refuse the message" if some else "it refuses the message"


def _why_refused(url: str) -> str:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "this is not an Apprise address, such as mailto://USER:PASSWORD@HOST?to=NAME@HOST."
    name = scheme[1].lower()
    known = NotificationManager().schemas()
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}://?" if near else "see github.com/caronc/apprise for the list."
        return f"Apprise does not know addresses that begin with {name}://; {hint}"
    return f"this {name}:// address lacks a part or has a wrong one; see how Apprise wants it written."


def _asset() -> AppriseAsset:
    # A redirected message would become a request for a page, whose response looks like success. Without a time limit
    # of its own Apprise works in the calling thread; each connection still has one.
    return AppriseAsset(
        app_id="claude-cost",
        app_desc="spend on the Claude API",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        service_timeout=0,
        # Some services would write new keys to the disk.
        pem_autogen=False,
        pgp_autogen=False,
    )


@cache
def _prepare() -> None:
    bound_requests()
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)  # results contain these lines
    manager = NotificationManager()
    if SCHEMA not in manager:
        manager.add(ChatWork, schemas=(SCHEMA,))
    # Templates and keys are read as attachments, which an address could fetch from inside the network.
    AttachmentManager().remove("http", "https", "memory", unload=False)


MOST_BYTES = 2**20
"""Bytes of the largest response, unpacked. Services respond to a message with a line or two."""

_PIECE_BYTES = 2**16


class _BoundedAdapter(HTTPAdapter):
    """Bounds responses. It raises `requests.RequestException`, which every service takes for a connection error."""

    def send(self, request: requests.PreparedRequest, stream: bool = False, *args: Any, **kwargs: Any) -> Any:
        """Send, and read the response unless `stream`. The response has no address of a redirect."""
        response = super().send(request, True, *args, **kwargs)
        # Some services follow redirects although that is off.
        response.headers.pop("Location", None)
        if not stream:
            pieces: list[bytes] = []
            left = MOST_BYTES
            for piece in response.iter_content(_PIECE_BYTES):
                left -= len(piece)
                if left < 0:
                    response.close()
                    raise requests.RequestException(f"an answer has more than {MOST_BYTES} bytes")
                pieces.append(piece)
            response._content = b"".join(pieces)
        return response


def bound_requests() -> None:
    """Bound every session of this process, in which only Apprise uses `requests`."""
    # The services open a session for each message, which nothing else can reach.
    setattr(requests.sessions, "HTTPAdapter", _BoundedAdapter)  # noqa: B010  # mypy refuses to assign to a type


SCHEMA = "chatwork"
API = "https://api.chatwork.com/v2"

# ChatWork takes [toall], [To:ID] and the like for mentions and markup, and has no way to escape them.
_HARMLESS = str.maketrans({"[": "［", "]": "］"})


class ChatWork(NotifyBase):
    """Posts to a room of ChatWork. A title becomes the first line, since ChatWork has no titles."""

    service_name = "ChatWork"
    service_url = "https://go.chatwork.com/"
    setup_url = "https://developer.chatwork.com/docs"
    secure_protocol = SCHEMA
    title_maxlen = 0
    request_rate_per_sec = 0
    templates = ("{schema}://{token}@{room}",)
    template_tokens = {  # noqa: RUF012  # as every plug-in of Apprise declares them
        "token": {"name": "API Token", "type": "string", "private": True, "required": True},
        "room": {"name": "Room ID", "type": "string", "required": True},
    }

    def __init__(self, token: str | None, room: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        if not token or not (room or "").isdecimal():
            raise AppriseImproperlyConfigured("a ChatWork address has a token and the number of a room")
        self.token = token
        self.room = room

    def url(self, privacy: bool = False, *args: Any, **kwargs: Any) -> str:
        """The address. `privacy`: mask the token."""
        token = URLBase.pprint(self.token, privacy, safe="")
        parameters = URLBase.urlencode(self.url_parameters(*args, privacy=privacy, **kwargs))
        return f"{SCHEMA}://{token}@{self.room}/?{parameters}"

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **kwargs: Any) -> bool:
        """Post one message; False if ChatWork refuses it."""
        try:
            answer = requests.post(
                f"{API}/rooms/{self.room}/messages",
                data={"body": body.translate(_HARMLESS)},
                headers={"X-ChatWorkToken": self.token},
                timeout=self.request_timeout,
                verify=self.verify_certificate,
                allow_redirects=self.redirects,
            )
        except requests.RequestException:
            self.logger.warning("A Connection error occurred sending ChatWork notification.")
            return False
        if answer.status_code != requests.codes.ok:
            self.logger.warning("Failed to send ChatWork notification: error=%s.", answer.status_code)
            return False
        return True

    @staticmethod
    def parse_url(url: str, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """The parts of an address; None if it is malformed."""
        parts: dict[str, Any] | None = NotifyBase.parse_url(url, verify_host=False)
        if parts:
            parts["token"] = NotifyBase.unquote(parts["user"]) if parts.get("user") else None
            parts["room"] = parts.get("host")
        return parts
