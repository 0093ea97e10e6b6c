"""`claude-cost export`: a report as CSV, and its usage in the columns of FOCUS."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.cli.export import written
from bot.clock import system_clock
from bot.runner.cycle import Bot
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import record, send

Row = dict[str, str]


@pytest.fixture
async def today(tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(system_clock, tmp_path) as world:
        yield world


@pytest.fixture
async def bot(today: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    """A bot that has polled and stored what an application logged; `export` reads its database."""
    for name in ("CLAUDE_COST_DATABASE_URL",):
        monkeypatch.setenv(name, today.environ[name])
    today.spend("3", key="apikey_1")
    today.spend("2", key="apikey_2", model="claude-haiku-4-5")
    async with today.bot() as bot:
        async with served(bot) as client:
            labels: dict[str, Any] = {"user_id": "=cmd()", "tags": {"team": "core"}}
            await send(client, record(1, "1", **labels), record(2, "0.5", "search", outcome="error"))
        await bot.cycle()
        yield bot


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[Row]:
    assert main(["export", *words]) == 0, capsys.readouterr().err
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def total(found: list[Row], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in found), Decimal(0))


async def test_the_rows_are_those_of_the_report(bot: Bot, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "today", "--by", "key")
    assert {row["name"]: row["key"] for row in found} == {"ingest": "apikey_1", "answers": "apikey_2"}
    assert [Decimal(row["usd"]) for row in found if row["name"] == "ingest"] == [3]
    assert all(row["as_of"] and row["period"] for row in found)
    by_feature = {row["feature"]: row for row in rows(capsys, "today", "--by", "feature")}
    assert (by_feature["search"]["requests"], by_feature["search"]["errors"]) == ("1", "1")
    by_user = rows(capsys, "today", "--by=user")
    assert {row["user"] for row in by_user} == {"'=cmd()", ""}


async def test_focus_rows_add_up_to_the_report(bot: Bot, capsys: pytest.CaptureFixture[str]) -> None:
    for by in ("model", "feature"):
        report, focus = rows(capsys, "today", "--by", by), rows(capsys, "today", "--by", by, "--format", "focus")
        assert total(focus, "BilledCost") == total(report, "usd")
        for row in focus:
            price, quantity = Decimal(row["ListUnitPrice"]), Decimal(row["PricingQuantity"])
            assert price * quantity == Decimal(row["ListCost"])
            assert row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
            assert row["BillingPeriodStart"] <= row["ChargePeriodStart"]
            assert all(row[name] for name in NEVER_EMPTY)
    assert json.loads(focus[0]["Tags"] or focus[1]["Tags"])["feature"] in ("support", "search")


NEVER_EMPTY = (
    *("BillingAccountId", "BillingCurrency", "ChargeCategory", "ChargeFrequency", "ConsumedQuantity", "ConsumedUnit"),
    *("ContractedCost", "EffectiveCost", "InvoiceIssuerName", "PricingCategory", "PricingUnit", "ProviderName"),
    *("PublisherName", "ServiceCategory", "ServiceName", "SkuId", "SkuPriceId"),
)


async def test_it_is_written_to_a_file(bot: Bot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.csv"
    assert main(["export", "today", "--output", str(path)]) == 0
    assert path.read_text().startswith("period,starts_at,as_of,model,")
    assert main(["export", "today", "--output", str(tmp_path / "none" / "report.csv")]) == 1
    assert "Cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nonsense"], ["--by", "colour"], ["--by", "tag"], ["2026-02-30"]])
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1


def test_without_a_database_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLAUDE_COST_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    assert main(["export"]) == 1
    assert "no database" in capsys.readouterr().err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "cell",
    [
        *("=1+1", "+1", "-1+1", "-a", "@SUM(A1)", "\t=1", "\n=1", "＝1+1", "＠SUM(A1)", " =1", "\u3000=1"),
        *("\ufeff=1", "\u200b=1", "\x00=1", "\x1f +1", "\u202e@SUM(A1)", "\xad-a"),
    ],
)
def test_no_cell_is_a_formula(cell: str) -> None:
    [_, row] = csv.reader(io.StringIO(written(["a", "b"], [{"a": cell, "b": "x=1"}])))
    assert row == [f"'{cell}", "x=1"]


@pytest.mark.parametrize("cell", ["a;=cmd()", "a; =cmd()", "a\t@SUM(A1)", "a\r\n+1", ";=cmd()", "a;\ufeff=cmd()"])
def test_no_part_of_a_cell_is_a_formula_where_a_spreadsheet_divides_it(cell: str) -> None:
    [_, row] = csv.reader(io.StringIO(written(["a"], [{"a": cell}])))
    assert re.search(r"[;\t\r\n][\s\ufeff]*[=+@-]", row[0]) is None
    assert row[0].replace("'", "") == cell


@pytest.mark.parametrize("cell", ["-1", "-0.004215", "12.50", ""])
def test_a_number_stays_one(cell: str) -> None:
    assert written(["a", "b"], [{"a": cell, "b": "x"}]) == f"a,b\n{cell},x\n"
