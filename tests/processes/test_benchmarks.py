"""The benchmarks run at tiny sizes, so that they still measure something when the product has changed."""

import json
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from benchmarks import acknowledgements, answers, decisions, fuzz, waits
from benchmarks.figures import Figure, emit, figures_of, percentile
from benchmarks.slack_actions import FORM_ACTIONS, MORE_WORDS, known_actions, typed
from benchmarks.table import BENCHMARKS, HERE, WRITTEN, markdown, page
from benchmarks.world import FIRST, SEED, Size, budgets_toml, by_minute, database, hourly, reading
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.config.toml import read_config_file
from handlers.commands import SUBCOMMANDS

TINY = Size(5, 2)


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("informs only", 3, "ms"), None),
        (Figure("at most", 50, "ms", goal=50), True),
        (Figure("at most", 51, "ms", goal=50), False),
        (Figure("a ratio", 30, "ms", floor=10, goal=3, measure="ratio"), True),
        (Figure("a ratio", 31, "ms", floor=10, goal=3, measure="ratio"), False),
        (Figure("a ratio to nothing", 31, "ms", floor=0, goal=3, measure="ratio"), False),
        (Figure("beyond", 70, "ms", floor=25, goal=50, measure="beyond"), True),
        (Figure("beyond", 76, "ms", floor=25, goal=50, measure="beyond"), False),
        (Figure("at least", 99.9, "%", goal=100, bound="at least"), False),
        (Figure("within", 80, "%", goal=75, goal_high=90, bound="within"), True),
        (Figure("within", 91, "%", goal=75, goal_high=90, bound="within"), False),
        (Figure("not measured", None, "ms", goal=50), False),
    ],
)
def test_a_figure_meets_its_goal_or_not(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def test_a_table_is_made_of_the_lines_that_benchmarks_print(capsys: pytest.CaptureFixture[str]) -> None:
    emit(Figure("answer | p99", 31.04, "ms", floor=8.6, goal=20, measure="beyond", note="of 9"))
    emit(Figure("coverage", 80, "%", goal=75, goal_high=90, bound="within"))
    emit(Figure("memory", 1234.5, "MB", goal=300))
    emit(Figure("away", None, "ms", goal=1))
    lines = ["medians of 9 rounds", "[1, 2]", *capsys.readouterr().out.splitlines()]
    figures = figures_of(lines)
    assert [figure.name for figure in figures] == ["answer | p99", "coverage", "memory", "away"]
    assert markdown(figures).splitlines() == [
        "| what | measured | floor | ratio | goal | met? |",
        "| --- | --- | --- | --- | --- | --- |",
        r"| answer \| p99 | 31 ms (of 9) | 8.6 ms | 3.61 × | ≤ 20 ms beyond the floor | **no** |",
        "| coverage | 80 % |  |  | 75–90 % | yes |",
        "| memory | 1,234 MB |  |  | ≤ 300 MB | **no** |",
        "| away | not measured: no reason given |  |  |  | **no** |",
    ]


@pytest.mark.parametrize(
    ("values", "share", "found"), [([1], 0.99, 1), ([4, 3, 2, 1], 0.5, 2), (range(1, 101), 0.99, 99), ([1, 2], 1, 2)]
)
def test_percentile(values: list[float], share: float, found: float) -> None:
    assert percentile(list(values), share) == found


def test_five_thousand_keys_have_as_many_rows_as_promised() -> None:
    day = sum(len(hourly(Size(5000), FIRST + index * HOUR).keys) for index in range(24))
    assert 31 * day == 3_720_000
    hour = by_minute(Size(5000), FIRST, FIRST + HOUR)
    assert 50_000 < len(hour.keys) < 60_000
    assert len(np.unique(hour.minutes)) == 60


def test_a_later_poll_of_an_hour_reads_the_same_and_more() -> None:
    now = TINY.now
    hour = floor_hour(now)
    earlier, later = (reading(TINY, hour, moment).rows for moment in (now, now + 10 * MINUTE))
    assert set(earlier) < set(later)
    assert max(row.starts_at for row in later) < now + 5 * MINUTE


def test_the_same_numbers_make_the_same_database(tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        with database(TINY, folder, tmp_path / f"{name} cache") as address:
            engine = create_engine(address)
            with engine.connect() as connection:
                found.append(connection.execute(text("SELECT * FROM usage ORDER BY id")).all())
            engine.dispose()
    assert found[0] == found[1]
    assert SEED == 7
    assert len(found[0]) > TINY.keys


def test_the_bot_reads_the_budgets(tmp_path: Path) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text(budgets_toml(TINY, 1000), encoding="utf-8")
    budgets = read_config_file(config).budgets
    assert len(budgets) == 1000
    assert len({budget.scope.kind for budget in budgets}) == 4
    assert len({budget.period for budget in budgets}) == 3
    assert len({budget.zone.key for budget in budgets}) == 4


async def test_decisions_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with database(TINY, tmp_path, tmp_path / "cache") as address:
        costs = await decisions.measured(TINY, 2, address, tmp_path, cycles=1)
    decisions.report(TINY, 2, costs, "")
    figures = figures_of(capsys.readouterr().out.splitlines())
    assert len(figures) == 5
    assert all(figure.value and figure.floor for figure in figures)


async def test_waits_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await waits.measure(TINY, 1, tmp_path, None, alone_seconds=0.05)
    figures = figures_of(capsys.readouterr().out.splitlines())
    assert len(figures) == 2
    assert all(figure.value and figure.floor for figure in figures)


async def test_answers_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await answers.measure(TINY, 1, 1, 1.0, tmp_path, warm_up=0)
    lines = capsys.readouterr().out.splitlines()
    figures = figures_of(lines)
    assert len(figures) == len(answers.COMMANDS) * 3 + 2 + 5 + 1
    assert all(figure.value and figure.value < answers.PATIENCE * 1000 for figure in figures)
    assert all({"ratio", "met"} <= json.loads(line).keys() for line in lines)


async def test_acknowledgements_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = ("`help`", "`budget set`", "button alert_acknowledge", "Home opened", "form of `estimate`", "mention")
    times, count, _ = await acknowledgements.measured("http", 100, 1, tmp_path, only=some)
    acknowledgements.report(times, count, None, "of a test")
    figures = figures_of(capsys.readouterr().out.splitlines())
    assert len(figures) == 8
    assert all(figure.value for figure in figures[:-1])
    assert times.late == times.apologies == []
    assert list(times.acked) == list(times.echoed) == list(some)


def test_random_input_to_every_reader_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    counts, wrong = fuzz.measure(1_500, 7, None, tmp_path)
    assert len(counts) == len(fuzz.readers(tmp_path))
    assert wrong == {}


def test_everything_that_the_bot_knows_is_done_to_it() -> None:
    words = typed()
    assert {row.name for row in SUBCOMMANDS} <= {line.split()[0] for line in words}
    assert set(MORE_WORDS) <= {row.name for row in SUBCOMMANDS}
    assert set(FORM_ACTIONS) <= set(known_actions())


def test_the_table_runs_each_benchmark_that_prints_figures() -> None:
    prints = re.compile(r"^from benchmarks\.figures import .*\bemit\b", re.MULTILINE)
    assert set(BENCHMARKS) == {path.stem for path in HERE.glob("*.py") if prints.search(path.read_text("utf-8"))}


def test_the_page_of_figures_is_one_that_the_table_writes() -> None:
    written = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    title, head = page([]).partition("\n")[0], markdown([])
    assert written.startswith(f"{title}\n\n{WRITTEN} Measured ")
    assert head in written
    assert "not measured" not in written


def test_a_month_of_31_days_ends_in_its_last_day() -> None:
    assert Size(1).now - FIRST == 30 * DAY + timedelta(hours=15, minutes=30)


def test_the_page_names_scripts_that_are_there_and_know_what_it_says() -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "performance.md").read_text(encoding="utf-8")
    scripts = set(re.findall(r"`(?:benchmarks/)?(\w+\.py)`", page)) | set(re.findall(r"benchmarks/(\w+\.py)", page))
    assert {"table.py", "world.py", "decisions.py", "waits.py", "answers.py"} <= scripts
    assert {name for name in scripts if not (root / "benchmarks" / name).exists()} == set()
    for words in re.findall(r"python benchmarks/(\w+\.py)(.*)", page):
        code = (root / "benchmarks" / words[0]).read_text(encoding="utf-8")
        assert all(f'"{option}"' in code for option in re.findall(r"--\w+", words[1].partition("#")[0]))
    assert all(heading in page for heading in ("measured", "floor", "ratio", "goal", "met?"))
