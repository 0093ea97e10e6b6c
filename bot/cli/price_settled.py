"""Sums of a set of files before pricing, and their cached form: tokens, no USD."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.totals import Pile, Place, Prompt

_Placed = list[tuple[Place, int, TokenCounts]]


@dataclass(frozen=True, slots=True)
class Settled:
    """Tokens by place, and what was skipped where. `skipped`: reason → lines, `skipped_in`: reason → files."""

    pile: Pile
    skipped: dict[str, int]
    skipped_in: dict[str, list[str]]

    def written(self) -> bytes:
        """The cached form. Standard library only, so that reading it needs no slow import."""
        pile = self.pile
        return json.dumps(
            [
                *(_written(pile.sums), _written(pile.outside), pile.odd_iterations, pile.sum_records),
                *(pile.not_claude, pile.repeats, pile.running_totals, pile.running_totals_in, pile.session_sums),
                pile.begin_alike,
                *(self.skipped, self.skipped_in),
            ],
            separators=(",", ":"),
        ).encode()


def read_settled(body: bytes) -> Settled | None:
    """Parse the cached form; None if it has another form."""
    try:
        sums, outside, odd, records, *rest = json.loads(body)
        not_claude, repeats, left_out, names, sessions, alike, skipped, skipped_in = rest
        pile = Pile(
            *(_placed(sums), _placed(outside), odd, records, not_claude, repeats, left_out, tuple(names), sessions),
            begin_alike=tuple(alike),
        )
        return Settled(pile, skipped, skipped_in)
    except (ValueError, TypeError, RecursionError):
        return None


def _written(places: _Placed) -> list[list[Any]]:
    return [
        [
            *(place.model, _day(place.day), _day(place.shown), int(place.prompt)),
            *(place.terms.service_tier, place.terms.inference_geo, place.terms.speed, place.feature, place.user),
            calls,
            *counts,
        ]
        for place, calls, counts in places
    ]


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _placed(rows: list[list[Any]]) -> _Placed:
    found: _Placed = []
    for model, day, shown, prompt, tier, geo, speed, feature, user, calls, *counts in rows:
        terms = Terms(tier, geo, speed)
        place = Place(model, _date(day), _date(shown), Prompt(prompt), terms, feature, user)
        found.append((place, calls, TokenCounts(*counts)))
    return found
