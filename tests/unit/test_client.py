"""The application's client: which model a mode leaves to a service, and what it follows. Loopback only."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot.client as client
from bot.client import current_model, with_fallback
from bot.client.ceiling import DEFAULT_CHAIN, Ceiling, ceiling_from, list_prices, no_dearer
from bot.client.env_text import variables_in
from bot.client.event_stream import Event, EventReader
from bot.client.follower import MOST_ANSWERS, Follower
from bot.client.refusals import JITTER, Attempts, Refusal, refusal_in_stream, refusal_of
from bot.client.source import EnvFileSource
from bot.client.usage_log import UsageLog, record_of
from bot.fallback.env_file import EnvFile
from bot.fallback.modes import modes_from_chain
from bot.pricing.card import load_rate_card
from bot.setting_variables import VARIABLES

OPUS, SONNET, HAIKU = CHAIN = tuple(DEFAULT_CHAIN.split(","))
MODES = modes_from_chain(CHAIN, {})
NOW = datetime(2026, 11, 16, 9, tzinfo=UTC)

ONLY_THE_STANDARD_LIBRARY = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "bot":
            raise ImportError(f"{name} is not in the standard library")

sys.meta_path.insert(0, Refuse())
import bot.client
bot.client.current_model("claude-opus-5-5")
print(sorted(name for name in sys.modules if name.partition(".")[0] == "bot" and not name.startswith("bot.client")))
try:
    bot.client.with_fallback(object())
except ImportError as error:
    print(error)
"""

WITH_NOTHING_ELSE = """
import sys
from bot.client import current_model, with_fallback
print(current_model("claude-opus-5-5"))
top = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
print(sorted(top - sys.stdlib_module_names - {"__main__"}))
try:
    with_fallback(object())
except ImportError as error:
    print(error)
"""


