"""A question in plain words is about what it names; a name that nothing has is said to be ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.subjects import About, about

SEARCH, PROD = ("workspace", "Search"), ("key", "prod-key")
KNOWN = {
    "search": [SEARCH, ("feature", "search")],
    "search eu": [("workspace", "Search EU")],
    "prod-key": [PROD],
    "month": [("team", "month")],
    "claude code": [("product", "claude_code")],
    "検索": [("feature", "検索")],
    "opus": [("model", "opus")],
    "default": [("workspace", "default")],
}


@pytest.mark.parametrize(
    ("asked", "subject"),
    [
        ("how much did search cost this month?", SEARCH),
        ("what did the Search workspace cost today?", SEARCH),
        ("what did the search feature cost today?", ("feature", "search")),
        ("what is search's bill?", SEARCH),
        ("what did search eu cost yesterday", ("workspace", "Search EU")),
        ("why is prod-key so expensive today?", PROD),
        ("what did Claude Code cost this week?", ("product", "claude_code")),
        ("how much for opus this month?", ("model", "opus")),
        ("what does team month spend?", ("team", "month")),
        ("what did the default workspace cost?", ("workspace", "default")),
        ("検索の費用は？", ("feature", "検索")),
        ("今月のsearchはいくら？", SEARCH),
        ("searchキーは今日いくら？", SEARCH),
        ("search機能の今日の費用は？", ("feature", "search")),
        ("search機能prod-keyは今日いくら？", ("feature", "search")),
        ("how much did search and claude code cost today?", SEARCH),
        ("how much did claude code and search cost today?", ("product", "claude_code")),
    ],
)
def test_a_question_is_about_the_name_in_it(asked: str, subject: tuple[str, str]) -> None:
    found = about(asked, KNOWN)
    assert found.subject == subject
    assert found.ignored == ()


def test_what_else_the_name_means_is_kept() -> None:
    assert about("what did search cost", KNOWN).others == (("feature", "search"),)
    # An ordinary word that is also a name is no more than a guess.
    assert about("what did default cost", KNOWN) == About(None, (("workspace", "default"),))


@pytest.mark.parametrize(
    ("asked", "ignored"),
    [
        ("how much did foo cost this month?", ("foo",)),
        ("what did we spend on searhc today?", ("searhc",)),
        ("what did the billing workspace cost?", ("billing",)),
        ("why is batch-night so expensive today?", ("batch-night",)),
        ("what did research cost today?", ("research",)),
        ("fooは今月いくら？", ("foo",)),
        ("請求書の費用は？", ("請求書",)),
        ("田中さんは今月いくら使った？", ("田中",)),
        ("マーケティングは今月いくら使った？", ("マーケティング",)),
        ("経理チームの今月の費用は？", ("経理",)),
    ],
)
def test_a_name_that_nothing_has_is_named_and_never_guessed(asked: str, ignored: tuple[str, ...]) -> None:
    assert about(asked, KNOWN) == About(None, (), ignored)


@pytest.mark.parametrize(
    "asked",
    [
        "what do we spend?",
        "how much have we spent today?",
        "How much did Claude cost us last week?",
        "what did we pay yesterday",
        "who spent the most this week?",
        "which model is the most expensive?",
        "spend by feature last month",
        "which user costs most today?",
        "what do you expect for November?",
        "are we over budget?",
        "why is it so expensive today?",
        "how much is left of the budget this month?",
        "by which day is the limit reached?",
        "今月いくら使った？",
        "今月の費用は？",
        "先週はどのモデルにいくら使った？",
        "全体の費用は？",
        "予算はあといくら残ってる？",
        "なぜ費用が増えましたか？",
        "利用料金が高い原因は？",
        "will we stay within our budget?",
        "when does the budget run out?",
        "do we have enough budget for the rest of the month?",
        "how much did we burn through yesterday?",
    ],
)
def test_ordinary_words_are_no_names(asked: str) -> None:
    assert about(asked, KNOWN) == About(None)
    assert about(f"<@U0CLAUDECOST> {asked}", KNOWN) == About(None)


@given(st.text())
def test_whatever_is_asked_is_read(asked: str) -> None:
    about(asked, KNOWN)
