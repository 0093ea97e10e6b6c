"""The rate card, held against a second transcription of Anthropic's price list that was typed apart from it."""

import csv
from collections import Counter
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from bot.pricing.card import Model, Prices, RateCard, Rates, load_rate_card
from bot.pricing.model_ids import FAMILIES

CARD = load_rate_card()
CHECKED_ON = date(2026, 11, 22)

# USD per million tokens on 2026-11-22, retired models at their last price:
# input, 5-minute write, 1-hour write, cache read, output, batch input, batch output, fast input, fast output.
LIST_PRICES = {
    "claude-fable-5-2": "8     10     16   0.20  40    4      20     16  80",
    "claude-mythos-5-2": "8    10     16   0.20  40    4      20     16  80",
    "claude-fable-5-1": "10    12.50  20   0.25  50    5      25     -   -",
    "claude-mythos-5-1": "10   12.50  20   0.25  50    5      25     -   -",
    "claude-fable-5": "10      12.50  20   1.00  50    5      25     -   -",
    "claude-mythos-5": "10     12.50  20   1.00  50    5      25     -   -",
    "claude-opus-5-5": "4      5      8    0.20  20    2      10     8   40",
    "claude-opus-5": "5        6.25   10   0.50  25    2.50   12.50  10  50",
    "claude-opus-4-8": "5      6.25   10   0.50  25    2.50   12.50  10  50",
    "claude-opus-4-7": "5      6.25   10   0.50  25    2.50   12.50  -   -",
    "claude-opus-4-6": "5      6.25   10   0.50  25    2.50   12.50  -   -",
    "claude-opus-4-5": "5      6.25   10   0.50  25    2.50   12.50  -   -",
    "claude-opus-4-1": "15     18.75  30   1.50  75    7.50   37.50  -   -",
    "claude-opus-4": "15       18.75  30   1.50  75    7.50   37.50  -   -",
    "claude-3-opus": "15       18.75  30   1.50  75    7.50   37.50  -   -",
    "claude-sonnet-5-5": "2    2.50   4    0.10  10    1      5      -   -",
    "claude-sonnet-5": "2      2.50   4    0.20  10    1      5      -   -",
    "claude-sonnet-4-6": "3    3.75   6    0.30  15    1.50   7.50   -   -",
    "claude-sonnet-4-5": "3    3.75   6    0.30  15    1.50   7.50   -   -",
    "claude-sonnet-4": "3      3.75   6    0.30  15    1.50   7.50   -   -",
    "claude-3-7-sonnet": "3    3.75   6    0.30  15    1.50   7.50   -   -",
    "claude-3-5-sonnet": "3    3.75   6    0.30  15    1.50   7.50   -   -",
    "claude-3-sonnet": "3      3.75   6    0.30  15    1.50   7.50   -   -",
    "claude-haiku-5-5": "0.10  0.125  0.20 0.01  0.50  0.05   0.25   -   -",
    "claude-haiku-4-5": "1     1.25   2    0.10  5     0.50   2.50   -   -",
    "claude-3-5-haiku": "0.80  1      1.60 0.08  4     0.40   2      -   -",
    "claude-3-haiku": "0.25    0.30   0.50 0.03  1.25  0.125  0.625  -   -",
    "claude-2.1": "8           10     16   0.80  24    4      12     -   -",
    "claude-2.0": "8           10     16   0.80  24    4      12     -   -",
    "claude-1.3": "8           10     16   0.80  24    4      12     -   -",
    "claude-instant-1.2": "0.80 1     1.60 0.08  2.40  0.40   1.20   -   -",
}

