"""`claude-cost export`: a report as CSV, or its usage in the columns of FOCUS."""

import argparse
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from bot.budgets.focus import COLUMNS, Charge, focus_rows
from bot.budgets.logged_requests import grouped
from bot.budgets.report import LOGGED_BY, GroupBy, Report, report_of
from bot.budgets.report_words import ReportWords, ReportWordsError, report_words
from bot.budgets.snapshot import Snapshot
from bot.budgets.snapshots import Snapshots
from bot.budgets.usage_index import LedgerIndex
from bot.cli.output import complain, show
from bot.clock import DAY, system_clock
from bot.config.env_file import load_env_file
from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.db.engine import DatabaseError, database_problem, look_into
from bot.ledger.store import SqlLedger
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.model import AttributedBy
from bot.usage.store import UsageStore
from bot.usage.store_reads import Names

CONNECT_SECONDS = 10

FORMATS = ("csv", "focus")

# Spreadsheets accept full-width signs as well.
_UNSEEN = r"[\s\x00-\x1f\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]*"
"""Characters that a spreadsheet ignores before a formula."""
STARTS_A_FORMULA = re.compile(rf"[\t\r\n]|{_UNSEEN}[=+\-@＝＋－＠]")
AFTER_A_SEPARATOR = re.compile(rf"((?:;|(?!\A)[\t\r\n]){_UNSEEN})(?=[=+\-@＝＋－＠])")
NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)

Rows = Iterable[Mapping[str, str]]


class ExportError(Exception):
    """There is nothing to export; the message is one sentence."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `export`."""
    parser.add_argument(
        "period",
        nargs="*",
        metavar="PERIOD",
        help="today, yesterday, week, month, last week, last month or FROM..TO, in UTC days (default: month)",
    )
    parser.add_argument(
        "--by", metavar="WHAT", help="model, workspace, key, feature, user or tag:NAME (default: model)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="csv",
        help="the rows of the report, or FOCUS columns by day (default: csv)",
    )
    parser.add_argument("--output", type=Path, metavar="PATH", help="the file to write (default: standard output)")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 if nothing is known or the file cannot be written, 2 for wrong arguments or settings."""
    os.umask(0o077)
    by = f" by {arguments.by}" if arguments.by is not None else ""
    try:
        asked = report_words(" ".join(arguments.period) + by, system_clock())
        load_env_file(os.environ)
        settings = load_settings(os.environ, Need(0))
        text = _exported(settings, asked, arguments.format)
        if arguments.output is None:
            show(text.removesuffix("\n"))
        else:
            arguments.output.write_text(text, encoding="utf-8", newline="")
    except ReportWordsError as error:
        complain(str(error).replace("`", ""))
        return 2
    except (SettingsError, DatabaseError) as error:
        complain(str(error))
        return 2
    except SQLAlchemyError as error:
        complain(database_problem(error))
        return 1
    except ExportError as error:
        complain(str(error))
        return 1
    except OSError as error:
        complain(f"Cannot write {arguments.output}: {(error.strerror or 'it failed').lower()}.")
        return 1
    return 0


def _exported(settings: Settings, asked: ReportWords, form: str) -> str:
    engine = _opened(settings.database_url)
    try:
        card = load_rate_card()
        usage, ledger = UsageStore(engine), SqlLedger(engine, hash_users=settings.ledger_rules.hash_users)
        by = asked.by
        if isinstance(by, AttributedBy):
            raise ExportError(f"What a {by} spends is read from Anthropic when `report` asks, and is not stored here.")
        logged = by in LOGGED_BY
        snapshots = Snapshots(ledger, card, LedgerIndex) if logged else Snapshots(usage, card)
        snapshot = snapshots.current()
        report = report_of(snapshot, asked.period, asked.before, by, asked.tag)
        if report is None:
            raise ExportError(f"Nothing is known of {asked.name}: no usage of those days is stored here.")
        if form == "focus":
            charges = _logged_charges(ledger, report) if logged else _charges(usage, report, snapshot.names)
            return written(COLUMNS, (row for charge in charges for row in focus_rows(charge, card)))
        return written(*_report_rows(report, snapshot, ledger if logged else None))
    finally:
        engine.dispose()


def _opened(url: str) -> Engine:
    """Open the database. Raises `DatabaseError`, and `ExportError` if it lacks the tables of this version."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is not None and parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise ExportError("There is no database at CLAUDE_COST_DATABASE_URL yet: start the bot, which makes it.")
    engine, schema = look_into(url, CONNECT_SECONDS)
    if schema.present != schema.newest:
        engine.dispose()
        raise ExportError("The database was not made by this version: start the bot once, which brings it up to date.")
    return engine


