"""`claude-cost import`: usage records of files into the ledger, once each."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from tempfile import TemporaryDirectory

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.cli.import_answer import as_json, as_text, nothing_found
from bot.cli.output import complain, show
from bot.cli.price_reading import Progress
from bot.clock import Clock, system_clock
from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.db.engine import DatabaseError, database_problem, open_database
from bot.ledger.clickhouse import ClickHouseError
from bot.ledger.clickhouse_ledger import ledger_from
from bot.ledger.files import FileImport, Imported
from bot.ledger.files_store import copy_ledger
from bot.ledger.store import SqlLedger
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.model_names import Kind, kind_of
from bot.usage.logs.files import Found, UnreadableError, find_files, in_order


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where all was read, 1 where there was nothing to read or something could not be, 2 for a wrong path
    or configuration."""
    os.umask(0o077)
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    card = load_rate_card()
    try:
        found = find_files(arguments.paths)
        settings = load_settings(os.environ, Need(0))
        with ledger_database(settings.database_url, dry_run=arguments.dry_run) as engine:
            imported = import_files(engine, _ledger(engine, settings), found, card, system_clock)
    except (UnreadableError, SettingsError, DatabaseError) as error:
        complain(str(error))
        return 2
    except SQLAlchemyError as error:
        complain(database_problem(error))
        return 1
    except ClickHouseError as error:
        complain(str(error))
        return 1
    unreadable = [*found.unreadable, *imported.unreadable]
    for sentence in unreadable:
        complain(sentence)
    nothing = not imported.records and not imported.unchanged
    if nothing:
        complain(nothing_found(imported, arguments.paths))
    if arguments.json:
        show(json.dumps(as_json(imported, found, card, arguments.dry_run), indent=2))
    elif not nothing:
        show("\n".join(as_text(imported, found, card, arguments.dry_run)))
    return 1 if nothing or unreadable else 0


def import_files(engine: Engine, ledger: SqlLedger, found: Found, card: RateCard, clock: Clock) -> Imported:
    """Bring files into the ledger, the ones that changed first before the others."""
    with Progress(sum(file.size for file in found.files)) as progress:
        claude = cache(lambda model: kind_of(model, card) is not Kind.NOT_CLAUDE)
        importing = FileImport(engine, ledger, claude, clock, progress.advance)
        for file in in_order(found.files):
            importing.add(file)
        return importing.finish()


@contextmanager
def ledger_database(url: str, *, dry_run: bool) -> Iterator[Engine]:
    """The database, or for a dry run a copy of what it has of the ledger, which is thrown away."""
    with ExitStack() as stack:
        engine = open_database(url)
        stack.callback(engine.dispose)
        if dry_run:
            folder = stack.enter_context(TemporaryDirectory(prefix="claude-cost-"))
            copy = open_database(f"sqlite:///{folder}/dry-run.db")
            stack.callback(copy.dispose)
            copy_ledger(engine, copy)
            engine = copy
        yield engine


def _ledger(engine: Engine, settings: Settings) -> SqlLedger:
    return ledger_from(engine, settings.ledger_url, settings.ledger_rules)
