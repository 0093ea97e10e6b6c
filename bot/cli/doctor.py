"""`claude-cost doctor`: what keeps the bot from its work, link by link."""

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
    """What is done with the sums by day."""

    LEAVE = auto()
    COMPARE = auto()
    REPAIR = auto()


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where nothing has failed, otherwise 1; warnings and what cannot be known are no failure."""
    # A look at the database takes its lock, whose file is made where it is missing.
    os.umask(0o077)
    # What libraries have to say is found again in the checks; bodies and addresses of theirs do not belong here.
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    wanted = Rollups.REPAIR if arguments.repair else Rollups.COMPARE if arguments.rollups else Rollups.LEAVE
    checks = asyncio.run(checks_of(os.environ, system_clock, wanted))
    show(json.dumps(doctor_json(checks), indent=2) if arguments.json else doctor_text(checks))
    return 0 if all_well(checks) else 1


async def checks_of(
    environ: MutableMapping[str, str], clock: Clock, rollups: Rollups = Rollups.LEAVE
) -> tuple[Check, ...]:
    """The findings about the settings, then those about what they name, as far as they can be read.

    `environ` gets what the file of settings has.
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
    # Without a limit of time: every row is read.
    url, repair = read.settings.database_url, rollups is Rollups.REPAIR
    return (*found, await asyncio.to_thread(check_rollups, url, repair=repair))