def ceiling(mode: str, whole_chain: str | None = None) -> Ceiling:
    found = ceiling_from(MODES[mode].variables, whole_chain)
    assert found is not None
    return found


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for another thread; a minute is far more than any of these need."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def following(**environ: str) -> Iterator[Follower]:
    follower = Follower(environ)
    try:
        yield follower
    finally:
        follower.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.client.source.FILE_SECONDS", 0.01)
    monkeypatch.setattr("bot.client.source.POLL_SECONDS", 0.01)
    monkeypatch.setattr("bot.client.source.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("bot.client.source.LONGEST_PAUSE_SECONDS", 0.05)


def test_it_is_imported_with_the_standard_library_alone_and_without_the_rest_of_the_bot() -> None:
    done = subprocess.run([sys.executable, "-c", ONLY_THE_STANDARD_LIBRARY], capture_output=True, text=True, check=True)
    reads_model_ids = ["model_ids", "model_index", "other_models"]
    assert done.stdout.splitlines() == [
        str(["bot", "bot.pricing", *(f"bot.pricing.{name}" for name in reads_model_ids)]),
        "with_fallback needs the official client: pip install 'anthropic>=2.12'",
    ]


def test_it_serves_in_an_environment_where_nothing_else_is_installed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site_packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    # What `pip install --no-deps` would bring.
    (site_packages / "bot").symlink_to(Path(client.__file__).parents[1])
    (tmp_path / "claude-cost.env").write_text(
        "".join(f"{name}={value}\n" for name, value in MODES["degraded"].variables.items()), encoding="utf-8"
    )
    program = [python, "-I", "-c", WITH_NOTHING_ELSE]
    finished = subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert finished.stdout.splitlines() == [
        SONNET,
        "['bot']",
        "with_fallback needs the official client: pip install 'anthropic>=2.12'",
    ]
    assert finished.stderr == ""


def test_its_default_chain_is_the_bots() -> None:
    (default,) = {v.default for v in VARIABLES if v.name == "CLAUDE_COST_FALLBACK_CHAIN"}
    assert default == DEFAULT_CHAIN


def test_its_prices_are_those_of_the_rate_card() -> None:
    card = load_rate_card()
    prices = list_prices()
    assert set(prices) >= set(card.models)
    for spelling, (input_price, output_price) in prices.items():
        model = card.find(spelling)
        assert model is not None
        newest = model.rates(date.max)
        assert (input_price, output_price) == (float(newest.input), float(newest.output))


@pytest.mark.parametrize(
    ("mode", "preferred", "used"),
    [
        ("normal", OPUS, OPUS),
        ("normal", "some-model", "some-model"),
        ("degraded", OPUS, SONNET),
        ("degraded", SONNET, SONNET),
        ("degraded", HAIKU, HAIKU),
        ("minimal", OPUS, HAIKU),
        ("minimal", SONNET, HAIKU),
        ("minimal", HAIKU, HAIKU),
    ],
)
def test_a_mode_is_a_ceiling_and_a_service_on_a_cheaper_model_stays_there(mode: str, preferred: str, used: str) -> None:
    assert ceiling(mode).applied_to(preferred) == used


def test_a_model_that_is_not_in_the_chain_stays_if_its_list_prices_are_no_higher() -> None:
    assert ceiling("degraded").applied_to("claude-haiku-4-5-20251001") == "claude-haiku-4-5-20251001"
    assert ceiling("minimal").applied_to("claude-haiku-4-5-20251001") == HAIKU
    assert ceiling("degraded").applied_to("claude-sonnet-4-6") == SONNET
    assert ceiling("degraded").applied_to("claude-opus-4-8") == SONNET


@pytest.mark.parametrize(
    "spelling",
    [
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "claude-haiku-4-5@20251001",
        "publishers/anthropic/models/claude-haiku-4-5@20251001",
        "claude-haiku-5-5[1m]",
        "Claude-Haiku-4-5",
        "anthropic/claude-haiku-4-5",
        "anthropic/claude-haiku-4.5",
        "claude-haiku-5.5",
        "claude-5.5-haiku",
        "haiku",
        "claude-haiku-latest",
        # the ceiling itself
        "us.anthropic.claude-sonnet-5-5",
        "claude-sonnet-5-5@default",
        "anthropic/claude-sonnet-5.5",
        "Claude Sonnet 5.5",
        "sonnet",
    ],
)
def test_a_model_that_is_no_dearer_stays_in_whatever_spelling(spelling: str) -> None:
    assert ceiling("degraded").applied_to(spelling) == spelling
    assert ceiling("degraded").models_to_try(spelling, None)[0] == spelling


@pytest.mark.parametrize(
    ("preferred", "used"),
    [
        ("Claude-Opus-5-5", SONNET),
        ("claude-opus-4-8[1m]", SONNET),
        ("opus", SONNET),
        # how Bedrock and Vertex call the ceiling is certain from Opus 4.7 on
        ("us.anthropic.claude-opus-4-8", "us.anthropic.claude-sonnet-5-5"),
        ("eu.anthropic.claude-opus-4-5-20251101-v1:0", "eu.anthropic.claude-sonnet-5-5"),
        ("anthropic.claude-opus-5-5", "anthropic.claude-sonnet-5-5"),
        ("bedrock/us.anthropic.claude-opus-4-8", "bedrock/us.anthropic.claude-sonnet-5-5"),
        ("claude-opus-4-5@20251101", SONNET),
        ("vertex_ai/claude-opus-4-5@20251101", "vertex_ai/claude-sonnet-5-5"),
        (
            "projects/Team-A/locations/us-east5/publishers/anthropic/models/claude-opus-5",
            "projects/Team-A/locations/us-east5/publishers/anthropic/models/claude-sonnet-5-5",
        ),
        # a gateway's way to write versions shows in its name
        ("anthropic/claude-opus-4.8", "anthropic/claude-sonnet-5.5"),
        ("openrouter/anthropic/claude-opus-4.8:thinking", "openrouter/anthropic/claude-sonnet-5.5"),
        ("anthropic/claude-opus-4-8", "anthropic/claude-sonnet-5-5"),
        ("databricks-claude-opus-4-8", "databricks-claude-sonnet-5-5"),
    ],
)
def test_a_dearer_model_becomes_the_ceiling_as_its_platform_calls_it(preferred: str, used: str) -> None:
    assert ceiling("degraded").applied_to(preferred) == used
    assert ceiling("degraded").applied_to(used) == used


def test_where_the_platforms_name_of_the_ceiling_is_not_certain_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = ceiling("degraded")
    for preferred in ("anthropic/claude-4.8-opus", "mx.anthropic.claude-opus-4-8", "anthropic/claude-opus-4"):
        assert [found.applied_to(preferred) for _ in range(3)] == [SONNET] * 3
        assert caplog.text.count(f"{preferred} is dearer than {SONNET}") == 1


def test_a_ceiling_in_another_spelling_is_the_same_ceiling() -> None:
    variables = {"CLAUDE_FALLBACK_MODE": "night", "CLAUDE_MODEL": "us.anthropic.claude-sonnet-5-5"}
    found = ceiling_from(variables, None)
    assert found is not None
    assert found.applied_to(HAIKU) == HAIKU
    assert found.applied_to("us.anthropic.claude-haiku-5-5") == "us.anthropic.claude-haiku-5-5"
    assert found.applied_to("us.anthropic.claude-opus-5-5") == "us.anthropic.claude-sonnet-5-5"


def test_the_teams_chain_may_be_written_as_the_bot_lets_it() -> None:
    found = ceiling("normal", "opus, Sonnet 5.5,claude-haiku-5.5")
    assert found.whole_chain == CHAIN
    assert found.models_to_try(OPUS, None) == CHAIN


def test_the_chain_behind_a_model_of_another_platform_is_written_for_it() -> None:
    preferred = "us.anthropic.claude-opus-5-5"
    expected = (preferred, "us.anthropic.claude-sonnet-5-5", "us.anthropic.claude-haiku-5-5")
    assert ceiling("normal").models_to_try(preferred, None) == expected
    assert ceiling("degraded").models_to_try(preferred, None) == expected[1:]


some_model = st.sampled_from(["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-4-8"])
some_model |= st.sampled_from(["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-5", "claude-sonnet-5"])
some_spelling = st.sampled_from(
    [
        "{}",
        "us.anthropic.{}",
        "anthropic/{}",
        "vertex_ai/{}@default",
        "{}[1m]",
        "global.anthropic.{}-v1:0",
        "bedrock/{}",
    ]
)


@given(some_model, some_spelling, some_model, some_spelling)
def test_a_ceiling_never_makes_a_service_dearer(model: str, spelling: str, dearest: str, other: str) -> None:
    found = Ceiling(other.format(dearest), (), ())
    for each in (model, spelling.format(model), spelling.format(model).upper()):
        used = found.applied_to(each)
        assert no_dearer(used, each)
        assert no_dearer(used, dearest)
        assert (used == each) == no_dearer(model, dearest)


def test_a_model_without_any_known_price_is_replaced() -> None:
    assert ceiling("degraded").applied_to("house-model") == SONNET


def test_the_teams_chain_has_the_last_word_over_list_prices() -> None:
    modes = modes_from_chain((HAIKU, "house-model", OPUS), {})
    found = ceiling_from(modes["degraded"].variables, f"{HAIKU}, house-model,{OPUS}")
    assert found is not None
    assert [found.applied_to(model) for model in (HAIKU, "house-model", OPUS)] == ["house-model", "house-model", OPUS]


def test_a_mode_without_a_model_changes_none_and_variables_without_a_mode_are_none() -> None:
    found = ceiling_from({"CLAUDE_FALLBACK_MODE": "quiet", "LOG_LEVEL": "error"}, None)
    assert found is not None
    assert found.applied_to(OPUS) == OPUS
    assert ceiling_from({"CLAUDE_MODEL": HAIKU}, None) is None


def test_in_normal_mode_a_line_outside_of_the_block_is_no_ceiling() -> None:
    found = ceiling_from({"CLAUDE_FALLBACK_MODE": "normal", "CLAUDE_MODEL": HAIKU}, None)
    assert found is not None
    assert found.applied_to(OPUS) == OPUS


known_models = st.sampled_from([*CHAIN, "house-model", *sorted(list_prices())])


@given(known_models, st.sampled_from(["normal", "degraded", "minimal"]), st.none() | st.lists(known_models, max_size=5))
def test_a_request_never_rises_above_the_ceiling_and_asks_no_model_twice(
    preferred: str, mode: str, chain: list[str] | None
) -> None:
    found = ceiling(mode)
    models = found.models_to_try(preferred, chain)
    assert models[0] == found.applied_to(preferred)
    assert len(set(models)) == len(models)
    assert all(found.permits(model) for model in models)
    assert found.applied_to(models[0]) == models[0]


def test_a_request_goes_down_the_chain_from_where_it_is() -> None:
    assert ceiling("normal").models_to_try(OPUS, None) == CHAIN
    assert ceiling("normal").models_to_try(SONNET, None) == (SONNET, HAIKU)
    assert ceiling("degraded").models_to_try(OPUS, None) == (SONNET, HAIKU)
    assert ceiling("minimal").models_to_try(OPUS, None) == (HAIKU,)
    assert ceiling("normal").models_to_try("claude-haiku-4-5", None) == ("claude-haiku-4-5", HAIKU)
    assert ceiling("normal").models_to_try("house-model", None) == ("house-model", *CHAIN)
    assert ceiling("degraded").models_to_try(OPUS, [OPUS, "claude-haiku-4-5"]) == (SONNET, "claude-haiku-4-5")


def test_no_dearer_needs_both_prices_to_be_known() -> None:
    assert no_dearer(HAIKU, SONNET)
    assert not no_dearer(SONNET, HAIKU)
    assert not no_dearer("house-model", SONNET)
    assert not no_dearer(HAIKU, "house-model")


printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=30)


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{0,9}", fullmatch=True), printable, min_size=1))
def test_what_the_bot_writes_into_the_env_file_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> None:
    target = EnvFile(tmp_path_factory.mktemp("env") / "claude-cost.env")
    target.write(variables)
    assert variables_in(target.path.read_text(encoding="utf-8")) == variables


