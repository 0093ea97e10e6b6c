"""A month of the demo, in which every message is read and its arithmetic done again on the text alone."""

import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from bot.clock import DAY, HOUR
from bot.notify.slack_connection import SocketMode, check_bot_token
from bot.sandbox.clock import HandClock
from bot.sandbox.page_server import buttons
from bot.sandbox.slack_server import ALERTS, APP_TOKEN
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, Message
from bot.sandbox.stage import CURTAIN, DOWN, HARD_USD, Stage, set_stage
from tests.databases import migrate_by_copy

DOLLARS = r"-?\$[\d,]+\.\d\d|under \$0\.01"
PARTS = re.compile(rf"(?:{DOLLARS}) (?:billed for|computed from)[^.]*")
SHARES = re.compile(r"^• .*?\((under 1%|[\d,]+%)\), ", re.MULTILINE)
ROWS = re.compile(rf"^• .*?: (?:≥ )?({DOLLARS}) \((?:under 1%|[\d,]+%)\), ", re.MULTILINE)
REST = re.compile(rf"^and \d+ more, ({DOLLARS}) \((under 1%|[\d,]+%)\)", re.MULTILINE)
END = re.compile(rf"Expected end: ({DOLLARS}) \(range ({DOLLARS}) to ({DOLLARS})\)")
SAVES = re.compile(rf"saves about ({DOLLARS}) (?:by the end of the period|until it ends)")
FIRST = re.compile(rf"({DOLLARS}) of ({DOLLARS}) \((\d+)%\): (soft|hard) limit")
WHOLE = re.compile(rf"^(?:at least )?({DOLLARS}) of \${HARD_USD}\.00[^,\n]*\), \w+$", re.MULTILINE | re.IGNORECASE)
PAUSES = 10


def usd(text: str) -> Decimal:
    return Decimal(0) if text.startswith("under") else Decimal(text.replace("$", "").replace(",", ""))


def percent(text: str) -> int:
    return 0 if text.startswith("under") else int(text.rstrip("%").replace(",", ""))


def dialogs(message: Message) -> Iterator[tuple[str, str]]:
    """The id of each button that switches to a cheaper mode, and what its dialog says; ways back save nothing."""
    for button in buttons(message.blocks):
        if button["action_id"].startswith("fallback_switch:") and "confirm" in button:
            dialog = button["confirm"]["text"]["text"]
            if SAVES.search(dialog):
                yield button["action_id"], dialog


