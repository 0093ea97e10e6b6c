"""`/claude-cost doctor`: the command line's examination from within the running bot."""

from bot.doctor.check import MARKS, Check, State, summary
from bot.messages import Message
from bot.services import Services
from handlers.fallback import age_of_data
from handlers.render.age import with_age
from handlers.render.elements import sections
from handlers.render.escape import shown

LINE_LIMIT = 700
"""Characters of one finding: some name a path and quote an error."""


async def doctor_command(services: Services) -> Message:
    """What has failed and what is less than good first, then the rest. The settings are those of the start."""
    checks = await services.examine()
    order = (State.FAIL, State.WARN, State.OK, State.SKIPPED)
    ranked = sorted(checks, key=lambda check: order.index(check.state))
    lines = [shown(line, LINE_LIMIT) for line in summary(checks)]
    plain = [*lines, *(_line(check, "") for check in ranked)]
    drawn = [f"*{lines[0]}*", *lines[1:], *(_line(check, "*") for check in ranked)]
    return with_age(Message("\n".join(plain), sections(drawn)), await age_of_data(services))


def _line(check: Check, bold: str) -> str:
    mark = f"{bold}{MARKS[check.state]}{bold}" if check.state in (State.FAIL, State.WARN) else MARKS[check.state]
    return f"{mark} · {shown(check.name)}: {shown(check.text, LINE_LIMIT)}"
