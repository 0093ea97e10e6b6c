"""The client in a process of its own."""

import subprocess
import sys
from pathlib import Path

from tests.client.applications import MODES, SONNET, SOURCES, environ

ONLY_THE_STANDARD_LIBRARY = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "claude_cost_client":
            raise ImportError(f"{name} is not in the standard library")

sys.meta_path.insert(0, Refuse())
from claude_cost_client import current_model, flush_usage, usage_labels, with_fallback, with_usage
print(current_model("claude-opus-5-5"))
for wrap in (with_fallback, with_usage):
    try:
        wrap(object())
    except ImportError as error:
        print(error)
assert flush_usage()
"""

WITH_NOTHING_ELSE = """
import sys
from claude_cost_client import current_model, with_fallback
print(current_model("claude-opus-5-5"))
top = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
print(sorted(top - sys.stdlib_module_names - {"__main__"}))
try:
    with_fallback(object())
except ImportError as error:
    print(error)
"""

NEEDS_THE_OFFICIAL_CLIENT = "with_fallback needs the official client: pip install 'anthropic>=2.12'"
SO_DOES_THE_OTHER = NEEDS_THE_OFFICIAL_CLIENT.replace("with_fallback", "with_usage")


def test_the_standard_library_is_all_that_it_imports() -> None:
    program = [sys.executable, "-c", ONLY_THE_STANDARD_LIBRARY]
    done = subprocess.run(program, env=environ(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["claude-opus-5-5", NEEDS_THE_OFFICIAL_CLIENT, SO_DOES_THE_OTHER]


def test_it_serves_in_an_environment_where_nothing_else_is_installed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site_packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    # What `pip install` brings.
    (site_packages / "claude_cost_client").symlink_to(SOURCES / "claude_cost_client")
    (tmp_path / "claude-cost.env").write_text(
        "".join(f"{name}={value}\n" for name, value in MODES["degraded"].variables.items()), encoding="utf-8"
    )
    program = [python, "-I", "-c", WITH_NOTHING_ELSE]
    finished = subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert finished.stdout.splitlines() == [SONNET, "['claude_cost_client']", NEEDS_THE_OFFICIAL_CLIENT]
    assert finished.stderr == ""
