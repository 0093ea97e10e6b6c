"""Each outcome of an attempt is one line with the incident, the notice and the attempt."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.log_fields import NAMES
from bot.notify.delivery_log import DeliveryLog
from bot.notify.model import Notice
from tests.databases import NOW

NOTICE = Notice(7, "post", "default/2026-11/soft/400", None, 1, False, NOW, None)
ABOUT = {"event": "delivery", "incident": NOTICE.about, "destination": "Slack", "notice": 7, "action": "post"}


@pytest.mark.parametrize(
    ("tell", "level", "found"),
    [
        (lambda log: log.settled(NOTICE, found=False), logging.INFO, {"outcome": "delivered", "attempt": 2}),
        (lambda log: log.settled(NOTICE, found=True), logging.INFO, {"outcome": "found", "attempt": 1}),
        (
            lambda log: log.waits(NOTICE, timedelta(seconds=4), "away"),
            logging.ERROR,
            {"outcome": "waits", "attempt": 2, "reason": "away", "wait_seconds": 4.0},
        ),
        (
            lambda log: log.diverted(NOTICE, "no such channel"),
            logging.WARNING,
            {"outcome": "diverted", "attempt": 2, "reason": "no such channel"},
        ),
        (
            lambda log: log.dropped(NOTICE, "gone"),
            logging.WARNING,
            {"outcome": "dropped", "attempt": 2, "reason": "gone"},
        ),
        (
            lambda log: log.crashed(NOTICE, ValueError("https://user:secret@host")),
            logging.ERROR,
            {"outcome": "failed", "attempt": 2, "reason": "ValueError"},
        ),
    ],
)
def test_an_outcome_is_one_line_with_its_fields(
    tell: Callable[[DeliveryLog], None], level: int, found: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tell(DeliveryLog("Slack", logging.getLogger("bot.notify.outbox")))
    (record,) = caplog.records
    assert record.levelno == level
    assert {name: record.__dict__[name] for name in NAMES if name in record.__dict__} == ABOUT | found
    assert "secret" not in caplog.text
