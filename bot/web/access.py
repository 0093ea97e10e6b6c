"""Access control for reading over HTTP: local programs on the loopback, elsewhere a bearer token (RFC 6750)."""

import hmac
import re
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from pydantic import SecretStr

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHALLENGE = 'Bearer realm="claude-cost"'
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?::[0-9]{0,5})?")
_OF_PROXIES = re.compile(
    r"(?i)forwarded|via|x-forwarded.*|x-original-.*|x-envoy-.*|cf-.*|cdn-loop|proxy-.*|front-end-https|x-nginx-proxy"
    r"|.*-client-?ip|.*-real-ip|.*-connecting-ip|client-ip|x-remote-(ip|addr)|x-proxyuser-ip|x-amzn-trace-id"
    r"|x-cloud-trace-context|x-azure-.*|x-fd-.*|x-arr-.*|x-scheme|x-url-scheme|x-host|x-rewrite-url|x-vercel-.*"
    r"|x-appengine-.*|tailscale-.*|x-proxy-.*|x-http-forwarded.*|fly-.*|fastly-.*|ngrok-.*|x-akamai-.*|x-nf-.*|x-varnish"
)
"""Headers that only proxies add, with hyphens for underscores."""
OWN_SITE = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site of requests not caused by another site's page (W3C Fetch Metadata)."""


class BearerAccess:
    """Guards handlers with bearer tokens, any of which passes. `variable`: the setting named in refusals.

    Without a token the port is only open on the loopback; the settings ensure that. Requests that came through a proxy
    are then refused, since a proxy on the same machine would make the port public, and so are requests of other sites'
    pages. `host`: the configured address of the port, which clients may use besides the loopback's names.
    """

    def __init__(
        self, token: SecretStr | None, variable: str, host: str = "", *, others: Iterable[SecretStr] = ()
    ) -> None:
        self._secrets = tuple(each for each in (token, *others) if each is not None)
        self._variable = variable
        self._hosts = LOOPBACK | ({f"[{host}]" if ":" in host else host.lower()} if host else frozenset())

    def refusal(self, request: web.Request) -> web.Response | None:
        """A response of 401, 403 or 421; None if the request may pass."""
        if not self._secrets:
            if any(_OF_PROXIES.fullmatch(header.replace("_", "-")) for header in request.headers):
                return _unauthorized(
                    f"This request came through a proxy: set {self._variable}, and send it as Authorization: Bearer "
                    "TOKEN."
                )
            if not OWN_SITE.issuperset(request.headers.getall("Sec-Fetch-Site", [])):
                return self._from_another_site()
            return self.foreign(request)
        sent_with = request.headers.getall(hdrs.AUTHORIZATION, [])
        given = _bearer(sent_with[0]) if len(sent_with) == 1 else None
        if given is None:
            return _unauthorized(f"Send Authorization: Bearer TOKEN with the token of {self._variable}.")
        # Header bytes that are not UTF-8 arrive as surrogates.
        sent = given.encode("utf-8", "surrogateescape")
        # Compare all, so that the response time does not reveal which one is right.
        if sum(hmac.compare_digest(sent, each.get_secret_value().encode()) for each in self._secrets):
            return None
        return _unauthorized(f"This is not the token of {self._variable}.", ', error="invalid_token"')

    def foreign(self, request: web.Request) -> web.Response | None:
        """421 or 403 for a request of another host or site, if no token protects the port from web pages."""
        if self._secrets:
            return None
        if not is_for(request, self._hosts):
            sentence = f"This port answers to localhost only: use http://localhost, or set {self._variable}."
            return web.json_response({"error": sentence}, status=421)
        if not is_from(request, self._hosts):
            return self._from_another_site()
        return None

    def _from_another_site(self) -> web.Response:
        sentence = f"This request comes from a page of another site: set {self._variable} to let it read."
        return web.json_response({"error": sentence}, status=403)

    def guard(self, handler: Handler) -> Handler:
        """`handler`, protected by the token."""
        return _behind(self.refusal, handler)

    def guard_host(self, handler: Handler) -> Handler:
        """`handler`, open to all requests except those of other sites' pages."""
        return _behind(self.foreign, handler)


def is_for(request: web.Request, hosts: frozenset[str]) -> bool:
    """Whether the request's Host is one of these, on any port.

    A foreign name whose DNS points at the loopback (DNS rebinding) is refused. Every browser sends Host.
    """
    named = request.headers.getall(hdrs.HOST, [])
    return not named or (len(named) == 1 and _name_in(named[0]) in hosts)


def is_from(request: web.Request, hosts: frozenset[str]) -> bool:
    """Whether the page that sent the request, if any, belongs to one of these hosts."""
    for origin in request.headers.getall(hdrs.ORIGIN, []):
        try:
            netloc = urlsplit(origin).netloc
        except ValueError:
            return False
        if _name_in(netloc) not in hosts:
            return False
    return True


def _behind(refusal: Callable[[web.Request], web.Response | None], handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        return refusal(request) or await handler(request)

    return guarded


def _name_in(host: str) -> str | None:
    match = _HOST.fullmatch(host)
    return None if match is None else match["name"].lower()


def _bearer(header: str) -> str | None:
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _unauthorized(sentence: str, more: str = "") -> web.Response:
    return web.json_response({"error": sentence}, status=401, headers={hdrs.WWW_AUTHENTICATE: CHALLENGE + more})
