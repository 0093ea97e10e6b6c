"""`claude-cost import`: usage records of files into the ledger, each once; reports what was new, what was skipped and
why.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.amounts import usd
from bot.cli.output import complain, show
from bot.cli.price_answer import decimals, number, shown
from bot.cli.price_reading import Progress
from bot.clock import Clock, system_clock
from bot.config.env_file import load_env_file
from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.db.engine import DatabaseError, database_problem, open_database
from bot.ledger.clickhouse import ClickHouseError
from bot.ledger.clickhouse_ledger import ledger_from
from bot.ledger.files import FileImport, Imported
from bot.ledger.files_store import copy_ledger
from bot.ledger.model import SEVERAL
from bot.ledger.store import SqlLedger
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.model_names import Kind, kind_of
from bot.pricing.tokens import TokenCounts
from bot.pricing.totals import Pile, Place, Prompt, Steps, Sums, Totals, priced
from bot.usage.logs.files import Found, UnreadableError, find_files, in_order

COUNTS = (
    ("input_tokens", "input"),
    ("cache_creation_5m_input_tokens", "5m writes"),
    ("cache_creation_1h_input_tokens", "1h writes"),
    ("cache_read_input_tokens", "cache reads"),
    ("output_tokens", "output"),
    ("web_search_requests", "web searches"),
)
"""Counts in the order of `TokenCounts`."""


def totals_of(imported: Imported, card: RateCard) -> Totals:
    """What was added to the ledger, at the prices of its days."""
    sums, step = Sums(), Steps(card)
    for (hour, its), added in imported.by_hour.items():
        day = hour.date()
        above = step.of(its.model, day)
        prompt = Prompt.LONG if above is not None and its.prompts_above >= above else Prompt.SHORT
        if its.prompts_above == SEVERAL:
            prompt = Prompt.SEVERAL
        place = Place(its.model, day, day, prompt, its.terms, its.feature, its.user_id)
        sums.add(place, added.requests, added.counts)
    pile = Pile(list(sums.places()), [], imported.odd, 0, dict(imported.not_claude), imported.repeats, 0, (), 0)
    return priced(pile, card, date.max)


def period_of(imported: Imported) -> tuple[date, date] | None:
    """First and last UTC day of what was added."""
    days = [hour.date() for (hour, _), added in imported.by_hour.items() if added.requests or any(added.counts)]
    return (min(days), max(days)) if days else None


def as_json(imported: Imported, found: Found, card: RateCard, dry_run: bool) -> dict[str, Any]:
    """One object; amounts are strings of USD with six decimals."""
    totals, period = totals_of(imported, card), period_of(imported)
    return {
        "dry_run": dry_run,
        "files": imported.files,
        "unchanged": imported.unchanged,
        "records": imported.records,
        "new": imported.new,
        "repeats": imported.repeats,
        "running_totals": imported.running_totals,
        "session_sums": imported.session_sums,
        "without_time": imported.untimed,
        "skipped": dict(sorted(imported.skipped.items())),
        "not_claude": dict(sorted(imported.not_claude.items())),
        "unreadable": [*found.unreadable, *imported.unreadable],
        "left_out": {one.path: one.reason for one in found.left_out},
        "tokens": {name: count for (name, _), count in zip(COUNTS, totals.total.counts, strict=True)},
        "total_usd": decimals(totals.total.usd),
        "assumed_usd": decimals(totals.assumed_usd),
        "by_model": {model: decimals(one.usd) for model, one in sorted(totals.by_model.items())},
        "unpriced": {model: one.calls for model, one in sorted(totals.assumed.items())},
        "from": None if period is None else period[0].isoformat(),
        "to": None if period is None else period[1].isoformat(),
        "rates_checked": card.checked_on.isoformat(),
    }


def as_text(imported: Imported, found: Found, card: RateCard, dry_run: bool) -> Iterator[str]:
    """What was stored first, then everything a reader must know to trust it."""
    totals, period = totals_of(imported, card), period_of(imported)
    would = "Would store" if dry_run else "Stored"
    when = "" if period is None else f", {period[0]} to {period[1]} UTC"
    yield f"{would} {number(imported.new, 'response')}, {usd(totals.total.usd)} at the rates of their days{when}"
    if any(totals.total.counts):
        yield f"Tokens: {_tokens(totals.total.counts)}."
    yield f"{number(imported.records, 'record')} read in {number(imported.files, 'file')}."
    if imported.unchanged:
        yield f"{number(imported.unchanged, 'file')} with nothing that was not imported before."
    yield from _notes(imported, totals)
    if found.left_out:
        yield f"{number(len(found.left_out), 'file')} of folders not read: nothing in them that looks like usage."
    yield f"List prices in USD without tax, prices checked on {card.checked_on.isoformat()}."


def _notes(imported: Imported, totals: Totals) -> Iterator[str]:
    if imported.repeats:
        yield f"{number(imported.repeats, 'repeat')} of responses that were known: counted once."
    if imported.running_totals:
        yield f"{number(imported.running_totals, 'record')} of running totals: what each has risen by counts."
    if imported.session_sums:
        yield f"{number(imported.session_sums, 'sum')} of a session left out: its calls are counted one by one."
    if imported.untimed:
        yield f"{number(imported.untimed, 'record')} without a time: put to when the file was last changed."
    if imported.odd:
        yield f"{number(imported.odd, 'iteration')} could not be read: their tokens are not stored."
    for model, one in sorted(totals.assumed.items()):
        yield f"ASSUMED: {shown(model)} is in no price table: {usd(one.usd)}, {one.how}."
    for model, calls in sorted(imported.not_claude.items()):
        if calls:
            yield f"Left out: {number(calls, 'call')} of {shown(model)}, which is not a Claude model."
    for reason, lines in _largest_first(imported.skipped):
        yield f"{number(lines, 'record')} skipped: {reason}."


def nothing_found(imported: Imported, paths: Sequence[str]) -> str:
    """One sentence for files without any call."""
    there = [f"{calls:,} × {shown(model)}, which is not a Claude model" for model, calls in imported.not_claude.items()]
    there += [f"{lines:,} × {reason}" for reason, lines in _largest_first(imported.skipped)]
    where = ", ".join(paths)
    if there:
        return f"No call was found in {where}; what is there was skipped: {'; '.join(there)}."
    return f"Nothing to import in {where}: no record of usage in any file."


def _largest_first(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((reason, lines) for reason, lines in reasons.items() if lines), key=lambda item: (-item[1], item[0]))


def _tokens(counts: TokenCounts) -> str:
    return ", ".join(f"{count:,} {name}" for (_, name), count in zip(COUNTS, counts, strict=True) if count)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 if everything was read, 1 if there was nothing to read or something failed, 2 for a wrong path or
    configuration.
    """
    os.umask(0o077)
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    card = load_rate_card()
    try:
        found = find_files(arguments.paths)
        load_env_file(os.environ)
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
    """Import files into the ledger, oldest first."""
    with Progress(sum(file.size for file in found.files)) as progress:
        claude = cache(lambda model: kind_of(model, card) is not Kind.NOT_CLAUDE)
        importing = FileImport(engine, ledger, claude, clock, progress.advance)
        for file in in_order(found.files):
            importing.add(file)
        return importing.finish()


@contextmanager
def ledger_database(url: str, *, dry_run: bool) -> Iterator[Engine]:
    """The database, or for a dry run a temporary copy of its ledger tables."""
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
