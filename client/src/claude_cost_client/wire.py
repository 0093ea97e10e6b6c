"""Common parts of the follower and the sender: no redirects, warnings logged once, secrets in files."""

from __future__ import annotations

import ipaddress
import logging
import urllib.parse
import urllib.request
from collections.abc import Mapping

log = logging.getLogger("claude_cost.client")


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def opener_for(url: str) -> urllib.request.OpenerDirector:
    """An opener for the bot at `url`."""
    handlers: list[urllib.request.BaseHandler | type[urllib.request.BaseHandler]] = [NoRedirects]
    try:
        host = urllib.parse.urlsplit(url).hostname
    except ValueError:
        host = None
    if is_local(host):
        # A proxy would see the token, and could not reach this machine's loopback anyway.
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def is_local(host: str | None) -> bool:
    """Whether this host is the local machine."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


class Complaints:
    """Logs one warning while something is wrong, and the next one only after a success in between."""

    def __init__(self, level: int = logging.WARNING) -> None:
        self._level = level
        self._said = False

    def say(self, sentence: str, *words: object) -> None:
        if not self._said:
            self._said = True
            log.log(self._level, sentence, *words)

    def end(self) -> bool:
        """Record a success; returns whether something was wrong before."""
        was_wrong, self._said = self._said, False
        return was_wrong


def secret_in(environ: Mapping[str, str], variable: str) -> str | None:
    """A secret from the file that `VARIABLE_FILE` names, else from the variable. Raises OSError and ValueError."""
    path = environ.get(variable + "_FILE")
    if path:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() or None
    return environ.get(variable, "").strip() or None
