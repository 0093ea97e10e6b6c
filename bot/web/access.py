"""Who may read over HTTP: everybody on the loopback, elsewhere only who sends the bearer token (RFC 6750)."""

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from pydantic import SecretStr

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHALLENGE = 'Bearer realm="claude-cost"'
_FORWARDED = (hdrs.FORWARDED, hdrs.X_FORWARDED_FOR)


class BearerAccess:
    """One bearer token in front of handlers. `variable`: the setting that holds it, which refusals name.

    Without a token only requests that no proxy has passed on are served: settings see to it that the port is open on
    the loopback alone then, and a proxy on the same machine would make it public.
    """

    def __init__(self, token: SecretStr | None, variable: str) -> None:
        self._token = token
        self._variable = variable

    def refusal(self, request: web.Request) -> web.Response | None:
        """401 with `WWW-Authenticate`, or None where the request may pass."""
        if self._token is None:
            if not any(header in request.headers for header in _FORWARDED):
                return None
            return _unauthorized(
                f"This request came through a proxy: set {self._variable}, and send it as Authorization: Bearer TOKEN."
            )
        given = _bearer(request.headers.get(hdrs.AUTHORIZATION, ""))
        if given is None:
            return _unauthorized(f"Send Authorization: Bearer TOKEN with the token of {self._variable}.")
        expected = self._token.get_secret_value().encode()
        # Header bytes that are no UTF-8 arrive as surrogates.
        if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected):
            return None
        return _unauthorized(f"This is not the token of {self._variable}.", ', error="invalid_token"')

    def guard(self, handler: Handler) -> Handler:
        """`handler`, behind the token."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return self.refusal(request) or await handler(request)

        return guarded


def _bearer(header: str) -> str | None:
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _unauthorized(sentence: str, more: str = "") -> web.Response:
    return web.json_response({"error": sentence}, status=401, headers={hdrs.WWW_AUTHENTICATE: CHALLENGE + more})
