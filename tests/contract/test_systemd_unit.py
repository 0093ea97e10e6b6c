"""The systemd unit names what exists, waits for what the bot says, and is as closed as it claims."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.__main__ import COMMANDS
from bot.config.env_file import SETTINGS
from bot.runner.ending import END_WITHIN_SECONDS

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "claude-cost.service"
MOST_EXPOSED = 2.0
"""Highest exposure out of 10, by `systemd-analyze security`."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def entries() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith(("#", "[")):
            found.setdefault(name, []).append(value)
    return found


def test_it_runs_the_bot_and_waits_for_its_word() -> None:
    unit = entries()
    (command,) = unit["ExecStart"]
    program, word = command.split()
    assert (Path(program).name, word) == ("claude-cost", "run")
    assert word in COMMANDS
    assert unit["Type"] == ["notify"]
    assert int(unit["WatchdogSec"][0]) > 0
    assert unit["RestartPreventExitStatus"] == ["2"]  # wrong settings
    assert int(unit["TimeoutStopSec"][0]) > END_WITHIN_SECONDS


def test_the_settings_come_as_a_credential() -> None:
    unit = entries()
    (credential,) = unit["LoadCredential"]
    (variable,) = unit["Environment"]
    assert variable == f"CLAUDE_COST_ENV_FILE=%d/{credential.partition(':')[0]}"
    assert {name.partition("=")[0] for name in unit["Environment"]} <= SETTINGS
    assert f"init --file {credential.partition(':')[2]}" in UNIT.read_text(encoding="utf-8")


def test_it_has_one_place_to_write_to_and_no_rights() -> None:
    unit = entries()
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["WorkingDirectory"] == [f"%S/{unit['StateDirectory'][0]}"]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["User"] == ["claude-cost"]


@needs_systemd
def test_systemd_accepts_it(tmp_path: Path) -> None:
    # The command has to be there for systemd to accept it.
    here = tmp_path / UNIT.name
    here.write_text(
        re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", UNIT.read_text(), flags=re.MULTILINE)
    )
    done = subprocess.run(["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_it_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for .*: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip("this systemd judges no file")
    assert float(found[1]) < MOST_EXPOSED
