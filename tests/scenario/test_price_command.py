"""`claude-cost price`, as a person or a script runs it: on small files, and on real logs against their real bills."""

import bz2
import gzip
import json
import lzma
import os
import pty
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.cli.price import price
from bot.pricing.card import load_rate_card

OPUS = {"model": "claude-opus-4-6", "input_tokens": 1_000_000, "output_tokens": 0, "ts": "2026-03-20T23:59:59Z"}
SONNET = {"model": "claude-sonnet-4-6", "input_tokens": 1_000_000, "output_tokens": 100_000, "ts": 1774051200}

Run = Callable[..., tuple[int, str, str]]
AsJson = Callable[..., dict[str, Any]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `claude-cost price` with these words: exit code, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["price", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def priced(command: Run) -> AsJson:
    """Parsed `--json` output for these paths, which must be read without an error."""

    def run(*paths: object) -> dict[str, Any]:
        code, out, err = command(*paths, "--json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert isinstance(found, dict)
        return found

    return run


def lines(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_json_has_what_the_contract_names(tmp_path: Path, priced: AsJson) -> None:
    log = lines(tmp_path / "usage.jsonl", {**OPUS, "feature": "search", "user_id": "ann"}, SONNET, {"model": "x"})
    found = priced(log)
    assert (found["total_usd"], found["calls"], found["duplicates"]) == ("9.500000", 2, 0)
    assert found["by_model"]["claude-sonnet-4-6"] == {
        "calls": 1,
        "input_tokens": 1_000_000,
        "cache_creation_5m_input_tokens": 0,
        "cache_creation_1h_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 100_000,
        "web_search_requests": 0,
        "usd": "4.500000",
    }
    assert {day: part["usd"] for day, part in found["by_day"].items()} == {
        "2026-03-20": "5.000000",
        "2026-03-21": "4.500000",
    }
    assert {name: part["calls"] for name, part in found["by_feature"].items()} == {"search": 1, "unknown": 1}
    assert {name: part["calls"] for name, part in found["by_user"].items()} == {"ann": 1, "unknown": 1}
    assert (found["unpriced"], found["assumed_usd"]) == ({}, "0.000000")
    assert found["skipped"] == {"no usage in it": 1}
    assert date.fromisoformat(found["rates_checked"]) == load_rate_card().checked_on


def test_amounts_are_rounded_half_up_to_six_decimals(tmp_path: Path, priced: AsJson) -> None:
    """One token of Haiku 5.5 input costs $0.0000001; five of them are half a millionth."""
    haiku = {"model": "claude-haiku-5-5", "output_tokens": 0, "ts": "2026-11-20"}
    assert priced(lines(tmp_path / "a.jsonl", {**haiku, "input_tokens": 5}))["total_usd"] == "0.000001"
    assert priced(lines(tmp_path / "b.jsonl", {**haiku, "input_tokens": 4}))["total_usd"] == "0.000000"


def test_the_text_leads_with_the_total_and_shows_the_dearest_first(tmp_path: Path, command: Run) -> None:
    code, out, err = command(lines(tmp_path / "usage.jsonl", SONNET, OPUS))
    printed = out.splitlines()
    assert (code, err) == (0, "")
    assert printed[0] == "$9.50 for 2 calls"
    assert [row.split()[0] for row in printed[2:6]] == ["model", "claude-opus-4-6", "claude-sonnet-4-6", "total"]
    assert len({len(row) for row in printed[2:6]}) == 1
    assert f"prices checked on {load_rate_card().checked_on}" in printed[-1]


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("day", ["2026-03-20", "2026-03-21", "unknown"]),
        ("feature", ["検索", "unknown"]),
        ("user", ["unknown", "7"]),
        ("model", ["claude-opus-4-6", "claude-sonnet-4-6"]),
    ],
)
def test_the_table_is_grouped_as_asked(tmp_path: Path, command: Run, by: str, names: list[str]) -> None:
    timeless = {"model": "claude-sonnet-4-6", "input_tokens": 1, "output_tokens": 1, "user_id": 7}
    log = lines(tmp_path / "usage.jsonl", {**OPUS, "feature": "検索"}, SONNET, timeless)
    _, out, _ = command(log, "--by", by)
    table = out.splitlines()[2 : 3 + len(names)]
    assert [row.split()[0] for row in table] == [by, *names]
    assert "1 call without a time: priced at today's rates." in out


def test_what_must_be_known_to_trust_the_total_is_said_aloud(tmp_path: Path, command: Run) -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    response = {"id": "msg_1", "type": "message", "model": "claude-opus-9", "usage": usage}
    compacted = {"type": "compaction", "input_tokens": 1_000_000, "output_tokens": 0}
    searched = {**OPUS, "server_tool_use": {"web_search_requests": 2}, "iterations": [compacted]}
    fast = {**OPUS, "model": "claude-opus-4-5", "speed": "fast"}
    others = {**OPUS, "model": "gpt-5"}, {**OPUS, "service_tier": "flex"}, "text", {"usage": {"prompt_tokens": 1}}
    log = lines(tmp_path / "usage.jsonl", response, response, searched, fast, *others)
    code, out, _ = command(log)
    assert code == 0
    assert out.startswith("at least $")
    assert "of it ASSUMED" in out.splitlines()[0]
    for note in (
        "ASSUMED: claude-opus-9 is in no price table: 1 call",
        "At least: 1 call of claude-opus-4-5 may have cost more, in fast mode",
        "Included: $5.00 of compaction, advice and other attempts, billed too, that 1 call list outside",
        "Left out: 1 call of gpt-5, which is not a Claude model.",
        "Service tier flex has no published price: 1 call counted as standard.",
        "Included: 2 web searches at $0.01 each.",
        "1 repeat of a response already counted: left out.",
        "1 line skipped in usage.jsonl: not a JSON object.",
        "1 line skipped in usage.jsonl: usage that is not in the Claude API's terms.",
    ):
        assert note in out


def test_a_name_from_a_file_cannot_command_the_terminal(tmp_path: Path, command: Run) -> None:
    log = lines(tmp_path / "usage.jsonl", {**OPUS, "feature": "\x1b]0;owned\x07\ud800", "model": "claude-\x1b[2Jx"})
    for by in ("feature", "model"):
        code, out, _ = command(log, "--by", by)
        assert code == 0
        assert "\x1b" not in out
        assert "\x07" not in out


def test_folders_are_read_with_all_that_is_in_them_and_each_file_once(tmp_path: Path, priced: AsJson) -> None:
    folder = tmp_path / "logs"
    for name in ("a.jsonl", "deep/er/b.ndjson", "deep/c.JSON", "usage.txt", "app.log.3"):
        lines(folder / name, OPUS)
    (folder / "deep" / "loop").symlink_to(folder)
    (folder / "again.jsonl").symlink_to(folder / "a.jsonl")
    os.link(folder / "a.jsonl", folder / "hard.jsonl")
    (folder / "gone.jsonl").symlink_to(folder / "nowhere")
    (folder / "self.jsonl").symlink_to(folder / "self.jsonl")
    (folder / "notes.txt").write_text("Logs hold `input_tokens` and more.")
    (folder / "read.py").write_text('print({"model": "claude-opus-4-6", "input_tokens": 1, "output_tokens": 1})')
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x00")
    os.mkfifo(folder / "pipe.jsonl")
    found = priced(folder)
    assert found["calls"] == 5
    assert {Path(name).name for name in found["left_out"]} == {
        *("gone.jsonl", "self.jsonl", "notes.txt", "read.py", "photo.png", "pipe.jsonl"),
    }
    assert priced(folder, folder / "a.jsonl", folder / "deep", tmp_path)["calls"] == 5


def compressed(text: str) -> dict[str, bytes]:
    content = text.encode()
    return {
        "app.jsonl": content,
        "app.jsonl.1": content,
        "app.jsonl.2.gz": gzip.compress(content),
        "app.jsonl-20260901.bz2": bz2.compress(content),
        "app.jsonl.3.xz": lzma.compress(content),
        "app.log": b"2026-09-01 10:00:00 INFO usage " + content,
        "utf16.jsonl": text.encode("utf-16"),
        "crashed.jsonl": b"\x00" * 64 + content,
    }


def test_rotated_and_compressed_logs_and_what_loggers_put_around_records_are_read(
    tmp_path: Path, priced: AsJson
) -> None:
    files = compressed(json.dumps(OPUS) + "\n")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = priced(tmp_path)
    assert (found["calls"], found["skipped"], found["left_out"]) == (len(files), {}, {})


def test_usage_in_a_form_that_is_not_read_is_named_and_missing(tmp_path: Path, command: Run) -> None:
    log = lines(tmp_path / "app.jsonl", OPUS)
    (tmp_path / "app.jsonl.1.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00")
    (tmp_path / "app.jsonl.2.gz").write_bytes(gzip.compress(log.read_bytes() * 1000)[:-20])
    lines(tmp_path / "app.jsonl.bak", OPUS)
    code, out, err = command(tmp_path, "--json")
    assert code == 1
    assert "app.jsonl.1.zst: it is compressed with Zstandard; unpack it with unzstd." in err
    assert "app.jsonl.2.gz to its end: the compressed file is damaged or breaks off." in err
    assert "app.jsonl.bak is not read: by its name it is a copy" in err
    assert len(json.loads(out)["unreadable"]) == err.count("\n") == 3


def test_days_are_shown_in_the_zone_that_is_asked_for(tmp_path: Path, command: Run, priced: AsJson) -> None:
    log = lines(tmp_path / "usage.jsonl", {**OPUS, "ts": "2026-03-20 23:30:00 UTC"})
    assert set(priced(log)["by_day"]) == {"2026-03-20"}
    found = priced(log, "--zone", "Europe/Berlin")
    assert (set(found["by_day"]), found["zone"]) == ({"2026-03-21"}, "Europe/Berlin")
    assert "Days are Europe/Berlin; prices go by UTC days." in command(log, "--zone", "Europe/Berlin")[1]


def test_an_unknown_zone_is_refused_with_the_form_of_a_known_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["price", str(tmp_path), "--zone", "Mars/Olympus"])
    assert ended.value.code == 2
    assert "'Mars/Olympus' is no IANA time zone; write it as in Europe/Berlin" in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("redirection", "complaint"),
    [
        (">/dev/full", "Cannot write the answer: no space left on device."),
        (">&-", "Cannot write the answer: standard output is closed."),
        ("2>&- >&-", ""),
        ("- <&-", "Cannot read standard input: it is closed."),
    ],
)
def test_an_answer_that_cannot_be_written_ends_in_a_sentence(tmp_path: Path, redirection: str, complaint: str) -> None:
    log = lines(tmp_path / "usage.jsonl", OPUS)
    line = f"{shlex.join(claude_cost(log))} {redirection}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(complaint)
    assert "Traceback" not in done.stderr


