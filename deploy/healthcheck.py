"""Exit code 0 if the bot of this container is alive: `GET /healthz` on its own port. The standard library alone."""

import http.client
import os
import sys

SECONDS = 4
ANYWHERE = ("", "0.0.0.0", "::")


def main() -> int:
    """Exit code 1 where there is no answer, or another one than 200."""
    host = os.environ.get("CLAUDE_COST_HTTP_HOST", "").strip()
    port = os.environ.get("CLAUDE_COST_HTTP_PORT", "").strip() or "8080"
    try:
        connection = http.client.HTTPConnection("127.0.0.1" if host in ANYWHERE else host, int(port), timeout=SECONDS)
        connection.request("GET", "/healthz")
        return int(connection.getresponse().status != http.client.OK)
    except (OSError, ValueError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main())
