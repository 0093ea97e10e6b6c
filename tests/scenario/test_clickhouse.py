"""The bot, `import` and `doctor` with a ClickHouse that keeps what applications log."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.__main__ import main
from bot.clock import HOUR, MINUTE, system_clock
from bot.db.schema import ledger_events
from bot.doctor.check import State
from bot.doctor.database import check_clickhouse
from bot.ledger.clickhouse_ledger import ledger_from
from bot.ledger.model import LedgerRules
from bot.ledger.store import SqlLedger
from bot.sandbox.clock import HandClock
from tests.clickhouse_server import VERSION, ClickHouseServer, clickhouse_server
from tests.databases import open_migrated
from tests.scenario.conftest import World
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import ask, budget, record, send, set_budget


@pytest.fixture
def clickhouse() -> Iterator[ClickHouseServer]:
    with clickhouse_server() as server:
        yield server


async def test_an_alert_fires_at_once_and_what_is_moved_stays_in_reports(
    simulated: World, clock: HandClock, clickhouse: ClickHouseServer
) -> None:
    simulated.environ["CLAUDE_COST_LEDGER_URL"] = clickhouse.url
    async with simulated.bot() as bot, served(bot) as client:
        set_budget(bot, budget("support", "feature:support", "5", "10"))
        await send(client, record(1, "6"), record(2, "50", "search"))
        await bot.react()
        assert len(simulated.alerts("soft")) == 1
        assert clickhouse.ids == set()

        clock.advance(HOUR + MINUTE)
        await bot.cycle()
        assert clickhouse.ids == {"msg_1", "msg_2"}
        again = await client.post("/v1/usage", json=[record(1, "6"), record(3, "5")])
        assert (again.json()["accepted"], again.json()["duplicates"]) == (1, 1)
        await bot.react()
        assert len(simulated.alerts("hard")) == 1
        report = await ask(bot, "report today by feature")
        assert all(part in report for part in ("$61.00", "$50.00", "$11.00"))
        assert bot.faults == {}


async def test_a_clickhouse_out_of_reach_stops_nothing_and_is_named(
    simulated: World, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    with clickhouse_server() as gone:
        url = gone.url
    simulated.environ["CLAUDE_COST_LEDGER_URL"] = url
    async with simulated.bot() as bot, served(bot) as client:
        set_budget(bot, budget("support", "feature:support", "5", "10"))
        await send(client, record(1, "6"))
        await bot.react()
        assert len(simulated.alerts("soft")) == 1
        clock.advance(HOUR + MINUTE)
        await bot.cycle()
        [sentence] = bot.faults.values()
        assert "the move of responses to ClickHouse: ClickHouseError" in sentence
    assert "nothing is listening on that host and port" in caplog.text
    assert "s3cr" not in caplog.text


def test_the_doctor_looks_at_clickhouse_and_makes_nothing_there(clickhouse: ClickHouseServer) -> None:
    check = check_clickhouse(clickhouse.url, 5)
    assert (check.state, f"ClickHouse {VERSION} answers; the bot makes its table" in check.text) == (State.OK, True)
    assert clickhouse.engine == ""
    clickhouse.engine = "ReplacingMergeTree"
    assert check_clickhouse(clickhouse.url, 5).text == f"ClickHouse {VERSION} answers and has the table of responses."


@pytest.mark.parametrize(
    ("said", "clause"),
    [
        (
            "Code: 516. DB::Exception: ledger: Authentication failed: s3cr@t (AUTHENTICATION_FAILED)",
            "the user or the pass",
        ),
        ("Code: 81. DB::Exception: Database costs does not exist. (UNKNOWN_DATABASE)", "it has no such database"),
        ("Code: 497. DB::Exception: s3cr@t: Not enough privileges. (ACCESS_DENIED)", "the user lacks rights"),
        ("<html>s3cr@t</html>", "DatabaseError"),
    ],
)
def test_the_doctor_says_why_clickhouse_cannot_be_used(clickhouse: ClickHouseServer, said: str, clause: str) -> None:
    clickhouse.fails_with = said
    check = check_clickhouse(clickhouse.url, 5)
    assert (check.state, clause in check.text, "s3cr" in check.text) == (State.FAIL, True, False), check.text


async def test_the_doctors_findings_include_it(simulated: World, clickhouse: ClickHouseServer) -> None:
    simulated.environ["CLAUDE_COST_LEDGER_URL"] = clickhouse.url
    async with simulated.bot() as bot:
        found = {check.name: check.state for check in await bot.services.examine()}
    assert found["ledger"] is State.OK


def test_without_the_library_the_start_ends_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    monkeypatch.setenv("CLAUDE_COST_DATABASE_URL", f"sqlite:///{tmp_path / 'claude-cost.db'}")
    monkeypatch.setenv("CLAUDE_COST_LEDGER_URL", "clickhouse://localhost/costs")
    (tmp_path / "app.jsonl").write_text("{}\n")
    assert main(["import", str(tmp_path / "app.jsonl")]) == 2
    assert capsys.readouterr().err == (
        "CLAUDE_COST_LEDGER_URL needs the Python package clickhouse_connect: install claude-cost-bot with its extra "
        "clickhouse.\n"
    )


LINE = {"time": "2026-11-20T10:00:00Z", "model": "claude-sonnet-4-6", "input_tokens": 10, "output_tokens": 5}


def call(number: int, **more: object) -> str:
    return json.dumps({**LINE, "id": f"msg_{number:024}", **more}) + "\n"


def requests(ledger: SqlLedger) -> int:
    totals = ledger.totals(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    return sum(sums.requests for sums in totals.values())


def test_an_import_knows_what_was_moved(
    tmp_path: Path, clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'claude-cost.db'}"
    engine = open_migrated(url)
    monkeypatch.setenv("CLAUDE_COST_DATABASE_URL", url)
    monkeypatch.setenv("CLAUDE_COST_LEDGER_URL", clickhouse.url)
    ledger = ledger_from(engine, clickhouse.url, LedgerRules())

    def imported(name: str, text: str) -> int:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return main(["import", str(tmp_path / name)])

    assert imported("first.jsonl", call(1, session="s1") + call(2) + call(3)) == 0
    ledger.roll_up(system_clock() + 2 * HOUR)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(ledger_events)).scalar_one() == 0
    assert (len(clickhouse.ids), requests(ledger)) == (3, 3)

    assert imported("second.jsonl", call(9) + call(2, n=1) + call(3, n=2)) == 0
    assert requests(ledger) == 4
    usage = {"claude-sonnet-4-6": {"inputTokens": 10, "outputTokens": 5}}
    whole = {"type": "result", "timestamp": LINE["time"], "modelUsage": usage, "total_cost_usd": 1}
    for number, session in enumerate(("s1", "s2")):
        assert imported(f"{session}.jsonl", json.dumps({**whole, "session_id": session}) + "\n") == 0
        assert requests(ledger) == 4 + number
    capsys.readouterr()

    clickhouse.fails_with = "s3cr@t (MEMORY_LIMIT_EXCEEDED)"
    assert imported("third.jsonl", call(8, n=3)) == 1
    assert capsys.readouterr().err.startswith(
        "ClickHouse cannot be used (it has too little memory): look at its server"
    )
    assert requests(ledger) == 5
    engine.dispose()
