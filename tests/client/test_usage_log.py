"""The usage log, and clients that are refused."""

import json
import os
import threading
from pathlib import Path

import pytest

from claude_cost_client import with_fallback, with_usage
from claude_cost_client.usage_log import UsageLog


def test_a_usage_line_is_appended_whole_beside_those_of_other_writers(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    logs = [UsageLog({"CLAUDE_COST_USAGE_LOG": str(path)}) for _ in range(4)]

    def write(log: UsageLog, number: int) -> None:
        for line in range(50):
            log.append({"writer": number, "line": line, "filler": "é" * 2000})

    threads = [threading.Thread(target=write, args=(log, number)) for number, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted((one["writer"], one["line"]) for one in written) == [(n, m) for n in range(4) for m in range(50)]


def test_a_log_that_cannot_be_written_is_reported_once_and_breaks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"CLAUDE_COST_USAGE_LOG": str(tmp_path / "absent" / "usage.jsonl")}
    log = UsageLog(environ)
    log.append({"n": 1})
    log.append({"n": 2})
    assert caplog.text.count("cannot be written (No such file or directory)") == 1
    (tmp_path / "absent").mkdir()
    log.append({"n": 3})
    assert (tmp_path / "absent" / "usage.jsonl").read_text() == '{"n":3}\n'


def test_behind_a_torn_line_the_next_one_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "usage.jsonl"
    log, write = UsageLog({"CLAUDE_COST_USAGE_LOG": str(path)}), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4]))
    log.append({"n": 1})
    monkeypatch.setattr(os, "write", write)
    log.append({"n": 2})
    assert path.read_text() == '{"n"\n{"n":2}\n'
    assert "only a part of the line was written" in caplog.text


def test_without_the_variable_nothing_is_written(tmp_path: Path) -> None:
    UsageLog({}).append({"n": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_client_of_another_provider_is_refused() -> None:
    with pytest.raises(TypeError, match="with_fallback takes an Anthropic or AsyncAnthropic client, not object"):
        with_fallback(object())
    with pytest.raises(TypeError, match="with_usage takes an Anthropic or AsyncAnthropic client, not object"):
        with_usage(object())