# Every price that was ever in a release: its first day and a digest of its figures. See the test that reads it.
PUBLISHED = {
    "claude-fable-5-2": ["2026-11-09 7d7eb984"],
    "claude-fable-5-1": ["2026-09-01 dfda89b7"],
    "claude-fable-5": ["2026-06-09 96c1e525"],
    "claude-mythos-5-2": ["2026-11-09 7d7eb984"],
    "claude-mythos-5-1": ["2026-09-01 dfda89b7"],
    "claude-mythos-5": ["2026-06-09 96c1e525"],
    "claude-opus-5-5": ["2026-09-22 db8cccc9"],
    "claude-opus-5": ["2026-07-24 7843a1ff"],
    "claude-opus-4-8": ["2026-05-28 d7fb1ba7"],
    "claude-opus-4-7": ["2026-04-01 25761c18"],
    "claude-opus-4-6": ["2026-02-01 5fcf2d60", "2026-03-13 8f1b392d"],
    "claude-opus-4-5": ["2025-11-01 a71d2b13"],
    "claude-opus-4-1": ["2025-08-05 e1e46bc9"],
    "claude-opus-4": ["2025-05-14 e1e46bc9"],
    "claude-3-opus": ["2024-02-29 e1e46bc9"],
    "claude-sonnet-5-5": ["2026-09-30 79b597e5", "2026-10-07 6c40c3dd"],
    "claude-sonnet-5": ["2026-06-30 79b597e5"],
    "claude-sonnet-4-6": ["2026-02-01 334ef71c", "2026-03-13 29ca24b5"],
    "claude-sonnet-4-5": ["2025-09-29 334ef71c", "2026-05-01 29ca24b5"],
    "claude-sonnet-4": ["2025-05-14 334ef71c", "2026-05-01 29ca24b5"],
    "claude-3-7-sonnet": ["2025-02-19 29ca24b5"],
    "claude-haiku-5-5": ["2026-10-07 be2a2773"],
    "claude-haiku-4-5": ["2025-10-01 5b3012b0"],
    "claude-3-5-haiku": ["2024-10-22 ca141f27"],
    "claude-3-haiku": ["2024-03-07 4cdb1284"],
    "claude-3-5-sonnet": ["2024-06-20 29ca24b5"],
    "claude-3-sonnet": ["2024-02-29 29ca24b5"],
    "claude-2.1": ["2023-11-21 ec236fb0"],
    "claude-2.0": ["2023-07-11 ec236fb0"],
    "claude-1.3": ["2023-03-14 ec236fb0"],
    "claude-instant-1.2": ["2023-03-14 08b10171"],
}

EVERY_PRICE = [
    pytest.param(model, rates, id=f"{model.id} {rates.valid_from}")
    for model in CARD.models.values()
    for rates in model.price
]


def figures(prices: Prices) -> list[Decimal]:
    return [prices.input, prices.cache_write_5m, prices.cache_write_1h, prices.cache_read, prices.output]


def decimals(text: str) -> list[Decimal | None]:
    return [None if word == "-" else Decimal(word) for word in text.split()]


def at(model_id: str, day: str) -> Rates:
    return CARD.models[model_id].rates(date.fromisoformat(day))


def test_the_card_has_every_listed_model_and_no_other() -> None:
    assert set(CARD.models) == set(LIST_PRICES)
    assert CARD.checked_on == CHECKED_ON


@pytest.mark.parametrize("model_id", LIST_PRICES)
def test_every_figure_is_the_listed_one(model_id: str) -> None:
    rates = CARD.models[model_id].rates(CHECKED_ON)
    offered = rates.fast_until is None or rates.fast_until >= CHECKED_ON
    assert [
        *figures(rates),
        rates.input * CARD.batch_factor,
        rates.output * CARD.batch_factor,
        rates.fast_input if offered else None,
        rates.fast_output if offered else None,
    ] == decimals(LIST_PRICES[model_id])


def test_the_modifiers_are_the_listed_ones() -> None:
    assert (CARD.batch_factor, CARD.us_factor, CARD.regional_factor) == (Decimal("0.5"), Decimal("1.1"), Decimal("1.1"))
    assert CARD.web_search_usd * 1000 == 10


