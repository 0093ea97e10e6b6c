"""Model ids: every documented spelling finds its model, and nothing that merely resembles one does."""

import re
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.model_ids import FAMILIES, family_in, spelled
from bot.pricing.model_names import Kind, is_of_another_vendor, kind_of
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


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        # dots, and the version before the family: gateways, and the vendor's own names of the third generation
        ("claude-opus-4.8", "Opus 4.8"),
        ("anthropic/claude-opus-4.8", "Opus 4.8"),
        ("openrouter/anthropic/claude-opus-4.8", "Opus 4.8"),
        ("~anthropic/claude-opus-4.8", "Opus 4.8"),
        ("claude-4-sonnet", "Sonnet 4"),
        ("claude-4-5-haiku@20251001", "Haiku 4.5"),
        ("claude-4.6-opus-20260205", "Opus 4.6"),
        ("claude 3.7 sonnet", "Sonnet 3.7"),
        ("Claude 4.6 Sonnet", "Sonnet 4.6"),
        ("claude-opus-4.0", "Opus 4"),
        ("claude-5-fable-20260609", "Fable 5"),
        ("CLAUDE_OPUS_4_8", "Opus 4.8"),
        ("Claude Opus 4.8", "Opus 4.8"),
        ("Sonnet 4.6", "Sonnet 4.6"),
        ("sonnet4.6", "Sonnet 4.6"),
        ("claude3.5sonnet", "Sonnet 3.5"),
        # hyphens that a keyboard or a document made nicer, and what cannot be seen
        ("sonnet\u20114.6", "Sonnet 4.6"),
        ("sonnet\u20134.6", "Sonnet 4.6"),
        ("claude\u2212opus\u20144\u20158", "Opus 4.8"),
        ("claude\uff0dopus\uff0d\uff14\uff0e\uff18", "Opus 4.8"),
        ("claude-\u200bopus-5", "Opus 5"),
        # snapshots: a date names one of the same model
        ("claude-opus-4-6-20260205", "Opus 4.6"),
        ("claude-opus-4-7-20260416", "Opus 4.7"),
        ("claude-sonnet-4-5-2025-09-29", "Sonnet 4.5"),
        ("claude-opus-5-20260723", "Opus 5"),
        ("claude-3-5-sonnet-v2@20241022", "Sonnet 3.5"),
        ("claude-3-5-sonnet-20240620", "Sonnet 3.5"),
        ("claude-3-sonnet@20240229", "Sonnet 3"),
        # what gateways and tools write behind it, also several of it
        ("claude-opus-4-8-fast", "Opus 4.8"),
        ("anthropic/claude-3.7-sonnet:thinking", "Sonnet 3.7"),
        ("anthropic/claude-3.5-sonnet-20240620:beta", "Sonnet 3.5"),
        ("claude-4.5-opus-high-thinking", "Opus 4.5"),
        ("anthropic/claude-opus-4.8:batch", "Opus 4.8"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0[1m]", "Sonnet 4.5"),
        ("claude-opus-4-8-20260528-fast[1m]", "Opus 4.8"),
        ("claude-opus-5-5-v1:0", "Opus 5.5"),
        # gateways and clouds before it
        ("vertex_ai/claude-sonnet-4-5@20250929", "Sonnet 4.5"),
        ("bedrock/us.anthropic.claude-opus-4-7", "Opus 4.7"),
        ("bedrock/converse/us.anthropic.claude-haiku-4-5-20251001-v1:0", "Haiku 4.5"),
        ("bedrock/us-gov-west-1/anthropic.claude-opus-4-8", "Opus 4.8"),
        (
            "bedrock/arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5",
            "Opus 5",
        ),
        ("amer.anthropic.claude-opus-5", "Opus 5"),
        ("in.anthropic.claude-opus-5", "Opus 5"),
        ("databricks/databricks-claude-opus-4-8", "Opus 4.8"),
        ("databricks-claude-sonnet-4", "Sonnet 4"),
        ("gradient_ai/anthropic-claude-3.5-haiku", "Haiku 3.5"),
        ("azure_ai/claude-opus-5-5", "Opus 5.5"),
        ("github_copilot/claude-sonnet-4.6", "Sonnet 4.6"),
        ("a-gateway-of-tomorrow/claude-sonnet-5.5", "Sonnet 5.5"),
        ("bedrock:us.anthropic.claude-sonnet-4-6", "Sonnet 4.6"),
        ("openrouter:anthropic/claude-sonnet-4.6", "Sonnet 4.6"),
        ("old/publishers/anthropic/models/claude-opus-5-5", "Opus 5.5"),
        (
            "publishers/anthropic/models/claude-opus-5-5:streamRawPredict",
            "Opus 5.5",
        ),
        # the generations before the families
        ("claude-2.1", "Claude 2.1"),
        ("anthropic.claude-v2:1", "Claude 2.1"),
        ("anthropic.claude-v2:1:200k", "Claude 2.1"),
        ("anthropic.claude-v2", "Claude 2"),
        ("claude-2", "Claude 2"),
        ("anthropic/claude-2.0:beta", "Claude 2"),
        ("claude-v1", "Claude 1"),
        ("claude-instant-1.1", "Instant 1"),
        ("claude-1.3-100k", "Claude 1"),
        # as menus show them
        ("Claude Sonnet 4.5 (20250929)", "Sonnet 4.5"),
        ("Opus 4.8 (1M context)", "Opus 4.8"),
        ("bedrock/us-east-1/anthropic.claude-instant-v1", "Instant 1"),
    ],
)
def test_every_spelling_of_a_gateway_or_of_people_finds_its_model(spelling: str, name: str) -> None:
    assert name_of(spelling) == name


