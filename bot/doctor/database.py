"""Checks of the database: the leading copy, the age of the data, the outbox, the fallback file, the roll-ups."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.addresses import POSTGRES, clickhouse_address, database_address
from bot.alerts.store import AlertStore
from bot.amounts import count, span
from bot.budgets.budget import Budget
from bot.budgets.owners import Teams
from bot.budgets.store import Budgets, BudgetStore, KeptBudget
from bot.clock import Clock
from bot.config.settings import Settings
from bot.db.backup import with_backup
from bot.db.engine import DamagedDatabaseError, DatabaseError, look_into
from bot.db.lease import LeaseState, Timing, lease_state
from bot.db.sqlite import open_to_others
from bot.doctor.check import Check, State
from bot.doctor.usage import UsageFindings, judge_usage, usage_findings
from bot.fallback.reconciler import Reconciler
from bot.fallback.service import FallbackService, ModeState
from bot.fallback.store import ModeStore, TargetStore
from bot.fallback.targets.base import TargetView
from bot.fallback.targets.env_file import EnvFile, EnvFileError
from bot.fallback.targets.registry import targets_from
from bot.language import ntr, spoken, tr, tr_noop
from bot.ledger.clickhouse import ClickHouseError, connect_clickhouse, look_at
from bot.mode import modes_from_chain
from bot.notify.store import Waiting
from bot.pricing.card import load_rate_card
from bot.secret_shapes import masked
from bot.usage.model import DataState, is_stale
from bot.usage.store import UsageStore

NOT_READ = tr_noop("Not checked: see database.")


@dataclass(frozen=True, slots=True)
class Stored:
    """Values from the database for the checks."""

    data: DataState
    lease: LeaseState
    waiting: int
    waits_because: str | None
    destinations: tuple[Waiting, ...]
    mode: ModeState
    kept_budgets: tuple[KeptBudget, ...]
    usage: UsageFindings

    @property
    def alive(self) -> bool:
        """Whether a copy of the bot polls, by its lease row."""
        return self.lease.owner is not None and not self.lease.dead and self.lease.silent_for <= Timing().term


def check_database(settings: Settings, clock: Clock, seconds: int) -> list[Check]:
    """Check the database and the fallback file without changing them. `seconds`: longest wait for a server."""
    missing = missing_file(settings.database_url)
    if missing is not None:
        return [missing, *_without_database(settings)]
    try:
        engine, schema = look_into(settings.database_url, seconds)
    except DatabaseError as error:
        named = with_backup(error, settings.backup_folder) if isinstance(error, DamagedDatabaseError) else error
        return [Check("database", State.FAIL, str(named)), *_without_database(settings)]
    try:
        if schema.present != schema.newest:
            return [_old_schema(schema.present, schema.newest), *_without_database(settings)]
        stored = _read(engine, settings, clock)
    except SQLAlchemyError as error:
        text = tr("The database cannot be read ({error}).", error=type(error).__name__)
        return [Check("database", State.FAIL, text), *_without_database(settings)]
    finally:
        engine.dispose()
    return [
        _opened(settings.database_url, schema.newest),
        _lease(stored),
        judge_freshness(stored, clock(), settings.poll_seconds),
        _outbox(stored),
        *_destinations(settings, stored),
        judge_budgets(stored.kept_budgets, settings.budgets),
        *judge_usage(stored.usage, clock()),
        _fallback_file(settings, stored.mode),
        *_targets(settings, stored.mode),
    ]


def shown_database(url: str) -> str:
    """The URL without login and options; only its kind if the URL is ambiguous."""
    try:
        address = database_address(url)
    except ValueError:
        return f"{url.partition(':')[0]}://…" if url.startswith(("sqlite", *POSTGRES)) else "…"
    bare = URL.create(address.drivername, host=address.host, port=address.port, database=address.database)
    return masked(bare.render_as_string())


def _opened(url: str, schema: str) -> Check:
    text = tr("The database opens and has this version's schema ({schema}).", schema=schema)
    path = Path(str(database_address(url).database))
    if url.startswith("sqlite") and open_to_others(path):
        others = tr("Other users of this machine may read {path}, which holds what is spent, and by whom.", path=path)
        return Check("database", State.WARN, f"{text} {others}", tr("Restrict it: chmod 600 {path}*", path=path))
    return Check("database", State.OK, text)


def missing_file(url: str) -> Check | None:
    """A finding about a missing SQLite file. A check must not create it: its owner may not be the bot's user."""
    if not url.startswith("sqlite"):
        return None
    try:
        path = Path(str(database_address(url).database))
        there = path.exists()
    except (ValueError, OSError) as error:
        why = getattr(error, "strerror", None) or error
        return Check("database", State.FAIL, tr("CLAUDE_COST_DATABASE_URL cannot be used: {why}.", why=why))
    if there:
        return None
    if not path.parent.is_dir():
        text = tr(
            "CLAUDE_COST_DATABASE_URL names {path}, and there is no directory {directory}.",
            path=path,
            directory=path.parent,
        )
        return Check("database", State.FAIL, text, tr("Create it, or name another."))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        text = tr(
            "CLAUDE_COST_DATABASE_URL names {path}, and {directory} cannot be written.",
            path=path,
            directory=path.parent,
        )
        return Check("database", State.FAIL, text, tr("Correct the path, or the rights of the directory."))
    return Check("database", State.OK, tr("{path} does not exist yet: the first start creates it.", path=path))


