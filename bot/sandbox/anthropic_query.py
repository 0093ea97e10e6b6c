"""Checks queries against Anthropic's documentation, and rejects undocumented ones."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from multidict import MultiMapping

from bot.sandbox.anthropic_usage import floor_to as floor_to

WIDTHS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}


class QueryError(Exception):
    """400: what is wrong with the query."""


def known_only(query: MultiMapping[str], names: Collection[str]) -> None:
    unknown = sorted(set(query) - set(names))
    if unknown:
        raise QueryError(f"unknown parameter {unknown[0]}")


def moment(query: MultiMapping[str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(f"{name} is not RFC 3339") from None
    if parsed.tzinfo is None:
        raise QueryError(f"{name} has no time zone")
    return parsed.astimezone(UTC)


def required_moment(query: MultiMapping[str], name: str) -> datetime:
    found = moment(query, name)
    if found is None:
        raise QueryError(f"{name} is required")
    return found


def groups(query: MultiMapping[str], allowed: Collection[str], most: int, free: Collection[str] = ()) -> list[str]:
    """Values of `group_by[]`; those in `free` do not count towards `most`."""
    named = query.getall("group_by[]", [])
    for name in named:
        if name not in allowed:
            raise QueryError(f"group_by[] does not know {name!r}")
    if len(set(named)) != len(named) or len(set(named) - set(free)) > most:
        raise QueryError(f"Cannot specify more than {most} group_by[] dimensions, or one twice.")
    return list(named)


def whole_number(query: MultiMapping[str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise QueryError(f"{name} must be from 1 to {most}")
    return int(text)


def one_of(query: MultiMapping[str], name: str, allowed: Collection[str], default: str) -> str:
    text = query.get(name, default)
    if text not in allowed:
        raise QueryError(f"{name} must be one of {', '.join(sorted(allowed))}")
    return text


def offset(query: MultiMapping[str]) -> int:
    """Start of the page; a page token is only valid with the parameters of its first query."""
    token = query.get("page")
    if token is None:
        return 0
    start, _, mark = token.partition(".")
    if not start.isdigit() or mark != fingerprint(query):
        raise QueryError("page belongs to another query")
    return int(start)


def page_token(query: MultiMapping[str], start: int) -> str:
    return f"{start}.{fingerprint(query)}"


def fingerprint(query: MultiMapping[str]) -> str:
    return str(sum((index + 1) * ord(char) for index, char in enumerate(_without_page(query))))


def _without_page(query: MultiMapping[str]) -> str:
    return repr([(name, value) for name, value in query.items() if name != "page"])