@pytest.mark.parametrize("model_id", CARD.models)
@pytest.mark.parametrize("spell", ["{}", "anthropic.{}-v1:0", "global.anthropic.{}", "anthropic/{}", "{}@default"])
def test_every_model_is_found_wherever_it_is_served(model_id: str, spell: str) -> None:
    assert CARD.find(spell.format(model_id)) is CARD.models[model_id]


before = st.sampled_from(
    [
        "",
        "anthropic/",
        "openrouter/anthropic/",
        "vertex_ai/",
        "bedrock/",
        "bedrock/converse/us.anthropic.",
        "eu.anthropic.",
        "bedrock/us-east-1/anthropic.",
        "publishers/anthropic/models/",
        "databricks/databricks-",
        "azure_ai/",
        "anthropic:",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.",
    ]
)
behind = st.lists(
    st.sampled_from(["[1m]", "-fast", "-thinking", ":thinking", ":beta", "-latest", "@latest", "@default", "-v1:0"]),
    max_size=3,
)
a_date = st.one_of(
    st.just(""),
    st.dates(date(2023, 1, 1), date(2027, 12, 31)).flatmap(
        lambda day: st.sampled_from([f"-{day:%Y%m%d}", f"@{day:%Y%m%d}", f"-{day:%Y-%m-%d}"])
    ),
)


@given(
    st.sampled_from(sorted(SPELLINGS)),
    before,
    a_date,
    behind,
    st.booleans(),
    st.booleans(),
    st.sampled_from("-\u2011\u2013_ "),
)
def test_any_decoration_of_an_id_of_the_card_is_that_model(
    spelling: str, prefix: str, day: str, suffixes: list[str], dotted: bool, loud: bool, hyphen: str
) -> None:
    dated = re.search(r"-20\d{6}$", spelling) is not None
    text = re.sub(r"(?<=\d)-(?=\d\b)", ".", spelling) if dotted else spelling
    text = text.replace("-", hyphen) + ("" if dated else day) + "".join(suffixes)
    text = prefix + (text.upper() if loud else text)
    assert CARD.find(text) is SPELLINGS[spelling]
    name = spelled(text).name
    assert name is not None
    assert spelled(name).name == name


@given(st.text(max_size=80) | st.text("claude-opsnti.345[]:@/_ v1m", max_size=60))
def test_reading_any_text_ends_and_reading_what_was_read_changes_nothing(text: str) -> None:
    name = spelled(text).name
    assert name is None or spelled(name) == spelled(name.upper())
    assert name is None or spelled(name).name == name
    assert kind_of(text, CARD) in Kind


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "claude",
        "opus",
        "claude-opus",
        "claude-opus-latest",
        "claude-3",
        "2.1",
        "claude-sonnet-9",
        "claude-opus-9.9",
        "openrouter/anthropic/claude-opus-9.9",
        "claude-opus-5-6",
        "claude-opus-5-5-5",
        "claude-haiku-4",
        "claude-opus-4-05",
        "claude-opus-4-20259999",
        "claude-opus-4-8-turbo",
        "claude-opus-4-8-finetuned",
        "my-claude-opus-4-8",
        "us.claude-opus-5-5",
        "mars.anthropic.claude-opus-5-5",
        "us.eu.anthropic.claude-opus-5-5",
        "anthropic.anthropic.claude-opus-5-5",
        "xarn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5-5",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/claude-opus-5",
        "claude-opus-5-5[2m]",
        "claude-mythos-preview",
        "<synthetic>",
        "gpt-5.1-codex",
        "claude-opus-5-5" + " " * 300 + "x",
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
        found = CARD.find(text)
        # What may stand there is taken off; it never makes another model of it.
        assert found is None or found is SPELLINGS.get(spelled(text).name or "", found)
        assert found is None or spelled(text).name in {spelled(id_).name for id_ in (found.id, *found.spellings)}