def test_folders_nested_deeper_than_python_calls_are_read(tmp_path: Path, priced: AsJson) -> None:
    here, depth = os.getcwd(), 1500
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("a")
            os.chdir("a")
        lines(Path("usage.jsonl"), OPUS)
        assert priced(tmp_path)["calls"] == 1
    finally:
        # Removing them is as deep, and nobody does it later.
        Path("usage.jsonl").unlink(missing_ok=True)
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("a")
        os.chdir(here)


def test_a_document_of_records_is_priced_like_lines_of_them(tmp_path: Path, priced: AsJson) -> None:
    as_lines = priced(lines(tmp_path / "usage.jsonl", OPUS, SONNET))
    for number, value in enumerate(([OPUS, SONNET], {"records": [OPUS, SONNET]})):
        document = tmp_path / f"{number}.json"
        document.write_text(json.dumps(value, indent=1))
        assert priced(document) == as_lines


def test_a_path_that_does_not_exist_is_named_and_nothing_is_printed(tmp_path: Path, command: Run) -> None:
    log = lines(tmp_path / "usage.jsonl", OPUS)
    code, out, err = command(log, tmp_path / "nowhere", "--json")
    assert (code, out) == (2, "")
    assert err == f"There is no file or folder {tmp_path / 'nowhere'}; check the name.\n"


