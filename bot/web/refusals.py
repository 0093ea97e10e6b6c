"""One line of the log for each request that is refused: a wrong token, a bad signature, a body that cannot be read."""

import json
import logging
from http import HTTPStatus

from aiohttp import web

from bot.log_fields import Event, fields
from bot.secret_shapes import one_line
from bot.web.access import Handler

log = logging.getLogger(__name__)

NOT_LOGGED = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
"""Not logged: no route refused these. Internal faults (5xx) are logged where they occur."""

MOST_REASON = 300
"""Characters."""


@web.middleware
async def refusals_logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log a refusal by its route, status and reason, never by the sent path, which may be anything."""
    response = await handler(request)
    status = response.status
    if 400 <= status < 500 and status not in NOT_LOGGED:
        resource = request.match_info.route.resource
        path = "" if resource is None else resource.canonical
        reason = one_line(_reason(response))[:MOST_REASON]
        shown = fields(event=Event.REFUSAL, path=path, http_status=status, reason=reason)
        log.info("refused: HTTP %s with %d, %s", path, status, reason, extra=shown)
    return response


def _reason(response: web.StreamResponse) -> str:
    try:
        said = json.loads(response.text or "") if isinstance(response, web.Response) else None
    except ValueError:
        said = None
    found = (said.get("error") or said.get("message")) if isinstance(said, dict) else None
    return str(found) if found else HTTPStatus(response.status).phrase