@given(st.sampled_from(sorted(SPELLINGS)), st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.data())
def test_a_misspelt_word_is_not_the_model_it_resembles(spelling: str, typed: str, data: st.DataObject) -> None:
    letters = [place for place, letter in enumerate(spelling) if letter.isalpha()]
    position = data.draw(st.sampled_from(letters))
    assume(typed != spelling[position])
    assert CARD.find(spelling[:position] + typed + spelling[position + 1 :]) is None


@given(st.text(max_size=60))
def test_any_text_at_all_is_priced_and_never_at_nothing(text: str) -> None:
    cost = cost_of(CARD, text, TokenCounts(output_tokens=1), STANDARD, TODAY, prompt_tokens=None)
    assert cost.usd > 0
    assert (cost.assumed is None) == (CARD.find(text) is not None)


@pytest.mark.parametrize(
    ("model_id", "clause", "input_usd", "cache_read_usd", "output_usd"),
    [
        ("claude-fable-6", "priced at the most expensive fable rate, Fable 5's", "10", "1.00", "50"),
        ("claude-mythos-preview", "priced at the most expensive mythos rate, Mythos 5's", "10", "1.00", "50"),
        ("claude-opus-6", "priced at the most expensive opus rate, Opus 5's", "5", "0.50", "25"),
        ("claude-opus-9.9", "priced at the most expensive opus rate, Opus 5's", "5", "0.50", "25"),
        (
            "openrouter/anthropic/claude-sonnet-9",
            "priced at the most expensive sonnet rate, Sonnet 4.6's",
            "3",
            "0.30",
            "15",
        ),
        ("claude-haiku-6", "priced at the most expensive haiku rate, Haiku 4.5's", "1", "0.10", "5"),
        ("claude-limerick-1", "priced at the most expensive rate of all, Fable 5's", "10", "1.00", "50"),
        ("claude-3", "priced at the most expensive rate of all, Fable 5's", "10", "1.00", "50"),
        ("", "priced at the most expensive rate of all, Fable 5's", "10", "1.00", "50"),
        # a bare family is no unknown model, and no certain one either
        ("sonnet", "priced as the newest sonnet of that day, Sonnet 5.5", "2", "0.10", "10"),
        ("Claude Opus", "priced as the newest opus of that day, Opus 5.5", "4", "0.20", "20"),
        ("claude-opus-latest", "priced as the newest opus of that day, Opus 5.5", "4", "0.20", "20"),
        ("~anthropic/claude-haiku-latest", "priced as the newest haiku of that day, Haiku 5.5", "0.10", "0.01", "0.50"),
        ("opus[1m]", "priced as the newest opus of that day, Opus 5.5", "4", "0.20", "20"),
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


@pytest.mark.parametrize(
    ("day", "model"),
    [
        # Opus 4.1 was served until 2026-08-05, at three times the price of the ones after it
        ("2026-08-05", "Opus 4.1"),
        ("2026-08-06", "Opus 5"),
        ("2026-11-22", "Opus 5"),
    ],
)
def test_a_stand_in_is_a_model_that_was_still_served_that_day(day: str, model: str) -> None:
    assert CARD.resolve("claude-opus-9-9", date.fromisoformat(day)).model.name == model


@pytest.mark.parametrize(
    ("day", "model"),
    [
        ("2023-01-01", "Sonnet 3"),
        ("2025-09-28", "Sonnet 4"),
        ("2025-09-29", "Sonnet 4.5"),
        ("2026-09-30", "Sonnet 5.5"),
    ],
)
def test_a_bare_family_is_its_newest_model_of_that_day(day: str, model: str) -> None:
    resolved = CARD.resolve("sonnet", date.fromisoformat(day))
    assert resolved.model.name == model
    assert resolved.assumed == f"priced as the newest sonnet of that day, {model}"


@given(
    st.sampled_from([*FAMILIES, "limerick"]),
    st.builds(TokenCounts, *[st.integers(0, 10**9)] * 6),
    st.builds(Terms, st.sampled_from(["standard", "batch"]), st.sampled_from(["global", "us"]), st.none()),
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
        served = model.released <= on and (model.retires is None or on <= model.retires)
        if served and (model.family == family or family not in FAMILIES):
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
        ("amer.anthropic.claude-opus-5", True),
        ("bedrock/us.anthropic.claude-opus-5", True),
        ("bedrock/global.anthropic.claude-opus-5", False),
        ("bedrock/us-gov-west-1/anthropic.claude-opus-5", True),
        ("vertex_ai/claude-opus-5", False),
        ("openrouter/anthropic/claude-opus-5", False),
    ],
)
def test_an_id_that_names_a_region_is_regional(spelling: str, regional: bool) -> None:
    assert spelled(spelling).regional is regional


@pytest.mark.parametrize(
    ("spelling", "platform"),
    [
        ("claude-opus-5", None),
        ("Claude Opus 5", None),
        ("claude-opus-5[1m]", None),
        ("us.anthropic.claude-opus-5", "bedrock"),
        ("bedrock/claude-opus-5", "bedrock"),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5", "bedrock"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2", "bedrock"),
        ("publishers/anthropic/models/claude-opus-5", "vertex"),
        ("vertex_ai/claude-opus-5", "vertex"),
        ("azure_ai/claude-opus-5", "azure"),
        ("openrouter/anthropic/claude-opus-5", "gateway"),
        ("databricks-claude-opus-5", "gateway"),
    ],
)
def test_an_id_says_whose_platform_it_is_of(spelling: str, platform: str | None) -> None:
    assert spelled(spelling).platform == platform