def _old_schema(present: str | None, newest: str) -> Check:
    if present is None:
        text = tr("The database opens and is empty: the first start creates its tables.")
        return Check("database", State.OK, text)
    text = tr(
        "The database opens, with the schema {present} of an older version: the next start brings it to {newest}.",
        present=present,
        newest=newest,
    )
    return Check("database", State.WARN, text, tr("Restart the bot."))


def _without_database(settings: Settings) -> list[Check]:
    skipped = [
        Check(name, State.SKIPPED, tr(NOT_READ)) for name in ("lease", "freshness", "outbox", "scopes", "usage_rows")
    ]
    return [*skipped, _fallback_file(settings, None)]


def _read(engine: Engine, settings: Settings, clock: Clock) -> Stored:
    alerts = AlertStore(engine, {receiver.name: receiver.levels for receiver in settings.destinations})
    modes = modes_from_chain(settings.fallback_chain, settings.modes)
    budgets = Budgets(settings.budgets, BudgetStore(engine), clock, Teams(settings.teams))
    return Stored(
        data=UsageStore(engine).data_state(),
        lease=lease_state(engine),
        waiting=alerts.notices.undelivered(),
        waits_because=alerts.notices.last_error(),
        destinations=tuple(alerts.destinations.waiting()),
        kept_budgets=tuple(budgets.kept()),
        usage=usage_findings(engine, budgets.in_force(), load_rate_card(), clock),
        mode=FallbackService(
            ModeStore(engine),
            Reconciler(TargetStore(engine), targets_from(settings.fallback_file), clock),
            modes,
            clock,
            served=settings.http_port is not None,
        ).state(),
    )


def _lease(stored: Stored) -> Check:
    lease = stored.lease
    if not stored.alive and lease.owner is not None and not lease.dead:
        text = tr(
            "The copy of the bot that polls ({owner}) has given no sign of life for {seconds} s: it was killed, is "
            "frozen or does not reach the database.",
            owner=lease.owner,
            seconds=f"{lease.silent_for:.0f}",
        )
        return Check("lease", State.WARN, text, tr("Start a copy of the bot, which takes over, or look at that one."))
    text = tr("No copy of the bot is alive on this database: the next one to start polls.")
    if stored.alive:
        text = tr("A copy of the bot is alive on this database ({owner}): it polls and delivers.", owner=lease.owner)
    if lease.lock_problem is not None:
        return Check("lease", State.WARN, f"{text} {lease.lock_problem}")
    return Check("lease", State.OK, text)


def judge_freshness(stored: Stored, now: datetime, poll_seconds: int) -> Check:
    """The age of the stored data. Old data is only a warning while no copy of the bot is alive."""
    data = stored.data
    if data.as_of is None:
        if data.error is not None:
            return Check("freshness", State.FAIL, tr("No poll has succeeded yet: {why}", why=spoken(data.error)))
        state = State.FAIL if stored.alive else State.SKIPPED
        return Check("freshness", state, tr("There is no usage data yet: no poll has succeeded."))
    age = span(now - data.as_of)
    text = tr(
        "The usage data is as of {time} UTC, {age} old, from the {api} API.",
        time=f"{data.as_of:%Y-%m-%d %H:%M}",
        age=age,
        api=data.source,
    )
    if data.error is not None:
        return Check("freshness", State.FAIL, tr("{age} The last poll failed: {why}", age=text, why=spoken(data.error)))
    if not is_stale(data, now, poll_seconds):
        return Check("freshness", State.OK, text)
    if stored.alive:
        return Check("freshness", State.FAIL, tr("{age} That is stale.", age=text), tr("Read the bot's log."))
    return Check("freshness", State.WARN, tr("{age} That is stale.", age=text), tr("Start the bot."))


