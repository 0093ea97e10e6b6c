"""The Home tab passes Slack's checks with any content."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.alerts.incident import AlertKind, Identity
from bot.alerts.lifecycle import Life, OpenAlert
from bot.budgets.budget import Limit, LimitKind
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.report import Group
from bot.language import LANGUAGES, in_language
from bot.pricing.store import KeptEstimate
from bot.pricing.tokens import TokenCounts
from bot.sandbox.block_limits import view_problems
from handlers.render.home import CELLS, HARD_MARK, SOFT_MARK, HomeContent, Stretch, bar, home_view
from tests.examples import one_in
from tests.unit.test_blocks import NOW, SPEND, hostile, hostile_spends, state, with_spend
from tests.unit.test_charts import NAMES, course_with, report_with


def group(name: str, usd: Decimal) -> Group:
    return Group(name, None, usd, TokenCounts(10, 0, 0, 5), None, assumed=False, hidden=frozenset())


@settings(max_examples=one_in(2))
@given(
    st.lists(hostile_spends, min_size=1, max_size=15),
    hostile,
    st.decimals(0, 10**12, places=6),
    st.sampled_from(sorted(LANGUAGES)),
    st.booleans(),
)
def test_slack_takes_it_whatever_the_names_and_sums(
    spends: list[BudgetSpend], words: str, amount: Decimal, language: str, for_admin: bool
) -> None:
    groups = [group(f"{words}{number}", amount) for number in range(20)]
    report, course = report_with(groups), course_with(groups, [[amount, Decimal(0), Decimal(0)]] * 20)
    identity = Identity(AlertKind.LIMIT, words, "2026-11", Limit(LimitKind.HARD, Decimal(700)))
    content = HomeContent(
        stretches=[Stretch("today", report), Stretch("this month", report)],
        ends=SPEND,
        course=course,
        names=NAMES,
        budgets=spends,
        more_budgets=485,
        unmatched=[words] * 3,
        open_alerts=[(OpenAlert(identity, None, NOW, Life()), "https://x.slack.com/archives/C/p1")] * 30,
        mode=state(words, changed_by=words, reason=words),
        movers=[mover for spend in spends for mover in spend.movers][:5],
        kept=[(KeptEstimate(words, words, amount, NOW.date(), words, NOW, words), amount)] * 5,
        problems=[words],
        now=NOW,
        age="Data as of now.",
    )
    with in_language(language):
        for native in (True, False):
            view = home_view(content, for_admin=for_admin, native=native)
            assert view_problems(view) == []
            assert ("data_visualization" in str(view)) == (native and amount * 20 >= Decimal("0.005"))


def test_without_anything_there_is_no_number() -> None:
    view = home_view(HomeContent(), for_admin=True)
    assert view_problems(view) == []
    assert "$" not in str(view)
    assert "No data yet" in str(view)


def test_what_differs_in_age_alone_is_the_same() -> None:
    content = HomeContent(now=NOW, age="1 min old")
    assert content == replace(content, now=NOW + timedelta(minutes=1), age="2 min old")


@pytest.mark.parametrize(
    ("spent", "soft", "hard", "drawn"),
    [
        ("0", "400", "600", "▱" * 13 + "│" + "▱" * 7 + "┃"),
        ("300", "400", "600", "▰" * 10 + "▱" * 3 + "│" + "▱" * 7 + "┃"),
        ("600", "400", "600", "▰" * 13 + "│" + "▰" * 7 + "┃"),
        ("1200", "400", "600", "▰" * 6 + "│" + "▰" * 4 + "┃" + "▰" * 10),
        ("50", "100", None, "▰" * 10 + "▱" * 10 + "│"),
        ("-5", None, "100", "▱" * 20 + "┃"),
        ("5", None, None, ""),
    ],
)
def test_a_bar_has_a_mark_at_each_limit(spent: str, soft: str | None, hard: str | None, drawn: str) -> None:
    limits = {"soft_usd": soft and Decimal(soft), "hard_usd": hard and Decimal(hard)}
    assert bar(with_spend(spent_usd=Decimal(spent), **limits)) == drawn


@given(hostile_spends)
def test_a_bar_is_as_long_as_always(spend: BudgetSpend) -> None:
    cells = bar(spend).replace(SOFT_MARK, "").replace(HARD_MARK, "")
    assert len(cells) in (0, CELLS)
