"""The words after `fallback on`: which mode, for how long, why."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.modes.changes import LONGEST, SHORTEST, DurationError, SwitchWords, duration, switch_words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("", SwitchWords("", None, "")),
        ("minimal", SwitchWords("minimal", None, "")),
        ("for 2h", SwitchWords("", timedelta(hours=2), "")),
        ("minimal for 90m because too dear", SwitchWords("minimal", timedelta(minutes=90), "too dear")),
        ("Minimal FOR 1h 30m BECAUSE of it", SwitchWords("Minimal", timedelta(minutes=90), "of it")),
        ("because we wait for 2h", SwitchWords("", None, "we wait for 2h")),
        ("for 3d because", SwitchWords("", timedelta(days=3), "")),
        ("for 2 hours", SwitchWords("", timedelta(hours=2), "")),
    ],
)
def test_mode_time_and_reason_are_distinguished(words: str, meant: SwitchWords) -> None:
    assert switch_words(words) == meant


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("on for", "The time is missing: write it like 90m, 2h, 1h30m or 3d."),
        ("for ever", "'ever' is no time: write it like 90m, 2h, 1h30m or 3d."),
        ("for 2", "'2' is no time: write it like 90m, 2h, 1h30m or 3d."),
        ("for 4m", "4m is out of bounds: a mode may be on for 5 minutes to 31 days."),
        ("for 32d", "32d is out of bounds: a mode may be on for 5 minutes to 31 days."),
        ("for -2h", "'-2h' is no time: write it like 90m, 2h, 1h30m or 3d."),
        ("for 9999999h", "'9999999h' is no time: write it like 90m, 2h, 1h30m or 3d."),
    ],
)
def test_a_time_that_is_none_gets_one_sentence_with_the_remedy(words: str, sentence: str) -> None:
    with pytest.raises(DurationError) as refusal:
        switch_words(words)
    assert str(refusal.value) == sentence


@given(st.integers(0, 40), st.integers(0, 1000), st.integers(0, 100_000))
def test_every_time_within_bounds_is_read_and_every_other_refused(days: int, hours: int, minutes: int) -> None:
    meant = timedelta(days=days, hours=hours, minutes=minutes)
    text = f"{days}d{hours}h{minutes}m"
    if SHORTEST <= meant <= LONGEST:
        assert duration(text) == meant
    else:
        with pytest.raises(DurationError):
            duration(text)


@given(st.text(max_size=60))
def test_whatever_is_typed_is_words_or_one_sentence(words: str) -> None:
    try:
        switch_words(words)
    except DurationError as error:
        said = str(error)
    else:
        said = "."
    assert said.endswith(".")
