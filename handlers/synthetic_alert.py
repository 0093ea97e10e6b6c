"""`/claude-cost test-alert`: a message that goes the way of every alert, and says only that it arrived."""

from bot.actor import Person
from bot.alerts.model import SyntheticAlert
from bot.messages import Message
from bot.phrases import count
from bot.services import Services
from handlers.fallback import age_of_data
from handlers.render.age import with_age
from handlers.render.elements import section
from handlers.render.escape import code, names, sentence

ACTION = "test-alert"


async def send_test_alert(services: Services, person: Person) -> Message:
    """One test alert into the outbox, where the user may; otherwise why not."""
    permission = await services.admins.may_switch(person, "send a test alert")
    if permission.refusal is not None:
        services.fallback.refused(person.id, ACTION, permission.refusal)
        text = permission.refusal
    else:
        text = await services.threads.commands(_enqueued, services, person.id)
    return with_age(Message(text, [section(text)]), await age_of_data(services))


def _enqueued(services: Services, user: str) -> str:
    before = services.alerts.notices.undelivered()
    facts = SyntheticAlert(by=user, requested_at=services.clock())
    services.alerts.enqueue_test(facts)
    others = sorted(services.alerts.destinations.names)
    besides = f" and to {names(others)}" if others else ""
    text = f"Test alert {code(facts.incident)} is on its way to the alert channel{besides}: it is there within seconds."
    if not before:
        return text
    error = services.alerts.notices.last_error()
    why = "" if error is None else f" The first of them waits, because: {sentence(error)}"
    return (
        f"{text[:-1]}, once the {count(before, 'message')} before it {'is' if before == 1 else 'are'} delivered.{why}"
    )
