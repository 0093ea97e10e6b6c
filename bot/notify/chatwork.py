"""A ChatWork plug-in for Apprise, which has none: `chatwork://TOKEN@ROOM`.

Source: developer.chatwork.com, `POST /rooms/{room_id}/messages` with the header `X-ChatWorkToken` and a form field
`body`.
"""

from typing import Any

import requests
from apprise import NotifyType
from apprise.exception import AppriseImproperlyConfigured
from apprise.plugins.base import NotifyBase
from apprise.url import URLBase

SCHEMA = "chatwork"
API = "https://api.chatwork.com/v2"

# ChatWork reads [toall], [To:ID] and the like as mentions and markup, and has no escape for them.
_HARMLESS = str.maketrans({"[": "［", "]": "］"})


class ChatWork(NotifyBase):
    """Posts to one room. A title becomes the first line, because ChatWork has no titles."""

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
        """The address; with `privacy` the token is not readable in it."""
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
