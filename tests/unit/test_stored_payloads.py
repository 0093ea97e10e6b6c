"""Payloads stored by earlier versions are read, and written again unchanged."""

import json
from pathlib import Path

import pytest

from bot.alerts.notice_contents import dumped, loaded
from bot.db.migrations.versions.v0015_kinds_of_alerts import rewritten

STORED = [json.loads(line) for line in Path(__file__).with_name("stored_payloads.jsonl").read_text().splitlines()]
"""One row of every kind as 1.0 wrote it: those of incidents at several steps."""


def holds(written: object, stored: object) -> bool:
    """Whether everything stored is written again; newer fields may be added."""
    if isinstance(written, dict) and isinstance(stored, dict):
        return all(key in written and holds(written[key], value) for key, value in stored.items())
    if isinstance(written, list) and isinstance(stored, list):
        return len(written) == len(stored) and all(map(holds, written, stored))
    return written == stored


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: str(stored["kind"]))
def test_a_row_of_an_earlier_version_is_read_and_written_as_the_migration_left_it(stored: dict[str, object]) -> None:
    migrated = rewritten(stored)
    payload = loaded(migrated)
    assert payload is not None
    written = dumped(payload)
    assert holds(written, migrated)
    assert loaded(json.loads(json.dumps(written))) == payload


@pytest.mark.parametrize("stored", [{"kind": "of a later version"}, {"kind": "limit"}, {}, None, []])
def test_a_row_that_this_version_cannot_read_is_no_payload(stored: object) -> None:
    assert loaded(stored) is None
