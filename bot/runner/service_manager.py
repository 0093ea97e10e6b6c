"""Notifies systemd of the bot's state. Source: sd_notify(3), sd_watchdog_enabled(3)."""

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


class ServiceManager:
    """Sends states to systemd; does nothing unless the service is of `Type=notify`, which names a socket."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # An @ stands for the NUL of an abstract address.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._failed = False
        self.ping_seconds = _ping_seconds(environ) if address else None
        """Seconds between two signs of life; None if systemd expects none."""

    def tell(self, state: str) -> None:
        """Send one state. A failure is logged once."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd cannot be told that the bot is alive (%s)", error.strerror)
            self._failed = True


def _ping_seconds(environ: Mapping[str, str]) -> float | None:
    """Half of the seconds after which systemd restarts the service; None without a watchdog."""
    limit, of_process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if of_process and of_process != str(os.getpid()):
        return None
    is_number = limit.isascii() and limit.isdecimal() and len(limit) < 16
    return int(limit) / 2e6 if is_number and int(limit) else None
