"""What nobody foresaw: an id for the person and for the log, never a traceback in chat."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncBoltContext
from slack_bolt.response import BoltResponse
from sqlalchemy.exc import SQLAlchemyError

from bot.db.engine import database_problem
from bot.messages import Message
from bot.services import Services
from handlers.replies import reply

log = logging.getLogger(__name__)


class LastingAck(AsyncAck):
    """Bolt takes an acknowledgement back where its listener fails at once after it; then Slack would wait in vain."""

    @property
    def response(self) -> BoltResponse | None:
        return self._response

    @response.setter
    def response(self, response: BoltResponse | None) -> None:
        self._response = response or getattr(self, "_response", None)


def _sentence(error: Exception) -> str:
    """What the person hears; the log has the rest."""
    if isinstance(error, SQLAlchemyError):
        # The state of the database is a fault of its own, and readiness names it too.
        log.error("an answer was not possible: %s", database_problem(error))
        return database_problem(error)
    incident = secrets.token_hex(4)
    log.error("error %s while answering", incident, exc_info=error)
    return f"Something went wrong here (error {incident}). The operator finds the cause in the bot's log."


def register(app: AsyncApp, services: Services) -> None:
    """Catch what listeners raise. In HTTP mode only requests with a valid signature reach the app."""

    async def keep_ack(context: AsyncBoltContext, next_: Callable[[], Awaitable[None]]) -> None:
        context["ack"] = LastingAck()  # type: ignore[no-untyped-call]  # Bolt's own has no types
        await next_()

    async def on_error(error: Exception, body: dict[str, Any], response: BoltResponse | None) -> BoltResponse | None:
        await reply(services, body, Message(_sentence(error)))
        # There is no response to fill in once the request was acknowledged.
        return None if response is None else BoltResponse(status=200)

    app.middleware(keep_ack)
    app.error(on_error)