def _outbox(stored: Stored) -> Check:
    waiting = stored.waiting
    if stored.waits_because is not None:
        text = ntr(
            "{number} message waits for delivery to Slack: {why}",
            "{number} messages wait for delivery to Slack: {why}",
            waiting,
            why=spoken(stored.waits_because),
        )
        return Check("outbox", State.FAIL, text)
    if waiting and not stored.alive:
        text = ntr(
            "{number} message waits for delivery to Slack.", "{number} messages wait for delivery to Slack.", waiting
        )
        return Check("outbox", State.WARN, text, tr("Start the bot."))
    if not waiting:
        return Check("outbox", State.OK, tr("No message waits for delivery to Slack."))
    text = ntr("{number} message is on its way to Slack.", "{number} messages are on their way to Slack.", waiting)
    return Check("outbox", State.OK, text)


def _destinations(settings: Settings, stored: Stored) -> list[Check]:
    if not settings.destinations:
        return []
    if not stored.destinations:
        names = ", ".join(receiver.name for receiver in settings.destinations)
        return [
            Check("destinations", State.OK, tr("No alert waits for the further destinations ({names}).", names=names))
        ]
    return [
        Check(
            "destinations",
            State.FAIL,
            ntr(
                "{number} alert waits for {destination}, because {why}.",
                "{number} alerts wait for {destination}, because {why}.",
                one.count,
                destination=one.destination,
                why=spoken(one.error),
            ),
        )
        for one in stored.destinations
    ]


def judge_budgets(kept: Sequence[KeptBudget], configured: Sequence[Budget]) -> Check:
    """The number of budgets in force; a configured budget overrides one set in chat under its name."""
    origins = {budget.name: budget.origin for budget in configured}
    idle = [one.budget.name for one in kept if one.budget.name in origins]
    if idle:
        text = tr(
            "The budget {name} that was set in chat does not count, since {origin} sets one of that name.",
            name=idle[0],
            origin=origins[idle[0]],
        )
        remedy = tr("Rename it there, or type /claude-cost budget remove {name}.", name=idle[0])
        return Check("budgets", State.WARN, text, remedy)
    text = ntr(
        "{number} budget is in force, {kept} of them set in chat.",
        "{number} budgets are in force, {kept} of them set in chat.",
        len(configured) + len(kept),
        kept=len(kept),
    )
    return Check("budgets", State.OK, text)


def _fallback_file(settings: Settings, mode: ModeState | None) -> Check:
    path = settings.fallback_file
    name = "fallback_file"
    if not path.parent.is_dir():
        text = tr(
            "CLAUDE_COST_FALLBACK_FILE names {path}, and there is no directory {directory}.",
            path=path,
            directory=path.parent,
        )
        return Check(name, State.FAIL, text, tr("Create it, or correct CLAUDE_COST_FALLBACK_FILE."))
    target = EnvFile(path)
    if not os.access(path.parent, os.W_OK | os.X_OK) and not target.in_place():
        text = tr("{directory} is not writable, so no fallback mode can be written.", directory=path.parent)
        remedy = tr("Correct CLAUDE_COST_FALLBACK_FILE, or the rights of its directory.")
        return Check(name, State.FAIL, text, remedy)
    try:
        block = target.read({}).block
        doubts = target.doubts({} if mode is None else mode.mode.variables)
        follows = mode is not None and target.holds(mode.mode.variables)
    except EnvFileError as error:
        return Check(name, State.FAIL, str(error))
    if mode is None or (block is None and mode.changed_at is None):
        if doubts:
            text = tr("{path} can be written. {doubts}", path=path, doubts=" ".join(doubts))
            return Check(name, State.WARN, text)
        return Check(name, State.OK, tr("{path} can be written; its block is made when the bot starts.", path=path))
    return _written_file(name, path, target, mode, doubts, follows=follows)


