"""What a phone shows: tables of at most four columns with the rest behind a click, and each fact of `status` once."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from bot.budgets.budget import LimitKind, RaisedLimit
from bot.clock import DAY, HOUR
from bot.language import LANGUAGES, in_language
from bot.messages import Message
from bot.pricing.card import load_rate_card
from bot.pricing.throughput import OF_ONE, UNITS
from bot.usage.model import DataState
from handlers.render.help import command_help
from handlers.render.rates import overview
from tests.unit.test_blocks import NOW, check_twin, status, with_spend


def drawn_tables(message: Message) -> list[list[list[dict[str, str]]]]:
    return [block["rows"] for block in message.blocks if block["type"] == "table"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_rates_show_four_columns_and_the_other_prices_behind_a_click(language: str) -> None:
    with in_language(language):
        message = overview(load_rate_card(), date(2026, 11, 20))
    (table,) = drawn_tables(message)
    assert {len(row) for row in table} == {4}
    (fold,) = [block for block in message.blocks if block["type"] == "container"]
    assert "$16.00" in str(fold)
    assert "$16.00" not in str(table)
    check_twin(message)
    older = message.in_older_blocks
    assert older is not None


def test_a_raised_limit_is_named_once() -> None:
    raised = RaisedLimit(LimitKind.HARD, Decimal(500), Decimal(600), NOW - HOUR, NOW + DAY)
    text = status([with_spend(raised=(raised,))]).text
    assert text.count("is raised from $500.00") == 1


def test_stale_data_stops_no_forecast_of_what_applications_log() -> None:
    data = DataState(as_of=NOW - 30 * HOUR, source="admin", polled_at=NOW - 30 * HOUR)
    logged = with_spend(budget="support", scope="feature:support", as_of=NOW - timedelta(seconds=5))
    text = status([with_spend(as_of=NOW - 30 * HOUR), logged], data).text
    assert text.count("not extrapolated") == 1
    assert text.count("Expected end: $700.11") == 1
    assert "less than 1 min" not in text


def test_help_about_one_command_lists_its_examples_below_one_heading() -> None:
    lines = command_help(("cache [PERIOD]", "what caching saves"), ["cache week", "cache month"]).text.splitlines()
    assert lines == [
        "`/claude-cost cache [PERIOD]`: what caching saves",
        "For example:",
        "• `/claude-cost cache week`",
        "• `/claude-cost cache month`",
    ]


def test_what_is_counted_has_a_word_for_one_and_for_several() -> None:
    assert set(OF_ONE) == set(UNITS)
    assert all(many.replace("s ", " ", 1) == OF_ONE[limiter] for limiter, many in UNITS.items())
