"""Files on disk: everything added comes out whole and in order, and a full disk loses nothing."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_cost_client import UsageSender
from claude_cost_client.spool import Spool
from tests.client.applications import QUICKLY
from tests.client.ingest_server import TOKEN, IngestServer

ADDRESS = "http://127.0.0.1:8080"


def taken_out(spool: Spool) -> list[bytes]:
    lines: list[bytes] = []
    spool.close_file()
    while (taken := spool.take()) is not None:
        assert taken.torn == b""
        lines += taken.lines
        taken.delete()
    return lines


@given(st.lists(st.lists(st.integers(0, 700), min_size=1, max_size=12), max_size=8))
def test_what_is_added_comes_out_in_the_same_order(sizes: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool", ADDRESS, 1_000_000)
        spool._file_bytes = 1000
        added = []
        for number, portion in enumerate(sizes):
            lines = [b"%d" % number + b"x" * size for size in portion]
            assert spool.add(lines) == 0
            added += lines
        for path in spool.directory.iterdir() if sizes else ():
            content = path.read_bytes()
            assert len(content) <= 1000 or content.count(b"\n") == 1
        assert taken_out(spool) == added


@given(st.lists(st.integers(0, 900), min_size=1, max_size=40), st.integers(100, 3000))
def test_it_is_never_longer_than_allowed_and_what_is_missing_is_counted(sizes: list[int], longest: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool", ADDRESS, longest)
        added, dropped = [], 0
        for number, size in enumerate(sizes):
            added.append(b"%d" % number + b"x" * size)
            dropped += spool.add(added[-1:])
            assert sum(path.stat().st_size for path in spool.directory.iterdir()) <= longest
        assert taken_out(spool) == added[dropped:]


def test_a_file_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    one, other = (Spool(tmp_path, ADDRESS, 1_000_000) for _ in range(2))
    one.add([b"one"])
    assert other.take() is None
    one.close_file()
    taken = other.take()
    assert taken is not None
    assert (taken.lines, one.take()) == ([b"one"], None)
    taken.keep()
    assert taken_out(one) == [b"one"]


def test_a_disk_that_is_full_loses_nothing_and_doubles_nothing(
    bot: IngestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(number: int) -> dict[str, object]:
        return {"id": f"msg_{number}", "model": "claude-opus-5-5", "input_tokens": 1, "output_tokens": 1}

    bot.status = 503
    sender = UsageSender(bot.url, TOKEN, spool=tmp_path, environ={}, bounds=QUICKLY)
    sender.put(record(1))
    assert not sender.flush()
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:20])

    monkeypatch.setattr(os, "write", full)
    sender.put(record(2))
    assert not sender.flush()
    monkeypatch.setattr(os, "write", write)
    sender.put(record(3))
    bot.status = 200
    assert sender.flush()
    sender.close()
    assert (sorted(bot.events), bot.repeats, sender.dropped) == (["msg_1", "msg_2", "msg_3"], 0, 0)
