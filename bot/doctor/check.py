"""What one check has found, and running many of them side by side: none can raise, none can hold up the others."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

log = logging.getLogger(__name__)


class State(StrEnum):
    """`warn`: it works, but not as well as it could. `skipped`: it cannot be known here, or is not needed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `sentence` may quote values from outside. `remedy`: what to do, where it is apart."""

    name: str
    state: State
    sentence: str
    remedy: str | None = None

    @property
    def text(self) -> str:
        return self.sentence if self.remedy is None else f"{self.sentence} {self.remedy}"


async def run_checks(probes: Mapping[str, Awaitable[Sequence[Check]]], seconds: float) -> list[Check]:
    """The findings of all probes, in their order. One that takes longer than `seconds`, or breaks, has failed."""
    answers = await asyncio.gather(*(_bounded(probe, seconds) for probe in probes.values()), return_exceptions=True)
    found: list[Check] = []
    for name, answer in zip(probes, answers, strict=True):
        if isinstance(answer, TimeoutError):
            found.append(Check(name, State.FAIL, f"There was no answer within {seconds:g} s.", "Try again."))
        elif isinstance(answer, BaseException):
            log.error("the check %s broke off", name, exc_info=answer)
            found.append(Check(name, State.FAIL, f"The check broke off ({type(answer).__name__})."))
        else:
            found += answer
    return found


async def _bounded(probe: Awaitable[Sequence[Check]], seconds: float) -> Sequence[Check]:
    async with asyncio.timeout(seconds):
        return await probe
