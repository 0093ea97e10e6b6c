"""What Apprise's services get from the network through `requests`: no answer without an end, and no redirects."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter

MOST_BYTES = 2**20
"""Of one answer, unpacked. Services answer a message with a line or two."""

_PIECE_BYTES = 2**16


class _BoundedAdapter(HTTPAdapter):
    """Raises `requests.RequestException`, which every service takes for a connection error."""

    def send(self, request: requests.PreparedRequest, stream: bool = False, *args: Any, **kwargs: Any) -> Any:
        """The answer, read here unless `stream`, and without the address that it may redirect to."""
        response = super().send(request, True, *args, **kwargs)
        # Some services do not ask whether to follow, and a message that follows becomes a request for a page.
        response.headers.pop("Location", None)
        if not stream:
            pieces: list[bytes] = []
            left = MOST_BYTES
            for piece in response.iter_content(_PIECE_BYTES):
                left -= len(piece)
                if left < 0:
                    response.close()
                    raise requests.RequestException(f"an answer has more than {MOST_BYTES} bytes")
                pieces.append(piece)
            response._content = b"".join(pieces)
        return response


def bound_requests() -> None:
    """From now on, for every session of this process; only Apprise uses `requests` here."""
    # There is no other way to reach the sessions that the services open for each message.
    setattr(requests.sessions, "HTTPAdapter", _BoundedAdapter)  # noqa: B010  # mypy refuses to assign to a type