def test_env_lines_are_read_as_shells_and_systemd_read_them() -> None:
    text = '# A=1\nexport B=\'two words\'\n C = 3 \nnonsense\nB=last\nD="a \\"b\\" \\n"\nE=\n'
    assert variables_in(text) == {"B": "last", "C": "3", "D": 'a "b" \\n', "E": ""}


def test_before_any_file_the_processs_own_environment_counts(tmp_path: Path) -> None:
    with following(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "none.env"), **MODES["degraded"].variables) as follower:
        assert follower.answer(OPUS) == SONNET
    with following(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "none.env")) as follower:
        assert follower.answer(OPUS) == OPUS


def test_the_file_is_known_at_the_first_question_and_followed_from_then_on(tmp_path: Path) -> None:
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["degraded"].variables)
    with following(CLAUDE_COST_FALLBACK_FILE=str(target.path)) as follower:
        assert follower.answer(OPUS) == SONNET
        assert follower.answers == {OPUS: SONNET}
        target.write(MODES["minimal"].variables)
        eventually(lambda: follower.answer(OPUS) == HAIKU)
        target.write(MODES["normal"].variables)
        eventually(lambda: follower.answer(OPUS) == OPUS)


def test_two_writes_of_one_size_within_a_tick_of_the_files_clock_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "claude-cost.env"
    path.write_text("CLAUDE_MODEL=one\n", encoding="utf-8")
    source = EnvFileSource(str(path), expected=True)
    written_at = path.stat().st_mtime_ns
    assert source.at_once() == {"CLAUDE_MODEL": "one"}
    path.write_text("CLAUDE_MODEL=two\n", encoding="utf-8")
    os.utime(path, ns=(written_at, written_at))
    assert source.at_once() == {"CLAUDE_MODEL": "two"}


