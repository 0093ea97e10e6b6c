"""`claude-cost price` on real logs: what they must come to was billed, or computed by others."""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.responses import Call
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.logs.records import call_in

TOKENS = (
    "input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)
CENT = Decimal("0.01")

AsJson = Callable[..., dict[str, Any]]


@pytest.fixture
def priced(capsys: pytest.CaptureFixture[str]) -> AsJson:
    """Parsed output of `claude-cost price --json` for these paths."""

    def run(*paths: Path) -> dict[str, Any]:
        assert main(["price", "--json", *map(str, paths)]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        found = json.loads(printed.out)
        assert isinstance(found, dict)
        return found

    return run


def test_the_transcripts_of_six_projects_come_to_their_known_total(shared: Path, priced: AsJson) -> None:
    found = priced(shared / "data" / "claude-code")
    assert found["total_usd"] == "546.251750"
    assert found["calls"] == 8028
    assert _tokens(found) == (170_065, 8_880_082, 15_839_301, 671_979_688, 790_662)
    assert (found["unpriced"], list(found["skipped"].values())) == ({}, [6])
    written = sum(file.read_text().count("\n") for file in (shared / "data" / "claude-code").rglob("*.jsonl"))
    assert found["calls"] + found["duplicates"] + sum(found["skipped"].values()) == written


def _snapshots(shared: Path) -> Iterator[list[Path]]:
    for first in sorted((shared / "data" / "claude-code-growing").rglob("*.snap1.jsonl")):
        yield [first.with_name(first.name.replace("snap1", f"snap{number}")) for number in (1, 2, 3)]


def test_reading_a_growing_transcript_again_adds_only_what_is_new(shared: Path, priced: AsJson) -> None:
    files = list(_snapshots(shared))
    assert len(files) == 6
    for snapshots in files:
        for number in (2, 3):
            earlier, latest = snapshots[: number - 1], snapshots[number - 1]
            extended = all(latest.read_bytes().startswith(file.read_bytes()) for file in earlier)
            together, alone = priced(*earlier, latest), priced(latest)
            if extended:
                assert _sums_of(together) == _sums_of(alone)
            else:
                # The one file that was replaced: the calls of its earlier state are gone from the later one.
                assert latest.name.startswith("198393f2")
                assert together["calls"] > alone["calls"]


def test_an_applications_log_explains_the_bill_of_its_day(shared: Path, priced: AsJson) -> None:
    """2026-06-28: Haiku and Sonnet to the cent for each kind of token. Of Opus 8.90 USD were billed and 1.97 logged,
    since other calls on the same key were not logged."""
    runs = sorted((shared / "data" / "app-usage-log" / "tokenomics").glob("run-20260628*.jsonl"))
    found = priced(*runs)
    assert set(found["by_day"]) == {"2026-06-28"}
    card, day = load_rate_card(), date(2026, 6, 28)
    logged: dict[tuple[str, str], Decimal] = {}
    for model, part in found["by_model"].items():
        counts = TokenCounts(*(part[name] for name in TOKENS))
        cost = cost_of(card, model, counts, STANDARD, day, prompt_tokens=0)
        known = card.find(model)
        assert known is not None
        assert cost.usd.quantize(Decimal("0.000001"), ROUND_HALF_UP) == Decimal(part["usd"])
        logged |= {(known.name, line.kind): line.usd.quantize(CENT, ROUND_HALF_UP) for line in cost.lines}
    billed = _billed(shared, day)
    for model in ("Haiku 4.5", "Sonnet 4.6"):
        assert _of(logged, model) == _of(billed, model)
        assert len(_of(logged, model)) == 2
    assert sum(_of(billed, "Opus 4.8").values()) == Decimal("8.90")
    assert Decimal(found["by_model"]["claude-opus-4-8"]["usd"]).quantize(CENT) == Decimal("1.97")
    assert {"classify_triage", "short_form_copy"} <= found["by_feature"].keys()


def _billed(shared: Path, day: date) -> dict[tuple[str, str], Decimal]:
    kinds = {"input_no_cache": "input", "output": "output", "input_cache_read": "cache_read"}
    (export,) = (shared / "data" / "console-export").glob("*.csv")
    billed: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    with export.open(newline="") as rows:
        for row in csv.DictReader(rows):
            if row["usage_date_utc"] == day.isoformat():
                key = row["model"].removeprefix("Claude "), kinds[row["token_type"]]
                billed[key] += Decimal(row["cost_usd"])
    return billed


def _of(amounts: dict[tuple[str, str], Decimal], model: str) -> dict[str, Decimal]:
    return {kind: usd for (name, kind), usd in amounts.items() if name == model}


def test_recorded_responses_cost_what_an_independent_table_says(shared: Path) -> None:
    """All but one match to the last digit. That one is a request of 401,468 prompt tokens to Sonnet 4.5: the table
    still adds the surcharge above 200,000 that ended on 2026-04-30; on an earlier day both agree again.
    """
    recorded = json.loads((shared / "data" / "recorded-responses" / "genai-prices-claude-usages.json").read_text())
    assert len(recorded) == 113
    differing = []
    for entry in recorded:
        call = call_in(entry)
        assert isinstance(call, Call)
        theirs = next(
            one for part in entry["extracted"] for one in part["extractors"] if one["provider_id"] == "anthropic"
        )
        expected = Decimal(theirs.get("total_price", Decimal(theirs["input_price"]) + Decimal(theirs["output_price"])))
        if _usd(call, date(2026, 11, 22)) != expected:
            differing.append(call)
            assert _usd(call, date(2026, 4, 29)) == expected
    (surcharged,) = differing
    assert (surcharged.model, surcharged.counts.prompt_tokens) == ("claude-sonnet-4-5-20250929", 401_468)


def test_the_recorded_responses_are_one_document_of_113_records(shared: Path, priced: AsJson) -> None:
    found = priced(shared / "data" / "recorded-responses")
    assert (found["calls"], found["skipped"], set(found["by_day"])) == (113, {}, {"unknown"})
    assert sum(part["web_search_requests"] for part in found["by_model"].values()) == 12
    assert (found["outside_counts"]["calls"], found["not_in_total"]["usd"]) == (3, "0.000000")


def test_a_log_of_running_totals_costs_what_each_session_ended_with(shared: Path, priced: AsJson) -> None:
    """Adding its lines up would come to $162,406.97."""
    log = shared / "data" / "app-usage-log" / "channellab-bots-cumulative.jsonl"
    found = priced(log)
    assert (found["total_usd"], found["calls"]) == ("1391.200080", 104)
    assert found["running_totals"] == {"left_out": 2_491, "files": [str(log)]}
    assert found["longer_than_any_prompt"] == {}


def test_of_everything_there_is_every_file_is_read_or_named(shared: Path, priced: AsJson) -> None:
    folder = shared / "data"
    found = priced(folder)
    assert Decimal(found["total_usd"]) > Decimal("2000")
    assert found["skipped"]["a cost report or bill: dollars, no tokens"] == 23
    assert found["sums_of_requests"] == 8
    read_anyway = {".json", ".jsonl", ".ndjson"}
    others = {str(file) for file in folder.rglob("*") if file.is_file() and file.suffix not in read_anyway}
    (export,) = (folder / "console-export").glob("*.csv")
    assert others - {str(export)} == found["left_out"].keys()


def test_another_agents_transcript_costs_what_its_own_tool_computed(shared: Path, priced: AsJson) -> None:
    folder = shared / "data" / "pi-sessions"
    costs = (
        json.loads(line).get("message", {}).get("usage", {}).get("cost", {}).get("total", 0)
        for file in folder.glob("*.jsonl")
        for line in file.read_text().splitlines()
    )
    assert priced(folder)["total_usd"] == f"{sum(costs):.6f}"


def _usd(call: Call, day: date) -> Decimal:
    prompt = call.counts.prompt_tokens
    return cost_of(load_rate_card(), call.model, call.counts, call.terms, day, prompt_tokens=prompt).usd


def _tokens(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(sum(part[name] for part in found["by_model"].values()) for name in TOKENS)


def _sums_of(found: dict[str, Any]) -> dict[str, Any]:
    """All fields but the counts of lines, which a later snapshot repeats."""
    return {name: value for name, value in found.items() if name not in ("duplicates", "skipped")}
