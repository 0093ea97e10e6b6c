"""`claude-cost init`: on a real terminal and through a pipe, against a local Slack and a local Anthropic."""

import asyncio
import io
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.config.env_file import find_env_file
from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_COST, ANALYTICS_USAGE, COST, USAGE
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN
from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World
from tests.scenario.forked import Process

KNOWN = "Slack knows the token as claude-cost in the workspace Sandbox."
ADDRESSES = ("SLACK_API_URL", "ANTHROPIC_BASE_URL")
ANSWERS = [BOT_TOKEN, APP_TOKEN, ALERTS, ADMIN_KEY, "500", "700", ADMIN]
WRITTEN = {
    "SLACK_BOT_TOKEN": BOT_TOKEN,
    "SLACK_APP_TOKEN": APP_TOKEN,
    "CLAUDE_COST_CHANNEL": ALERTS,
    "ANTHROPIC_ADMIN_KEY": ADMIN_KEY,
    "CLAUDE_COST_SOFT_USD": "500",
    "CLAUDE_COST_HARD_USD": "700",
    "CLAUDE_COST_ADMINS": ADMIN,
}
DOWN = Fault("status", status=503)


class Office:
    """A person who sets the bot up in the world's folder. Only the addresses are in the environment."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.world = world
        self.file = world.folder / ".env"
        self._patch, self._capsys = monkeypatch, capsys
        self.out = self.err = ""
        for name in ADDRESSES:
            monkeypatch.setenv(name, world.environ[name])

    async def init(self, *words: str, typed: list[str] | None = None, **environ: str) -> int:
        """Run it with these lines in a pipe; its exit code."""
        with self._patch.context() as patch:
            patch.setattr(
                sys, "stdin", io.StringIO("".join(f"{line}\n" for line in (ANSWERS if typed is None else typed)))
            )
            # What it takes from the file for its checks ends with it.
            patch.setattr(os, "environ", os.environ.copy())
            os.environ.update(environ)
            code = await asyncio.to_thread(main, ["init", *words])
        self.out, self.err = self._capsys.readouterr()
        assert not any(secret in self.out + self.err for secret in (BOT_TOKEN, APP_TOKEN, ADMIN_KEY))
        assert "Traceback" not in self.out + self.err
        return code

    @property
    def values(self) -> dict[str, str]:
        file = find_env_file({"CLAUDE_COST_ENV_FILE": str(self.file)})
        assert file is not None
        return dict(file.values)


@pytest.fixture
def office(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Office:
    world.slack.workspace.scopes |= {"channels:read", "users:read"}
    return Office(world, monkeypatch, capsys)


async def test_five_questions_make_a_file_with_which_the_bot_runs(office: Office) -> None:
    assert await office.init() == 0, office.err
    assert office.values == WRITTEN
    assert office.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in office.world.folder.iterdir() if path.name.startswith(".env")] == [".env"]
    for said in (
        KNOWN,
        "The bot is a member of #",
        "The key may read usage",
        f"Admins: {office.world.slack.workspace.users[ADMIN]} ({ADMIN}).",
        "Next:\n  claude-cost doctor    checks the whole set-up\n  claude-cost run       starts the bot\n",
    ):
        assert said in office.out
    database = office.world.environ["CLAUDE_COST_DATABASE_URL"]
    keep = {*ADDRESSES, "CLAUDE_COST_DATABASE_URL", "CLAUDE_COST_FALLBACK_FILE"}
    empty = {name: "" for name in office.world.environ if name not in keep}
    finished = await office.world.once(**empty | {"CLAUDE_COST_DATABASE_URL": database})
    assert (finished.code, finished.err) == (0, "")


async def test_each_refusal_is_one_sentence_and_asks_again(office: Office) -> None:
    office.world.slack.workspace.channels[ALERTS].has_bot = False
    typed = [
        "",  # nothing
        APP_TOKEN,  # in the wrong place
        "xoxb-wrong",
        BOT_TOKEN,
        "xapp-wrong",
        APP_TOKEN,
        "#alerts",
        "C0NOWHERE",
        ALERTS,  # the bot is not in it
        "",  # the same again, and again it is not
        f"https://sandbox.slack.com/archives/{ALERTS}/p1700000000000000",
        "sk-ant-api03-ordinary",
        ADMIN_KEY,
        *("", ""),  # no limit at all
        *("five", "700", "much", "500"),  # no amounts, and the wrong way round
        *("$500", "700"),
        "@anna",
        "U0NOBODY",
        ADMIN,
    ]
    code = await office.init(typed=typed)
    assert code == 2  # the bot is not in the channel to the end, so that the lines run out
    assert office.out.count("Bot token (xoxb-…) [Enter: the same again]:") == 2
    for said in (
        "SLACK_BOT_TOKEN is missing",
        "SLACK_BOT_TOKEN does not begin with xoxb-",
        "Slack refuses SLACK_BOT_TOKEN",
        "Slack refuses SLACK_APP_TOKEN (invalid_auth)",
        "not a name",
        "The bot can see no channel C0NOWHERE",
        f"The bot is not in {ALERTS}: type /invite @claude-cost there.",
    ):
        assert said in office.out
    assert not office.file.exists()
    office.world.slack.workspace.channels[ALERTS].has_bot = True
    typed = typed[:8] + typed[10:]
    assert await office.init(typed=typed) == 0, office.err
    for said in (
        "Anthropic refuses ANTHROPIC_ADMIN_KEY",
        "are both missing",
        "CLAUDE_COST_SOFT_USD is",
        "CLAUDE_COST_HARD_USD is",
        "Soft limit [Enter: 700]:",
        "Hard limit [Enter: 500]:",
        "use Slack user ids (U…)",
        "Slack knows no person U0NOBODY",
    ):
        assert said in office.out
    assert office.values == WRITTEN


async def test_where_no_scope_shows_the_channel_a_line_that_somebody_agrees_to_does(office: Office) -> None:
    slack = office.world.slack.workspace
    slack.scopes -= {"channels:read", "groups:read"}
    slack.channels[ALERTS].has_bot = False
    # No consent, no message: the wrong channel is kept.
    typed = [BOT_TOKEN, APP_TOKEN, "C0NOPE", "n", *ANSWERS[3:]]
    assert await office.init(typed=typed) == 0, office.err
    assert office.values["CLAUDE_COST_CHANNEL"] == "C0NOPE"
    assert office.world.posts() == []
    # Enter means yes.
    office.file.unlink()
    typed = [BOT_TOKEN, APP_TOKEN, "C0NOPE", "", ALERTS, "y"]
    assert await office.init(typed=typed) == 2  # the lines run out
    for said in (
        "Whether the bot may post in C0NOPE is not known without the optional scope channels:read.",
        "Post one line there now, as a test? [Y/n]",
        "The bot can see no channel C0NOPE: correct CLAUDE_COST_CHANNEL",
        f"The bot is not in {ALERTS}: type /invite @claude-cost there.",
    ):
        assert said in office.out
    slack.channels[ALERTS].has_bot = True
    assert await office.init(typed=[*ANSWERS[:3], "", *ANSWERS[3:]]) == 0, office.err
    assert f"The line is in {ALERTS}: the bot may post there." in office.out
    assert [post.text for post in office.world.posts()] == ["claude-cost init: this is where alerts will come."]
    assert office.values == WRITTEN


async def test_admins_that_no_scope_shows_are_said_to_be_unchecked(office: Office) -> None:
    office.world.slack.workspace.scopes -= {"users:read"}
    assert await office.init(typed=[*ANSWERS[:-1], "U0NOBODY"]) == 0, office.err
    unchecked = "Whether Slack knows U0NOBODY was not checked, which needs the scope users:read."
    assert f"Admins: U0NOBODY. {unchecked}" in office.out


async def test_what_is_there_is_named_kept_and_replaced_only_when_somebody_agrees(office: Office) -> None:
    office.file.write_text(
        f"# ours\nHTTPS_PROXY_PASSWORD=hunter2\nSLACK_BOT_TOKEN={BOT_TOKEN}\nexport CLAUDE_COST_SOFT_USD=100\n"
    )
    office.file.chmod(0o644)
    before = office.file.read_bytes()
    typed = ["", *ANSWERS[1:]]
    assert await office.init(typed=["", *ANSWERS[1:], "n"]) == 0, office.err
    assert "has CLAUDE_COST_SOFT_USD, HTTPS_PROXY_PASSWORD, SLACK_BOT_TOKEN. Enter keeps what it has." in office.out
    assert "hunter2" not in office.out
    assert "Replace CLAUDE_COST_SOFT_USD in" in office.out
    assert "Kept: CLAUDE_COST_SOFT_USD." in office.out
    assert office.values == {**WRITTEN, "CLAUDE_COST_SOFT_USD": "100", "HTTPS_PROXY_PASSWORD": "hunter2"}
    # Nothing else would change.
    before = office.file.read_bytes()
    assert await office.init(typed=[*typed, "n"]) == 1
    assert office.err == f"{office.file} is as it was. Nothing was written.\n"
    assert office.file.read_bytes() == before
    assert await office.init(typed=[*typed, "y"]) == 0
    lines = office.file.read_text().splitlines()
    assert lines[:4] == [
        "# ours",
        "HTTPS_PROXY_PASSWORD=hunter2",
        f"SLACK_BOT_TOKEN={BOT_TOKEN}",
        "export CLAUDE_COST_SOFT_USD=500",
    ]
    assert office.values == {**WRITTEN, "HTTPS_PROXY_PASSWORD": "hunter2"}
    assert office.file.stat().st_mode & 0o777 == 0o600
    # Enter seven times changes nothing, and none of the limits is a necessity.
    before = office.file.read_bytes()
    assert await office.init(typed=[""] * 7) == 0
    assert office.file.read_bytes() == before
    assert await office.init(typed=["", "", "", "", "none", "", "none", "y"]) == 0
    assert {"CLAUDE_COST_SOFT_USD", "CLAUDE_COST_ADMINS"}.isdisjoint(office.values)


async def test_a_file_that_cannot_be_read_is_left_alone(office: Office) -> None:
    office.file.write_text(f"A=1\n{BOT_TOKEN}\n")
    assert await office.init() == 2
    assert office.err == f"{office.file}, line 2 has no =: write NAME=VALUE. Nothing was written.\n"
    assert office.file.read_text() == f"A=1\n{BOT_TOKEN}\n"


async def test_nobody_is_asked_where_everything_is_given(office: Office, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{ADMIN_KEY}\n")
    environ = {
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "ANTHROPIC_ADMIN_KEY_FILE": str(tmp_path / "key"),
    }
    link = f"https://sandbox.slack.com/archives/{ALERTS}"
    words = ["--no-input", "--channel", link, "--hard", "700", "--file", "other.env"]
    assert await office.init(*words, typed=[], **environ) == 0, office.err
    office.file = tmp_path / "other.env"
    assert office.values == {
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "CLAUDE_COST_CHANNEL": ALERTS,
        "CLAUDE_COST_HARD_USD": "700",
        "ANTHROPIC_ADMIN_KEY_FILE": str(tmp_path / "key"),
    }
    assert f"CLAUDE_COST_ENV_FILE={office.file} claude-cost run" in office.out
    # The same once more needs nothing but the file.
    assert await office.init("--no-input", "--file", "other.env", typed=[]) == 0, office.err
    words[4] = "800"
    assert await office.init(*words, typed=[], **environ) == 1
    assert office.err.startswith(f"{office.file} has other values of CLAUDE_COST_HARD_USD: add --replace.")
    assert await office.init(*words, "--replace", typed=[], **environ) == 0
    assert office.values["CLAUDE_COST_HARD_USD"] == "800"


@pytest.mark.parametrize(
    ("words", "environ", "code", "why"),
    [
        ([], {}, 2, "SLACK_BOT_TOKEN is missing"),
        ([], {"SLACK_BOT_TOKEN": "xoxb-wrong"}, 1, "Slack refuses SLACK_BOT_TOKEN"),
        ([], {"SLACK_BOT_TOKEN": BOT_TOKEN}, 2, "SLACK_APP_TOKEN is missing"),
        (["--file", "absent/x.env"], {}, 1, "There is no directory"),
        (["--file", "."], {}, 1, "is a directory"),
        (["--file", BOT_TOKEN + "1234567890"], {}, 2, "looks like a secret"),
    ],
)
async def test_what_is_missing_or_wrong_is_one_sentence_where_nobody_may_be_asked(
    office: Office, words: list[str], environ: dict[str, str], code: int, why: str
) -> None:
    assert await office.init("--no-input", *words, typed=[], **environ) == code
    assert why in office.err
    assert office.err.endswith("Nothing was written.\n")
    assert len(office.err.splitlines()) == 1
    # Nobody is told of questions that nobody is asked.
    assert office.out in ("", f"{KNOWN}\n")
    assert not office.file.exists()


async def test_while_slack_or_anthropic_is_down_an_answer_may_be_kept_unchecked(office: Office) -> None:
    office.world.slack.faults.outage = DOWN
    for path in (USAGE, COST, ANALYTICS_USAGE, ANALYTICS_COST):
        office.world.anthropic.faults.add(path, DOWN)
    typed = [BOT_TOKEN, "n", "", "y", APP_TOKEN, "y", ALERTS, ADMIN_KEY, "y", "500", "", ""]
    assert await office.init(typed=typed) == 0, office.err
    assert "Slack has an internal error" in office.out
    assert office.values == {
        name: value for name, value in WRITTEN.items() if name not in ("CLAUDE_COST_HARD_USD", "CLAUDE_COST_ADMINS")
    }


async def test_a_proxy_of_the_file_gets_no_token_over_plain_http(office: Office) -> None:
    office.file.write_text("HTTP_PROXY=http://127.0.0.1:9\n")
    assert await office.init(typed=ANSWERS) == 0, office.out


async def test_http_mode_needs_no_app_level_token(office: Office) -> None:
    typed = [BOT_TOKEN, "", ALERTS, ADMIN_KEY, "500", "700", ""]
    assert await office.init(typed=typed, SLACK_SIGNING_SECRET="s3cret") == 0, office.err
    assert "HTTP mode" in office.out
    assert "SLACK_APP_TOKEN" not in office.values


async def test_another_value_in_the_environment_is_said_to_count_first(office: Office) -> None:
    typed = [BOT_TOKEN, *ANSWERS[1:]]
    assert await office.init(typed=typed, SLACK_BOT_TOKEN="xoxb-wrong") == 0, office.err
    assert "the environment has another SLACK_BOT_TOKEN" in office.out
    assert office.values == WRITTEN


class TerminalProcess:
    """`claude-cost init` on a terminal of its own."""

    def __init__(self, world: World) -> None:
        self.master, self.slave = pty.openpty()
        self.shown = ""
        self.process: Process
        self._world = world
        self._more = asyncio.Event()

    async def start(self, **changes: str) -> None:
        """`changes`: of the environment, which an interpreter of its own then reads at its start."""
        environ = {name: self._world.environ[name] for name in ADDRESSES}
        environ |= {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}
        if not changes and self._world.forks is not None:
            self.process = await self._world.forks.start(["init"], environ, self._world.folder, self.slave)
        else:
            self.process = await self._interpreter(environ | changes)
        asyncio.get_running_loop().add_reader(self.master, self._read)

    async def _interpreter(self, environ: dict[str, str]) -> Process:
        program = "import os, fcntl, termios, sys; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        program += "from bot.__main__ import main; sys.exit(main(['init']))"
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            env=environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=self._world.folder,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )

    def _read(self) -> None:
        try:
            self.shown += os.read(self.master, 4096).decode()
            self._more.set()
        except OSError:
            asyncio.get_running_loop().remove_reader(self.master)

    async def until(self, pattern: str) -> None:
        """Wait until the rest of what is shown has it."""
        async with asyncio.timeout(30):
            while re.search(pattern, self.shown) is None:
                self._more.clear()
                await self._more.wait()

    def type(self, text: str) -> None:
        self.shown = self.shown.replace(": ", ":_")
        os.write(self.master, text.encode())

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 30)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.master)
        os.close(self.master)
        os.close(self.slave)
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()


@contextmanager
def on_terminal(world: World) -> Iterator[TerminalProcess]:
    terminal = TerminalProcess(world)
    try:
        yield terminal
    finally:
        terminal.close()


async def test_on_a_terminal_no_secret_is_shown(office: Office) -> None:
    prompts = ["Bot token.*: $", "App-level token.*: $", "Channel id.*: $", "Admin key: $"]
    prompts += ["Soft limit.*: $", "Hard limit.*: $", "Slack ids.*: $"]
    with on_terminal(office.world) as terminal:
        await terminal.start()
        for prompt, answer in zip(prompts, ANSWERS, strict=True):
            await terminal.until(prompt)
            assert terminal.echoes is (answer not in (BOT_TOKEN, APP_TOKEN, ADMIN_KEY))
            terminal.type(f"{answer}\n")
        assert await terminal.ended() == 0, terminal.shown
        await terminal.until("starts the bot")
        assert not any(secret in terminal.shown for secret in (BOT_TOKEN, APP_TOKEN, ADMIN_KEY))
        assert terminal.echoes
    assert office.values == WRITTEN


async def test_a_secret_that_is_typed_in_the_open_is_named(office: Office) -> None:
    with on_terminal(office.world) as terminal:
        await terminal.start()
        for prompt, answer in (("Bot token.*: $", BOT_TOKEN), ("App-level token.*: $", APP_TOKEN)):
            await terminal.until(prompt)
            terminal.type(f"{answer}\n")
        await terminal.until("Channel id.*: $")
        terminal.type("xoxb-1234567890-1234567890-AbCdEfGhIjKl\n")
        await terminal.until("That looks like a secret, and it was shown on this screen")
        # It is no channel, so it is asked again, and shown no second time.
        await terminal.until("Channel id.*: $")
        assert terminal.shown.count("AbCdEfGhIjKl") == 1
        terminal.process.kill()
        await terminal.ended()
    assert not office.file.exists()


ASCII_ALONE = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(("how", "environ"), [("ctrl-c", ASCII_ALONE), ("sigterm", {})])
async def test_whoever_gives_up_leaves_nothing_behind_and_a_terminal_that_echoes(
    office: Office, how: str, environ: dict[str, str]
) -> None:
    with on_terminal(office.world) as terminal:
        await terminal.start(**environ)
        await terminal.until("Bot token.*: $")
        terminal.type(f"{BOT_TOKEN}\n")
        await terminal.until("App-level token.*: $")
        assert not terminal.echoes
        if how == "sigterm":
            terminal.process.send_signal(signal.SIGTERM)
        else:
            terminal.type("\x03")
        assert await terminal.ended() == 130
        await terminal.until(r"Nothing was written\.")
        assert terminal.echoes
        assert "Traceback" not in terminal.shown
    assert [path.name for path in office.world.folder.iterdir() if "env" in path.name] == []
