"""Addresses in settings: of HTTP services, of the database and of ClickHouse.

Every error is a ValueError with one clause that quotes no part of the address: a misplaced part may be a password.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import yarl
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from bot.secret_shapes import looks_secret

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\.?$){_LABEL}(?:\.{_LABEL})*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")

CLICKHOUSE = ("clickhouse", "https", "http")
POSTGRES = ("postgresql", "postgresql+psycopg")


def http_host(address: str) -> str:
    """The host of an http or https address, in small letters, without brackets. Raises ValueError."""
    if not address.isprintable() or " " in address or "\\" in address:
        raise ValueError("it has a space, a backslash or a control character")
    try:
        parts = urlsplit(address)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        raise ValueError("its host or its port cannot be read; a port is a number from 1 to 65535") from None
    if parts.scheme not in ("http", "https") or "://" not in address:
        raise ValueError("it must begin with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("a user or a password cannot stand in it; remove everything up to the @")
    if parts.query or parts.fragment or "?" in address or "#" in address:
        raise ValueError("it cannot have a ? or a #; end it after the path")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("its port must be a number from 1 to 65535")
    if not host:
        raise ValueError("it has no host after the //")
    if not _PATH.fullmatch(parts.path):
        raise ValueError("its path has a character that must be written as in %20")
    _known_to_libraries(address)
    if not is_host(host):
        raise ValueError("its host is no name of a host and no IP address")
    return host.lower().rstrip(".")


def _known_to_libraries(address: str) -> None:
    """Raises ValueError if httpx (Anthropic) or yarl (Slack) would read another host, or none."""
    try:
        read = {httpx.URL(address).raw_host.decode().strip("[]"), (yarl.URL(address).raw_host or "").rstrip(".")}
    except (httpx.InvalidURL, ValueError, TypeError):
        raise ValueError("its host cannot be read") from None
    if not all(is_host(host) for host in read):
        raise ValueError("its host is no name of a host and no IP address")


def is_host(text: str) -> bool:
    """Whether `text` is an IP address (without brackets) or a host name; non-ASCII names by their IDNA form."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(_idna(text)) is not None
    return True


def _idna(host: str) -> str:
    if host.isascii():
        return host
    try:
        return httpx.URL(f"http://{host}/").raw_host.decode()
    except (httpx.InvalidURL, ValueError):
        return ""


def is_plain_http(address: str) -> bool:
    """Whether traffic to this address can be read on its way."""
    return urlsplit(address).scheme != "https"


def is_loopback(host: str) -> bool:
    """Whether `host` is reachable from this machine only."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


@dataclass(frozen=True, slots=True)
class ClickHouseAddress:
    """Address of ClickHouse's HTTP interface. Empty: the server's own default."""

    host: str
    port: int
    is_secure: bool
    user: str
    password: str = field(repr=False)
    database: str


def clickhouse_address(address: str) -> ClickHouseAddress:
    """`https://USER:PASSWORD@HOST:PORT/DATABASE`. Raises ValueError.

    `clickhouse://` is TLS on the ports 8443 and 443 only.
    """
    scheme, separator, rest = address.partition("://")
    if scheme not in CLICKHOUSE or not separator:
        raise ValueError("it begins with neither clickhouse:// nor https://")
    if not address.isprintable() or " " in address:
        raise ValueError("it has a space or a control character")
    if "?" in rest or "#" in rest:
        raise ValueError("it cannot have a ? or a #")
    _check_server(rest)
    login, _, place = rest.partition("/")[0].rpartition("@")
    host, port = _host_and_port(place)
    if not host:
        raise ValueError("it has no host")
    user, _, password = login.partition(":")
    number = int(port) if port is not None else None
    is_secure = scheme == "https" or (scheme == "clickhouse" and number in (8443, 443))
    return ClickHouseAddress(
        host=host.lower().rstrip("."),
        port=number or (8443 if is_secure else 8123),
        is_secure=is_secure,
        user=unquote(user),
        password=unquote(password),
        database=unquote(rest.partition("/")[2]),
    )


def database_address(address: str) -> URL:
    """The database URL as SQLAlchemy reads it. Raises ValueError.

    An ambiguous address is rejected: SQLAlchemy might take a part of the password for the host.
    """
    scheme, _, rest = address.partition("://")
    if not address.isprintable():
        raise ValueError("it has a control character")
    if scheme in POSTGRES:
        if " " in address:
            raise ValueError("it has a space")
        _check_server(rest)
    elif scheme == "sqlite" and "?" in rest:
        raise ValueError("the name of the file cannot have a ?")
    try:
        return make_url(address)
    except (ValueError, ArgumentError):
        raise ValueError("it cannot be read") from None


def _check_server(rest: str) -> None:
    place, _, query = rest.partition("?")
    authority, _, database = place.partition("/")
    if "@" in database or "@" in query or authority.count("@") > 1 or "/" in database:
        raise ValueError("write one @ before the host, and none after it")
    if any(not re.fullmatch(r"[a-z_]{1,40}=.*", part) for part in query.split("&") if query):
        raise ValueError("after the ? stand NAME=VALUE, with & between them")
    host, port = _host_and_port(authority.rpartition("@")[2])
    if host and not (is_host(host) and host.isascii()):
        raise ValueError("the host is no name of a host and no IP address")
    if port is not None and not (_PORT.fullmatch(port) and 0 < int(port) < 65536):
        raise ValueError("the port is a number from 1 to 65535")


def _host_and_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")) or ":" not in host:
            raise ValueError("write an IPv6 address in brackets, as in [::1]")
        return host, port[1:] or None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def sqlite_file(address: str) -> Path:
    """The absolute path that `sqlite:///FILE` names. Raises ValueError."""
    rest = address.partition("://")[2]
    if not rest.startswith("/") or not rest.strip("/") or ":memory:" in rest:
        raise ValueError("it names no file")
    if looks_secret(rest[1:]):
        raise ValueError("the path looks like a secret, not like a file")
    return absolute(rest[1:])


def absolute(path: str) -> Path:
    """An absolute path, with `~` expanded. Raises ValueError if there is none."""
    if "\0" in path:
        raise ValueError("a path cannot have a NUL character")
    try:
        return Path(path).expanduser().absolute()
    except (OSError, RuntimeError, ValueError):
        raise ValueError("the path cannot be made absolute") from None
