"""Compare `current_model` with a bare `os.environ.get`, measured in the same run.

    python benchmarks/current_model.py

The fallback mode is on and its file is followed, as in a service. Prints nanoseconds per call and the ratio; the
fastest of several rounds counts: slower rounds only show other load on the machine.
"""

import os
import sys
import tempfile
import timeit
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[1] / "client" / "src"

CALLS, ROUNDS = 200_000, 15


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claude-cost.env"
        path.write_text("CLAUDE_FALLBACK_MODE=degraded\nCLAUDE_MODEL=claude-sonnet-5-5\n", encoding="utf-8")
        os.environ["CLAUDE_COST_FALLBACK_FILE"] = str(path)
        os.environ["CLAUDE_MODEL"] = "claude-sonnet-5-5"

        sys.path.insert(0, str(CLIENT))
        from claude_cost_client import current_model

        if current_model("claude-opus-5-5") != "claude-sonnet-5-5":
            raise SystemExit("the mode is not followed, so there is nothing to measure")
        bare = fastest("os.environ.get('CLAUDE_MODEL')", {"os": os})
        ours = fastest("current_model('claude-opus-5-5')", {"current_model": current_model})
    sys.stdout.write(
        f"os.environ.get  {bare:6.0f} ns\ncurrent_model   {ours:6.0f} ns\nratio           {ours / bare:6.2f}\n"
    )


def fastest(statement: str, names: dict[str, object]) -> float:
    """Nanoseconds per call in the fastest round."""
    return min(timeit.repeat(statement, globals=names, number=CALLS, repeat=ROUNDS)) / CALLS * 1e9


if __name__ == "__main__":
    main()
