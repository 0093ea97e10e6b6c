"""Give random input to everything that reads what people, files, Slack and Anthropic say.

Each input is valid text with parts replaced, cut, repeated or damaged. A reader either returns or raises the
refusal that it documents, in one line. `ingest_fuzz.py` does the same to the HTTP port.

    python benchmarks/fuzz.py [--inputs 1000000] [--seed 1] [--only NAME] [--quick]

Exit code 1 if a reader raises anything else, or refuses in more than one line.
"""

import argparse
import io
import json
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, emit
from bot.amounts import usd_amount
from bot.budgets.budget import parse_scope
from bot.budgets.calendar import CalendarWordsError, parse_entry
from bot.budgets.parsing import BudgetWordsError, budget_of, split_budget_words
from bot.budgets.raises import split_raise_words
from bot.budgets.report_words import ReportWordsError, report_words
from bot.config.env_file import parsed as env_entries
from bot.config.environment import VARIABLES
from bot.config.settings import Need, SettingsError, load_settings
from bot.config.toml import read_config_file
from bot.digests.words import DigestWordsError, digest_wish
from bot.fallback.targets.env_file import EnvFileError
from bot.fallback.targets.env_text import read_env_text
from bot.ledger.records import RefusedRecordError, events_in, value_of
from bot.modes.changes import duration
from bot.pricing.card import load_rate_card
from bot.pricing.model_spellings import read_spelling
from bot.pricing.word_split import WordsError
from bot.pricing.words import parse_workload
from bot.usage.logs.records import call_in
from bot.usage.logs.streams import DAMAGED, NotReadError, records_of
from bot.usage.logs.usage_block import Skipped
from bot.usage.model import MalformedError, TooManyRowsError
from bot.web.slack_events import FORM, JSON, UnreadableBodyError
from bot.web.slack_events import read as read_slack
from tests.unit.test_usage_parsing import straight

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CARD = load_rate_card()
SHARE_OF_SLOW = 20
"""One input in so many goes to each reader that takes milliseconds."""

Refusals = tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """`seeds`: valid inputs. `refusals`: what it documents to raise. `slow`: takes milliseconds."""

    name: str
    read: Callable[[str], object]
    seeds: Sequence[str]
    refusals: Refusals
    slow: bool = False


def settings_of(text: str) -> object:
    pairs = (line.partition("=") for line in text.split("\n"))
    environ = {name: value.replace("\0", "") for name, _, value in pairs if name}
    return load_settings(environ, Need.RUN)


def toml_reader(folder: Path) -> Callable[[str], object]:
    path = folder / "claude-cost.toml"

    def read(text: str) -> object:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return read_config_file(path)

    return read


def records_in(text: str) -> object:
    stream = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    return [found if isinstance(found, Skipped) else call_in(found) for found in records_of(stream)]


