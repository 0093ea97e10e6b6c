"""Measure the CPU of a cycle's decisions with many keys and budgets, against a bare computation of the same sums.

    python benchmarks/decisions.py [--keys 50,500] [--budgets 1,50] [--postgres ADDRESS] [--quick]

Each size runs in its own process on a copy of the organization of `world.py`. The bot is built as in production; it
decides once after the start, then after polls that changed only the running hour. CPU is user and system time of the
whole process; storing the poll is not counted. The floors come from the same process: plain SQL sums over the same
rows, and running totals in numpy.
"""

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from sqlalchemy import text

from benchmarks.figures import Figure, cpu_seconds, emit, say
from benchmarks.world import DEFAULT_CACHE, MODELS, Size, budgets_toml, by_minute, data_state, database, reading
from bot.app import bot_from
from bot.clock import MINUTE, floor_hour
from bot.config.settings import Need, load_settings
from bot.db.engine import connect
from bot.mode import NORMAL
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock

CYCLES = 5
REPEATS = 20
FORECAST_DUE = timedelta(minutes=11)
SUMS = """\
SELECT workspace_id, api_key_id, model, service_tier, inference_geo, speed,
       SUM(uncached_input_tokens), SUM(cache_creation_5m_input_tokens), SUM(cache_creation_1h_input_tokens),
       SUM(cache_read_input_tokens), SUM(output_tokens), SUM(web_search_requests)
FROM usage GROUP BY workspace_id, api_key_id, model, service_tier, inference_geo, speed"""
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds and MB for one size. `warm`: CPU of each cycle whose forecast is not due. `sums`: plain SQL."""

    cold_cpu: float
    cold_wall: float
    warm: list[float]
    warm_wall: list[float]
    due_cpu: float
    quiet_cpu: float
    sums_cpu: float
    sums_wall: float
    totals_cpu: float
    base_mb: float
    peak_mb: float


def environ_of(size: Size, budgets: int, address: str, folder: Path, **more: str) -> dict[str, str]:
    """Settings of a bot with this organization and `budgets` budgets, without Slack."""
    config = folder / "claude-cost.toml"
    config.write_text(budgets_toml(size, budgets), encoding="utf-8")
    return {
        "SLACK_BOT_TOKEN": "xoxb-benchmark",
        "SLACK_APP_TOKEN": "xapp-benchmark",
        "SLACK_API_URL": f"{NOWHERE}/api/",
        "ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-benchmark",
        "ANTHROPIC_BASE_URL": NOWHERE,
        "CLAUDE_COST_USAGE_API": "admin",
        "CLAUDE_COST_CHANNEL": "C0ALERTS",
        "CLAUDE_COST_CONFIG": str(config),
        "CLAUDE_COST_DATABASE_URL": address,
        "CLAUDE_COST_FALLBACK_FILE": str(folder / "fallback.env"),
        "CLAUDE_COST_ADMINS": "U0ADMIN",
        **more,
    }


def decide(bot: Bot, clock: HandClock) -> None:
    """Run a cycle's decisions: the limits of every budget, then all other detectors."""
    bot.cycle_state.read()
    for detector in bot.looks:
        detector.look(clock(), NORMAL)


def poll(bot: Bot, size: Size, clock: HandClock, after: timedelta) -> None:
    """Advance the clock; store a poll of the running hour with its new usage."""
    clock.advance(after)
    found = reading(size, floor_hour(clock()), clock())
    bot.services.usage.save([found], "admin", clock(), data_state(clock()), None)


async def measured(size: Size, budgets: int, address: str, folder: Path, cycles: int) -> Costs:
    """Measure one size in this process."""
    clock = HandClock(size.now)
    settings = load_settings(environ_of(size, budgets, address, folder), Need.RUN)
    base = peak_mb()
    async with bot_from(settings, clock) as bot:
        await bot.leadership.settled()

        async def timed(work: Callable[[], Any]) -> tuple[float, float]:
            begun_at = time.perf_counter()
            cpu = await asyncio.to_thread(cpu_seconds, work)
            return cpu, time.perf_counter() - begun_at

        cold_cpu, cold_wall = await timed(lambda: decide(bot, clock))
        warm = []
        for _ in range(cycles):
            await asyncio.to_thread(poll, bot, size, clock, MINUTE)
            warm.append(await timed(lambda: decide(bot, clock)))
        await asyncio.to_thread(poll, bot, size, clock, FORECAST_DUE)
        due, _ = await timed(lambda: decide(bot, clock))
        clock.advance(MINUTE)
        quiet, _ = await timed(lambda: decide(bot, clock))
        peak = peak_mb()
        sums = await timed(lambda: bare_sums(address))
    totals = running_totals(size, budgets)
    cpu, wall = [cpu for cpu, _ in warm], [wall for _, wall in warm]
    return Costs(cold_cpu, cold_wall, cpu, wall, due, quiet, *sums, totals, base, peak)


def bare_sums(address: str) -> None:
    """Sum every scope's counts of the month in SQL alone."""
    if address.startswith("sqlite"):
        with sqlite3.connect(address.removeprefix("sqlite:///")) as connection:
            connection.execute(SUMS).fetchall()
        return
    engine = connect(address)
    with engine.connect() as reader:
        reader.execute(text(SUMS)).all()
    engine.dispose()


