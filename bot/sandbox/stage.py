"""The stage of the demo: the real bot between a local Slack and a local Anthropic, with a team that spends."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx

from bot.app import bot_from
from bot.clock import Clock, system_clock
from bot.config.settings import Need, load_settings
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_messages import API_KEY, add_token_count
from bot.sandbox.anthropic_server import ADMIN_KEY, AnthropicSandbox
from bot.sandbox.anthropic_usage import UsageHistory
from bot.sandbox.clock import RunningClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from bot.sandbox.team import KEYS, WORKSPACES, Team, UsageLog
from bot.web.connections import Connections
from bot.web.server import open_port, web_app

MONTH_STARTS = datetime(2026, 11, 1, tzinfo=UTC)
CURTAIN = datetime(2026, 11, 10, 12, tzinfo=UTC)
"""Start of the story: nine days are spent, and the runaway job appears the day after."""

SOFT_USD, HARD_USD = "500", "700"

FEATURE = "support"
FEATURE_BUDGET = f"""\
[[budget]]
name = "{FEATURE}"
scope = "feature:{FEATURE}"
period = "day"
soft_usd = "40"
"""
"""Daily budget of a feature, counted from the applications' log: a usual day stays below it."""

DIGEST = """
[[digest]]
every = "week"
on = "thursday"
"""
"""Due in the middle of the story, which lasts three days."""

SEARCH, SEARCH_TEAM = "C0SEARCH", "search"
YUKI, JAPANESE = "U0YUKI", "ja-JP"

TEAM = f"""
[[team]]
name = "{SEARCH_TEAM}"
scopes = ["workspace:wrkspc_01Search"]
channel = "{SEARCH}"
owners = ["{DEVELOPER}"]
mention = ["hard"]

[[budget]]
name = "{SEARCH_TEAM}"
scope = "team:{SEARCH_TEAM}"
team = "{SEARCH_TEAM}"
soft_usd = "60"
hard_usd = "150"

[[digest]]
channel = "{SEARCH}"
every = "week"
on = "friday"
scope = "workspace:wrkspc_01Search"
budgets = ["{SEARCH_TEAM}"]

[display]
languages = {{ {SEARCH} = "ja" }}
"""
"""A team whose channel reads Japanese. The runaway job belongs to it, and crosses its hard limit once."""

SCOPES = frozenset({"channels:history", "channels:read", "users:read"})
"""Granted optional scopes."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything in the demo. `work`: lets simulated time take effect. `log`: from the team's applications to the
    bot.
    """

    clock: Clock
    slack: SlackSandbox
    anthropic: AnthropicSandbox
    team: Team
    bot: Bot
    log: UsageLog

    async def work(self) -> None:
        """The team works up to the present, and its applications log it."""
        self.team.work_until(self.clock())
        await self.log.send(self.team.take_logged())


