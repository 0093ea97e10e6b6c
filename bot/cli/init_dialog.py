"""The questions of `claude-cost init`: each is asked until its answer is accepted."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.cli.init_checks import Checks, Finding, Outcome
from bot.cli.terminal import Terminal
from bot.clock import system_clock
from bot.config.env_file import EnvFile, missing
from bot.config.environment import VARIABLES
from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.secret_shapes import masked, one_line

SECRETS = frozenset(variable.name for variable in VARIABLES if variable.secret)
SOFT, HARD, ADMINS = "CLAUDE_COST_SOFT_USD", "CLAUDE_COST_HARD_USD", "CLAUDE_COST_ADMINS"

GREETING = (
    "Seven questions in five steps. Slack and Anthropic check each answer at once; Ctrl-C ends this, and nothing is "
    "written before the end."
)
LIMITS = "5/5  Limits of a calendar month in USD, and who may change the mode and budgets."
NONE = "none"
"""The answer that removes a value of the file."""

TEST = "Post one line there now, as a test?"

Check = Callable[[Settings], Coroutine[Any, Any, Finding]]

_CHANNEL_IN_LINK = re.compile(r"(?:https://[\w.-]+/archives/|<#)([A-Z][A-Z0-9]+)(?:[/|?>].*)?")


class NotAcceptedError(Exception):
    """`init` cannot continue; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Question:
    """`where`: a line on where to find the answer. `need`: what a start requires, if the answer may not be empty."""

    variable: str
    prompt: str
    where: str
    need: Need | None
    check: Check


def questions(checks: Checks) -> list[Question]:
    """Questions with one answer each."""
    return [
        Question(
            "SLACK_BOT_TOKEN",
            "Bot token (xoxb-…)",
            "1/5  Slack's bot token: on api.slack.com/apps make the app from manifest.yml and install it to the "
            "workspace; the token is on OAuth & Permissions.",
            Need.SLACK_BOT,
            checks.bot_token,
        ),
        Question(
            "SLACK_APP_TOKEN",
            "App-level token (xapp-…)",
            "2/5  Slack's app-level token: Basic Information, App-Level Tokens, with the scope connections:write.",
            Need.SLACK_TRANSPORT,
            checks.app_token,
        ),
        Question(
            "CLAUDE_COST_CHANNEL",
            "Channel id (C…)",
            "3/5  The channel for alerts: type /invite @claude-cost in it; its id is at the end of its name's About.",
            Need.CHANNEL,
            checks.channel,
        ),
        Question(
            "ANTHROPIC_ADMIN_KEY",
            "Admin key",
            "4/5  Anthropic's Admin key, or a key with the scope read:analytics: Console, Settings, Admin keys.",
            Need.ANTHROPIC,
            checks.anthropic_key,
        ),
    ]


