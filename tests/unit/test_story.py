"""The demo's story on the terminal: plain words, and nothing twice in full."""

from datetime import UTC, datetime

import pytest

from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import BOT_USER, Message
from bot.sandbox.stage import SEARCH
from bot.sandbox.story import news_of, without_markup

NAMES = {"U0DEV": "Dev", SEARCH: "search"}
WHEN = datetime(2026, 11, 12, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("slack", "words"),
    [
        ("crossed: <http://127.0.0.1:1/archives/C0/p17|its message>.", "crossed: its message."),
        ("see <https://example.com/a>", "see https://example.com/a"),
        (
            "since <!date^1794502800^{date_short_pretty} {time}|12 Nov 17:00 UTC>, twice",
            "since 12 Nov 17:00 UTC, twice",
        ),
        ("<@U0DEV> and <@U0NEW>, in <#C0SEARCH>, <!here>", "@Dev and @U0NEW, in #search, @here"),
        ("a &lt;b&gt; &amp;amp; 1 < 2 > 0", "a <b> &amp; 1 < 2 > 0"),
    ],
)
def test_the_terminal_shows_no_markup_of_slack(slack: str, words: str) -> None:
    assert without_markup(slack, NAMES) == words


def message(lines: list[str], channel: str = ALERTS) -> Message:
    return Message(channel, "1794502800.000000", WHEN, BOT_USER, "\n".join(lines), [])


def test_an_alert_comes_in_full_once_and_an_edit_says_only_what_is_new() -> None:
    lines = ["$702.13 of $700.00: hard limit crossed, November", "Why: a job.", *(f"• {n}" for n in range(9))]
    assert news_of(message(lines), None) == "\n".join(lines)
    again = [lines[0], "Reported again", *lines[1:]]
    assert news_of(message(again), "\n".join(lines)) == f"{lines[0]}\nReported again"


@pytest.mark.parametrize(
    ("first", "channel"),
    [
        ("ハード上限を超えました", SEARCH),
        ("$150.10 of $150.00: hard limit crossed, November, budget search", ALERTS),
    ],
)
def test_the_budget_that_two_channels_hear_of_is_shown_in_short(first: str, channel: str) -> None:
    lines = [first, *(f"line {n}" for n in range(12))]
    assert news_of(message(lines, channel), None).split("\n") == [*lines[:3], "… and 10 lines more"]
