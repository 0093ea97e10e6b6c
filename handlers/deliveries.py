"""From a notice in the outbox to the message that is sent: which renderer it is, and the link to the other level."""

from collections.abc import Callable

from bot.alerts.facts import AlertFacts, TestFacts
from bot.message import Message
from bot.slack_connection import Workspace
from bot.store.alerts import Notice
from handlers.blocks.alert import alert_message
from handlers.blocks.fallback import announcement
from handlers.blocks.synthetic_alert import message_of_test


def renderer(path: str, workspace: Workspace) -> Callable[[Notice], Message]:
    """`path`: the env file of the fallback mode."""

    def render(notice: Notice) -> Message:
        if isinstance(notice.facts, AlertFacts):
            link = None if notice.related is None else workspace.permalink(notice.related)
            return alert_message(notice.facts, link)
        if isinstance(notice.facts, TestFacts):
            return message_of_test(notice.facts)
        return announcement(notice.facts, path, notice.written_at, notice.write_error)

    return render