def test_an_id_says_what_else_changes_its_price() -> None:
    counts = TokenCounts(1_000_000, output_tokens=1_000_000)

    def usd(spelling: str, terms: Terms = STANDARD) -> Decimal:
        return cost_of(CARD, spelling, counts, terms, TODAY, prompt_tokens=None).usd

    said_nothing = Terms(service_tier=None)
    assert usd("claude-opus-4.8-fast", said_nothing) == usd("claude-opus-4-8", Terms(speed="fast")) == 60
    assert usd("claude-opus-4.8-fast", Terms(speed="standard")) == usd("claude-opus-4-8") == 30
    assert usd("anthropic/claude-opus-4.8:batch", said_nothing) == usd("claude-opus-4-8", Terms("batch")) == 15
    assert usd("amer.anthropic.claude-opus-4-8") == 33
    assert spelled("claude-opus-4-6[1m]").long_context
    assert not spelled("claude-opus-4-6").long_context
    assert spelled("claude-sonnet-4.5-20250929:beta").date == "20250929"


@pytest.mark.parametrize(
    "model_id",
    [
        "gpt-5",
        "gpt-4o-mini",
        "openai/gpt-5.1-codex",
        "o3",
        "o4-mini",
        "chatgpt-4o-latest",
        "gemini-3-pro",
        "google/gemini-2.5-flash",
        "vertex_ai/gemini-3-pro",
        "models/gemini-3-pro",
        "llama-3.3-70b",
        "llama3.1:8b",
        "meta-llama/Llama-4-Maverick",
        "us.meta.llama3-3-70b-instruct-v1:0",
        "mistral-large-latest",
        "mixtral-8x7b",
        "deepseek-chat",
        "deepseek/deepseek-r1",
        "bedrock/us.deepseek.r1-v1:0",
        "text-embedding-3-large",
        "voyage-3",
        "amazon.nova-pro-v1:0",
        "amazon.titan-embed-text-v2:0",
        "cohere.embed-english-v3",
        "rerank-v3.5",
        "qwen3-coder",
        "x-ai/grok-4",
        "grok-4",
        "command-r-plus",
        "kimi-k2",
        "glm-4.6",
        "whisper-1",
        "azure/gpt-5",
        "GPT-5",
        "gpt‑5",
        "databricks/databricks-gpt-5-4",
        "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b-instruct-v1:0",
    ],
)
def test_a_model_of_another_vendor_is_recognised(model_id: str) -> None:
    assert kind_of(model_id, CARD) is Kind.NOT_CLAUDE


@pytest.mark.parametrize(
    "model_id",
    [
        "claude-opus-9",
        "claude-limerick-1",
        "claude-mythos-preview",
        "openai/claude-next",
        "Claude Sonnet 9",
        "opusplan",
        "my-finetune",
        "house-model",
        "support-bot",
        "solar-team-bot",
        "nova-bot",
        "commander",
        "gptx",
        "",
        "unknown",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
    ],
)
def test_what_may_be_claudes_counts_as_an_unknown_model_of_it(model_id: str) -> None:
    assert kind_of(model_id, CARD) is Kind.UNKNOWN_CLAUDE


@pytest.mark.parametrize("model_id", ["claude-opus-4.8", "openai/claude-opus-4-8", "sonnet", "claude-opus-latest"])
def test_a_model_or_a_family_of_the_card_is_known_whatever_serves_it(model_id: str) -> None:
    assert kind_of(model_id, CARD) is Kind.KNOWN


def test_no_model_of_the_card_is_taken_for_another_vendors() -> None:
    assert {kind_of(text, CARD) for text in SPELLINGS} == {Kind.KNOWN}
    assert not any(is_of_another_vendor(text) for text in SPELLINGS)
