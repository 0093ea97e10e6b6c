# Written by `python -m tests.contract.client_copies`: change bot/pricing/model_ids.py instead.
"""One reading of every spelling of a Claude model: API ids, Bedrock, Vertex, gateways, and names as people write them.

Parsing is syntax only: it yields the family and version that a text names, and what else the text says about the price.
Whether such a model exists, `ModelIndex` decides by a rate card, so `claude-sonnet-9` is parsed and stays unknown. A
text with anything beyond the known decorations is not parsed at all. Plain names are parsed here, all others by the
patterns of `model_spellings`. Written for Python 3.9 and its standard library alone.

The bot and the client hold the same text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

FAMILIES = ("fable", "mythos", "opus", "sonnet", "haiku")

GENERATION, INSTANT = "claude", "instant"
"""The families in the names of the first two generations: `claude-2.1`, `claude-instant-1.2`."""

LONGEST_ID = 300

_NUMBERS = frozenset(str(number) for number in range(100))

Platform = Literal["bedrock", "vertex", "azure", "gateway"]

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"), "-")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


class Spelling(NamedTuple):
    """What a text says about a model.

    `name`: the canonical name, `claude-opus-4-8`, or `claude-opus` for a bare family; None if there is none. `family`:
    also known for a bare family. `date`: of a snapshot, as YYYYMMDD. `platform`: None for Anthropic's own ids and for
    typed names. `regional`: served by one region, at a premium if the card has one. `prefix`: the text before the
    model, in lower case. A date after an at sign is Vertex's.
    """

    name: str | None = None
    family: str | None = None
    is_bare_family: bool = False
    date: str | None = None
    platform: Platform | None = None
    regional: bool = False
    fast: bool = False
    batch: bool = False
    long_context: bool = False
    prefix: str = ""


@lru_cache(maxsize=4096)
def spelled(model_id: str) -> Spelling:
    """What a text says about a model, in any spelling; all None if it is no spelling of a Claude model."""
    if len(model_id) > LONGEST_ID:
        return Spelling()
    text = plain(model_id)
    named = _plainly_named(text)
    if named is not None:
        return named
    # Import for other spellings: most texts are plain names, and the patterns slow down a start most.
    from claude_cost_client.model_spellings import read_spelling

    return read_spelling(text)


def family_in(model_id: str) -> str | None:
    """The family named in a text, even if that is no spelling of any model; or None."""
    words = re.split(r"[^a-z]+", plain(model_id[:LONGEST_ID]))
    return next((family for family in FAMILIES if family in words), None)


def _plainly_named(text: str) -> Spelling | None:
    """`claude-opus-4-8`, `opus-4.8`, `opus`; None for other forms."""
    family, *version = text.removeprefix("claude-").replace(".", "-").split("-")
    if family not in FAMILIES or len(version) > 2 or not all(number in _NUMBERS for number in version):
        return None
    if version[1:] == ["0"]:
        version = version[:1]
    return Spelling("-".join(["claude", family, *version]), family, not version)


def plain(text: str) -> str:
    """The text in lower case, with plain hyphens and without invisible characters."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_DASHES)).translate(_DASHES).translate(_INVISIBLE)
    return text.strip(" \t\r\n\"'`").lower()


class Listed(NamedTuple):
    """The fields of a model that finding it needs. `spellings`: its other ids in Anthropic's own API."""

    id: str
    family: str
    released: date
    spellings: tuple[str, ...] = ()


class ModelIndex:
    """Finds a model's id by any spelling of it; never by a prefix."""

    def __init__(self, models: Iterable[Listed]) -> None:
        self._models = tuple(models)
        self._by_id = {one.id: one for one in self._models}

    @cached_property
    def _by_name(self) -> dict[str, Listed]:
        """Every model by the names of its spellings; look-ups by id do not need it."""
        return {
            name: one
            for one in self._models
            for text in (one.id, *one.spellings)
            if (name := spelled(text).name) is not None
        }

    def find(self, model_id: str) -> str | None:
        """Id of the model that a text names; None for a bare family and for an unlisted model."""
        found = self._named(spelled(model_id))
        return None if found is None else found.id

    def family(self, model_id: str) -> str | None:
        """The family if a text names only that: `sonnet`, `claude-opus-latest`."""
        spelling = spelled(model_id)
        return spelling.family if spelling.is_bare_family and self._of(spelling.family) else None

    def newest(self, family: str, on: date | None = None) -> str:
        """The newest model of a family on a UTC day, or of all; the first one for earlier days.

        Raises KeyError for a family without listed models.
        """
        among = self._of(family)
        if not among:
            raise KeyError(family)
        out = [one for one in among if on is None or one.released <= on]
        return (max(out, key=_release) if out else min(among, key=_release)).id

    def api_id(self, text: str) -> str | None:
        """The id of Anthropic's API for a typed name; None for an unlisted model.

        A bare family is its newest model. An id with more than a model (a platform, a context, a speed) is meant for
        another service and stays as it is.
        """
        family = self.family(text)
        if family is not None:
            return self.newest(family)
        spelling = spelled(text)
        found = self._named(spelling)
        if found is None:
            return None
        if _says_more(spelling):
            return text.strip()
        ids = (found.id, *found.spellings)
        plain = text.strip().lower()
        dated = f"{found.id}-{spelling.date}"
        return next((id_ for id_ in (plain, dated) if id_ in ids), found.id)

    def _named(self, spelling: Spelling) -> Listed | None:
        if spelling.name is None or spelling.is_bare_family:
            return None
        return self._by_id.get(spelling.name) or self._by_name.get(spelling.name)

    def _of(self, family: str | None) -> list[Listed]:
        return [one for one in self._models if one.family == family]


def _says_more(spelling: Spelling) -> bool:
    return spelling.platform is not None or spelling.fast or spelling.batch or spelling.long_context


def _release(model: Listed) -> tuple[date, str]:
    return model.released, model.id
