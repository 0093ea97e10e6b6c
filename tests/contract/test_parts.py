"""The list of parts names every locked package, with its version and its hashes."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKED = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def test_the_list_of_parts_names_every_locked_package(tmp_path: Path) -> None:
    made = tmp_path / "parts.json"
    rule = re.search(r"^parts:.*\n\t(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert rule is not None
    program, *words = rule[1].replace("parts.json", str(made)).split()
    assert program == "$(BIN)/cyclonedx-py"
    subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", *words], cwd=ROOT, check=True, capture_output=True, timeout=60
    )
    parts = json.loads(made.read_text(encoding="utf-8"))
    listed = {(each["name"], each["version"]): each for each in parts["components"]}
    assert set(listed) == set(LOCKED.findall((ROOT / "requirements.txt").read_text(encoding="utf-8")))
    assert all(each["externalReferences"][0]["hashes"] for each in listed.values())
    assert parts["metadata"]["component"]["name"] == "claude-cost-bot"