def test_a_file_that_has_settled_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "claude-cost.env"
    path.write_text("CLAUDE_MODEL=one\n", encoding="utf-8")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    source = EnvFileSource(str(path), expected=True)
    assert source.at_once() is not None
    assert source.at_once() is None


def test_the_last_known_mode_holds_while_the_file_is_gone_and_is_followed_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["degraded"].variables)
    with following(CLAUDE_COST_FALLBACK_FILE=str(target.path)) as follower:
        assert follower.answer(OPUS) == SONNET
        target.path.unlink()
        eventually(lambda: "cannot be read (No such file or directory)" in caplog.text)
        assert follower.answer(OPUS) == SONNET
        target.path.write_text("SOMETHING=else\n", encoding="utf-8")
        time.sleep(0.1)
        assert follower.answer(OPUS) == SONNET
        target.write(MODES["minimal"].variables)
        eventually(lambda: follower.answer(OPUS) == HAIKU)
    assert caplog.text.count("cannot be read") == 1


def test_current_model_reads_the_default_file_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EnvFile(tmp_path / "claude-cost.env").write(MODES["degraded"].variables)
    with following() as follower:
        monkeypatch.setattr(client, "_follower", follower)
        assert [current_model(model) for model in (OPUS, OPUS, HAIKU)] == [SONNET, SONNET, HAIKU]


