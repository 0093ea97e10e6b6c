"""The usage log: one line of JSON for each response, in the form that `claude-cost price` reads."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

log = logging.getLogger("claude_cost.client")

VARIABLE = "CLAUDE_COST_USAGE_LOG"

NEW_FILE_MODE = 0o640
"""Lines name users, so a new file is not for everybody."""


class UsageLog:
    """Appends to the file that `CLAUDE_COST_USAGE_LOG` names; off without it. Never raises.

    Each line is one write to a file opened for appending, so that lines of several processes do not mix; a file that
    was moved away is created again.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._complained = False
        self._torn = False

    @property
    def path(self) -> str | None:
        """The current file."""
        return self._environ.get(VARIABLE) or None

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line. A failure is logged once, until a line succeeds again."""
        path = self.path
        if path is None:
            return
        try:
            line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
            if self._torn:
                line = b"\n" + line
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, NEW_FILE_MODE)
            try:
                self._torn = os.write(descriptor, line) < len(line)
            finally:
                os.close(descriptor)
            if self._torn:
                raise OSError(0, "only a part of the line was written")
        except (OSError, ValueError) as error:
            if not self._complained:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                log.warning("%s cannot be written (%s): usage is not logged; correct %s", path, reason, VARIABLE)
            self._complained = True
        else:
            self._complained = False
