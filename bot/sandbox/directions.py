"""What a visitor of the demo may have happen on its stage: how time passes, what fails, what Anthropic corrects."""

from dataclasses import dataclass
from typing import Any, Literal

from bot.sandbox.anthropic_server import AnthropicSandbox
from bot.sandbox.clock import RunningClock
from bot.sandbox.faults import Fault
from bot.sandbox.slack_server import SlackSandbox
from bot.sandbox.team import Team

Cue = Literal["pause", "play", "faster", "anthropic_down", "anthropic_up", "slack_down", "slack_up", "correct"]

FASTEST = 6.0
"""Simulated hours in one second of real time: the bot then still polls once in a simulated hour, its longest wait."""

DOWN = Fault("status", status=503)


@dataclass(frozen=True, slots=True)
class Directions:
    """`hours_a_second`: the simulated hours that pass in one second of real time, as the demo was started.

    While Slack is down its Web API fails; what people do still reaches the bot.
    """

    clock: RunningClock
    slack: SlackSandbox
    anthropic: AnthropicSandbox
    team: Team
    hours_a_second: float

    def follow(self, cue: Cue) -> None:
        """Let it happen. Raises `ValueError` where there is nothing to correct."""
        match cue:
            case "pause" | "play" | "faster":
                self.clock.run(self._paces()[cue] * 3600)
            case "anthropic_down" | "anthropic_up":
                self.anthropic.faults.outage = DOWN if cue == "anthropic_down" else None
            case "slack_down" | "slack_up":
                self.slack.faults.outage = DOWN if cue == "slack_down" else None
            case "correct":
                self.team.correct_runaway(self.clock())

    def state(self) -> dict[str, Any]:
        """What the page shows: the pace as its cue, how time passes in words, and what has failed or can be done."""
        hours = self.clock.speed / 3600
        return {
            "pace": next((cue for cue, pace in self._paces().items() if pace == hours), None),
            "speed": f"{hours:g} hours a second" if hours else "time stands still",
            "anthropic_down": self.anthropic.faults.outage is not None,
            "slack_down": self.slack.faults.outage is not None,
            "runaway": self.team.runaway,
        }

    def _paces(self) -> dict[str, float]:
        return {"pause": 0, "play": self.hours_a_second, "faster": FASTEST}
