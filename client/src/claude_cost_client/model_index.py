# Written by `python -m tests.contract.client_copies`: change bot/pricing/model_index.py instead.
"""Which model of a list a text names, by the one reading of spellings. The bot and the client hold the same text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import cached_property
from typing import NamedTuple

from claude_cost_client.model_ids import Spelling, spelled


class Listed(NamedTuple):
    """A model of the rate card, as far as finding it goes. `spellings`: its other ids at Anthropic's own API."""

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
        """Every model by the names that its spellings have; what is asked for by its id is found without."""
        return {
            name: one
            for one in self._models
            for text in (one.id, *one.spellings)
            if (name := spelled(text).name) is not None
        }

    def find(self, model_id: str) -> str | None:
        """The id of the model that a text names; None for a bare family and for what is not listed."""
        found = self._named(spelled(model_id))
        return None if found is None else found.id

    def family(self, model_id: str) -> str | None:
        """The family where a text names no more than that: `sonnet`, `claude-opus-latest`."""
        spelling = spelled(model_id)
        return spelling.family if spelling.is_bare_family and self._of(spelling.family) else None

    def newest(self, family: str, on: date | None = None) -> str:
        """The newest model of a family on a UTC day, or of all; the first one before there was any.

        Raises KeyError for a family of which no model is listed.
        """
        among = self._of(family)
        if not among:
            raise KeyError(family)
        out = [one for one in among if on is None or one.released <= on]
        return (max(out, key=_release) if out else min(among, key=_release)).id

    def api_id(self, text: str) -> str | None:
        """The id that Anthropic's API has for what people write; None for what is not listed.

        A bare family is its newest model. An id that says more than a model (a platform, a context, a speed) means
        something to the service that it was written for and stays as it is.
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
