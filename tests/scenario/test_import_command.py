"""`claude-cost import`: real files, a real database, kills, and a bot that writes beside it."""

import csv
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from bot.__main__ import main
from bot.amounts import CENT
from bot.db.engine import open_database
from bot.db.schema import ledger_events, ledger_hours
from bot.ledger.model import Dimensions, Event
from bot.ledger.store import SqlLedger
from bot.pricing.cost import cost_of
from bot.pricing.tokens import STANDARD, TokenCounts
from tests.databases import open_migrated

AsJson = Callable[..., dict[str, Any]]

LONG_AGO, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'claude-cost.db'}"
    open_migrated(url).dispose()
    monkeypatch.setenv("CLAUDE_COST_DATABASE_URL", url)
    return url


@pytest.fixture
def imported(database: str, capsys: pytest.CaptureFixture[str]) -> AsJson:
    def run(*words: str | Path, code: int = 0) -> dict[str, Any]:
        assert main(["import", "--json", *map(str, words)]) == code
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


def call(number: int, **more: Any) -> bytes:
    usage = {"input_tokens": 10, "output_tokens": number % 90 + 1}
    record = {"time": f"2026-11-0{number % 9 + 1}T10:00:00Z", "feature": "search", "model": "claude-sonnet-4-6"}
    return json.dumps({**record, **usage, "n": number, **more}).encode() + b"\n"


def test_a_summary_says_what_was_stored_and_what_it_costs(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app.jsonl").write_bytes(call(1) + call(2) + b"no json\n")
    assert main(["import", str(tmp_path / "app.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Stored 2 responses, under $0.01 at the rates of their days, 2026-11-02 to 2026-11-03 UTC",
        "Tokens: 20 input, 5 output.",
        "2 records read in 1 file.",
        "1 record skipped: not JSON.",
        "List prices in USD without tax, prices checked on 2026-11-22.",
    ]
    assert main(["import", str(tmp_path / "app.jsonl")]) == 0
    assert "1 file with nothing that was not imported before." in capsys.readouterr().out


def test_a_dry_run_says_the_same_and_stores_nothing(imported: AsJson, database: str, tmp_path: Path) -> None:
    log = tmp_path / "app.jsonl"
    log.write_bytes(call(1) + call(2))
    imported(log)
    log.write_bytes(call(1) + call(2) + call(3))
    dry = imported("--dry-run", log)
    assert (dry["new"], dry["dry_run"]) == (1, True)
    assert imported(log) == {**dry, "dry_run": False}


def test_standard_input_and_pipes_are_read(database: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bot", "import", "--json", "-"]
    for new in (2, 0):
        done = subprocess.run(command, input=call(1) + call(2), capture_output=True, env=environment(database))
        assert (done.returncode, json.loads(done.stdout)["new"]) == (0, new)


def test_a_path_that_is_not_there_and_a_wrong_setting_are_wrong_words(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "nowhere.jsonl"]) == 2
    (tmp_path / "app.jsonl").write_bytes(call(1))
    monkeypatch.setenv("CLAUDE_COST_DATABASE_URL", "sqlite:////nowhere/at/all.db")
    assert main(["import", str(tmp_path / "app.jsonl")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "nowhere.jsonl" in shown.err
    assert "CLAUDE_COST_DATABASE_URL" in shown.err


def test_nothing_to_import_is_a_failure_with_its_reason(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"starting_at": "2026-11-01T00:00:00Z", "model": "m", "uncached_input_tokens": 5, "output_tokens": 5}
    (tmp_path / "report.json").write_text(json.dumps(row))
    assert main(["import", str(tmp_path / "report.json")]) == 1
    assert "a report of Anthropic's own sums" in capsys.readouterr().err


def test_kills_at_any_moment_lose_nothing_and_double_nothing(database: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "ids.jsonl").write_bytes(b"".join(call(number, id=f"msg_{number}") for number in range(5_000)))
    (logs / "none.jsonl").write_bytes(b"".join(call(number) for number in range(5_000)))
    command = [sys.executable, "-m", "bot", "import", str(logs)]
    random.seed(7)
    engine = open_database(database)
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(database))
        before = stored(engine)
        deadline = time.monotonic() + 20
        while process.poll() is None and stored(engine) <= before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(random.random() * 0.15)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment(database))
    with engine.connect() as connection:
        sums = select(func.sum(ledger_hours.c.requests), func.sum(ledger_hours.c.uncached_input_tokens))
        assert tuple(connection.execute(sums).one()) == (10_000, 100_000)
    assert stored(engine) == 10_000
    engine.dispose()


def test_a_bot_that_writes_beside_it_waits_for_moments_only(database: str, tmp_path: Path) -> None:
    (tmp_path / "app.jsonl").write_bytes(b"".join(call(number) for number in range(10_000)))
    command = [sys.executable, "-m", "bot", "import", str(tmp_path / "app.jsonl")]
    engine = open_database(database)
    ledger = SqlLedger(engine)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(database))
    written, longest = 0, 0.0
    while process.poll() is None:
        now = datetime.now(UTC)
        begin = time.monotonic()
        ledger.append([Event(f"beside-{written}", now, Dimensions("claude-sonnet-4-6"), TokenCounts(1))], now)
        longest = max(longest, time.monotonic() - begin)
        written += 1
        time.sleep(0.01)
    assert process.returncode == 0
    assert stored(engine) == 10_000 + written
    assert longest < 5
    engine.dispose()


def stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(ledger_events)).scalar_one())


