"""What is run after every poll: each detector watches for one kind of thing that people are alerted to."""

from datetime import datetime
from typing import Protocol


class Detector(Protocol):
    """Reads the snapshot and its own incidents, decides, and records its steps.

    `name`: what its faults are called. A fault in one detector keeps no other from being run.
    """

    name: str

    def look(self, now: datetime, mode: str) -> object:
        """Record what is to be reported. `mode`: the fallback mode in force. What it returns is of no meaning here."""