def _written_file(
    name: str, path: Path, target: EnvFile, mode: ModeState, doubts: Sequence[str], *, follows: bool
) -> Check:
    """Finding about a file to which a mode has been written."""
    values = {"path": path, "mode": mode.mode.name}
    if mode.write_error is not None:
        text = tr("The mode {mode} is not written: {why}", mode=mode.mode.name, why=spoken(mode.write_error))
        return Check(name, State.FAIL, text)
    if not follows:
        text = tr("{path} does not hold the mode {mode}, which is the wanted one.", **values)
        return Check(name, State.WARN, text, tr("A bot that is alive corrects it at its next poll."))
    known = next((view for view in mode.targets if view.name == target.name), None)
    outside = target.read(mode.mode.variables).outside
    if outside:
        listed = ", ".join(outside)
        text = tr("{path} holds the mode {mode}, but other lines of it set {names} too.", names=listed, **values)
        return Check(name, State.WARN, text, tr("Remove those lines: services may read them instead."))
    if doubts:
        return Check(name, State.WARN, tr("{path} holds the mode {mode}. {doubts}", doubts=" ".join(doubts), **values))
    return Check(name, State.OK, tr("{path} can be written and holds the mode {mode}.", **values) + _repaired(known))


def _targets(settings: Settings, mode: ModeState) -> list[Check]:
    """Findings about targets other than the fallback file, and the HTTP port, which needs none."""
    others = [view for view in mode.targets if view.name != str(settings.fallback_file)]
    found = [_target(view, mode.mode.name) for view in others]
    if mode.served:
        text = tr("Over HTTP, its stream and OFREP the mode is served from the database, so that it cannot drift.")
        found.append(Check("targets", State.OK, text))
    return found


def _target(view: TargetView, mode: str) -> Check:
    if view.error is not None:
        text = tr(
            "The mode {mode} is not written to {target}: {why}", mode=mode, target=view.name, why=spoken(view.error)
        )
        return Check("targets", State.FAIL, text)
    if view.doubts:
        text = tr("{path} holds the mode {mode}. {doubts}", path=view.name, mode=mode, doubts=" ".join(view.doubts))
        return Check("targets", State.WARN, text)
    if view.written_at is None:
        text = tr("{target} has not been written yet.", target=view.name)
        return Check("targets", State.WARN, text, tr("A bot that is alive writes it at its next poll."))
    text = tr("{target} holds the mode {mode}.", target=view.name, mode=mode)
    return Check("targets", State.OK, text + _repaired(view))


def _repaired(view: TargetView | None) -> str:
    if view is None or view.repaired_at is None:
        return ""
    at = f"{view.repaired_at:%Y-%m-%d %H:%M}"
    return f" {tr('It had been changed by others; the bot repaired it at {time} UTC.', time=at)}"


def check_clickhouse(url: str, seconds: int) -> Check:
    """Whether ClickHouse answers and has the table, without creating it. `seconds`: longest wait."""
    try:
        version, has_table = look_at(connect_clickhouse(clickhouse_address(url), seconds))
    except (ClickHouseError, DatabaseError) as error:
        return Check("ledger", State.FAIL, str(error))
    if not has_table:
        text = tr(
            "ClickHouse {version} answers; the bot makes its table of responses there when it first needs it.",
            version=version,
        )
        return Check("ledger", State.OK, text)
    text = tr("ClickHouse {version} answers and has the table of responses.", version=version)
    return Check("ledger", State.OK, text)


NAME = "rollups"

MOST_NAMED = 3
"""Most days that the finding names."""

CONNECT_SECONDS = 8


def check_rollups(url: str, *, repair: bool) -> Check:
    """Compare every sum by day with its rows of usage; with `repair`, rebuild all sums if they differ.

    Reads every row, so it runs on request only.
    """
    if missing_file(url) is not None:
        return Check(NAME, State.SKIPPED, NOT_READ)
    try:
        engine, schema = look_into(url, CONNECT_SECONDS)
    except DatabaseError:
        return Check(NAME, State.SKIPPED, NOT_READ)
    try:
        if schema.present != schema.newest:
            return Check(NAME, State.SKIPPED, NOT_READ)
        store = UsageStore(engine)
        wrong = store.wrong_days()
        if wrong and repair:
            store.rebuild_rollups()
    except SQLAlchemyError as error:
        text = f"The sums by day could not be compared with their rows ({type(error).__name__})."
        return Check(NAME, State.FAIL, text, "Stop the bot, and try again.")
    finally:
        engine.dispose()
    if not wrong:
        return Check(NAME, State.OK, "Every sum by day equals the rows of usage that it is made of.")
    named = ", ".join(day.isoformat() for day in wrong[:MOST_NAMED])
    others = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
    days = f"{count(len(wrong), 'day')} ({named}{others})"
    if repair:
        return Check(NAME, State.OK, f"The sums of {days} differed from the rows of usage: all sums were rebuilt.")
    text = f"The sums of {days} differ from the rows of usage: what is shown of older days may be wrong."
    return Check(NAME, State.FAIL, text, "Rebuild them: claude-cost doctor --repair")