def _report_rows(report: Report, snapshot: Snapshot, ledger: SqlLedger | None) -> tuple[Sequence[str], Rows]:
    """The rows of the report, unrounded. Unknown cells are empty."""
    columns = ["period", "starts_at", "as_of", report.grouped_by, "name", "usd", "at_least", "price_assumed"]
    columns += [*TokenCounts._fields, "before_usd"]
    totals = {}
    if ledger is not None:
        columns += ["requests", "errors", "rate_limited"]
        totals = grouped(ledger.totals(report.period.starts_at, report.as_of), report.by, report.tag)
    rows = []
    for group in report.groups:
        row = {
            "period": report.period.key,
            "starts_at": report.period.starts_at.isoformat(),
            "as_of": report.as_of.isoformat(),
            report.grouped_by: group.id or "",
            "name": _name(group.id, report.by, snapshot.names),
            "usd": f"{group.usd:f}",
            "at_least": "true" if group.at_least else "false",
            "price_assumed": "true" if group.assumed else "false",
            "before_usd": "" if report.before is None else f"{group.before_usd or 0:f}",
        }
        row |= {name: str(number) for name, number in group.counts._asdict().items()}
        sums = totals.get(group.id)
        if sums is not None and (sums.requests or not sums.counts.tokens):
            row |= {name: str(getattr(sums, name)) for name in ("requests", "errors", "rate_limited")}
        rows.append(row)
    return columns, rows


def _name(id_: str | None, by: GroupBy, names: Names) -> str:
    known = {GroupBy.KEY: names.keys, GroupBy.WORKSPACE: names.workspaces}.get(by, {})
    return known.get(id_ or "", "")


def _charges(store: UsageStore, report: Report, names: Names) -> Iterator[Charge]:
    first, last = report.period.starts_at.date(), report.period.ends_at.date() - DAY
    with store.reading() as reader:
        by_day = reader.day_rows(first, last)
    for day, rows in sorted(by_day.items()):
        for model, workspace, key, tier, geo, speed, *counts in rows:
            yield Charge(
                day,
                model,
                TokenCounts(*counts),
                Terms(tier, geo, speed),
                None,
                (workspace, names.workspaces.get(workspace, workspace)),
                None if key is None else (key, names.keys.get(key, key)),
            )


def _logged_charges(ledger: SqlLedger, report: Report) -> Iterator[Charge]:
    rows = ledger.read(report.period.starts_at, report.period.ends_at)
    for row in sorted(rows, key=lambda row: (row.starts_at, str(row.dimensions))):
        of = row.dimensions
        own = {"feature": of.feature, "user": of.user_id}
        tags = dict(of.tags) | {name: value for name, value in own.items() if value}
        workspace, key = ((text, text) if text else None for text in (of.workspace, of.key))
        yield Charge(row.starts_at.date(), of.model, row.sums.counts, of.terms, of.prompt_tokens, workspace, key, tags)


def written(columns: Sequence[str], rows: Rows) -> str:
    """CSV (RFC 4180). A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_safe(column) for column in columns])
    writer.writerows([_safe(row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def _safe(cell: str) -> str:
    if NUMBER.fullmatch(cell) is not None:
        return cell
    # Some spreadsheets split at semicolons despite quotes, and ignore spaces before a formula.
    cell = AFTER_A_SEPARATOR.sub(r"\1'", cell)
    return f"'{cell}" if STARTS_A_FORMULA.match(cell) else cell
