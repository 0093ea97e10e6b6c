"""The stretch of time that the words after `report` name."""

from datetime import UTC, datetime

import pytest

from bot.budgets.report_words import ReportWordsError, report_words
from bot.language import in_language

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


@pytest.mark.parametrize(
    ("typed", "english"),
    [
        ("今日", "today"),
        ("本日", "today"),
        ("昨日", "yesterday"),
        ("今週", "week"),
        ("先週", "last week"),
        ("今月", "month"),
        ("今月分", "month"),
        ("先月", "last month"),
        ("モデル別", "by model"),
        ("先週 モデル別", "last week by model"),
        ("先週の機能別", "last week by feature"),
        ("先週機能別に", "last week by feature"),
        ("機能別の先週", "last week by feature"),
        ("先月、キー別。", "last month by key"),
        ("今月のAPIキー別", "month by key"),
        ("今月 API キーごと", "month by key"),
        ("今日　ユーザー毎", "today by user"),
        ("ワークスペース別", "by workspace"),
        ("先週のプロダクト別", "last week by product"),
        ("グループ別", "by group"),
        ("エージェント別", "by agent"),
        ("利用者別", "by actor"),
        ("組織別", "by organization"),
        ("今週 タグ:team別", "week by tag:team"),
        ("今週 tag:team 別", "week by tag:team"),
        ("今週 by タグ team", "week by tag:team"),
        ("last week キー別", "last week by key"),
        ("先週 by key", "last week by key"),
        ("2026年11月1日から2026年11月15日まで", "2026-11-01..2026-11-15"),
        ("2026-11-01〜2026-11-15 キー別", "2026-11-01..2026-11-15 by key"),
        ("2026-11-01～2026-11-15", "2026-11-01..2026-11-15"),
        ("２０２６年１１月１日から", "from 2026-11-01"),
        ("2026-11-01から今日まで", "from 2026-11-01"),
        ("2026年11月5日", "2026-11-05"),
    ],
)
def test_japanese_words_mean_what_the_english_ones_do(typed: str, english: str) -> None:
    assert report_words(typed, NOW) == report_words(english, NOW)


@pytest.mark.parametrize(
    ("typed", "word"),
    [("先々週", "先々週"), ("先週 部署別", "部署"), ("タグ別", "タグ"), ("来月", "来月"), ("今週は楽しい", "楽しい")],
)
def test_japanese_words_that_mean_no_report_are_named(typed: str, word: str) -> None:
    with pytest.raises(ReportWordsError) as refusal:
        report_words(typed, NOW)
    assert refusal.value.word == word


def test_what_is_wrong_is_said_in_the_language_of_the_reader() -> None:
    with pytest.raises(ReportWordsError) as refusal:
        report_words("2026-11-15..2026-11-01", NOW)
    with in_language("ja"):
        said = refusal.value.sentence("`2026-11-15..2026-11-01`")
    assert said == "`2026-11-15..2026-11-01` は終わりが始まりより前です。2026-11-01..2026-11-15 と書いてください。"
