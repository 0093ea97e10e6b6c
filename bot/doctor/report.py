"""The findings as text and as JSON. Whatever they quote, no secret gets out."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from bot.doctor.check import Check, State
from bot.secret_shapes import masked, one_line

MARKS = {State.OK: "ok", State.WARN: "WARN", State.FAIL: "FAIL", State.SKIPPED: "skipped"}

LEAST_SECRET = 6
"""Characters. A shorter value is a word that a sentence may need."""


def all_well(checks: Iterable[Check]) -> bool:
    """Whether nothing has failed."""
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
    width = max(len(check.name) for check in checks)
    lines = [f"{MARKS[check.state]:<7}  {check.name:<{width}}  {one_line(check.text)}" for check in checks]
    return "\n".join([*lines, "", *summary(checks)])


def summary(checks: Sequence[Check]) -> list[str]:
    """What has failed first, then the warnings, then how many there are of the rest."""
    lines = []
    for state, word in ((State.FAIL, "Failed"), (State.WARN, "Warnings")):
        names = [check.name for check in checks if check.state is state]
        if names:
            lines.append(f"{word}: {', '.join(names)}.")
    counts = [f"{sum(check.state is state for check in checks)} {state.value}" for state in State]
    return [*lines, f"{', '.join(counts)}."]
