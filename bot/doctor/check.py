"""Findings of the doctor: running the checks concurrently, and the report as text and as JSON.

No check can raise or block another one. The report shows no secret, whatever a finding quotes.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from bot.language import tr, tr_noop
from bot.listed import comma_list
from bot.secret_shapes import masked, one_line

log = logging.getLogger(__name__)


class State(StrEnum):
    """`warn`: it works, but not fully. `skipped`: it cannot be checked here, or is not needed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `sentence` may quote external values. `remedy`: what to do, if not part of the sentence."""

    name: str
    state: State
    sentence: str
    remedy: str | None = None

    @property
    def text(self) -> str:
        return self.sentence if self.remedy is None else f"{self.sentence} {self.remedy}"


async def run_checks(probes: Mapping[str, Awaitable[Sequence[Check]]], seconds: float) -> list[Check]:
    """The findings of all probes, in order. A probe that raises or takes longer than `seconds` is a failure."""
    answers = await asyncio.gather(*(_bounded(probe, seconds) for probe in probes.values()), return_exceptions=True)
    found: list[Check] = []
    for name, answer in zip(probes, answers, strict=True):
        if isinstance(answer, TimeoutError):
            text = tr("There was no response within {seconds} s.", seconds=f"{seconds:g}")
            found.append(Check(name, State.FAIL, text, tr("Try again.")))
        elif isinstance(answer, BaseException):
            log.error("the check %s crashed", name, exc_info=answer)
            found.append(Check(name, State.FAIL, tr("The check crashed ({error}).", error=type(answer).__name__)))
        else:
            found += answer
    return found


async def _bounded(probe: Awaitable[Sequence[Check]], seconds: float) -> Sequence[Check]:
    async with asyncio.timeout(seconds):
        return await probe


TITLES: Mapping[str, str] = {
    "paths": tr_noop("files"),
    "slack_token": tr_noop("Slack token"),
    "slack_scopes": tr_noop("Slack scopes"),
    "slack_connection": tr_noop("Slack connection"),
    "channel": tr_noop("alert channel"),
    "budget_channels": tr_noop("channels of budgets"),
    "sample_alert": tr_noop("sample alert"),
    "anthropic": tr_noop("Anthropic"),
    "anthropic_analytics": tr_noop("analytics API"),
    "anthropic_admin": tr_noop("admin API"),
    "cost_report": tr_noop("cost report"),
    "console_limit": tr_noop("Console limit"),
    "lease": tr_noop("running copy"),
    "freshness": tr_noop("age of the data"),
    "outbox": tr_noop("waiting messages"),
    "scopes": tr_noop("budget scopes"),
    "usage_rows": tr_noop("rows of usage"),
    "env_file": tr_noop("file of settings"),
    "fallback_file": tr_noop("fallback file"),
    "targets": tr_noop("fallback targets"),
    "rate_card": tr_noop("list prices"),
    "rollups": tr_noop("sums by day"),
    "settings": tr_noop("settings"),
    "admins": tr_noop("admins"),
    "database": tr_noop("database"),
    "destinations": tr_noop("destinations"),
    "budgets": tr_noop("budgets"),
    "attribution": tr_noop("attribution"),
    "ledger": tr_noop("ledger"),
    "clock": tr_noop("clock"),
}
"""Display names of checks."""


def title(check: Check) -> str:
    """Display name of the check; JSON has its own name."""
    known = TITLES.get(check.name)
    return check.name.replace("_", " ") if known is None else tr(known)


MARKS = {
    State.OK: tr_noop("ok"),
    State.WARN: tr_noop("WARN"),
    State.FAIL: tr_noop("FAIL"),
    State.SKIPPED: tr_noop("skipped"),
}
LISTED = {State.FAIL: tr_noop("Failed: {checks}."), State.WARN: tr_noop("Warnings: {checks}.")}
COUNTS = tr_noop("{ok} ok, {warn} warn, {fail} fail, {skipped} skipped.")

LEAST_SECRET = 6
"""Shortest masked secret in characters. A shorter value may be an ordinary word."""


def all_well(checks: Iterable[Check]) -> bool:
    """Whether no check failed."""
    return all(check.state is not State.FAIL for check in checks)


def without_secrets(checks: Iterable[Check], secrets: Iterable[str]) -> tuple[Check, ...]:
    """The findings with every secret, and everything that looks like one, replaced by an ellipsis."""
    known = [secret for secret in secrets if len(secret) >= LEAST_SECRET]

    def clean(text: str) -> str:
        for secret in known:
            text = text.replace(secret, "…")
        return masked(text)

    return tuple(
        replace(check, sentence=clean(check.sentence), remedy=None if check.remedy is None else clean(check.remedy))
        for check in checks
    )


def doctor_json(checks: Sequence[Check]) -> dict[str, Any]:
    """`{ok, checks: [{name, state, sentence, remedy}]}`."""
    return {"ok": all_well(checks), "checks": [asdict(check) for check in checks]}


def doctor_text(checks: Sequence[Check]) -> str:
    """One line for each finding, then the summary."""
    width = max(len(title(check)) for check in checks)
    lines = [f"{MARKS[check.state]:<7}  {title(check):<{width}}  {one_line(check.text)}" for check in checks]
    return "\n".join([*lines, "", *summary(checks)])


def summary(checks: Sequence[Check]) -> list[str]:
    """The failures, the warnings, then the counts."""
    lines = []
    for state, text in LISTED.items():
        found = Counter(title(check) for check in checks if check.state is state)
        if found:
            names = (name if number == 1 else f"{name} ({number})" for name, number in found.items())
            lines.append(tr(text, checks=comma_list(list(names))))
    counts = {state.value: sum(check.state is state for check in checks) for state in State}
    return [*lines, tr(COUNTS, **counts)]