def plain(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


CALL = {
    "model": "claude-sonnet-4-6",
    "id": "msg_1",
    "timestamp": "2026-11-20T10:00:00Z",
    "usage": {
        "input_tokens": 5,
        "output_tokens": 7,
        "cache_read_input_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    },
}
RECORD = {
    "feature": "search",
    "user_id": "u1",
    "model": "opus-4.8",
    "input_tokens": 1,
    "output_tokens": 2,
    "tags": {"a": "b"},
}
CLICK = {
    "type": "block_actions",
    "user": {"id": "U1", "team_id": "T1"},
    "team": {"id": "T1", "domain": "x"},
    "actions": [{"action_id": "a", "value": "1", "type": "button"}],
    "response_url": "https://hooks.slack.com/actions/1",
    "trigger_id": "1.2",
}
COMMAND = {"command": "/claude-cost", "text": "status", "user_id": "U1", "team_id": "T1", "response_url": "https://x/"}
EVENT = {"type": "event_callback", "team_id": "T1", "event": {"type": "app_home_opened", "user": "U1", "tab": "home"}}
ROW = {"uncached_input_tokens": 5, "cache_read_input_tokens": 1, "output_tokens": 2, "model": "claude-opus-4-8"}
BUCKET = {"starting_at": "2026-11-20T10:00:00Z", "ending_at": "2026-11-20T10:01:00Z", "results": [ROW]}
REPORT = {"data": [BUCKET], "has_more": False, "next_page": None}
TOML = """[[budget]]
name = "search"
scope = "workspace:wrkspc_1"
period = "week"
hard_usd = "100"
thresholds = [50, 80]

[fallback]
approvals = 2

[[team]]
name = "web"
members = ["workspace:wrkspc_1"]

[ledger]
keep_days = 30
"""
ENVIRON = "\n".join(f"{variable.name}={variable.default or 'x'}" for variable in VARIABLES)
WORKING = "\n".join(
    (
        "SLACK_BOT_TOKEN=xoxb-1",
        "SLACK_APP_TOKEN=xapp-1",
        "ANTHROPIC_ADMIN_KEY=sk-ant-admin01-x",
        "CLAUDE_COST_CHANNEL=C0123456789",
        "CLAUDE_COST_SOFT_USD=1,000",
        "CLAUDE_COST_HARD_USD=$2000",
        "CLAUDE_COST_POLL_SECONDS=60",
        "CLAUDE_COST_ADMINS=U0ADMIN,S0OPS",
    )
)


def readers(folder: Path) -> tuple[Reader, ...]:
    """Every reader of text."""
    calls = [json.dumps(CALL), f"{json.dumps(CALL)}\n{json.dumps(RECORD)}", json.dumps([CALL, RECORD])]
    table = "model,input_tokens,output_tokens,time\nclaude-opus-4-8,1,2,2026-11-20T10:00:00Z\n"
    budgets = [
        "search scope=workspace:wrkspc_1 hard=100 soft=80",
        "web period=week zone=Asia/Tokyo hard=1k thresholds=50,80",
    ]
    nights = [
        '"batch night" every fri 22:00 for 6h zone=Europe/Berlin for=feature:batch',
        "move on 2026-12-01 at 9am for 2d",
    ]
    loads = [
        "sonnet requests=1k in=2000 out=500 cached=100 hit=90% ttl=1h",
        "opus-4.8 5k per day in=2k out=1k batch turns=3",
        "mix=sonnet:50,haiku:50 requests=100 in=10 out=10 peak=3x",
    ]
    return (
        Reader("estimate words", lambda text: parse_workload(text, CARD), loads, (WordsError,)),
        Reader("budget words", lambda text: budget_of(*split_budget_words(text)), budgets, (BudgetWordsError,)),
        Reader("calendar words", lambda text: parse_entry(text, NOW.date()), nights, (CalendarWordsError,)),
        Reader("raise words", split_raise_words, ["web to=900 until=fri limit=soft because x"], (BudgetWordsError,)),
        Reader(
            "report words",
            lambda text: report_words(text, NOW),
            ["last 7 days by model", "from 2026-10-01 to 2026-10-31 by key", "november"],
            (ReportWordsError,),
        ),
        Reader(
            "digest words",
            digest_wish,
            ["weekly mon at=09:00 zone=Asia/Tokyo lang=ja", "daily 9pm off"],
            (DigestWordsError,),
        ),
        Reader("durations", duration, ["2h", "1h30m", "3 days", "90 minutes and 1 hour"], (ValueError,)),
        Reader("amounts", usd_amount, ["1,000", "$499.50", "1_000", "1.000", "12,50"], (ValueError,)),
        Reader("scopes", parse_scope, ["workspace:wrkspc_1", "model:opus", "tag:a=b", "organization"], (ValueError,)),
        Reader(
            "model names",
            lambda text: read_spelling(text.lower()),
            ["us.anthropic.claude-opus-4-8-v1:0", "claude-sonnet-4@20250514", "haiku 4.5"],
            (),
        ),
        Reader(
            "fallback files",
            lambda text: read_env_text(plain(text)),
            ["A=1\n# >>> claude-cost >>>\nCLAUDE_MODEL='x y'\n# <<< claude-cost <<<\n"],
            (EnvFileError, ValueError),
        ),
        Reader("env files", env_entries, ["A=1\nexport B='x y'\nC=\"a\\nb\" # c\n"], (ValueError,)),
        Reader("usage logs", records_in, [*calls, table], (NotReadError, OSError, *DAMAGED)),
        Reader(
            "ledger records",
            lambda text: events_in(value_of(plain(text)), NOW, lambda: "made"),
            [json.dumps(RECORD), calls[0]],
            (RefusedRecordError,),
        ),
        Reader(
            "Slack forms",
            lambda text: read_slack(plain(text), FORM),
            [urlencode(COMMAND), urlencode({"payload": json.dumps(CLICK)})],
            (UnreadableBodyError,),
        ),
        Reader(
            "Slack payloads",
            lambda text: read_slack(urlencode({"payload": text}, errors="replace").encode(), FORM),
            [json.dumps(CLICK)],
            (UnreadableBodyError,),
        ),
        Reader("Slack events", lambda text: read_slack(plain(text), JSON), [json.dumps(EVENT)], (UnreadableBodyError,)),
        Reader(
            "usage reports",
            lambda text: straight(plain(text), False),
            [json.dumps(REPORT)],
            (MalformedError, TooManyRowsError),
        ),
        Reader(
            "analytics reports",
            lambda text: straight(plain(text), True),
            [json.dumps({"data": [BUCKET | ROW], "has_more": False})],
            (MalformedError, TooManyRowsError),
        ),
        Reader("settings", settings_of, [WORKING, ENVIRON, f"{ENVIRON}\n{WORKING}"], (SettingsError,), slow=True),
        Reader("TOML files", toml_reader(folder), [TOML], (ValueError,), slow=True),
    )


ODD = (
    *(
        "",
        "\0",
        "\n",
        "\r\n",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\ud800",
        "😀",
        "½",
        "٣",
        "２",
        "１，０００",
        "é",
        "ß",
        "İ",
        "ﬁ",
        "−",
    ),
    *(
        "NaN",
        "Infinity",
        "-1",
        "0",
        "1e400",
        "1e-400",
        "9" * 50,
        "9" * 5000,
        "0x10",
        "1_0",
        "None",
        "null",
        "true",
        "[]",
        "{}",
    ),
    *(
        "[" * 500,
        '{"a":' * 500,
        "=" * 50,
        ":" * 50,
        " " * 500,
        "a" * 5000,
        "%",
        "%zz",
        "%(x)s",
        "{x}",
        "\\",
        "'",
        '"',
        "`",
        "<!channel>",
    ),
    *(
        "2026-02-30",
        "99999-01-01",
        "0000-00-00",
        "24:60",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59+14:00",
        "../..",
        "//x",
        "http://[::1",
        "毎週",
        "金曜",
        "ü" * 300,
    ),
)


def made(random: Random, seeds: Sequence[str]) -> str:
    """The next input: a seed with a few changes."""
    text = random.choice(seeds)
    for _ in range(random.choice((0, 1, 1, 2, 3, 6))):
        begin = random.randrange(len(text) + 1)
        end = min(len(text), begin + random.choice((0, 1, 1, 2, 5, 20)))
        other = random.choice(seeds)
        at = random.randrange(len(other) + 1)
        new = random.choice(
            (
                random.choice(ODD),
                chr(random.choice((random.randrange(128), random.randrange(0xD7FF)))),
                other[at : at + 12],
                text[begin:end] * 2,
                "",
            )
        )
        text = text[:begin] + new + text[end:]
    return text


def tried(reader: Reader, text: str) -> str | None:
    """What is wrong in how the reader handles this input; None if nothing is."""
    try:
        reader.read(text)
    except reader.refusals as refusal:
        lines = str(refusal).splitlines()
        return None if len(lines) < 2 or reader.name == "settings" else f"{len(lines)} lines: {lines[:2]}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this looks for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:120]} at {Path(place.filename).name}:{place.lineno}"
    return None


def measure(inputs: int, seed: int, only: str | None, folder: Path) -> tuple[Counter[str], dict[str, list[str]]]:
    """The number of inputs by reader, and what was wrong."""
    random, counts, wrong = Random(seed), Counter[str](), dict[str, list[str]]()
    chosen = [reader for reader in readers(folder) if only in (None, reader.name)]
    while counts.total() < inputs:
        for reader in chosen:
            if reader.slow and len(chosen) > 1 and random.randrange(SHARE_OF_SLOW):
                continue
            text = made(random, reader.seeds)
            counts[reader.name] += 1
            if (problem := tried(reader, text)) is not None:
                wrong.setdefault(f"{reader.name}: {problem}", []).append(text)
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one reader")
    parser.add_argument("--quick", action="store_true", help="few, to see that everything runs")
    words = parser.parse_args()
    logging.disable()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts, wrong = measure(2_000 if words.quick else words.inputs, words.seed, words.only, Path(folder))
    for name, count in counts.items():
        sys.stderr.write(f"{count:>9,} {name}\n")
    for problem, texts in wrong.items():
        sys.stderr.write(f"{len(texts):>9,} × {problem}\n          {min(texts, key=len)[:300]!r}\n")
    faults, title = sum(map(len, wrong.values())), f"{counts.total():,} inputs to {len(counts)}"
    emit(Figure(f"fuzzed readers: unforeseen errors of {title}", faults, "errors", goal=0))
    emit(Figure("fuzzed readers: inputs", counts.total() / (time.monotonic() - began), "a second"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
