"""The stretch of time that the words after `report` name."""

from datetime import UTC, datetime

import pytest

from bot.budgets.report_words import ReportWordsError, report_words

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "stretch"),
    [
        ("from 2026-11-01", "2026-11-01..2026-11-20"),
        ("From 2026-11-01.", "2026-11-01..2026-11-20"),
        ("since 2026-11-01", "2026-11-01..2026-11-20"),
        ("from 2026-11-01 by key", "2026-11-01..2026-11-20"),
        ("from 2026-11-01 - today", "2026-11-01..2026-11-20"),
        ("2026-11-01 - 2026-11-15", "2026-11-01..2026-11-15"),
        ("2026-11-01 – 2026-11-15", "2026-11-01..2026-11-15"),
        ("2026-11-01 — 2026-11-15 by key", "2026-11-01..2026-11-15"),
        ("2026-11-01 -2026-11-15", "2026-11-01..2026-11-15"),
        ("2026-11-01 – now", "2026-11-01..2026-11-20"),
        ("2026-11-01 –", "2026-11-01..2026-11-20"),
        ("2026-11-01", "2026-11-01"),
        ("for 2026-11-01", "2026-11-01"),
        ("month, — by key", "this month"),
    ],
)
def test_days_are_parted_by_dashes_and_from_reaches_until_now(typed: str, stretch: str) -> None:
    assert report_words(typed, NOW).name == stretch


def test_a_stretch_that_ends_before_it_begins_is_named_without_from() -> None:
    with pytest.raises(ReportWordsError) as refusal:
        report_words("from 2026-11-15 - 2026-11-01", NOW)
    assert refusal.value.word == "2026-11-15..2026-11-01"
    assert "write 2026-11-01..2026-11-15" in str(refusal.value)