def test_the_price_list_of_august_2026_is_what_the_card_says_for_that_day(shared: Path) -> None:
    with (shared / "data/prices/claude-list-prices-2026-08-22.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_name = {f"Claude {model.name}": model for model in CARD.models.values()}
    assert {row["model"] for row in rows} <= set(by_name)
    columns = ["input_usd_per_mtok", "cache_write_5m", "cache_write_1h", "cache_read", "output_usd_per_mtok"]
    listed = {row["model"]: [Decimal(row[column]) for column in columns] for row in rows}
    assert len(listed) == len(rows) == 15
    assert {name: figures(by_name[name].rates(date(2026, 8, 22))) for name in listed} == listed


@pytest.mark.parametrize(("model", "rates"), EVERY_PRICE)
def test_cache_prices_are_multiples_of_the_input_price(model: Model, rates: Rates) -> None:
    # Haiku 3's were published rounded to cents.
    if model.id == "claude-3-haiku":
        assert figures(rates)[1:4] == [Decimal("0.30"), Decimal("0.50"), Decimal("0.03")]
        return
    read = {
        "claude-fable-5-2": Decimal("0.025"),
        "claude-mythos-5-2": Decimal("0.025"),
        "claude-fable-5-1": Decimal("0.025"),
        "claude-mythos-5-1": Decimal("0.025"),
        "claude-opus-5-5": Decimal("0.05"),
    }.get(model.id, Decimal("0.1"))
    if model.id == "claude-sonnet-5-5" and rates.valid_from >= date(2026, 10, 7):
        read = Decimal("0.05")
    for prices in (rates, rates.step or rates):
        assert prices.cache_write_5m == prices.input * Decimal("1.25")
        assert prices.cache_write_1h == prices.input * 2
        assert prices.cache_read == prices.input * read


@pytest.mark.parametrize(("model", "rates"), EVERY_PRICE)
def test_every_price_is_plausible_and_says_where_it_was_read(model: Model, rates: Rates) -> None:
    assert rates.source.strip()
    for prices in (rates, rates.step or rates):
        assert 0 < prices.cache_read < prices.input < prices.cache_write_5m < prices.cache_write_1h < prices.output
        assert (prices.fast_input is None) == (prices.fast_output is None)
        if prices.fast_input is not None and prices.fast_output is not None:
            assert prices.fast_input >= 2 * prices.input
            assert prices.fast_output >= 2 * prices.output
    if rates.step is not None:
        assert rates.step.above_prompt_tokens >= 100_000
        assert all(dear > base for dear, base in zip(figures(rates.step), figures(rates), strict=True))
        assert (rates.step.fast_input is None) == (rates.fast_input is None)
    assert rates.fast_until is None or rates.fast_until >= rates.valid_from


@pytest.mark.parametrize("model", CARD.models.values(), ids=lambda model: model.id)
def test_the_prices_of_a_model_follow_each_other_from_its_release_on(model: Model) -> None:
    days = [rates.valid_from for rates in model.price]
    assert days == sorted(set(days))
    assert days[0] == model.released
    assert model.retires is None or days[-1] <= model.retires
    assert model.retires is None or model.retires_not_before is None
    assert model.rates(date(2020, 1, 1)) == model.price[0]
    for rates in model.price:
        assert model.rates(rates.valid_from) == rates


def test_no_id_stands_for_two_models() -> None:
    spellings = Counter(text for model in CARD.models.values() for text in (model.id, *model.spellings))
    assert spellings.most_common(1)[0][1] == 1
    assert len({model.name for model in CARD.models.values()}) == len(CARD.models)


def test_sonnet_5_5_reads_its_cache_at_half_the_price_from_7_october_2026_on() -> None:
    assert at("claude-sonnet-5-5", "2026-09-30").cache_read == Decimal("0.20")
    assert at("claude-sonnet-5-5", "2026-10-06").cache_read == Decimal("0.20")
    assert at("claude-sonnet-5-5", "2026-10-07").cache_read == Decimal("0.10")


def test_no_other_base_price_has_ever_changed() -> None:
    for model in CARD.models.values():
        if model.id != "claude-sonnet-5-5":
            assert all(figures(rates) == figures(model.price[-1]) for rates in model.price)
    before, now = CARD.models["claude-sonnet-5-5"].price
    assert figures(before) == decimals("2 2.50 4 0.20 10")
    assert figures(now) == decimals("2 2.50 4 0.10 10")


def test_sonnet_5_keeps_its_introductory_price() -> None:
    assert figures(at("claude-sonnet-5", "2026-06-30")) == figures(at("claude-sonnet-5", "2026-11-22"))


def test_haiku_5_5_costs_five_times_as_much_above_100_000_prompt_tokens() -> None:
    rates = at("claude-haiku-5-5", "2026-10-07")
    assert rates.at(100_000) is rates
    assert figures(rates.at(100_001)) == decimals("0.50 0.625 1.00 0.05 2.50")
    assert rates.at(None) is rates


@pytest.mark.parametrize(
    ("model_id", "last_day", "day_after", "dear"),
    [
        ("claude-opus-4-6", "2026-03-12", "2026-03-13", "10 12.50 20 1.00 37.50"),
        ("claude-sonnet-4-6", "2026-03-12", "2026-03-13", "6 7.50 12 0.60 22.50"),
        ("claude-sonnet-4-5", "2026-04-30", "2026-05-01", "6 7.50 12 0.60 22.50"),
        ("claude-sonnet-4", "2026-04-30", "2026-05-01", "6 7.50 12 0.60 22.50"),
    ],
)
def test_prompts_above_200_000_tokens_were_dearer_until_that_ended(
    model_id: str, last_day: str, day_after: str, dear: str
) -> None:
    assert figures(at(model_id, last_day).at(200_001)) == decimals(dear)
    assert at(model_id, last_day).at(200_000) is at(model_id, last_day)
    assert at(model_id, day_after).step is None


def test_today_only_haiku_5_5_has_a_price_step() -> None:
    assert [model.id for model in CARD.models.values() if model.rates(CHECKED_ON).step] == ["claude-haiku-5-5"]


@pytest.mark.parametrize(
    ("model_id", "fast", "last_day"),
    [
        ("claude-fable-5-2", "16 80", None),
        ("claude-mythos-5-2", "16 80", None),
        ("claude-opus-5-5", "8 40", None),
        ("claude-opus-5", "10 50", None),
        ("claude-opus-4-8", "10 50", "2026-11-30"),
        # removed on 2026-07-24 and on 2026-06-29; their prices are from the fast-mode page of May 2026
        ("claude-opus-4-7", "30 150", "2026-07-23"),
        ("claude-opus-4-6", "30 150", "2026-06-28"),
    ],
)
def test_fast_mode_has_its_own_prices_until_it_was_removed(model_id: str, fast: str, last_day: str | None) -> None:
    for rates in CARD.models[model_id].price:
        assert [rates.fast_input, rates.fast_output] == decimals(fast)
        assert rates.fast_until == (date.fromisoformat(last_day) if last_day else None)


def test_fast_prompts_above_200_000_tokens_were_dearer_too() -> None:
    long = at("claude-opus-4-6", "2026-03-12").at(200_001)
    assert [long.fast_input, long.fast_output] == decimals("60 225")


def test_no_other_model_is_known_to_run_fast() -> None:
    fast = {model.id for model in CARD.models.values() if any(rates.fast_input for rates in model.price)}
    assert len(fast) == 7


def test_the_new_tokenizer_begins_with_opus_4_7() -> None:
    old = "Opus 4.6, Opus 4.5, Opus 4.1, Opus 4, Opus 3, Sonnet 4.6, Sonnet 4.5, Sonnet 4, Sonnet 3.7, "
    old += "Sonnet 3.5, Sonnet 3, Haiku 4.5, Haiku 3.5, Haiku 3, Claude 2.1, Claude 2, Claude 1, Instant 1"
    assert {model.name for model in CARD.models.values() if model.tokenizer == 1} == set(old.split(", "))
    assert {model.tokenizer for model in CARD.models.values()} == {1, 2}


@pytest.mark.parametrize(
    ("tokens", "names"),
    [
        # that of the 5.2 models is presumed
        (512, "Fable 5.2, Fable 5.1, Fable 5, Mythos 5.2, Mythos 5.1, Mythos 5"),
        (512, "Opus 5.5, Opus 5, Sonnet 5.5, Haiku 5.5"),
        (1024, "Opus 4.8, Opus 4.1, Opus 4, Sonnet 5, Sonnet 4.6, Sonnet 4.5, Sonnet 4, Sonnet 3.7, Sonnet 3.5"),
        (2048, "Opus 4.7, Haiku 3.5"),
        (4096, "Opus 4.6, Opus 4.5, Haiku 4.5"),
        (None, "Opus 3, Sonnet 3, Haiku 3, Claude 2.1, Claude 2, Claude 1, Instant 1"),
    ],
)
def test_the_shortest_cacheable_prompt_is_the_documented_one(tokens: int | None, names: str) -> None:
    by_name = {model.name: model for model in CARD.models.values()}
    assert {by_name[name].min_cacheable_tokens for name in names.split(", ")} == {tokens}


def test_us_inference_begins_with_4_6_and_regional_premiums_with_4_5() -> None:
    without_premium = {model.name for model in CARD.models.values() if not model.regional_premium}
    old = "Opus 4.1, Opus 4, Opus 3, Sonnet 4, Sonnet 3.7, Sonnet 3.5, Sonnet 3, Haiku 3.5, Haiku 3, "
    assert without_premium == set((old + "Claude 2.1, Claude 2, Claude 1, Instant 1").split(", "))
    without_us = {model.name for model in CARD.models.values() if not model.us_inference}
    assert without_us == without_premium | {"Opus 4.5", "Sonnet 4.5", "Haiku 4.5"}


def test_retirements_are_the_announced_ones() -> None:
    assert {model.name: str(model.retires) for model in CARD.models.values() if model.retires} == {
        "Opus 4.5": "2027-01-22",
        "Opus 4.1": "2026-08-05",
        "Opus 4": "2026-06-15",
        "Opus 3": "2026-01-05",
        "Sonnet 4.5": "2026-11-30",
        "Sonnet 4": "2026-06-15",
        "Sonnet 3.7": "2026-02-19",
        "Sonnet 3.5": "2025-10-28",
        "Sonnet 3": "2025-07-21",
        "Haiku 3.5": "2026-02-19",
        "Haiku 3": "2026-04-20",
        "Claude 2.1": "2025-07-21",
        "Claude 2": "2025-07-21",
        "Claude 1": "2024-11-06",
        "Instant 1": "2024-11-06",
    }
    assert {
        model.name: str(model.retires_not_before) for model in CARD.models.values() if model.retires_not_before
    } == {
        "Opus 4.8": "2027-05-28",
        "Opus 4.7": "2027-04-16",
        "Sonnet 4.6": "2027-02-17",
        "Haiku 5.5": "2027-10-07",
        "Haiku 4.5": "2026-10-15",
    }


def test_a_family_is_represented_by_its_newest_model() -> None:
    assert CARD.families() == FAMILIES
    newest = [CARD.newest(family).name for family in CARD.families()]
    assert newest == ["Fable 5.2", "Mythos 5.2", "Opus 5.5", "Sonnet 5.5", "Haiku 5.5"]
    assert all(model.id.split("-").count(model.family) == 1 for model in CARD.models.values())
    with pytest.raises(KeyError, match="limerick"):
        CARD.newest("limerick")


def test_the_card_is_read_once() -> None:
    assert load_rate_card() is CARD
    assert isinstance(CARD, RateCard)


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_a_published_price_is_never_edited(model_id: str) -> None:
    """Usage of the past is priced from the past's entries, so editing one silently changes history.

    A new price is appended to its model as another [[model.price]] with a later `valid_from`. That passes here, and
    its line joins PUBLISHED with the release that ships it. If this test fails, restore the old entry and append.
    Only a figure that was misread from its source may be corrected in place, with PUBLISHED, in one commit that
    names the source.
    """
    assert model_id in CARD.models
    now = [f"{rates.valid_from} {fingerprint(rates)}" for rates in CARD.models[model_id].price]
    assert now[: len(PUBLISHED[model_id])] == PUBLISHED[model_id]


def fingerprint(rates: Rates) -> str:
    step = rates.step
    parts = [rates.fast_until, *_amounts(rates)]
    if step is not None:
        parts += [step.above_prompt_tokens, *_amounts(step)]
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()[:8]


def _amounts(prices: Prices) -> list[object]:
    amounts = [*figures(prices), prices.fast_input, prices.fast_output]
    return [None if amount is None else f"{amount.normalize():f}" for amount in amounts]
