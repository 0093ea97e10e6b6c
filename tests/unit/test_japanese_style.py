"""The Japanese texts have one style: full-width colons, brackets and question marks, and one word for one thing."""

import re

import pytest

from bot.language import read_catalogue, translations

TEXTS = sorted(set(translations(read_catalogue("ja")).values()))
CODE = re.compile(r"`[^`]*`")
HALF_WIDTH = re.compile(r": |:$|[()]|か\?|[ぁ-んァ-ヶ一-龠]:")

WORDS = {
    "利用額": "使用額",
    "利用量": "使用量",
    "費用レポート": "コストレポート",
    "未解決": "未解消",
    "オーナー": "担当者",
    "アプリケーション": "アプリ",
}


@pytest.mark.parametrize("mark", ["a: b です", "です:", "金額 (USD) です", "ですか?"])
def test_another_style_would_be_seen(mark: str) -> None:
    assert HALF_WIDTH.search(CODE.sub("", mark))


def test_colons_brackets_and_question_marks_are_full_width() -> None:
    assert [text for text in TEXTS if HALF_WIDTH.search(CODE.sub("", text))] == []


def test_one_thing_has_one_word() -> None:
    assert [text for text in TEXTS for word in WORDS if word in text] == []
