"""A test alert as a message. It looks like no real one: neither a sum nor a limit, and the word test first."""

from bot.alerts.model import SyntheticAlert
from bot.messages import Message
from handlers.render.elements import context, header, local_moment, moment, section
from handlers.render.escape import code, mention, shown

NOTHING = "nothing was spent and no limit is crossed"


def message_of_test(facts: SyntheticAlert) -> Message:
    """What was asked for, by whom, and how to tell it from a repeat."""
    lines = [
        f"Test alert: {NOTHING}.",
        f"{mention(facts.by)} asked for it. It came the way of real alerts, so those arrive here too.",
    ]
    blocks = [
        header(f"Test alert: {NOTHING}"),
        section(lines[1]),
        context(f"Incident {code(facts.incident)} · asked for {local_moment(facts.requested_at)}"),
    ]
    return Message(
        "\n".join([*lines, f"Incident {shown(facts.incident)} · asked for {moment(facts.requested_at)}"]), blocks
    )
