"""Whether the machine's clock agrees with the servers', by the dates in their answers."""

from collections.abc import Mapping
from datetime import timedelta

from bot.clock_offset import FAIL_ABOVE, WARN_ABOVE
from bot.doctor.check import Check, State


def judge_clock(offsets: Mapping[str, timedelta], jumped: str | None = None) -> Check:
    """By the server whose clock differs most. `jumped`: a sentence about a jump that the running bot has seen."""
    check = _judge(offsets)
    if jumped is None:
        return check
    state = State.WARN if check.state is State.OK else check.state
    return Check(check.name, state, f"{jumped} {check.text}", check.remedy)


def _judge(offsets: Mapping[str, timedelta]) -> Check:
    if not offsets:
        return Check("clock", State.SKIPPED, "Not checked, since no server has answered.")
    server, offset = max(offsets.items(), key=lambda item: abs(item[1]))
    seconds = int(abs(offset).total_seconds())
    if abs(offset) <= WARN_ABOVE:
        servers = " and ".join(sorted(offsets))
        return Check("clock", State.OK, f"The machine's clock agrees with {servers} within {WARN_ABOVE.seconds} s.")
    direction = "ahead of" if offset > timedelta() else "behind"
    text = f"The machine's clock is {seconds} s {direction} {server}'s."
    remedy = "Let the machine set its clock from the network (NTP)."
    if abs(offset) > FAIL_ABOVE:
        text += " Slack's signatures are refused and ages are wrong at more than 5 minutes."
        return Check("clock", State.FAIL, text, remedy)
    return Check("clock", State.WARN, text, remedy)
