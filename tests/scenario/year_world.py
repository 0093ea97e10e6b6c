"""A year of a team: usage in the shape of days and weeks, bursts, corrections, and a bot that is away now and then.

The bot's poller, stores and review are the real ones on a real database; in place of Anthropic's HTTP API stands a
source that answers at once. Everything that it returns goes to the oracle too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select

from bot.alerts.detector import Evaluator
from bot.alerts.incident import AlertKind
from bot.alerts.limit import LimitAlert
from bot.alerts.notice_contents import parsed
from bot.alerts.store import AlertStore
from bot.budgets.budget import LIMITS, Budget, PeriodKind, Weekday, parse_scope
from bot.budgets.review import BudgetReview
from bot.budgets.snapshots import Snapshots
from bot.db.schema import notices
from bot.mode import modes_from_chain
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import Terms, TokenCounts
from bot.sandbox.clock import HandClock
from bot.usage.model import (
    NOTHING_STORED,
    BilledReading,
    BilledRow,
    Read,
    Seen,
    SourceName,
    UnavailableError,
    UsageReading,
    UsageRow,
)
from bot.usage.poller import Poller
from bot.usage.store import UsageStore
from tests.detectors import evaluator
from tests.scenario.year_oracle import (
    DAY,
    DOLLAR,
    HOUR,
    UNKNOWN_OPUS,
    BillRow,
    Oracle,
    ReportedIncident,
    Row,
    Tokens,
    Watch,
    price,
)

MINUTE = timedelta(minutes=1)
DELAY = 5 * MINUTE
MODES = modes_from_chain(("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"), {})

WATCHES = (
    Watch("org-month", "organization", "", "month", "UTC", 4250, 4500),
    Watch("org-week", "organization", "", "week", "Europe/Berlin", None, 1000),
    Watch("org-day", "organization", "", "day", "America/New_York", 150, 230),
    Watch("org-far", "organization", "", "day", "Australia/Lord_Howe", 160, None),
    Watch("search-day", "workspace", "wrkspc_search", "day", "Asia/Kolkata", 110, 170),
    Watch("search-month", "workspace", "wrkspc_search", "month", "Australia/Lord_Howe", 2900, 3200),
    Watch("billing-week", "workspace", "wrkspc_billing", "week", "Pacific/Chatham", 95, 115),
    Watch("rest-month", "workspace", "default", "month", "America/Santiago", 600, 900),
    Watch("ingest-day", "key", "apikey_ingest", "day", "Europe/Berlin", 60, 105),
    Watch("agents-week", "key", "apikey_agents", "week", "America/St_Johns", 110, 160),
    Watch("answers-month", "key", "apikey_answers", "month", "Asia/Kathmandu", 560, 650),
    Watch("opus-day", "family", "opus", "day", "UTC", 110, 180),
    Watch("opus-week", "family", "opus", "week", "America/Santiago", 700, None, week_starts=6),
    Watch("sonnet-week", "model", "claude-sonnet-5-5", "week", "Australia/Lord_Howe", 165, 200),
    Watch("haiku-day", "model", "claude-haiku-4-5", "day", "America/New_York", 11, 18),
    Watch("haiku-month", "family", "haiku", "month", "Europe/Berlin", 270, 330),
)

CALLERS = (
    # Model, workspace, key, batch, inference in the US, and how often.
    ("claude-opus-4-8", "wrkspc_search", "apikey_ingest", False, False, 30),
    ("claude-opus-4-8", "wrkspc_search", "apikey_agents", False, True, 10),
    ("claude-sonnet-5-5", "wrkspc_search", "apikey_answers", False, False, 30),
    ("claude-sonnet-5-5", "wrkspc_billing", "apikey_invoices", True, False, 15),
    ("claude-haiku-4-5-20251001", "wrkspc_billing", "apikey_invoices", False, False, 25),
    (UNKNOWN_OPUS, "default", None, False, False, 5),
)


@dataclass(frozen=True, slots=True)
class Version:
    """A use as reported from this moment on; None: not reported."""

    since: datetime
    tokens: Tokens | None


@dataclass(frozen=True, slots=True)
class Use:
    """Usage at one moment, and how the report of it changes."""

    at: datetime
    row: Row
    versions: tuple[Version, ...]

    def known(self, now: datetime) -> Tokens | None:
        """What the report shows of it at `now`."""
        reported = [version.tokens for version in self.versions if version.since <= now]
        return reported[-1] if reported else None


@dataclass(slots=True)
class History:
    """The team's actual usage. `code`: USD of code execution by day, which only the bill has."""

    uses: dict[datetime, list[Use]] = field(default_factory=dict)
    code: dict[date, int] = field(default_factory=dict)

    def within(self, starts_at: datetime, ends_at: datetime) -> Iterator[Use]:
        hour = starts_at
        while hour < ends_at:
            yield from self.uses.get(hour, ())
            hour += HOUR


