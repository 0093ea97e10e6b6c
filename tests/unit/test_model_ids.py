"""Model ids: every documented spelling finds its model, and nothing that merely resembles one does."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.model_ids import FAMILIES, family_in, spelled
from bot.pricing.tokens import STANDARD, Terms, TokenCounts

CARD = load_rate_card()
TODAY = date(2026, 11, 22)
SPELLINGS = {text: model for model in CARD.models.values() for text in (model.id, *model.spellings)}


def name_of(spelling: str) -> str | None:
    model = CARD.find(spelling)
    return None if model is None else model.name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        # Anthropic: from 4.6 on the dateless id is the snapshot, before it is an alias of a dated one
        ("claude-fable-5-2", "Fable 5.2"),
        ("claude-fable-5", "Fable 5"),
        ("claude-opus-5", "Opus 5"),
        ("claude-opus-5-5", "Opus 5.5"),
        ("claude-sonnet-4-6", "Sonnet 4.6"),
        ("claude-opus-4-5", "Opus 4.5"),
        ("claude-opus-4-5-20251101", "Opus 4.5"),
        ("claude-sonnet-4-5", "Sonnet 4.5"),
        ("claude-sonnet-4-5-20250929", "Sonnet 4.5"),
        ("claude-haiku-4-5-20251001", "Haiku 4.5"),
        ("claude-opus-4-1-20250805", "Opus 4.1"),
        ("claude-opus-4-20250514", "Opus 4"),
        ("claude-opus-4-0", "Opus 4"),
        ("claude-sonnet-4-20250514", "Sonnet 4"),
        ("claude-sonnet-4-0", "Sonnet 4"),
        # the names of the third generation have the version first
        ("claude-3-7-sonnet-20250219", "Sonnet 3.7"),
        ("claude-3-7-sonnet-latest", "Sonnet 3.7"),
        ("claude-3-5-haiku-20241022", "Haiku 3.5"),
        ("claude-3-5-haiku-latest", "Haiku 3.5"),
        ("claude-3-opus-20240229", "Opus 3"),
        ("claude-3-opus-latest", "Opus 3"),
        ("claude-3-haiku-20240307", "Haiku 3"),
        ("claude-opus-5-5-latest", "Opus 5.5"),
        # Amazon Bedrock: models, inference profiles by region, ARNs, versions with a context length
        ("anthropic.claude-opus-5-5", "Opus 5.5"),
        ("anthropic.claude-opus-4-6-v1", "Opus 4.6"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "Haiku 3"),
        ("anthropic.claude-3-haiku-20240307-v1:0:48k", "Haiku 3"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0:200k", "Sonnet 4.5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "Sonnet 4.5"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "Sonnet 4.5"),
        ("eu.anthropic.claude-opus-4-8", "Opus 4.8"),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", "Sonnet 4"),
        ("jp.anthropic.claude-haiku-4-5-20251001-v1:0", "Haiku 4.5"),
        ("global.anthropic.claude-opus-5", "Opus 5"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-5-haiku-20241022-v1:0", "Haiku 3.5"),
        ("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-7", "Opus 4.7"),
        (
            "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.anthropic.claude-sonnet-4-6",
            "Sonnet 4.6",
        ),
        # Google Vertex: a date behind an at sign, and publisher paths
        ("claude-sonnet-4-5@20250929", "Sonnet 4.5"),
        ("claude-3-5-haiku@20241022", "Haiku 3.5"),
        ("claude-opus-4@20250514", "Opus 4"),
        ("claude-opus-5-5@default", "Opus 5.5"),
        ("claude-opus-5@latest", "Opus 5"),
        ("publishers/anthropic/models/claude-opus-4-8", "Opus 4.8"),
        ("projects/team-a/locations/us-east5/publishers/anthropic/models/claude-haiku-4-5@20251001", "Haiku 4.5"),
        (
            "https://us-east5-aiplatform.googleapis.com/v1/projects/team-a/locations/us-east5/publishers/anthropic/"
            "models/claude-sonnet-4-6",
            "Sonnet 4.6",
        ),
        (
            "//aiplatform.googleapis.com/projects/team-a/locations/global/publishers/anthropic/models/claude-opus-5",
            "Opus 5",
        ),
        # gateways put the maker first, Claude Code the length of the context behind
        ("anthropic/claude-sonnet-5", "Sonnet 5"),
        ("claude-opus-4-6[1m]", "Opus 4.6"),
        ("claude-sonnet-4-5-20250929[1m]", "Sonnet 4.5"),
        # case and surrounding space mean nothing
        ("  Claude-Opus-5-5\n", "Opus 5.5"),
        ("US.Anthropic.Claude-Sonnet-4-5-20250929-V1:0", "Sonnet 4.5"),
    ],
)
def test_every_documented_spelling_finds_its_model(spelling: str, name: str) -> None:
    assert name_of(spelling) == name


@pytest.mark.parametrize("model_id", CARD.models)
@pytest.mark.parametrize("spell", ["{}", "anthropic.{}-v1:0", "global.anthropic.{}", "anthropic/{}", "{}@default"])
def test_every_model_is_found_wherever_it_is_served(model_id: str, spell: str) -> None:
    assert CARD.find(spell.format(model_id)) is CARD.models[model_id]


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "claude",
        "opus",
        "claude-opus",
        "claude-opus-5-6",
        "claude-opus-5-5-5",
        "claude-opus-5-20260724",
        "claude-opus-4-5-20251102",
        "claude-sonnet-4-5@20250930",
        "claude-opus-5.5",
        "claude opus 5",
        "claude-opus-5-5-v1:0",
        "us.claude-opus-5-5",
        "mars.anthropic.claude-opus-5-5",
        "us.eu.anthropic.claude-opus-5-5",
        "anthropic.anthropic.claude-opus-5-5",
        "x-anthropic/claude-opus-5-5",
        "old/publishers/anthropic/models/claude-opus-5-5",
        "xarn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5-5",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
        "claude-opus-5-5[2m]",
        "claude-mythos-preview",
        "claude-3-5-sonnet-20241022",
        "claude-2.1",
        "<synthetic>",
        "gpt-5.1-codex",
    ],
)
def test_what_no_price_table_lists_is_not_found(spelling: str) -> None:
    assert CARD.find(spelling) is None


def test_an_id_that_begins_like_another_is_another_model() -> None:
    for short, long in [("opus-5", "opus-5-5"), ("fable-5", "fable-5-1"), ("fable-5", "fable-5-2")]:
        assert name_of(f"claude-{short}") != name_of(f"claude-{long}")
        assert name_of(f"us.anthropic.claude-{short}") != name_of(f"us.anthropic.claude-{long}")


id_text = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)


@given(st.sampled_from(sorted(SPELLINGS)), id_text)
def test_an_id_with_something_before_or_behind_it_is_not_that_model(spelling: str, extra: str) -> None:
    for text in (extra + spelling, spelling + extra):
        assume(not text.endswith("-latest"))
        assert CARD.find(text) is SPELLINGS.get(text)


@given(st.sampled_from(sorted(SPELLINGS)), st.data())
def test_a_misspelt_id_is_not_the_model_it_resembles(spelling: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(spelling)))
    width = data.draw(st.integers(0, 1))
    typed = data.draw(st.text("abcdefghijklmnopqrstuvwxyz0123456789-._", max_size=1))
    text = spelling[:position] + typed + spelling[position + width :]
    assert CARD.find(text) is SPELLINGS.get(text)


@given(st.text(max_size=60))
def test_any_text_at_all_is_priced_and_never_at_nothing(text: str) -> None:
    cost = cost_of(CARD, text, TokenCounts(output_tokens=1), STANDARD, TODAY, prompt_tokens=None)
    assert cost.usd > 0
    assert (cost.assumed is None) == (CARD.find(text) is not None)


@pytest.mark.parametrize(
    ("model_id", "clause", "input_usd", "cache_read_usd", "output_usd"),
    [
        ("claude-fable-6", "priced at the dearest fable rate, Fable 5's", "10", "1.00", "50"),
        ("claude-mythos-preview", "priced at the dearest mythos rate, Mythos 5's", "10", "1.00", "50"),
        ("claude-opus-6", "priced at the dearest opus rate, Opus 4.1's", "15", "1.50", "75"),
        ("claude-3-5-sonnet-20241022", "priced at the dearest sonnet rate, Sonnet 4.6's", "3", "0.30", "15"),
        ("sonnet", "priced at the dearest sonnet rate, Sonnet 4.6's", "3", "0.30", "15"),
        ("claude-haiku-6", "priced at the dearest haiku rate, Haiku 4.5's", "1", "0.10", "5"),
        ("claude-limerick-1", "priced at the dearest rate of all, Opus 4.1's", "15", "1.50", "75"),
        ("claude-2.1", "priced at the dearest rate of all, Opus 4.1's", "15", "1.50", "75"),
        ("", "priced at the dearest rate of all, Opus 4.1's", "15", "1.50", "75"),
    ],
)
def test_an_unknown_model_is_priced_at_the_dearest_rate_and_says_so(
    model_id: str, clause: str, input_usd: str, cache_read_usd: str, output_usd: str
) -> None:
    resolved = CARD.resolve(model_id, TODAY)
    assert resolved.assumed == clause
    rates = resolved.rates
    assert [rates.input, rates.cache_read, rates.output] == [
        Decimal(input_usd),
        Decimal(cache_read_usd),
        Decimal(output_usd),
    ]


def test_a_known_model_is_not_priced_by_assumption() -> None:
    assert all(CARD.resolve(spelling, TODAY).assumed is None for spelling in SPELLINGS)


@given(
    st.sampled_from([*FAMILIES, "limerick"]),
    st.builds(TokenCounts, *[st.integers(0, 10**9)] * 6),
    st.builds(Terms, st.sampled_from(["standard", "batch"]), st.sampled_from(["global", "us"])),
    st.dates(date(2025, 6, 1), date(2027, 1, 1)),
    st.one_of(st.none(), st.integers(0, 10**6)),
    st.sampled_from(["", "us.anthropic."]),
)
def test_the_assumed_price_is_never_below_that_of_a_model_it_could_be(
    family: str, counts: TokenCounts, terms: Terms, on: date, prompt_tokens: int | None, place: str
) -> None:
    assumed = cost_of(CARD, f"{place}claude-{family}-99", counts, terms, on, prompt_tokens=prompt_tokens)
    assert assumed.assumed is not None
    for model in CARD.models.values():
        if model.family == family or family not in FAMILIES:
            known = cost_of(CARD, place + model.id, counts, terms, on, prompt_tokens=prompt_tokens)
            assert assumed.usd >= known.usd


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("claude-opus-9", "opus"),
        ("Claude Sonnet 9", "sonnet"),
        ("us.anthropic.claude-3-5-haiku-20991231-v9:9", "haiku"),
        ("magnum-opusculum", None),
        ("claude-3", None),
    ],
)
def test_a_family_is_a_whole_word_of_the_id(text: str, family: str | None) -> None:
    assert family_in(text) == family


@pytest.mark.parametrize(
    ("spelling", "regional"),
    [
        ("claude-sonnet-4-5", False),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", False),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-opus-5", False),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5", True),
        ("publishers/anthropic/models/claude-opus-5", False),
        ("projects/p/locations/global/publishers/anthropic/models/claude-opus-5", False),
        ("projects/p/locations/europe-west1/publishers/anthropic/models/claude-opus-5", True),
        ("projects/p/locations/us/publishers/anthropic/models/claude-opus-5", True),
    ],
)
def test_an_id_that_names_a_region_is_regional(spelling: str, regional: bool) -> None:
    assert spelled(spelling).regional is regional