def test_many_different_questions_do_not_fill_the_memory(tmp_path: Path) -> None:
    with following(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "none.env")) as follower:
        for number in range(MOST_ANSWERS + 10):
            assert follower.answer(f"model-{number}") == f"model-{number}"
        assert len(follower.answers) == MOST_ANSWERS


def test_a_forked_child_follows_on_its_own(tmp_path: Path) -> None:
    program = """
import os, sys, time
from bot.client import current_model
assert current_model("claude-opus-5-5") == "claude-sonnet-5-5"
child = os.fork()
if child == 0:
    assert current_model("claude-opus-5-5") == "claude-sonnet-5-5"
    open("ready", "w").close()
    for _ in range(600):
        if current_model("claude-opus-5-5") == "claude-haiku-5-5":
            os._exit(7)
        time.sleep(0.1)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["degraded"].variables)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path)
    eventually((tmp_path / "ready").exists)
    target.write(MODES["minimal"].variables)
    assert process.wait(60) == 7


class ModeServer:
    """A stand-in for the bot's HTTP port. `status`: answered in place of the mode. `streams`: serves events too."""

    def __init__(self, streams: bool = True, token: str | None = None) -> None:
        self.mode = "degraded"
        self.status = 200
        self.streams = streams
        self.token = token
        self.requests: list[tuple[str, str | None, int]] = []
        self.open_streams = 0
        self.streams_opened = 0
        self.silent = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                """Tests read their own output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._stopped = threading.Event()
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def body(self) -> bytes:
        return json.dumps({"mode": self.mode, "variables": dict(MODES[self.mode].variables), "by": "U1"}).encode()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        known = handler.headers.get("If-None-Match")
        status = self.status
        if self.token is not None and handler.headers.get("Authorization") != f"Bearer {self.token}":
            status = 401
        etag = f'"{self.mode}"'
        if status == 200 and handler.path == "/v1/fallback/stream":
            return self._stream(handler) if self.streams else self._finish(handler, 404, b"", etag)
        if status == 200 and known == etag:
            status = 304
        self.requests.append((handler.path, known, status))
        return self._finish(handler, status, self.body() if status == 200 else b"", etag)

    def _finish(self, handler: BaseHTTPRequestHandler, status: int, body: bytes, etag: str) -> None:
        handler.send_response(status)
        handler.send_header("ETag", etag)
        if status == 302:
            handler.send_header("Location", self.url + "/elsewhere")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _stream(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.end_headers()
        self.open_streams += 1
        self.streams_opened += 1
        told = None
        try:
            while not self._stopped.wait(0.01) and self.streams:
                if told != self.mode and not self.silent:
                    told = self.mode
                    handler.wfile.write(b": heartbeat\n\nevent: fallback\ndata: " + self.body() + b"\n\n")
        except OSError:
            return
        finally:
            self.open_streams -= 1

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[ModeServer]:
    server = ModeServer()
    yield server
    server.close()


def test_over_http_the_first_question_waits_for_nothing_and_the_stream_tells_every_switch(server: ModeServer) -> None:
    with following(CLAUDE_COST_FALLBACK_URL=server.url + "/") as follower:
        assert follower.answer(HAIKU) == HAIKU
        eventually(lambda: follower.answer(OPUS) == SONNET)
        eventually(lambda: server.open_streams == 1)
        asked = len(server.requests)
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)
        server.mode = "normal"
        eventually(lambda: follower.answer(OPUS) == OPUS)
        assert len(server.requests) == asked


def test_without_a_stream_the_mode_is_polled_and_an_unchanged_one_is_not_sent_again(server: ModeServer) -> None:
    server.streams = False
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET)
        eventually(lambda: ("/v1/fallback", '"degraded"', 304) in server.requests)
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)


def test_behind_a_proxy_that_holds_the_stream_back_the_mode_is_polled(
    server: ModeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.client.source.SILENT_SECONDS", 0.2)
    server.silent = True
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        assert follower.answer(OPUS) == OPUS
        eventually(lambda: sum(status == 304 for *_, status in server.requests) > 5)
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)
        assert server.streams_opened == 1


def test_after_an_outage_the_pauses_begin_short_again(server: ModeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.client.source.POLL_SECONDS", 60)
    server.status = 500
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        assert follower.answer(OPUS) == OPUS
        for mode, model in (("degraded", SONNET), ("minimal", HAIKU)):
            asked = len(server.requests)
            eventually(lambda asked=asked: len(server.requests) > asked + 3)  # type: ignore[misc]
            server.mode, server.status = mode, 200
            eventually(lambda model=model: follower.answer(OPUS) == model)  # type: ignore[misc]
            eventually(lambda: server.open_streams == 1)
            server.status, server.streams = 500, False
            eventually(lambda: server.open_streams == 0)
            server.streams = True


def test_after_a_broken_stream_it_asks_again_and_listens_again(server: ModeServer) -> None:
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET)
        eventually(lambda: server.open_streams == 1)
        server.streams = False
        eventually(lambda: server.open_streams == 0)
        server.mode = "minimal"
        server.streams = True
        eventually(lambda: server.open_streams == 1 and follower.answer(OPUS) == HAIKU)


def test_the_last_known_mode_holds_while_the_bot_is_gone_and_the_log_says_so_once(
    server: ModeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.streams = False
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET)
        server.status = 500
        eventually(lambda: sum(status == 500 for *_, status in server.requests) > 2)
        assert follower.answer(OPUS) == SONNET
        assert caplog.text.count("does not answer (HTTP 500)") == 1
        server.status = 200
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)


def test_where_nobody_listens_models_stay_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    with following(CLAUDE_COST_FALLBACK_URL="http://127.0.0.1:1", **MODES["degraded"].variables) as follower:
        assert follower.answer(OPUS) == SONNET
        eventually(lambda: "does not answer" in caplog.text)
        assert follower.answer(OPUS) == SONNET


def test_an_address_that_is_none_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with following(CLAUDE_COST_FALLBACK_URL="http://[::1") as follower:
        assert follower.answer(OPUS) == OPUS
        eventually(lambda: "does not answer (ValueError)" in caplog.text)


def test_an_address_that_is_not_http_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with following(CLAUDE_COST_FALLBACK_URL="file:///etc") as follower:
        assert follower.answer(OPUS) == OPUS
        eventually(lambda: "correct CLAUDE_COST_FALLBACK_URL" in caplog.text)


@pytest.mark.parametrize("hangs_behind", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"])
def test_a_bot_that_takes_the_question_and_never_answers_holds_no_request_up(hangs_behind: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with following(CLAUDE_COST_FALLBACK_URL=url, **MODES["degraded"].variables) as follower:
            assert follower.answer(OPUS) == SONNET
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(9999).startswith(b"GET /v1/fallback ")
                connection.sendall(hangs_behind)
                for number in range(2 * MOST_ANSWERS):
                    assert follower.answer(f"claude-opus-{number}") == SONNET
                # The question is still open: had any answer waited for it, it would have been given up before.
                connection.setblocking(False)
                with pytest.raises(BlockingIOError):
                    connection.recv(1)


def test_a_stream_that_falls_silent_leaves_the_last_known_mode(server: ModeServer) -> None:
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET and server.open_streams == 1)
        server.silent = True
        server.mode = "minimal"
        assert [follower.answer(model) for model in CHAIN] == [SONNET, SONNET, HAIKU]
        assert server.open_streams == 1
        server.silent = False
        eventually(lambda: follower.answer(OPUS) == HAIKU)


@pytest.mark.parametrize("from_file", [False, True])
def test_the_token_is_sent_and_follows_no_redirect(
    from_file: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ModeServer(token="s3cret")
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    name, value = ("_FILE", str(tmp_path / "token")) if from_file else ("", "s3cret")
    try:
        with following(CLAUDE_COST_FALLBACK_URL=server.url, **{"CLAUDE_COST_READ_TOKEN" + name: value}) as follower:
            eventually(lambda: follower.answer(OPUS) == SONNET and server.open_streams == 1)
            server.status, server.streams = 302, False
            eventually(lambda: "HTTP 302" in caplog.text)
        assert {path for path, *_ in server.requests} == {"/v1/fallback"}
        assert "s3cret" not in caplog.text
    finally:
        server.close()


@given(st.lists(st.tuples(st.sampled_from(["", "ping", "message_start"]), st.text("ab: é", max_size=9))), st.data())
def test_events_are_the_same_however_the_network_cuts_them(events: list[tuple[str, str]], data: st.DataObject) -> None:
    text = "".join((f"event: {name}\r\n" if name else "") + f"data: {body}\n\n" for name, body in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    reader, found = EventReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += reader.feed(text[start:end])
    assert found == [Event(name or "message", body) for name, body in events]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
def test_an_unavailable_model_is_followed_by_the_next(status: int) -> None:
    assert not refusal_of(status, {}, None, NOW).final


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (400, {}, None),
        (401, {}, None),
        (402, {}, "linked_organization_spend_limit_reached"),
        (404, {}, None),
        (413, {}, None),
        (429, {}, None),
        (429, {}, "enforced_spend_limit_reached"),
        (429, {"retry-after": "5"}, "contract_spend_limit_reached"),
    ],
)
def test_a_spent_budget_or_a_wrong_request_is_the_applications(
    status: int, headers: dict[str, str], code: str | None
) -> None:
    assert refusal_of(status, headers, code, NOW).final


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7), ("0.5", 0.5), ("-3", 0), ("Mon, 16 Nov 2026 09:00:08 GMT", 8), ("soon", None), ("inf", None)],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(retry_after: str, seconds: float | None) -> None:
    assert refusal_of(429, {"retry-after": retry_after}, "ramp_limit_exceeded", NOW) == Refusal(
        "a rate limit", retry_after=seconds
    )


def test_milliseconds_count_more_than_seconds_if_they_can_be_read() -> None:
    for headers, seconds in (
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "nan", "retry-after": "1"}, None),
    ):
        assert refusal_of(429, headers, None, NOW) == Refusal("a rate limit", retry_after=seconds)
    assert refusal_of(429, {"retry-after-ms": "250"}, "enforced_spend_limit_reached", NOW).final


def test_in_a_stream_only_trouble_of_the_model_leads_to_another() -> None:
    assert not refusal_in_stream("overloaded_error").final
    assert not refusal_in_stream("api_error").final
    assert refusal_in_stream("rate_limit_error").final
    assert refusal_in_stream("invalid_request_error").final


def test_a_rate_limit_is_waited_for_once_and_then_the_next_model_is_asked() -> None:
    attempts = Attempts([OPUS, SONNET], longest_wait=10)
    limited = Refusal("a rate limit", retry_after=8.0)
    assert attempts.after(limited, chance=1.0) == 8 * (1 + JITTER)
    assert attempts.model == OPUS
    assert attempts.after(limited, chance=0.0) == 0
    assert attempts.model == SONNET
    assert attempts.after(limited, chance=0.0) == 8
    assert attempts.after(limited, chance=0.0) is None
    assert attempts.model == SONNET


def test_a_rate_limit_beyond_the_cap_is_not_waited_for() -> None:
    attempts = Attempts([OPUS, SONNET], longest_wait=10)
    assert attempts.after(Refusal("a rate limit", retry_after=11.0), chance=0.0) == 0
    assert attempts.model == SONNET


@given(
    st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 100)), min_size=20, max_size=20),
    st.integers(1, 5),
    st.floats(0, 1),
)
def test_every_model_is_asked_at_most_twice_and_no_pause_is_shorter_than_asked(
    refusals: list[tuple[bool, float | None]], count: int, chance: float
) -> None:
    models = [f"model-{number}" for number in range(count)]
    attempts, asked = Attempts(models, longest_wait=10), []
    for final, retry_after in refusals:
        asked.append(attempts.model)
        pause = attempts.after(Refusal("x", final, retry_after), chance)
        if pause is None:
            break
        again = attempts.model == asked[-1]
        assert pause <= 10 * (1 + JITTER)
        assert pause >= (retry_after or 0) if again else pause == 0
    assert len(asked) <= 2 * count
    assert asked == sorted(asked)


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


def test_a_log_that_cannot_be_written_is_told_once_and_breaks_nothing(
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


def test_a_record_names_the_preferred_model_only_where_another_one_answered() -> None:
    message: dict[str, Any] = {"id": "msg_1", "model": SONNET, "usage": {"input_tokens": 1, "output_tokens": 2}}
    names: dict[str, Any] = {"request_id": None, "feature": None, "user_id": "u1"}
    asked = record_of(message, NOW, **names, preferred=OPUS)
    assert asked == {
        "timestamp": "2026-11-16T09:00:00+00:00",
        "user_id": "u1",
        "model": SONNET,
        "preferred_model": OPUS,
        "message_id": "msg_1",
        "usage": message["usage"],
    }
    own = record_of(message, NOW, **names, preferred=SONNET)
    assert own is not None
    assert "preferred_model" not in own
    assert record_of({"id": "msg_1", "usage": None}, NOW, **names, preferred=SONNET) is None


def test_a_client_of_another_provider_is_refused() -> None:
    with pytest.raises(TypeError, match="with_fallback takes an Anthropic or AsyncAnthropic client, not object"):
        with_fallback(object())


def test_the_log_of_a_switch_names_the_ceiling(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "claude_cost.client")
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["normal"].variables)
    with following(CLAUDE_COST_FALLBACK_FILE=str(target.path)) as follower:
        assert follower.answer(OPUS) == OPUS
        target.write(MODES["degraded"].variables)
        eventually(lambda: f"fallback mode degraded: at most {SONNET}" in caplog.text)
