"""Unchanged files are not read again; whatever is wrong with the cache, the totals are the same."""

import gzip
import json
import os
import sqlite3
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cli.price import price
from bot.cli.price_answer import as_json
from bot.cli.price_settled import Settled, read_settled
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import Terms, TokenCounts
from bot.pricing.totals import Pile, Place, Prompt
from bot.usage.logs.price_cache import PriceCache, cache_folder

CARD = load_rate_card()


def _line(response: str | None, output: int = 10, **more: Any) -> str:
    usage = {"input_tokens": 5, "output_tokens": output}
    message = {"id": response, "model": "claude-opus-4-8", "usage": usage, **more}
    return json.dumps({"type": "assistant", "timestamp": "2026-09-01T10:00:00Z", "sessionId": "s", "message": message})


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    logs = tmp_path / "logs"
    logs.mkdir()
    plain = {"type": "message", "input_tokens": 5, "output_tokens": 9}
    iterations = [plain, {"type": "compaction", "input_tokens": 7, "output_tokens": 8}]
    block = {"input_tokens": 5, "output_tokens": 9, "iterations": iterations}
    (logs / "a.jsonl").write_text("\n".join((_line("msg_1"), _line("msg_2"), "rubbish", _line(None, feature="f"))))
    (logs / "b.jsonl").write_text("\n".join((_line("msg_2", 99), _line("relay"), _line("msg_3", usage=block), "{}")))
    (logs / "c.jsonl").write_text("\n".join((_line("msg_4", model="gpt-5"), _line("msg_5", model="claude-opus-9-1"))))
    time.sleep(0.11)  # until a change would give the files another time
    return logs


texts = st.none() | st.text(max_size=4) | st.sampled_from(["\ud800", "é"])
days = st.none() | st.dates()
numbers = st.integers(0, 10**15)
placed = st.lists(
    st.tuples(
        st.builds(
            Place,
            *(st.text(max_size=5), days, days, st.sampled_from(Prompt), st.builds(Terms, texts, texts, texts)),
            *(texts, texts),
        ),
        numbers,
        st.builds(TokenCounts, *[numbers] * 6),
    ),
    max_size=3,
)
by_name = st.dictionaries(st.text(max_size=3), numbers, max_size=2)
piles = st.builds(
    Pile,
    *(placed, placed, numbers, numbers, by_name, numbers, numbers),
    *(st.lists(st.text(max_size=3), max_size=2).map(tuple), numbers),
)
names_of_files = st.dictionaries(st.text(max_size=3), st.lists(st.text(max_size=3), max_size=2), max_size=2)


@given(st.builds(Settled, piles, by_name, names_of_files))
def test_what_is_written_down_is_read_back_the_same(settled: Settled) -> None:
    assert read_settled(settled.written()) == settled


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[" * 100_000, b"\xff", b"[" + b"1," * 10 + b"1]"])
def test_what_has_another_form_is_not_read(body: bytes) -> None:
    assert read_settled(body) is None


def _price(logs: Path, folder: Path | None) -> dict[str, Any]:
    priced = price([str(logs)], CARD, lambda: datetime(2026, 9, 2, tzinfo=UTC), cache=PriceCache(folder))
    return as_json(priced, CARD)


def _entries(folder: Path, begin: bytes) -> int:
    with sqlite3.connect(folder / "price.db") as database:
        return sum(bytes(name).startswith(begin) for (name,) in database.execute("SELECT name FROM kept"))


def test_what_is_remembered_comes_to_the_same(logs: Path, tmp_path: Path) -> None:
    folder, plain = tmp_path / "cache", _price(logs, None)
    assert _price(logs, folder) == plain
    assert (_entries(folder, b"file"), _entries(folder, b"all")) == (3, 1)
    assert _price(logs, folder) == plain
    with sqlite3.connect(folder / "price.db") as database:
        database.execute("DELETE FROM kept WHERE substr(name, 1, 3) = x'616c6c'")
    assert _price(logs, folder) == plain


@pytest.mark.parametrize("change", ["grown", "same size and time", "gone", "new"])
def test_what_has_changed_is_read_again(change: str, logs: Path, tmp_path: Path) -> None:
    folder, path = tmp_path / "cache", logs / "a.jsonl"
    before, status = _price(logs, folder), path.stat()
    if change == "grown":
        path.write_text(path.read_text() + "\n" + _line("msg_9"))
    elif change == "same size and time":
        path.write_text(path.read_text().replace('"output_tokens": 10', '"output_tokens": 77'))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "gone":
        path.unlink()
    else:
        (logs / "d.jsonl").write_text(_line("msg_9"))
    after = _price(logs, folder)
    assert after == _price(logs, None) != before


@pytest.mark.parametrize("damage", ["no database", "other tables", "flipped", "locked", "a folder", "a file above"])
def test_a_broken_cache_changes_no_total(damage: str, logs: Path, tmp_path: Path) -> None:
    folder, plain = tmp_path / "cache", _price(logs, None)
    path = folder / "price.db"
    _price(logs, folder)
    held: sqlite3.Connection | None = None
    if damage == "no database":
        path.write_bytes(b"something else" * 1_000)
    elif damage in ("other tables", "a folder", "a file above"):
        path.unlink()
        if damage == "other tables":
            with sqlite3.connect(path) as database:
                database.execute("CREATE TABLE kept (other TEXT)")
        elif damage == "a folder":
            path.mkdir()
        else:
            folder.rmdir()
            folder.write_text("")
    elif damage == "flipped":
        with sqlite3.connect(path) as database:
            database.execute("UPDATE kept SET body = zeroblob(length(body))")
    else:
        held = sqlite3.connect(path, isolation_level=None)
        held.execute("BEGIN EXCLUSIVE")
    assert _price(logs, folder) == plain
    assert _price(logs, folder) == plain
    if held is not None:
        held.close()


def test_only_its_owner_reads_the_cache(logs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    _price(logs, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "price.db").stat().st_mode) == 0o600
    assert b"usd" not in (folder / "price.db").read_bytes()


def test_the_cache_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert cache_folder({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/claude-cost")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == cache_folder({}) == Path("/home/ann/.cache/claude-cost")


@pytest.mark.parametrize("change", ["none", "grown", "damaged"])
def test_packed_files_are_remembered_until_they_change(change: str, logs: Path, tmp_path: Path) -> None:
    content = "\n".join(_line(f"msg_{number}", number % 9 + 1) for number in (*range(500), *range(250)))
    path = logs / "packed.jsonl.gz"
    path.write_bytes(gzip.compress(content.encode()))
    time.sleep(0.11)
    folder = tmp_path / "cache"
    before = _price(logs, folder)
    assert before == _price(logs, None)
    assert before["by_model"]["claude-opus-4-8"]["calls"] >= 500
    if change == "grown":
        path.write_bytes(path.read_bytes() + gzip.compress(("\n" + _line("msg_9999", 7)).encode()))
    elif change == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    after = _price(logs, folder)
    assert after == _price(logs, folder) == _price(logs, None)
    assert (after == before) == (change == "none")
    assert bool(after["unreadable"]) == (change == "damaged")