def history(random: Random, starts_at: datetime, ends_at: datetime) -> History:
    """Busy working days, quiet nights and weekends, bursts of one caller, and some reports that are late or wrong."""
    found = History()
    weights = [caller[-1] for caller in CALLERS]

    def use(at: datetime, caller: tuple[str, str, str | None, bool, bool, int], size: float) -> None:
        at = at.replace(second=0, microsecond=0)
        model, workspace, key, batch, us, _ = caller
        tokens = tuple(int(random.uniform(0.5, 1.5) * size * most) for most in (400_000, 90_000, 40_000, 3e6, 130_000))
        fast = model == "claude-opus-4-8" and random.random() < 0.05
        row = Row(at, model, workspace, key, batch, us, fast, (0, 0, 0, 0, 0), random.choice((0, 0, 0, 40)))
        found.uses.setdefault(at.replace(minute=0), []).append(Use(at, row, _versions(random, at, tokens)))

    hour = starts_at
    while hour < ends_at:
        working = hour.weekday() < 5
        busy = (1.0 if 8 <= hour.hour < 18 else 0.15) * (1.0 if working else 0.25)
        for _ in range(sum(random.random() < busy / 2 for _ in range(4))):
            (caller,) = random.choices(CALLERS, weights)
            use(hour + random.random() * HOUR, caller, random.choice((0.5, 1, 1, 3)))
        if random.random() < 1 / 350:
            (caller,) = random.choices(CALLERS, weights)
            for _ in range(random.randrange(5, 25)):
                use(hour + random.random() * 3 * HOUR, caller, 2)
        hour += HOUR
    for index in range((ends_at - starts_at) // DAY):
        if random.random() < 0.2:
            found.code[(starts_at + index * DAY).date()] = random.randrange(1, 40) * DOLLAR
    return found


def _versions(random: Random, at: datetime, tokens: Sequence[int]) -> tuple[Version, ...]:
    whole: Tokens = (tokens[0], tokens[1], tokens[2], tokens[3], tokens[4])
    chance = random.random()
    later = at + timedelta(hours=random.uniform(0.5, 40))
    if chance < 0.05:
        return (Version(later, whole),)
    seen = Version(at + DELAY, whole)
    if chance < 0.08:
        return seen, Version(later, None)
    if chance < 0.14:
        # Gone for a while: spend falls and crosses again.
        return seen, Version(later, None), Version(later + timedelta(hours=random.uniform(1, 6)), whole)
    if chance < 0.18:
        doubled: Tokens = (whole[0] * 2, whole[1], whole[2], whole[3], whole[4] * 2)
        return Version(at + DELAY, doubled), Version(later, whole)
    return (seen,)


@dataclass(slots=True)
class Report:
    """Anthropic's reports at the moment of a poll. `fails_at`: the call that is refused, counted from zero."""

    history: History
    clock: HandClock
    name: SourceName = "admin"
    fails_at: int | None = None
    bill_fails: bool = False
    answers: list[tuple[Read, list[Row]]] = field(default_factory=list)
    bill: tuple[date, date, list[BillRow]] | None = None

    async def usage(self, read: Read, stored: Seen = NOTHING_STORED, most_rows: int | None = None) -> UsageReading:
        if len(self.answers) == self.fails_at:
            raise UnavailableError("Anthropic does not answer.")
        rows = []
        for use in self.history.within(read.starts_at, read.ends_at):
            tokens = use.known(self.clock())
            if tokens is not None:
                begins = use.at.replace(minute=0) if read.width == "1h" else use.at
                rows.append(replace(use.row, starts_at=begins, tokens=tokens))
        self.answers.append((read, rows))
        return UsageReading(read, tuple(_usage_row(row) for row in rows), None)

    async def billed(self, first: date, last: date) -> BilledReading:
        if self.bill_fails:
            raise UnavailableError("There is no cost report now.")
        rows = []
        for index in range((last - first).days + 1):
            rows += self._bill_of(first + index * DAY)
        self.bill = first, last, rows
        return BilledReading(
            tuple(BilledRow(row.day, row.workspace, row.cost_type, Decimal(row.amount) / DOLLAR, None) for row in rows)
        )

    def _bill_of(self, day: date) -> list[BillRow]:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        amounts: dict[str, int] = {}
        for use in self.history.within(midnight, midnight + DAY):
            tokens = use.known(self.clock())
            if tokens is not None:
                amounts[use.row.workspace] = amounts.get(use.row.workspace, 0) + price(replace(use.row, tokens=tokens))
        # A contract's discount, which no usage shows.
        rows = [BillRow(day, workspace, "tokens", amount * 96 // 100) for workspace, amount in amounts.items()]
        if day in self.history.code and midnight + 20 * HOUR <= self.clock():
            rows.append(BillRow(day, "wrkspc_search", "code_execution", self.history.code[day]))
        return rows


def _usage_row(row: Row) -> UsageRow:
    terms = Terms("batch" if row.batch else "standard", "us" if row.us else None, "fast" if row.fast else None)
    return UsageRow(row.starts_at, row.model, row.workspace, row.key, terms, TokenCounts(*row.tokens, row.searches))


def moments(random: Random, starts_at: datetime, ends_at: datetime, mean: timedelta) -> Iterator[datetime]:
    """Polls of the bot: rarely regular, sometimes every few minutes, sometimes not for hours or a day."""
    now = starts_at
    while now < ends_at:
        yield now
        chance = random.random()
        if chance < 0.02:
            now += timedelta(hours=random.uniform(1, 30))
        elif chance < 0.3:
            now += timedelta(minutes=random.uniform(1, 20))
        else:
            now += mean * random.uniform(0.2, 2.5)


class Year:
    """One year with one seed."""

    def __init__(self, engine: Engine, seed: int, starts_at: datetime, days: int = 365) -> None:
        self._random = Random(seed)
        self._engine = engine
        self._usage, self._alerts = UsageStore(engine), AlertStore(engine)
        self.starts_at, self.ends_at = starts_at, starts_at + days * DAY
        # The bot is new in a team that has used the API for a while.
        self.history = history(self._random, starts_at - 40 * DAY, self.ends_at)
        self._clock = HandClock(starts_at)
        self.oracle = Oracle(WATCHES)
        self._watches = {watch.name: watch for watch in WATCHES}
        self.polls = self.failed = self.undecided = self.edits = 0

    async def live(self, mean: timedelta) -> None:
        """Poll and decide as the bot does; now and then it ends between the two, or begins anew with other limits."""
        report, poller, review, limits = self._started()
        for now in moments(self._random, self.starts_at, self.ends_at, mean):
            self._clock.now = now
            chance = self._random.random()
            if chance < 0.04:
                report, poller, review, limits = self._started()
            elif chance < 0.055:
                self._edit()
                report, poller, review, limits = self._started()
            report.fails_at = self._random.randrange(3) if self._random.random() < 0.04 else None
            report.bill_fails = self._random.random() < 0.05
            report.answers, report.bill = [], None
            self.polls += 1
            outcome = await poller.poll(review.needed_since(now))
            if outcome.ok:
                for read, rows in report.answers:
                    self.oracle.answered(read.starts_at, read.ends_at, rows)
                if report.bill is not None:
                    self.oracle.billed(*report.bill, now)
            else:
                self.failed += 1
            if self._random.random() < 0.02:
                self.undecided += 1
                report, poller, review, limits = self._started()
                continue
            limits.look(now, "normal")
            self.oracle.looked(now)

    def posts(self) -> list[ReportedIncident]:
        """The messages that the outbox holds for crossed limits, in order."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(notices.c.action, notices.c.facts).order_by(notices.c.id)).all()
        found = [parsed(row.facts) for row in rows if row.action == "post"]
        alerts = [facts for facts in found if isinstance(facts, LimitAlert) and facts.level in LIMITS]
        return [ReportedIncident(facts.decided_at, facts.incident) for facts in alerts]

    def _started(self) -> tuple[Report, Poller, BudgetReview, Evaluator]:
        report = Report(self.history, self._clock)
        budgets = [_budget(watch) for watch in self._watches.values()]
        snapshots = Snapshots(self._usage, load_rate_card())
        review = BudgetReview(snapshots, lambda: budgets, MODES, load_rate_card())
        limits = evaluator(AlertKind.LIMIT, self._engine, snapshots, self._alerts, review)
        return report, Poller(self._usage, {"admin": report}, "admin", self._clock), review, limits

    def _edit(self) -> None:
        """Change a limit. No value repeats, so that each is its own incident."""
        watch = self._random.choice(list(self._watches.values()))
        soft = None if watch.soft is None else watch.soft + self._random.choice((1, 2, 3))
        hard = None if watch.hard is None else watch.hard + self._random.choice((1, 2, 3))
        self._watches[watch.name] = replace(watch, soft=soft, hard=hard)
        self.oracle.edited(watch.name, soft, hard)
        self.edits += 1


def _budget(watch: Watch) -> Budget:
    kind = "model" if watch.scope == "family" else watch.scope
    scope = parse_scope(f"{kind}:{watch.value}" if watch.value else kind)
    soft, hard = (None if limit is None else Decimal(limit) for limit in (watch.soft, watch.hard))
    week_starts = list(Weekday)[watch.week_starts]
    zone = ZoneInfo(watch.zone)
    return Budget(watch.name, scope, PeriodKind(watch.period), zone, soft, hard, "test", week_starts)