def environment(database: str) -> dict[str, str]:
    return {**os.environ, "CLAUDE_COST_DATABASE_URL": database, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_the_log_of_one_day_explains_the_bill_but_for_opus(shared: Path, imported: AsJson, database: str) -> None:
    """Haiku and Sonnet agree to the cent, row by row and in sum: the bill rounds each row, input and output of a model,
    to a cent. Of Opus 8.90 USD are billed and 1.97 logged, and no price explains the rest: input is billed 26 times as
    high as the log, output a third higher, and no row is of a cache. So other calls of the same key were not logged:
    some 1,273,000 tokens of input and 22,700 of output."""
    imported(*sorted((shared / "data" / "app-usage-log" / "tokenomics").glob("run-20260628*.jsonl")))
    from bot.cli.import_files import totals_of
    from bot.ledger.files import Imported
    from bot.pricing.card import load_rate_card

    engine = open_database(database)
    day = datetime(2026, 6, 28, tzinfo=UTC)
    rows = SqlLedger(engine).read(day, day + timedelta(days=1))
    engine.dispose()
    logged = totals_of(Imported(by_hour={(row.starts_at, row.dimensions): row.sums for row in rows}), load_rate_card())
    exact: dict[tuple[str, str], Decimal] = {}
    for model, its in logged.by_model.items():
        lines = cost_of(load_rate_card(), model, its.counts, STANDARD, day.date(), prompt_tokens=0).lines
        exact |= {(model.split("-")[1], line.kind): line.usd for line in lines}
    assert {key: str(usd.normalize()) for key, usd in exact.items()} == {
        ("haiku", "input"): "0.035329",
        ("haiku", "output"): "0.1838",
        ("sonnet", "input"): "0.106173",
        ("sonnet", "output"): "0.78435",
        ("opus", "input"): "0.253695",
        ("opus", "output"): "1.713375",
    }
    billed: dict[tuple[str, str], Decimal] = {}
    (export,) = (shared / "data" / "console-export").glob("*.csv")
    for cells in csv.reader(export.read_text().splitlines()):
        if cells[0] == "2026-06-28":
            key = cells[1].split()[1].lower(), cells[6].removesuffix("_no_cache")
            assert key not in billed
            billed[key] = Decimal(cells[7])
    assert billed.keys() == exact.keys()
    for family in ("haiku", "sonnet"):
        mine, theirs = ([one[family, kind] for kind in ("input", "output")] for one in (exact, billed))
        assert [usd.quantize(CENT, ROUND_HALF_UP) for usd in mine] == theirs
        assert sum(mine, Decimal(0)).quantize(CENT, ROUND_HALF_UP) == sum(theirs)
    half_a_cent = CENT / 2
    opus = {kind: (exact["opus", kind], billed["opus", kind]) for kind in ("input", "output")}
    assert [sum(column).quantize(CENT) for column in zip(*opus.values(), strict=True)] == [
        Decimal("1.97"),
        Decimal("8.90"),
    ]
    factors = {kind: ((its - half_a_cent) / mine, (its + half_a_cent) / mine) for kind, (mine, its) in opus.items()}
    assert factors["input"][0] > 26
    assert factors["output"][1] < Decimal("1.34")
    missing = {
        "input": (opus["input"][1] - opus["input"][0]) / 5 * 1_000_000,
        "output": (opus["output"][1] - opus["output"][0]) / 25 * 1_000_000,
    }
    assert missing == {"input": 1_273_261, "output": 22_665}


def test_a_log_of_running_totals_imports_to_its_true_total(
    shared: Path, imported: AsJson, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adding its lines up would come to $162,406.97. `price` says the same figure."""
    content = (shared / "data" / "app-usage-log" / "channellab-bots-cumulative.jsonl").read_bytes()
    log = tmp_path / "totals.jsonl"
    together = Decimal(0)
    for part in (1, 3, 700, 701, len(content) // 2, len(content) - 30, len(content)):
        log.write_bytes(content[:part])
        if part < 300:
            continue
        together += Decimal(imported(log)["total_usd"])
    assert together.quantize(Decimal("0.01")) == Decimal("1391.20")
    assert main(["price", "--json", "--no-cache", str(log)]) == 0
    assert json.loads(capsys.readouterr().out)["total_usd"] == "1391.200080"

    def after_line(cut: int) -> int:
        return content.find(b"\n", cut) + 1 if 0 < cut < len(content) else cut

    rotated = tmp_path / "rotated"
    rotated.mkdir()
    for age, (begin, end) in enumerate(((600_000, len(content)), (300_000, 600_000), (0, 300_000))):
        (rotated / f"totals.jsonl.{age}.gz").write_bytes(gzip.compress(content[after_line(begin) : after_line(end)]))
    assert main(["price", "--json", "--no-cache", str(rotated)]) == 0
    assert json.loads(capsys.readouterr().out)["total_usd"] == "1391.200080"
    assert imported(rotated)["total_usd"] == "0.000000"
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(content[content.index(b"\n", 100_000) + 1 :])
    assert imported(copy)["total_usd"] == "0.000000"


def test_transcripts_that_grow_come_to_what_the_last_of_them_costs(
    shared: Path, imported: AsJson, tmp_path: Path
) -> None:
    folder = shared / "data" / "claude-code-growing"
    for number in (1, 2, 3, 1):
        for file in sorted(folder.rglob(f"*.snap{number}.jsonl")):
            (tmp_path / file.name.replace(f".snap{number}", "")).write_bytes(file.read_bytes())
        last = imported(*sorted(tmp_path.glob("*.jsonl")))
    assert (last["new"], last["total_usd"]) == (0, "0.000000")
    assert imported(folder)["new"] == 0


def test_all_transcripts_come_to_their_known_totals(shared: Path, imported: AsJson) -> None:
    found = imported(shared / "data" / "claude-code")
    assert (found["new"], found["total_usd"]) == (8_028, "546.251750")
    assert list(found["tokens"].values())[:5] == [170_065, 8_880_082, 15_839_301, 671_979_688, 790_662]