@dataclass(slots=True)
class Dialog:
    """`given`: answers of options and of the environment, which are not asked for. `answers`: accepted ones.

    `environ`: the environment.
    """

    terminal: Terminal
    file: EnvFile
    environ: Mapping[str, str]
    given: Mapping[str, str]
    answers: dict[str, str] = field(default_factory=dict)
    checks: Checks = field(default_factory=lambda: Checks(system_clock))

    def go_through(self) -> None:
        """Settle every question. Raises `SettingsError` and `NotAcceptedError` if nobody can be asked."""
        self._greet()
        for question in questions(self.checks):
            if self.terminal.asks:
                self.terminal.say(f"\n{question.where}")
            self._settle(question)
        if self.terminal.asks:
            self.terminal.say(f"\n{LIMITS}")
        self._settle_limits()
        prompt = "Slack ids of admins, with commas between (profile, ⋮, Copy member ID)"
        self._settle(Question(ADMINS, prompt, "", None, self.checks.admins))

    def effective(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables as the bot would read them: these changes, then the answers, the environment and the file."""
        own = {**self.answers, **(changes or {})}
        replaced = {f"{name}_FILE" for name in own if name in SECRETS}
        environ = {name: value for name, value in self.environ.items() if name not in replaced} | own
        of_file = {name: value for name, value in self.file.values.items() if name not in own}
        return environ | missing(environ, of_file)

    def _greet(self) -> None:
        if self.terminal.asks:
            self.terminal.say(GREETING)
        names = sorted(self.file.values)
        if names and self.terminal.asks:
            self.terminal.say(f"{self.file.path} has {', '.join(names)}. Enter keeps what it has.")
        for doubt in self.file.doubts:
            self.terminal.say(f"Careful: {doubt}.")

    def _settle(self, question: Question) -> None:
        name = question.variable
        given = self.given.get(name)
        if given is not None or self._is_set(name, self.environ) or not self.terminal.asks:
            self._require(question)
            if self._takes(question, given):
                return
        self._ask(question, given)

    def _ask(self, question: Question, last: str | None) -> None:
        """Ask until an answer is accepted. `last`: the answer that Enter checks again; None for the value of the
        file.
        """
        name = question.variable
        repeats = last is not None or self._is_set(name, self.effective())
        stands = "as it is" if last is None else "the same again"
        while True:
            enter = f" [Enter: {stands}]" if repeats else "" if question.need else " [Enter: nobody]"
            typed = normal(name, self.terminal.ask(f"{question.prompt}{enter}: ", is_secret=name in SECRETS))
            if typed:
                last, repeats = ("" if typed == NONE and not question.need else typed), True
                stands = "the same again"
            elif not repeats:
                try:
                    self._require(question)
                except SettingsError as error:
                    self.terminal.say(str(error))
                    continue
            if self._takes(question, last):
                return

    def _takes(self, question: Question, answer: str | None) -> bool:
        """Show the finding about an answer, and store the answer if accepted; None for the existing value."""
        finding = self._checked(question, answer, question.check)
        if finding.outcome in (Outcome.REFUSED, Outcome.UNKNOWN) and not self.terminal.asks:
            raise NotAcceptedError(finding.sentence)
        self.terminal.say(finding.sentence)
        if finding.outcome is Outcome.UNPROVEN and self.terminal.asks and self.terminal.agrees(TEST, enter=True):
            finding = self._checked(question, answer, self.checks.test_line)
            self.terminal.say(finding.sentence)
        if finding.outcome is Outcome.REFUSED:
            return False
        if finding.outcome is Outcome.UNKNOWN and not self.terminal.agrees("Keep it unchecked?"):
            return False
        if answer is not None:
            self.answers[question.variable] = answer
        return True

    def _checked(self, question: Question, answer: str | None, check: Check) -> Finding:
        changes = {} if answer is None else {question.variable: answer}
        try:
            settings = load_settings(self.effective(changes), Need(0))
        except SettingsError as error:
            return Finding(Outcome.REFUSED, str(error))
        finding = asyncio.run(check(settings))
        return Finding(finding.outcome, one_line(masked(finding.sentence)))

    def _require(self, question: Question) -> None:
        """Raises `SettingsError` if a required question has no answer."""
        if question.need:
            given = self.given.get(question.variable)
            load_settings(self.effective({} if given is None else {question.variable: given}), question.need)

    def _settle_limits(self) -> None:
        """Check each answer alone at once, then both together; if they do not fit, ask for both with Enter for each."""
        given = {name: self.given[name] for name in (SOFT, HARD) if name in self.given}
        limits = {name: "" if limit == NONE else limit for name, limit in given.items()}
        asked = [name for name in (SOFT, HARD) if name not in limits]
        while True:
            if self.terminal.asks:
                for name in asked:
                    self._ask_limit(name, limits)
            try:
                load_settings(self.effective(limits), Need.LIMIT)
            except SettingsError as error:
                if not self.terminal.asks:
                    raise
                self.terminal.say(str(error))
                limits = {name: limit for name, limit in limits.items() if not self._wrong_limit(name, limit)}
                asked = [SOFT, HARD]
                continue
            self.answers |= limits
            return

    def _ask_limit(self, name: str, limits: dict[str, str]) -> None:
        """Ask for one limit until it is an amount, and put it into `limits`; Enter changes nothing there."""
        level = "Soft" if name == SOFT else "Hard"
        is_kept = name not in limits and self._is_set(name, self.file.values)
        enter = "as it is" if is_kept else limits.get(name) or NONE
        while True:
            typed = self.terminal.ask(f"{level} limit [Enter: {enter}]: ").removeprefix("$")
            if not typed:
                return
            limit = "" if typed == NONE else typed
            wrong = self._wrong_limit(name, limit)
            if not wrong:
                limits[name] = limit
                return
            self.terminal.say(wrong)

    def _wrong_limit(self, name: str, limit: str) -> str:
        """Why it can be no limit, whatever the other one is; empty if it can."""
        try:
            load_settings(self.effective({SOFT: "", HARD: "", name: limit}), Need(0))
        except SettingsError as error:
            return str(error)
        return ""

    @staticmethod
    def _is_set(name: str, values: Mapping[str, str]) -> bool:
        """Whether it is set, in either form for a secret."""
        names = (name, f"{name}_FILE") if name in SECRETS else (name,)
        return any(values.get(each, "").strip() for each in names)


def normal(name: str, text: str) -> str:
    """An answer without what people paste around it."""
    found = _CHANNEL_IN_LINK.fullmatch(text) if name == "CLAUDE_COST_CHANNEL" else None
    return text if found is None else found[1]