def running_totals(size: Size, budgets: int) -> float:
    """CPU to add the running hour's rows to all scopes' totals and to compare those with the limits."""
    hour = by_minute(size, floor_hour(size.now), size.now)
    prices = np.array([5.0, 6.25, 10.0, 0.5, 25.0, 10_000.0]) / 1e6
    totals = np.zeros(size.keys + size.workspaces + len(MODELS) + 1)
    scopes = np.arange(budgets) % len(totals)
    limits = np.full((2, budgets), 1e9)

    def add_and_compare() -> None:
        usd = hour.counts @ prices
        np.add.at(totals, hour.keys, usd)
        np.add.at(totals, size.keys + hour.keys % size.workspaces, usd)
        np.add.at(totals, size.keys + size.workspaces + hour.models, usd)
        totals[-1] += usd.sum()
        (totals[scopes] >= limits).any()

    def often() -> None:
        for _ in range(REPEATS):
            add_and_compare()

    return cpu_seconds(often) / REPEATS


def peak_mb() -> float:
    """Peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def in_a_process(size: Size, budgets: int, cycles: int, cache: Path, postgres: str | None) -> Costs:
    """The costs of one size, measured in a new process."""
    with tempfile.TemporaryDirectory() as name, database(size, Path(name), cache, postgres) as address:
        given = [str(size.keys), str(size.days), str(budgets), str(cycles), address, name]
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--alone", *given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the benchmark of {size} with {budgets} budgets failed:\n{err.decode()[-2000:]}")
    return Costs(**json.loads(out.splitlines()[-1]))


async def alone(given: list[str]) -> None:
    """Entry point of the child process."""
    keys, days, budgets, cycles, address, folder = given
    found = await measured(Size(int(keys), int(days)), int(budgets), address, Path(folder), int(cycles))
    sys.stdout.write(f"{json.dumps(asdict(found))}\n")


def ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def report(size: Size, budgets: int, costs: Costs, where: str) -> None:
    """Print the figures for one size."""
    of = f"{budgets:,} budgets, {size}{where}"
    warm = ms(median(costs.warm))
    floor = ms(costs.totals_cpu)
    wall = f"wall {ms(median(costs.warm_wall))} ms"
    emit(Figure(f"decisions after a poll of one hour, CPU: {of}", warm, "ms", floor, 50, note=wall))
    emit(Figure(f"decisions with the forecast due, CPU: {of}", ms(costs.due_cpu), "ms", floor, 50))
    emit(Figure(f"decisions when nothing has changed, CPU: {of}", ms(costs.quiet_cpu), "ms", floor))
    # This process's CPU does not include the server's work.
    cold, sums = (costs.cold_wall, costs.sums_wall) if where else (costs.cold_cpu, costs.sums_cpu)
    kind = "wall" if where else "CPU"
    emit(Figure(f"cold start to first decision, {kind}: {of}", ms(cold), "ms", ms(sums), 20, "ratio"))
    emit(Figure(f"peak memory: {of}", round(costs.peak_mb, 1), "MB", round(costs.base_mb, 1), 300))


async def compare(keys: list[int], budgets: list[int], cycles: int, cache: Path, postgres: str | None) -> None:
    """Measure all sizes; print the growth between them and PostgreSQL against SQLite."""
    found: dict[tuple[int, int], Costs] = {}
    for count in keys:
        for limits in budgets:
            size = Size(count)
            say(f"{limits:,} budgets, {size} …")
            found[count, limits] = await in_a_process(size, limits, cycles, cache, None)
            report(size, limits, found[count, limits], "")
    for (count, limits), costs in found.items():
        more = next((other for other in budgets if other >= 10 * limits), 0) if limits >= 10 else 10
        for what, other in (("×10 keys", (count * 10, limits)), (f"×{more // limits} budgets", (count, more))):
            if other in found:
                grown(f"{what}: from {limits:,} budgets, {count:,} keys", found[other].warm, costs.warm)
    count, limits = max(found)
    early = await in_a_process(Size(count, 2), limits, cycles, cache, None)
    grown(f"day 31 against day 2: {limits:,} budgets, {count:,} keys", found[count, limits].warm, early.warm)
    if postgres:
        size = Size(count)
        theirs = await in_a_process(size, limits, cycles, cache, postgres)
        report(size, limits, theirs, ", PostgreSQL")
        pair = ms(median(theirs.warm_wall)), ms(median(found[count, limits].warm_wall))
        name = f"decisions on PostgreSQL against SQLite, wall: {limits:,} budgets, {size}"
        emit(Figure(name, pair[0], "ms", pair[1], 2, "ratio"))


def grown(name: str, more: list[float], less: list[float]) -> None:
    """Print how a warm cycle grows."""
    emit(Figure(f"growth of a warm cycle, {name}", ms(median(more)), "ms", ms(median(less)), 1.5, "ratio"))


def main() -> None:
    """Measure the sizes given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", default="50,500,5000")
    parser.add_argument("--budgets", default="1,50,1000")
    parser.add_argument("--cycles", type=int, default=CYCLES, help="warm cycles of each size")
    parser.add_argument("--postgres", default=os.environ.get("CLAUDE_COST_TEST_POSTGRES"))
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--quick", action="store_true", help="5 and 50 keys, 1 and 10 budgets, 1 cycle, SQLite")
    parser.add_argument("--alone", nargs=6, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        asyncio.run(alone(chosen.alone))
        return
    keys, budgets, cycles, postgres = chosen.keys, chosen.budgets, chosen.cycles, chosen.postgres
    if chosen.quick:
        keys, budgets, cycles, postgres = "5,50", "1,10", 1, None
    numbers = [[int(part) for part in text.split(",")] for text in (keys, budgets)]
    asyncio.run(compare(numbers[0], numbers[1], cycles, chosen.cache, postgres))


if __name__ == "__main__":
    main()
