"""Which models a mode leaves to a service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.mode import modes_from_chain
from claude_cost_client.ceiling import Ceiling, ceiling_from, costs_no_more, list_prices
from tests.client.applications import CHAIN, HAIKU, OPUS, SONNET, ceiling


@pytest.mark.parametrize(
    ("mode", "preferred", "used"),
    [
        ("normal", OPUS, OPUS),
        ("normal", "some-model", "some-model"),
        ("degraded", OPUS, SONNET),
        ("degraded", SONNET, SONNET),
        ("degraded", HAIKU, HAIKU),
        ("minimal", OPUS, HAIKU),
        ("minimal", SONNET, HAIKU),
        ("minimal", HAIKU, HAIKU),
    ],
)
def test_a_mode_is_a_ceiling_and_a_service_on_a_cheaper_model_stays_there(mode: str, preferred: str, used: str) -> None:
    assert ceiling(mode).applied_to(preferred) == used


def test_a_model_that_is_not_in_the_chain_stays_if_its_list_prices_are_no_higher() -> None:
    assert ceiling("degraded").applied_to("claude-haiku-4-5-20251001") == "claude-haiku-4-5-20251001"
    assert ceiling("minimal").applied_to("claude-haiku-4-5-20251001") == HAIKU
    assert ceiling("degraded").applied_to("claude-sonnet-4-6") == SONNET
    assert ceiling("degraded").applied_to("claude-opus-4-8") == SONNET


@pytest.mark.parametrize(
    "spelling",
    [
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "claude-haiku-4-5@20251001",
        "publishers/anthropic/models/claude-haiku-4-5@20251001",
        "claude-haiku-5-5[1m]",
        "Claude-Haiku-4-5",
        "anthropic/claude-haiku-4-5",
        "anthropic/claude-haiku-4.5",
        "claude-haiku-5.5",
        "claude-5.5-haiku",
        "haiku",
        "claude-haiku-latest",
        # the ceiling itself
        "us.anthropic.claude-sonnet-5-5",
        "claude-sonnet-5-5@default",
        "anthropic/claude-sonnet-5.5",
        "Claude Sonnet 5.5",
        "sonnet",
    ],
)
def test_a_model_that_is_no_dearer_stays_in_whatever_spelling(spelling: str) -> None:
    assert ceiling("degraded").applied_to(spelling) == spelling
    assert ceiling("degraded").models_to_try(spelling, None)[0] == spelling


@pytest.mark.parametrize(
    ("preferred", "used"),
    [
        ("Claude-Opus-5-5", SONNET),
        ("claude-opus-4-8[1m]", SONNET),
        ("opus", SONNET),
        # how Bedrock and Vertex call the ceiling is certain from Opus 4.7 on
        ("us.anthropic.claude-opus-4-8", "us.anthropic.claude-sonnet-5-5"),
        ("eu.anthropic.claude-opus-4-5-20251101-v1:0", "eu.anthropic.claude-sonnet-5-5"),
        ("anthropic.claude-opus-5-5", "anthropic.claude-sonnet-5-5"),
        ("bedrock/us.anthropic.claude-opus-4-8", "bedrock/us.anthropic.claude-sonnet-5-5"),
        ("claude-opus-4-5@20251101", SONNET),
        ("vertex_ai/claude-opus-4-5@20251101", "vertex_ai/claude-sonnet-5-5"),
        (
            "projects/Team-A/locations/us-east5/publishers/anthropic/models/claude-opus-5",
            "projects/Team-A/locations/us-east5/publishers/anthropic/models/claude-sonnet-5-5",
        ),
        # a gateway's way to write versions shows in its name
        ("anthropic/claude-opus-4.8", "anthropic/claude-sonnet-5.5"),
        ("openrouter/anthropic/claude-opus-4.8:thinking", "openrouter/anthropic/claude-sonnet-5.5"),
        ("anthropic/claude-opus-4-8", "anthropic/claude-sonnet-5-5"),
        ("databricks-claude-opus-4-8", "databricks-claude-sonnet-5-5"),
    ],
)
def test_a_dearer_model_becomes_the_ceiling_as_its_platform_calls_it(preferred: str, used: str) -> None:
    assert ceiling("degraded").applied_to(preferred) == used
    assert ceiling("degraded").applied_to(used) == used


def test_where_the_platforms_name_of_the_ceiling_is_not_certain_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = ceiling("degraded")
    for preferred in ("anthropic/claude-4.8-opus", "mx.anthropic.claude-opus-4-8", "anthropic/claude-opus-4"):
        assert [found.applied_to(preferred) for _ in range(3)] == [SONNET] * 3
        assert caplog.text.count(f"{preferred} is more expensive than {SONNET}") == 1


def test_a_ceiling_in_another_spelling_is_the_same_ceiling() -> None:
    variables = {"CLAUDE_FALLBACK_MODE": "night", "CLAUDE_MODEL": "us.anthropic.claude-sonnet-5-5"}
    found = ceiling_from(variables, None)
    assert found is not None
    assert found.applied_to(HAIKU) == HAIKU
    assert found.applied_to("us.anthropic.claude-haiku-5-5") == "us.anthropic.claude-haiku-5-5"
    assert found.applied_to("us.anthropic.claude-opus-5-5") == "us.anthropic.claude-sonnet-5-5"


def test_the_teams_chain_may_be_written_as_the_bot_lets_it() -> None:
    found = ceiling("normal", "opus, Sonnet 5.5,claude-haiku-5.5")
    assert found.whole_chain == CHAIN
    assert found.models_to_try(OPUS, None) == CHAIN


def test_the_chain_behind_a_model_of_another_platform_is_written_for_it() -> None:
    preferred = "us.anthropic.claude-opus-5-5"
    expected = (preferred, "us.anthropic.claude-sonnet-5-5", "us.anthropic.claude-haiku-5-5")
    assert ceiling("normal").models_to_try(preferred, None) == expected
    assert ceiling("degraded").models_to_try(preferred, None) == expected[1:]


some_model = st.sampled_from(["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-4-8"])
some_model |= st.sampled_from(["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-5", "claude-sonnet-5"])
some_spelling = st.sampled_from(
    [
        "{}",
        "us.anthropic.{}",
        "anthropic/{}",
        "vertex_ai/{}@default",
        "{}[1m]",
        "global.anthropic.{}-v1:0",
        "bedrock/{}",
    ]
)


@given(some_model, some_spelling, some_model, some_spelling)
def test_a_ceiling_never_makes_a_service_dearer(model: str, spelling: str, dearest: str, other: str) -> None:
    found = Ceiling(other.format(dearest), (), ())
    for each in (model, spelling.format(model), spelling.format(model).upper()):
        used = found.applied_to(each)
        assert costs_no_more(used, each)
        assert costs_no_more(used, dearest)
        assert (used == each) == costs_no_more(model, dearest)


def test_a_model_without_any_known_price_is_replaced() -> None:
    assert ceiling("degraded").applied_to("house-model") == SONNET


def test_the_teams_chain_has_the_last_word_over_list_prices() -> None:
    modes = modes_from_chain((HAIKU, "house-model", OPUS), {})
    found = ceiling_from(modes["degraded"].variables, f"{HAIKU}, house-model,{OPUS}")
    assert found is not None
    assert [found.applied_to(model) for model in (HAIKU, "house-model", OPUS)] == ["house-model", "house-model", OPUS]


def test_a_mode_without_a_model_changes_none_and_variables_without_a_mode_are_none() -> None:
    found = ceiling_from({"CLAUDE_FALLBACK_MODE": "quiet", "LOG_LEVEL": "error"}, None)
    assert found is not None
    assert found.applied_to(OPUS) == OPUS
    assert ceiling_from({"CLAUDE_MODEL": HAIKU}, None) is None


def test_in_normal_mode_a_line_outside_of_the_block_is_no_ceiling() -> None:
    found = ceiling_from({"CLAUDE_FALLBACK_MODE": "normal", "CLAUDE_MODEL": HAIKU}, None)
    assert found is not None
    assert found.applied_to(OPUS) == OPUS


known_models = st.sampled_from([*CHAIN, "house-model", *sorted(list_prices())])


@given(known_models, st.sampled_from(["normal", "degraded", "minimal"]), st.none() | st.lists(known_models, max_size=5))
def test_a_request_never_rises_above_the_ceiling_and_asks_no_model_twice(
    preferred: str, mode: str, chain: list[str] | None
) -> None:
    found = ceiling(mode)
    models = found.models_to_try(preferred, chain)
    assert models[0] == found.applied_to(preferred)
    assert len(set(models)) == len(models)
    assert all(found.permits(model) for model in models)
    assert found.applied_to(models[0]) == models[0]


def test_a_request_goes_down_the_chain_from_where_it_is() -> None:
    assert ceiling("normal").models_to_try(OPUS, None) == CHAIN
    assert ceiling("normal").models_to_try(SONNET, None) == (SONNET, HAIKU)
    assert ceiling("degraded").models_to_try(OPUS, None) == (SONNET, HAIKU)
    assert ceiling("minimal").models_to_try(OPUS, None) == (HAIKU,)
    assert ceiling("normal").models_to_try("claude-haiku-4-5", None) == ("claude-haiku-4-5", HAIKU)
    assert ceiling("normal").models_to_try("house-model", None) == ("house-model", *CHAIN)
    assert ceiling("degraded").models_to_try(OPUS, [OPUS, "claude-haiku-4-5"]) == (SONNET, "claude-haiku-4-5")


def test_no_dearer_needs_both_prices_to_be_known() -> None:
    assert costs_no_more(HAIKU, SONNET)
    assert not costs_no_more(SONNET, HAIKU)
    assert not costs_no_more("house-model", SONNET)
    assert not costs_no_more(HAIKU, "house-model")
