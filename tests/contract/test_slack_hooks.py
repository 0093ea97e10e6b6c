"""`slack run` from a clone: the hooks of Slack's command line, run as it runs them."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.__main__ import COMMANDS
from tests.contract.json_schema import fault_by

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hooks() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / ".slack" / "hooks.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def printed(hooks: dict[str, Any]) -> str:
    # As Slack's command line does: in the project's folder, through the shell. The tests' own Python is found first.
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", hooks["hooks"]["get-manifest"]], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_hook_prints_the_manifest_and_nothing_else(printed: str) -> None:
    assert json.loads(printed) == yaml.safe_load((ROOT / "manifest.yml").read_text(encoding="utf-8"))


def test_slacks_own_schema_accepts_what_it_prints(printed: str, shared: Path) -> None:
    schema = json.loads((shared / "data" / "slack" / "manifest.schema.1.0.0.json").read_text(encoding="utf-8"))
    assert fault_by(schema, json.loads(printed)) is None


def test_the_bot_is_started_and_keeps_its_connection_itself(hooks: dict[str, Any]) -> None:
    *_, program, command = shlex.split(hooks["hooks"]["start"])
    assert program == "claude-cost"
    assert command in COMMANDS
    # Otherwise the command line connects, and starts one process for each event.
    assert hooks["config"]["sdk-managed-connection-enabled"] is True
