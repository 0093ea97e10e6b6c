"""The house: a noun is a folder, the folders stand in one order, and what decides does no I/O."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.contract.parsed import tree_in

ROOT = Path(__file__).resolve().parents[2]

ORDER = (
    *("base", "db", "pricing", "notify", "usage", "ledger", "budgets", "modes", "digests"),
    *("alerts", "fallback", "config"),
    *("doctor", "services", "handlers", "web", "runner", "app", "sandbox", "cli", "__main__"),
)
"""Each room may import what is left of it. `base` is every module directly in `bot/` but the last three."""

ALONE = ("services", "app", "__main__")

IO = {
    *("aiohttp", "apprise", "httpx", "prometheus_client", "requests", "slack_bolt", "slack_sdk"),
    *("socket", "sqlalchemy", "sqlite3", "subprocess"),
}

PURE = (
    *("bot.pricing", "bot.budgets", "bot.modes", "bot.usage.logs", "bot.alerts.decide", "bot.alerts.day_drift"),
    *("bot.alerts.lifecycle", "bot.alerts.model", "bot.alerts.rules", "bot.alerts.spike_rates", "bot.ledger.otlp"),
    *("bot.digests.cheaper", "bot.digests.schedule", "bot.digests.model", "bot.fallback.auto", "bot.usage.model"),
    *("bot.usage.plan", "bot.amounts"),
)
"""Modules that only compute, including all modules of a folder."""

NOT_PURE = {
    *("bot.ledger.otlp.store", "bot.pricing.store", "bot.usage.logs.price_cache"),
    *("bot.budgets.store", "bot.budgets.change_store", "bot.budgets.raise_store", "bot.budgets.calendar_store"),
    "bot.budgets.greeting_store",
}
"""The tables of a pure room, and its cache of files."""


def modules() -> Iterator[tuple[str, Path]]:
    for top in ("bot", "handlers"):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


PATHS: Mapping[str, Path] = dict(modules())


def room(module: str) -> str:
    top, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    if top == "handlers":
        return top
    return first if first in ALONE or ((ROOT / "bot" / first).is_dir() and first) else "base"


@cache
def tree_of(module: str) -> ast.Module:
    return tree_in(PATHS[module])


@cache
def imports(module: str, *, at_start: bool = False) -> frozenset[str]:
    """The modules that a module names in its imports; `at_start`: without those within functions."""
    tree = tree_of(module)
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree) if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(name if name in PATHS else node.module for name in whole)
    return frozenset(found)


def test_every_folder_has_its_place_in_the_order() -> None:
    assert {room(module) for module in PATHS} == set(ORDER)


def test_no_room_imports_one_that_stands_after_it() -> None:
    upward = [
        (module, imported)
        for module in PATHS
        for imported in imports(module) & PATHS.keys()
        if ORDER.index(room(imported)) > ORDER.index(room(module)) and imported != "handlers"
    ]
    assert upward == []


def test_bot_imports_handlers_in_one_line() -> None:
    lines = [
        (module, line)
        for module, path in PATHS.items()
        if module.startswith("bot")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.lstrip().startswith(("import handlers", "from handlers"))
    ]
    assert [module for module, _ in lines] == ["bot.app"]


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {module: set(imports(module, at_start=True) & PATHS.keys() - {module}) for module in PATHS}
    while free := [module for module, needed in left.items() if not needed & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def is_pure(module: str) -> bool:
    return module not in NOT_PURE and any(f"{module}.".startswith(f"{pure}.") for pure in PURE)


@pytest.mark.parametrize("module", [module for module in PATHS if is_pure(module)])
def test_what_decides_does_no_io(module: str) -> None:
    assert {name.partition(".")[0] for name in imports(module)} & IO == set()


def test_nothing_runs_at_import() -> None:
    """A module defines: it calls nothing for its effect."""
    calls: dict[str, list[int]] = defaultdict(list)
    for module in PATHS:
        for node in tree_of(module).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                calls[module].append(node.lineno)
    assert {module for module in calls if ".migrations." not in module} == set()
