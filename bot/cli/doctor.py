"""`claude-cost doctor`: checks everything that the bot needs, one by one."""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import MutableMapping
from enum import Enum, auto

from bot.app import sample_alert, slack_client
from bot.cli.output import show
from bot.clock import Clock, system_clock
from bot.doctor.check import Check, all_well, doctor_json, doctor_text, without_secrets
from bot.doctor.configuration import Configuration, read_configuration, read_env_file, secrets_in
from bot.doctor.database import check_rollups
from bot.doctor.examination import DATABASE_VARIABLE, examine, judge_rate_card
from bot.pricing.card import load_rate_card
from bot.slack_api import new_session


class Rollups(Enum):
    """What to do with the sums by day."""

    LEAVE = auto()
    COMPARE = auto()
    REPAIR = auto()


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 if nothing has failed, otherwise 1; warnings and unknown results are not failures."""
    # Checking the database takes its lock, whose file is created if missing.
    os.umask(0o077)
    # Silence libraries: the checks report their errors, and their bodies and addresses do not belong here.
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    wanted = Rollups.REPAIR if arguments.repair else Rollups.COMPARE if arguments.rollups else Rollups.LEAVE
    checks = asyncio.run(checks_of(os.environ, system_clock, wanted))
    show(json.dumps(doctor_json(checks), indent=2) if arguments.json else doctor_text(checks))
    return 0 if all_well(checks) else 1


async def checks_of(
    environ: MutableMapping[str, str], clock: Clock, rollups: Rollups = Rollups.LEAVE
) -> tuple[Check, ...]:
    """Findings about the settings, then about what they name, as far as they can be read.

    `environ` gets the values of the file of settings.
    """
    of_file = read_env_file(environ)
    read = read_configuration(environ)
    secrets = secrets_in(environ, read.settings)
    return without_secrets([*of_file, *read.checks, *await _examined(read, clock, rollups)], secrets)


async def _examined(read: Configuration, clock: Clock, rollups: Rollups) -> tuple[Check, ...]:
    card = load_rate_card()
    if read.settings is None:
        return (judge_rate_card(card, clock),)
    async with new_session() as session:
        client = slack_client(read.settings, session)
        found = await examine(read.settings, client, sample_alert(clock()), card, clock, wrong=read.wrong)
    if rollups is Rollups.LEAVE or DATABASE_VARIABLE in read.wrong:
        return found
    # No time limit: every row is read.
    url, repair = read.settings.database_url, rollups is Rollups.REPAIR
    return (*found, await asyncio.to_thread(check_rollups, url, repair=repair))
