"""Logs deliveries: one line for each outcome of an attempt, with the incident."""

import logging
from datetime import timedelta

from bot.language import spoken
from bot.log_fields import Event, fields
from bot.notify.model import Address, Notice


class DeliveryLog:
    """Logs the deliveries to one destination, with the outbox's logger."""

    def __init__(self, destination: str, log: logging.Logger) -> None:
        self._name = destination
        self._log = log

    def settled(self, notice: Notice, *, found: bool) -> None:
        """The notice has arrived. `found`: by an earlier attempt, as a search or this copy's memory says."""
        outcome = "found" if found else "delivered"
        text = "%s: notice %d, %s of %s, %s"
        shown = self._shown(notice, outcome, attempt=notice.attempts + (not found))
        self._log.info(text, self._name, notice.id, notice.action, notice.about, outcome, extra=shown)

    def waits(self, notice: Notice, wait: timedelta, why: str) -> None:
        """The notice waits for a retry."""
        seconds, reason = wait.total_seconds(), spoken(why)
        shown = self._shown(notice, "waits", reason) | fields(wait_seconds=seconds)
        self._log.error("%s: notice %d waits %d s: %s", self._name, notice.id, seconds, reason, extra=shown)

    def dropped(self, notice: Notice, why: str) -> None:
        """The notice is given up."""
        self._warn(notice, "dropped", "%s: notice %d is dropped: %s", why)

    def diverted(self, notice: Notice, why: str) -> None:
        """The notice moves to the main channel, since its own cannot be reached."""
        self._warn(notice, "diverted", "%s: notice %d goes to the main channel: %s", why)

    def posted_again(self, notice: Notice, why: str) -> None:
        """The message cannot be edited, so a new one is posted."""
        self._warn(notice, "posted again", "%s: notice %d is posted again: %s", why)

    def sent_again(self, notice: Notice, why: str) -> None:
        """The notice is sent again, since no search tells whether it has arrived."""
        self._warn(notice, "sent again", "%s: notice %d is sent again, since no search works: %s", why)

    def taken(self, notice: Notice, why: str) -> None:
        """Another copy delivers the notice."""
        self._warn(notice, "taken", "%s: notice %d: %s", why)

    def taken_late(self, notice: Notice, address: Address | None) -> None:
        """The notice has arrived, but another copy has claimed it meanwhile."""
        where = "" if address is None else f" as {address.ts} in {address.channel}"
        text = "%s: notice %d is delivered%s, but another copy has taken it over: it may appear twice"
        self._log.warning(text, self._name, notice.id, where, extra=self._shown(notice, "taken"))

    def crashed(self, notice: Notice, error: Exception) -> None:
        """The destination raised an error. Its text is left out, since it may quote an address with a secret."""
        kind = type(error).__name__
        text = "%s failed at notice %d (%s)"
        self._log.error(text, self._name, notice.id, kind, extra=self._shown(notice, "failed", kind))

    def _warn(self, notice: Notice, outcome: str, text: str, why: str) -> None:
        reason = spoken(why)
        self._log.warning(text, self._name, notice.id, reason, extra=self._shown(notice, outcome, reason))

    def _shown(
        self,
        notice: Notice,
        outcome: str,
        reason: str | None = None,
        attempt: int | None = None,
    ) -> dict[str, object]:
        shown = fields(event=Event.DELIVERY, destination=self._name, outcome=outcome, reason=reason)
        number = notice.attempts + 1 if attempt is None else attempt
        return shown | fields(notice=notice.id, incident=notice.about, action=notice.action, attempt=number)
