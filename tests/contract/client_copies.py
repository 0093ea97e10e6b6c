"""The client's copies: the parser of model ids, and the models of the rate card with their newest prices.

    python -m tests.contract.client_copies

writes the copies again. The client cannot import the bot, and applications install no data of the bot's.
"""

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from bot.pricing.card import load_rate_card

ROOT = Path(__file__).resolve().parents[2]
ORIGINALS = ROOT / "bot" / "pricing"
COPIES = ROOT / "client" / "src" / "claude_cost_client"
READING = ("model_ids", "model_spellings")

NOTE = "# Written by `python -m tests.contract.client_copies`: change {} instead.\n"

TABLE = '''"""The models of claude-cost's rate card, as far as the ceiling of a mode asks about them."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple


class Model(NamedTuple):
    """`input`, `output`: USD per million tokens by the newest list price. `spellings`: further ids at Anthropic's API.

    `tokenizer`: 2 for Opus 4.7 and later, 1 for models before.
    """

    id: str
    family: str
    released: date
    tokenizer: int
    input: float
    output: float
    spellings: tuple[str, ...] = ()


'''


def copies() -> Iterator[tuple[Path, str]]:
    """Each copy and its expected text."""
    for name in READING:
        text = (ORIGINALS / f"{name}.py").read_text(encoding="utf-8")
        text = text.replace("`bot.pricing.", "`").replace(" bot.pricing.", " claude_cost_client.")
        yield COPIES / f"{name}.py", NOTE.format(f"bot/pricing/{name}.py") + text
    yield COPIES / "models.py", NOTE.format("bot/pricing/rate_card.toml") + _formatted(TABLE + _rows())


def _rows() -> str:
    lines = []
    for model in load_rate_card().models.values():
        newest, released = model.rates(date.max), model.released
        day = f"date({released.year}, {released.month}, {released.day})"
        fields = [f'"{model.id}"', f'"{model.family}"', day, str(model.tokenizer)]
        fields += [f"{newest.input.normalize():f}", f"{newest.output.normalize():f}"]
        if model.spellings:
            quoted = ", ".join(f'"{each}"' for each in model.spellings)
            fields.append(f"({quoted},)" if len(model.spellings) == 1 else f"({quoted})")
        lines.append(f"    Model({', '.join(fields)}),\n")
    return "MODELS = (\n" + "".join(lines) + ")\n"


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--config", str(ROOT / "pyproject.toml"), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for path, text in copies():
        path.write_text(text, encoding="utf-8")