def test_a_file_that_cannot_be_read_is_named_and_the_sums_are_not_passed_off_as_whole(
    tmp_path: Path, command: Run
) -> None:
    lines(tmp_path / "usage.jsonl", OPUS)
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tmp_path)
        listener.bind("closed")
        code, out, err = command(tmp_path / "usage.jsonl", tmp_path / "closed", "--json")
    assert code == 1
    assert err.startswith(f"Cannot read {tmp_path / 'closed'}: ")
    assert err.count("\n") == 1
    assert json.loads(out)["calls"] == 1
    assert str(tmp_path / "closed") in json.loads(out)["unreadable"][0]


def test_where_nothing_can_be_priced_one_sentence_says_so_and_no_zero_is_shown(tmp_path: Path, command: Run) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = command(tmp_path / "empty")
    assert (code, out) == (1, "")
    assert err.startswith(f"Nothing to price in {tmp_path / 'empty'}")
    (tmp_path / "photo.json").write_bytes(b"\x89PNG\r\n\xff\xfe\n")
    code, out, err = command(tmp_path / "photo.json")
    assert (code, out) == (1, "")
    assert "not UTF-8 text" in err
    assert err.count("\n") == 1
    code, out, _ = command(tmp_path / "photo.json", "--json")
    assert code == 1
    assert (json.loads(out)["calls"], sum(json.loads(out)["skipped"].values())) == (0, 2)


