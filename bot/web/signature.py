"""Slack's signature of a request (v0).

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack/
"""

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

TIMESTAMP_HEADER = "X-Slack-Request-Timestamp"
SIGNATURE_HEADER = "X-Slack-Signature"
WINDOW_SECONDS = 300
"""How far the time of a request may be from ours, in both directions."""
MOST_SERVED = 10_000
"""Signatures that are remembered: 33 requests a second for the whole window."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")


def is_signed(
    body: bytes, timestamps: Sequence[str], signatures: Sequence[str], signing_secret: str, now: datetime
) -> bool:
    """Whether Slack has signed this body just now. `timestamps`, `signatures`: every value of the two headers."""
    if len(timestamps) != 1 or len(signatures) != 1:
        return False
    timestamp, signature = timestamps[0], signatures[0]
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return False
    if abs(now.timestamp() - int(timestamp)) > WINDOW_SECONDS:
        return False
    signed = b"v0:" + timestamp.encode() + b":" + body
    expected = hmac.new(signing_secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={expected}".encode(), signature.encode())


class ServedSignatures:
    """The signatures of requests that have been served, for as long as they hold.

    Above `most` the oldest is forgotten.
    """

    def __init__(self, most: int = MOST_SERVED) -> None:
        self._most = most
        self._until: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def is_first(self, signature: str, timestamp: str, now: datetime) -> bool:
        """Whether a signature that holds has not been served yet; from now on it has been."""
        while self._until and next(iter(self._until.values())) < now.timestamp():
            self._until.popitem(last=False)
        if signature in self._until:
            return False
        self._until[signature] = int(timestamp) + WINDOW_SECONDS
        if len(self._until) > self._most:
            self._until.popitem(last=False)
        return True
