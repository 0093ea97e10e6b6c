"""What nobody foresaw: an id for the person and for the log, never a traceback in chat."""

import logging
import secrets
from typing import Any

from slack_bolt.async_app import AsyncApp, AsyncRespond
from slack_bolt.response import BoltResponse

from bot.message import Message
from handlers.replies import reply

log = logging.getLogger(__name__)


def register(app: AsyncApp) -> None:
    """Catch what listeners raise."""

    async def on_error(error: Exception, body: dict[str, Any], respond: AsyncRespond) -> BoltResponse:
        incident = secrets.token_hex(4)
        log.error("error %s while answering", incident, exc_info=error)
        if body.get("response_url"):
            text = f"Something went wrong here (error {incident}). The operator finds the cause in the bot's log."
            await reply(respond, Message(text))
        return BoltResponse(status=200)

    app.error(on_error)