def test_a_line_of_more_than_64_mb_is_skipped_and_the_next_is_read(tmp_path: Path, priced: AsJson) -> None:
    log = lines(tmp_path / "usage.jsonl", OPUS, {**OPUS, "prompt": "x" * (64 * 1024 * 1024)}, SONNET)
    found = priced(log)
    assert (found["calls"], found["skipped"]) == (2, {"longer than 64 MB": 1})


def claude_cost(*words: object) -> list[str]:
    return [sys.executable, "-m", "bot", "price", *map(str, words)]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is started in a test's own folder finds this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


@pytest.mark.usefixtures("elsewhere")
def test_standard_input_and_pipes_are_read_like_files(tmp_path: Path) -> None:
    content = lines(tmp_path / "usage.jsonl", OPUS, SONNET).read_bytes()
    done = subprocess.run(claude_cost("-", "-", "--json"), input=content, capture_output=True, check=True)
    assert json.loads(done.stdout)["calls"] == 2
    assert done.stderr == b""
    pretty = json.dumps([OPUS, SONNET], indent=2).encode()
    done = subprocess.run(claude_cost("/dev/stdin", "--json"), input=pretty, capture_output=True, check=True)
    assert json.loads(done.stdout)["calls"] == 2


@pytest.mark.usefixtures("elsewhere")
def test_a_reader_that_goes_away_and_a_terminal_without_unicode_cause_no_traceback(tmp_path: Path) -> None:
    log = lines(tmp_path / "usage.jsonl", {**OPUS, "feature": "検索"})
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        gone = subprocess.run(claude_cost(log), stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (gone.returncode, gone.stderr) == (1, b"")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    plain = subprocess.run(claude_cost(log, "--by", "feature"), capture_output=True, check=True, env=ascii_only)
    assert b"\n??  " in plain.stdout


@pytest.mark.usefixtures("elsewhere")
def test_on_a_terminal_the_answer_is_clean_of_the_progress_bar(tmp_path: Path) -> None:
    log = lines(tmp_path / "usage.jsonl", OPUS)
    ours, theirs = pty.openpty()
    done = subprocess.run(claude_cost(log), stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.set_blocking(ours, False)
    os.write(theirs, b"end")
    seen = os.read(ours, 10_000)
    os.close(theirs)
    os.close(ours)
    assert done.stdout.startswith(b"$5.00 for 1 call\n")
    # Over before it was worth drawing, or drawn and wiped away.
    assert seen.split(b"\r")[-1].strip() == b"end"


def test_a_call_without_a_time_is_priced_at_the_rates_of_the_clocks_day(tmp_path: Path) -> None:
    """Sonnet 5.5 read from its cache at 0.20 USD per million tokens until 2026-10-06, and at 0.10 since."""
    read = {"model": "claude-sonnet-5-5", "input_tokens": 0, "output_tokens": 0, "cache_read": 1_000_000}
    log = str(lines(tmp_path / "usage.jsonl", read))
    last, first = (datetime(2026, 10, day, 23, 59, tzinfo=UTC) for day in (6, 7))
    assert price([log], load_rate_card(), lambda: last).totals.total.usd == Decimal("0.20")
    assert price([log], load_rate_card(), lambda: first).totals.total.usd == Decimal("0.10")
