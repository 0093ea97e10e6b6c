"""The form of a budget: what it offers, and what it says is wrong, each at its field."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, ScopeKind
from bot.budgets.owners import Team, Teams
from bot.budgets.parsing import BudgetWordsError, budget_of, split_budget_words
from bot.language import LANGUAGES, in_language
from bot.sandbox.block_limits import problems
from handlers.render.budget_form import (
    HARD,
    MENTION,
    NAME,
    OTHER,
    OWNERS,
    SCOPE,
    SOFT,
    Filled,
    budget_form,
    filled_budget,
    mistakes,
    words_of,
)

GOOD = {NAME: "search", SCOPE: "organization", "period": "month", SOFT: "50", HARD: "100"}


def filled(**changes: str) -> Filled:
    return Filled({**GOOD, **changes})


def options(form: dict[str, object]) -> list[str]:
    blocks = form["blocks"]
    assert isinstance(blocks, list)
    groups = next(block["element"]["option_groups"] for block in blocks if block["block_id"] == SCOPE)
    return [option["value"] for group in groups for option in group["options"]]


@pytest.mark.parametrize(
    ("changes", "at", "says"),
    [
        ({NAME: "a b"}, NAME, "“a b” is not a name: write one word of at most 60 letters, digits, points, - and _."),
        ({NAME: "x" * 61}, NAME, "is not a name"),
        ({NAME: "soft=5"}, NAME, "is not a name"),
        ({SOFT: "plenty"}, SOFT, "“plenty” is not an amount: write it like 500, $500 or 1,000."),
        ({HARD: "10万"}, HARD, "“10万” is not an amount in US dollars: write it like 500, $500 or 1,000."),
        ({HARD: "100,000円"}, HARD, "is not an amount in US dollars"),
        ({HARD: "€500"}, HARD, "is not an amount in US dollars"),
        ({HARD: "-5"}, HARD, "“-5” is not an amount"),
        ({HARD: "0"}, HARD, "“0” is not an amount"),
        ({SOFT: "100"}, SOFT, "The soft limit has to be below the hard limit, $100.00."),
        ({SOFT: "", HARD: ""}, HARD, "Write a soft limit, a hard limit, or both."),
        ({OTHER: "opus"}, OTHER, "“opus” is not something that a budget covers"),
        ({OTHER: "feature:two words"}, OTHER, "“feature:two words” is not something that a budget covers"),
        ({OTHER: "tag:team"}, OTHER, "“tag:team” is not something"),
    ],
)
def test_a_mistake_stands_at_its_field_in_the_fields_words(changes: Mapping[str, str], at: str, says: str) -> None:
    found = mistakes(filled(**changes))
    assert list(found) == [at]
    assert says in found[at]


def test_all_mistakes_are_said_at_once() -> None:
    found = mistakes(filled(**{NAME: "", SOFT: "x", HARD: "y", OTHER: "z"}))
    assert set(found) == {NAME, SOFT, HARD, OTHER}


@pytest.mark.parametrize(
    "typed", ["1000", "$1,000", "$ 1000", "1,000 USD", "1_000", "1 000 dollars", "＄１０００", "1000$"]
)
def test_an_amount_may_be_written_in_many_ways(typed: str) -> None:
    one = filled(hard=typed)
    assert mistakes(one) == {}
    assert budget_of(*split_budget_words(words_of(one))).hard_usd == 1000


def test_a_text_takes_the_place_of_the_choice() -> None:
    budget = budget_of(*split_budget_words(words_of(filled(other="tag:team=search"))))
    assert str(budget.scope) == "tag:team=search"


def test_owners_who_are_not_to_be_mentioned_are_never_mentioned() -> None:
    quiet = Filled(GOOD, ("U0ADA", "U0BEN"), mentions=False)
    budget = budget_of(*split_budget_words(words_of(quiet)))
    assert (budget.owners, budget.mention) == (("U0ADA", "U0BEN"), ())
    loud = budget_of(*split_budget_words(words_of(Filled(GOOD, ("U0ADA",)))))
    assert loud.mention is None


@given(st.dictionaries(st.sampled_from([NAME, OTHER, SOFT, HARD, "channel"]), st.text(max_size=80)))
def test_whatever_is_filled_in_without_a_mistake_makes_a_budget_or_says_why_not(changes: dict[str, str]) -> None:
    one = filled(**changes)
    if mistakes(one):
        return
    try:
        budget = budget_of(*split_budget_words(words_of(one)))
    except BudgetWordsError:
        # A channel that Slack has not chosen from its list.
        assert changes.get("channel")
        return
    assert budget.name == one.text(NAME)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_worst_organization_fits_and_every_kind_is_offered(language: str) -> None:
    hostile = "<!channel>*_~`😀 ‮name" * 20
    known = {
        kind: {f"{kind}{index}": f"{hostile}{index}" for index in range(500)}
        for kind in (ScopeKind.WORKSPACE, ScopeKind.KEY, ScopeKind.FEATURE)
    } | {ScopeKind.TEAM: {"search": "search", "two words": "two words", "x" * 200: "x"}}
    with in_language(language):
        form = budget_form(known, "https://hooks.slack.com/" + "x" * 300)
    assert problems(form["blocks"], "modal") == []
    offered = options(form)
    assert len(offered) == 100
    assert offered[:2] == ["organization", "team:search"]
    assert {value.partition(":")[0] for value in offered} == {"organization", "team", "workspace", "key", "feature"}


def test_an_organization_of_which_nothing_is_known_is_offered_as_a_whole() -> None:
    assert options(budget_form({}, "")) == ["organization"]


def test_what_slack_sends_is_read() -> None:
    state = {
        "values": {
            NAME: {"value": {"type": "plain_text_input", "value": " search "}},
            SOFT: {"value": {"type": "plain_text_input", "value": None}},
            SCOPE: {"value": {"type": "static_select", "selected_option": {"value": "team:search"}}},
            "channel": {"value": {"type": "conversations_select", "selected_conversation": "C0SEARCH"}},
            OWNERS: {"value": {"type": "multi_users_select", "selected_users": ["U0ADA"]}},
            MENTION: {"value": {"type": "checkboxes", "selected_options": []}},
        }
    }
    texts = {NAME: "search", SOFT: "", SCOPE: "team:search", "channel": "C0SEARCH"}
    assert filled_budget(state) == Filled(texts, ("U0ADA",), mentions=False)


@pytest.mark.parametrize(
    ("team", "chosen"), [("search", "team:search"), (None, "organization"), ("unknown", "organization")]
)
def test_it_begins_with_the_team_whose_channel_it_is_opened_in(team: str | None, chosen: str) -> None:
    form = budget_form({ScopeKind.TEAM: {"search": "search"}}, "", "checkout", team)
    fields = {block["block_id"]: block["element"] for block in form["blocks"]}
    assert fields[SCOPE]["initial_option"]["value"] == chosen
    assert fields[NAME]["initial_value"] == "checkout"


def test_a_channel_is_a_teams_where_it_is_that_of_one_team_alone() -> None:
    scopes = (ORGANIZATION,)
    teams = Teams([Team("a", scopes, "C1"), Team("b", scopes, "C2"), Team("c", scopes, "C2"), Team("d", scopes)])
    assert [teams.in_channel(channel) for channel in ("C1", "C2", "C3", "")] == ["a", None, None, None]