class Reader:
    """Plays, and reads everything that is said."""

    def __init__(self, stage: Stage, clock: HandClock) -> None:
        self.stage = stage
        self.clock = clock
        self.read: set[tuple[str, str]] = set()
        self.count = 0

    async def pass_time(self, hours: int) -> None:
        for _ in range(hours):
            self.clock.advance(HOUR)
            self.stage.team.work_until(self.clock())
        await self.stage.bot.cycle()
        self.read_the_channel()

    def channel(self) -> list[Message]:
        """Messages of the alert channel, in English."""
        messages = self.stage.slack.visible_to(ADMIN, ALERTS)
        return [m for m in messages if m.user == BOT_USER and not m.ephemeral_to]

    def read_the_channel(self) -> None:
        for message in self.channel():
            if (message.ts, message.text) not in self.read:
                self.read.add((message.ts, message.text))
                self.check(message.text)

    async def type(self, words: str) -> Message:
        interaction = await self.stage.slack.command(words, ADMIN)
        message = await interaction.first_reply()
        self.check(message.text)
        await self.stage.bot.deliver()
        self.read_the_channel()
        return message

    def check(self, text: str) -> None:
        """Assert what every text has to fulfil."""
        self.count += 1
        assert not re.search(r"\b[Pp]ace\b", text), text
        assert not re.search(r"\(s\)|\d{4,} min", text), text
        for line in text.split("\n"):
            parts = PARTS.search(line)
            if parts and " + " in parts[0]:
                sums = [usd(part) for part in re.findall(DOLLARS, parts[0])]
                assert sum(sums, Decimal(0)) in self.sums(text), text
        left = self.left(text)
        for saving in SAVES.findall(text):
            if left is not None:
                assert usd(saving) <= left, text
        first = text.split("\n")[0]
        if limit := FIRST.search(first):
            spent, of = usd(limit[1]), usd(limit[2])
            assert int(limit[3]) == int(spent * 100 / of), text
        if "STALE" in text:
            assert first.startswith("STALE"), text
            # Logged usage continues meanwhile, and the line before says so.
            lines = text.split("\n")
            known = [before for before, line in pairwise(lines) if END.search(line)]
            assert all(before.startswith("Logged by your applications, as of ") for before in known), text
            assert not SAVES.search(text), text

    def sums(self, text: str) -> list[Decimal]:
        return [usd(each) for each in re.findall(DOLLARS, text)]

    def left(self, text: str) -> Decimal | None:
        """Spend still expected, if the text gives it for one budget."""
        ends = END.findall(text)
        spent = re.match(rf"(?:[Aa]t least )?({DOLLARS}) (?:of|in) ", text)
        return usd(ends[0][0]) - usd(spent[1]) if len(ends) == 1 and spent else None

    async def pause(self) -> None:
        """Time stands still: everything that can be asked is asked, and says the same."""
        status, forecast, report, budgets, mode, estimate = [
            (await self.type(words)).text
            for words in (
                "status",
                "forecast",
                "report month by key",
                "budget list",
                "fallback status",
                "estimate sonnet-4.6 requests=100k in=2000 out=500",
            )
        ]
        if status.startswith("STALE"):
            for answer in (forecast, report, budgets, mode):
                assert answer.startswith("STALE"), answer
            assert "not extrapolated" in estimate
            return
        # The budget nearest to its limit comes first; this is about the one that counts everything.
        whole = WHOLE.search(status)
        assert whole is not None, status
        end = END.search(status, whole.start())
        assert end is not None, status
        expected = re.match(rf"({DOLLARS}) expected by ", forecast)
        between = re.search(rf"Between ({DOLLARS}) and ({DOLLARS})", forecast)
        assert expected is not None
        assert between is not None
        assert (end[1], end[2], end[3]) == (expected[1], between[1], between[2])
        assert f"expected end {end[1]} → " in estimate
        added = re.search(rf"({DOLLARS}) more in this \w+: expected end ({DOLLARS}) → ({DOLLARS})", estimate)
        assert added is not None
        assert usd(added[1]) + usd(added[2]) == usd(added[3])
        spent = whole
        for answer in (report, budgets):
            assert spent[1] in answer, answer
        left = usd(end[1]) - usd(spent[1])
        assert all(usd(saving) <= left for saving in SAVES.findall(mode)), mode
        rows, rest = ROWS.findall(report), REST.search(report)
        shares = [percent(share) for share in SHARES.findall(report)] + ([percent(rest[2])] if rest else [])
        assert sum(shares) == 100, report
        computed = sum(map(usd, rows), Decimal(0)) + (usd(rest[1]) if rest else 0)
        assert computed in self.sums(report.split("\n• ")[0]), report

    async def click(self, message: Message, action_id: str, dialog: str) -> str:
        """The answer to a click agrees with the dialog that was agreed to."""
        interaction = await self.stage.slack.click(message, action_id, ADMIN)
        answer = (await interaction.first_reply()).text
        self.check(answer)
        promised = SAVES.search(dialog)
        assert promised is not None
        reported = SAVES.search(answer)
        assert reported is not None, answer
        assert reported[1] == promised[1], (dialog, answer)
        await self.stage.bot.deliver()
        self.read_the_channel()
        return answer

    def open_alert(self) -> Message:
        """The newest message that has ways out, of the limit of everything: that limit decides what a switch saves."""
        whole = [m for m in self.channel() if m.thread_ts is None and ", budget " not in m.text.split("\n")[0]]
        return next(m for m in reversed(whole) if list(dialogs(m)))


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    clock = HandClock(CURTAIN)
    migrate_by_copy(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    async with set_stage(clock, tmp_path, poll_seconds=3600) as stage:
        stage.bot.workspace.url = (await check_bot_token(stage.bot.slack.client, ALERTS)).url
        socket = SocketMode(stage.bot.slack, APP_TOKEN)
        await socket.connect_async()  # type: ignore[no-untyped-call]
        try:
            yield Reader(stage, clock)
        finally:
            await socket.close_async()  # type: ignore[no-untyped-call]


async def test_whatever_is_said_in_a_month_agrees_with_what_else_is_said(reader: Reader) -> None:
    pauses = 0
    for _ in range(3):
        await reader.pass_time(3)
    await reader.pause()
    pauses += 1

    # The runaway job begins: the soft limit, then the hard one.
    while not any(re.search(r"hard limit.*, November$", m.texts[0].split("\n")[0]) for m in reader.channel()):
        await reader.pass_time(4)
        assert reader.clock() < CURTAIN + 10 * DAY
    await reader.pause()
    pauses += 1

    # One step down by a click, and a further one from the same message, which is redrawn at once.
    for mode in ("degraded", "minimal"):
        alert = reader.open_alert()
        found = dict(dialogs(alert))
        old = dict(found)
        answer = await reader.click(alert, f"fallback_switch:{mode}", found[f"fallback_switch:{mode}"])
        assert f"→ {mode}." in answer
        await reader.pause()
        pauses += 1
        if mode == "degraded":
            assert list(dict(dialogs(reader.open_alert()))) == ["fallback_switch:minimal"]
            assert dict(dialogs(reader.open_alert())) != old
    assert not [m for m in reader.channel() if list(dialogs(m))], "nothing is cheaper than the cheapest mode"

    await reader.pass_time(26)
    status = await reader.type("status")
    await reader.pause()
    pauses += 1
    assert ", new" not in "".join(line for line in status.text.split("\n") if "Haiku 5.5" in line)

    # Each off again, and on again for a time.
    assert "still returns to normal by itself" in (await reader.type("fallback auto off")).text
    for words in ("fallback off", "fallback on minimal for 2h", "fallback off", "fallback on", "fallback off"):
        await reader.type(words)
    # The ended mode still explains what it moved.
    said = (await reader.type("status")).text.split("\n")
    moved = [line for line in said if re.match(r"• .*Haiku 5\.5 · Search", line)]
    assert moved
    assert all(line.endswith("(moved here by the fallback mode)") for line in moved), moved
    await reader.pause()
    pauses += 1

    # What was used by mistake is corrected.
    await reader.pass_time(30)
    reader.stage.team.correct_runaway(reader.clock())
    for _ in range(6):
        await reader.pass_time(5)
    await reader.pause()
    pauses += 1
    assert not [m for m in reader.channel() if m.texts[0].startswith("Bill and usage")]

    # Anthropic is away for a day, and comes back.
    await reader.pass_time(1)
    reader.stage.anthropic.faults.outage = DOWN
    await reader.pass_time(24)
    await reader.pause()
    pauses += 1
    reader.stage.anthropic.faults.outage = None
    await reader.pass_time(1)
    await reader.pause()
    pauses += 1

    # The end of the month, and the first hours of the next one.
    for _ in range(4):
        await reader.pass_time(4 * 24)
    await reader.pause()
    pauses += 1
    assert pauses >= PAUSES
    assert reader.count > 100
