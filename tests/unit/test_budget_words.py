"""A budget in chat: words in any order, one sentence for each mistake, and only what is given changes."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import CHAT, ORGANIZATION, Budget, PeriodKind, Scope, ScopeKind, Weekday
from bot.budgets.parsing import BudgetWordsError, budget_of, budget_words, split_budget_words

SEARCH = Budget(
    name="search",
    scope=Scope(ScopeKind.WORKSPACE, "wrkspc_01ABC"),
    period=PeriodKind.WEEK,
    zone=ZoneInfo("Europe/Berlin"),
    soft_usd=Decimal(50),
    hard_usd=Decimal(1000),
    origin=CHAT,
    week_starts=Weekday.SUNDAY,
    thresholds=(50, 75),
)
WORDS = (
    "search scope=workspace:wrkspc_01ABC period=week soft=50 hard=1000 zone=Europe/Berlin week_starts=sunday "
    "thresholds=50,75"
)


def parsed(text: str, before: Budget | None = None) -> Budget:
    return budget_of(*split_budget_words(text), before)


@pytest.mark.parametrize(
    "text",
    [
        WORDS,
        "search hard=$1,000 soft = 50.00 week_starts=Sunday thresholds=50%, 75% period=WEEK zone=Europe/Berlin "
        "scope=workspace:wrkspc_01ABC",
        "search soft_usd=50 hard_usd=1_000 scope=“workspace:wrkspc_01ABC” period=week zone=Europe/Berlin "
        "week_starts=sunday thresholds=50,75",
    ],
)
def test_the_words_come_in_any_order_and_as_people_write_them(text: str) -> None:
    assert parsed(text) == SEARCH


def test_what_is_left_out_of_a_new_budget_is_as_in_the_file() -> None:
    budget = parsed("all hard=10")
    assert (budget.scope, budget.period, budget.zone.key) == (ORGANIZATION, PeriodKind.MONTH, "UTC")
    assert (budget.soft_usd, budget.hard_usd, budget.thresholds) == (None, Decimal(10), ())


def test_only_the_words_that_are_given_change_a_budget() -> None:
    changed = parsed("search hard=none thresholds=90", SEARCH)
    assert (changed.hard_usd, changed.thresholds) == (None, (90,))
    assert (changed.scope, changed.soft_usd, changed.zone) == (SEARCH.scope, SEARCH.soft_usd, SEARCH.zone)
    assert parsed("search", SEARCH) == SEARCH


def test_a_budget_is_written_in_the_words_that_make_it() -> None:
    assert budget_words(SEARCH) == WORDS


@pytest.mark.parametrize(
    "text",
    [
        "a hard=1 for=team:search channel=<#C0SEARCH|search> owner=<@U0ADA|ada>,<!subteam^S0TEAM|@t> mention=soft,hard",
        "a hard=1 scope=team:search channel=C0SEARCH owners=U0ADA,S0TEAM mentions=hard,soft",
        "a hard=1 team=search channel=<#C0SEARCH> owners=<@U0ADA>, <@U0ADA>, <!subteam^S0TEAM> mention=SOFT, hard",
        "a hard=1 for = team:search channel: C0SEARCH owner=<@U0ADA|ada lovelace> S0TEAM mention=soft hard",
    ],
)
def test_a_channel_and_owners_are_written_as_slack_sends_them_or_as_ids(text: str) -> None:
    budget = parsed(text)
    assert budget.scope == Scope(ScopeKind.TEAM, "search")
    assert (budget.channel, budget.owners, budget.mention) == ("C0SEARCH", ("U0ADA", "S0TEAM"), ("soft", "hard"))
    assert parsed(budget_words(budget)) == budget


def test_none_takes_a_channel_and_owners_away_and_mentions_nobody() -> None:
    before = parsed("a hard=1 channel=C0SEARCH owner=U0ADA team=search scope=organization")
    assert (before.team, before.scope) == ("search", ORGANIZATION)
    changed = parsed("a channel=none owners=none mention=none team=NONE", before)
    assert (changed.channel, changed.owners, changed.mention, changed.team) == (None, (), (), None)
    assert parsed(budget_words(changed), before) != before


amounts = st.integers(1, 10**13).map(lambda cents: (Decimal(cents) / 100).normalize())
budgets = st.builds(
    lambda name, scope, period, zone, pair, week_starts, thresholds: Budget(
        name, scope, period, ZoneInfo(zone), pair[0], pair[1], CHAT, week_starts, tuple(sorted(thresholds))
    ),
    st.from_regex(r"[A-Za-z0-9_.-]{1,60}", fullmatch=True),
    st.sampled_from([ORGANIZATION, Scope(ScopeKind.KEY, "apikey_1"), Scope(ScopeKind.MODEL, "opus")]),
    st.sampled_from(PeriodKind),
    st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
    st.one_of(
        st.tuples(amounts, st.none()),
        st.tuples(st.none(), amounts),
        st.tuples(amounts, amounts).filter(lambda pair: pair[0] < pair[1]),
    ),
    st.sampled_from(Weekday),
    st.sets(st.integers(1, 99), max_size=10),
)


@given(budgets)
def test_every_budget_is_read_back_from_its_words(budget: Budget) -> None:
    assert parsed(budget_words(budget)) == budget


@given(budgets, budgets)
def test_all_words_of_one_budget_turn_any_other_into_it(budget: Budget, before: Budget) -> None:
    assert parsed(budget_words(budget), before) == budget


@given(st.text(max_size=80))
def test_whatever_is_typed_is_a_budget_or_one_sentence(text: str) -> None:
    sentence = "It is a budget."
    try:
        budget = parsed(text)
    except BudgetWordsError as error:
        sentence = str(error)
    else:
        assert parsed(budget_words(budget)) == budget
    assert sentence[-1] in ".?"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The name of the budget comes first"),
        ("hard=10", "The name of the budget comes first"),
        ("a", "Set soft, hard or both, as in budget set "),
        ("a hard", "hard= has no value: write one, or leave hard out."),
        ("a soft $50 hard $100", "soft 50 lacks its sign: write soft=50."),
        ("a soft=50 hard limit 100", "hard 100 lacks its sign: write hard=100."),
        ("a month hard=1", "month is not known here: use scope=, period="),
        ("a hrad=10", "hrad= is not known here: did you mean hard=?"),
        ("a colour=red", "colour= is not known here: use scope=, period=, soft=,"),
        ("a hard=", "hard= has no value: write one, or leave hard out."),
        ("a hard=1 hard=2", "hard= is given twice: keep one of them."),
        ("a soft=2 hard=1", "Soft must be below hard"),
        ("a hard=0", "hard=0 cannot be used: it must be an amount of USD above zero"),
        ("a hard=1.000", "write 1000 or 1,000"),
        ("a hard=499,50", "write 499.50"),
        ("a hard=1 scope=crew:x", "scope=crew:x cannot be used: 'crew:x' is no scope: use organization, workspace:ID"),
        ("a hard=1 for=team:", "scope=team: cannot be used: team needs a NAME after a colon, as in team:NAME."),
        ("a hard=1 for=team:x team=y", "Scope and team name two teams; keep one of them, as in budget set"),
        ("a hard=1 channel=#search", "type # and choose it from Slack's list"),
        ("a hard=1 channel=D0ADA", "is no channel"),
        ("a hard=1 channel=<!channel>", "is no channel"),
        ("a hard=1 channel=<@U0ADA|ada>", "is no channel"),
        ("a hard=1 owner=@ada", "type @ and choose a person or a user group"),
        ("a hard=1 owner=<!everyone>", "is no owner"),
        ("a hard=1 owner=<#C0SEARCH|search>", "is no owner"),
        ("a hard=1 owner=xoxb-1234-secretsecret", "a text of 22 characters (not shown) is no owner"),
        ("a hard=1 mention=loud", "use threshold, soft, hard, forecast or spike"),
        ("a hard=1 scope=key:", "scope=key: cannot be used: key needs an id"),
        ("a hard=1 scope=none", "is no scope"),
        ("a hard=1 period=year", "period=year cannot be used: use one of these: 'day', 'week' or 'month'"),
        ("a hard=1 zone=Mars/Olympus", "is not an IANA time zone"),
        ("a hard=1 week_starts=funday", "week_starts=funday cannot be used"),
        ("a hard=1 thresholds=half", "write per cents with commas between"),
        ("a hard=1 thresholds=75,50", "thresholds rise"),
        ("a hard=1 thresholds=100", "from 1 to 99"),
        ("a hard=1 thresholds=", "has no value"),
        ("two/words hard=1", "name=two/words cannot be used: a name is one word"),
    ],
)
def test_every_mistake_is_one_sentence_with_the_remedy(text: str, sentence: str) -> None:
    with pytest.raises(BudgetWordsError) as raised:
        parsed(text)
    assert sentence in str(raised.value)
    assert str(raised.value)[-1] in ".?"