@asynccontextmanager
async def set_stage(clock: Clock, folder: Path, poll_seconds: int) -> AsyncIterator[Stage]:
    """`clock`: simulated time from `CURTAIN` on. `folder`: for the database and the fallback file.

    `poll_seconds`: simulated seconds between two polls, from which the age of data is judged.
    """
    async with AsyncExitStack() as stack:
        history = UsageHistory()
        # Triggers and response URLs expire in real time, that of the people who click.
        slack = await stack.enter_async_context(_slack(clock))
        anthropic = AnthropicSandbox(clock, history, workspaces=WORKSPACES, keys=KEYS)
        add_token_count(anthropic.app)
        await stack.enter_async_context(anthropic)
        fallback_file = folder / "claude-cost.env"
        team = Team(history, fallback_file, MONTH_STARTS)
        config = folder / "claude-cost.toml"
        config.write_text(FEATURE_BUDGET + DIGEST + TEAM, encoding="utf-8")
        environ = {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
            "ANTHROPIC_ADMIN_KEY": ADMIN_KEY,
            "ANTHROPIC_API_KEY": API_KEY,
            "ANTHROPIC_BASE_URL": anthropic.origin,
            "CLAUDE_COST_CHANNEL": ALERTS,
            "CLAUDE_COST_SOFT_USD": SOFT_USD,
            "CLAUDE_COST_HARD_USD": HARD_USD,
            "CLAUDE_COST_POLL_SECONDS": str(poll_seconds),
            "CLAUDE_COST_DATABASE_URL": f"sqlite:///{folder / 'claude-cost.db'}",
            "CLAUDE_COST_FALLBACK_FILE": str(fallback_file),
            "CLAUDE_COST_CONFIG": str(config),
            "CLAUDE_COST_ADMINS": ADMIN,
        }
        settings = load_settings(environ, Need.RUN)
        # A second is hours of simulated time: people would be too slow, and everything would be late.
        rules = replace(settings.alert_rules, escalate_after=timedelta(days=2), late_after=timedelta(hours=3))
        bot = await stack.enter_async_context(bot_from(replace(settings, alert_rules=rules), clock))
        client = await stack.enter_async_context(_port(bot))
        stage = Stage(clock, slack, anthropic, team, bot, UsageLog(client))
        await stage.work()
        yield stage


def _slack(clock: Clock) -> SlackSandbox:
    """A Slack with two channels, and a third person, who reads Japanese."""
    slack = SlackSandbox(clock, channels=(ALERTS, SEARCH), lifetime_clock=system_clock)
    slack.workspace.users[YUKI] = "Yuki"
    slack.workspace.locales[YUKI] = JAPANESE
    slack.workspace.scopes |= SCOPES
    return slack


@asynccontextmanager
async def _port(bot: Bot) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the bot's HTTP port, on a free loopback port."""

    async def problems() -> list[str]:
        return list(bot.faults.values())

    connections = Connections()
    app = web_app(None, problems, bot.services, None, connections=connections, stored=bot.logged.set)
    async with open_port(app, "127.0.0.1", 0, connections) as [address]:
        host, port = address
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            yield client


Cue = Literal[
    "pause", "play", "faster", "anthropic_down", "anthropic_up", "slack_down", "slack_up", "retries", "correct"
]

FASTEST = 6.0
"""Most simulated hours in one second of real time: the bot then polls every two, and data is stale after three."""

DOWN = Fault("status", status=503)


@dataclass(frozen=True, slots=True)
class Directions:
    """`hours_a_second`: simulated hours per second of real time, as the demo was started.

    While Slack is down its Web API fails; people's actions still reach the bot.
    """

    clock: RunningClock
    slack: SlackSandbox
    anthropic: AnthropicSandbox
    team: Team
    hours_a_second: float

    def follow(self, cue: Cue) -> None:
        """Perform a cue. Raises `ValueError` if there is nothing to correct."""
        match cue:
            case "pause" | "play" | "faster":
                self.clock.run(self._paces()[cue] * 3600)
            case "anthropic_down" | "anthropic_up":
                self.anthropic.faults.outage = DOWN if cue == "anthropic_down" else None
            case "slack_down" | "slack_up":
                self.slack.faults.outage = DOWN if cue == "slack_down" else None
            case "retries":
                self.team.retry_support(self.clock())
            case "correct":
                self.team.correct_runaway(self.clock())

    def state(self) -> dict[str, Any]:
        """State for the page: the pace as its cue, the speed of time in words, and what has failed or can be done."""
        hours = self.clock.speed / 3600
        return {
            "pace": next((cue for cue, pace in self._paces().items() if pace == hours), None),
            "speed": f"{hours:g} {'hour' if hours == 1 else 'hours'} a second" if hours else "time stands still",
            "anthropic_down": self.anthropic.faults.outage is not None,
            "slack_down": self.slack.faults.outage is not None,
            "runaway": self.team.runaway,
        }

    def _paces(self) -> dict[str, float]:
        return {"pause": 0, "play": self.hours_a_second, "faster": FASTEST}
