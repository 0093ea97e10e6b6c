"""Limits crossed in a year, computed a second time in another way, without the product's code.

It knows what Anthropic's reports returned at each poll, and when the bot looked at it. Money is counted in whole
millionths of a millionth of a dollar, with the prices written out here. The calendar is asked instead of calculated:
usage belongs to the day, week or month that the wall clock of the zone shows when its bucket begins.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REVIEWED = 2 * DAY
"""A period is still looked at for this long after its end."""

DOLLAR = 10**12
SEARCH = DOLLAR // 100

Tokens = tuple[int, int, int, int, int]
"""Uncached input, written for five minutes, written for an hour, read from the cache, output."""

OPUS_4_8 = (5_000_000, 6_250_000, 10_000_000, 500_000, 25_000_000)
SONNET_5_5 = (2_000_000, 2_500_000, 4_000_000, 200_000, 10_000_000)
SONNET_5_5_SINCE_OCTOBER = (2_000_000, 2_500_000, 4_000_000, 100_000, 10_000_000)
HAIKU_4_5 = (1_000_000, 1_250_000, 2_000_000, 100_000, 5_000_000)
DEAREST_OPUS = (15_000_000, 18_750_000, 30_000_000, 1_500_000, 75_000_000)
"""Per token."""

UNKNOWN_OPUS = "claude-opus-9"
FAMILIES = {
    "claude-opus-4-8": "opus",
    UNKNOWN_OPUS: "opus",
    "claude-sonnet-5-5": "sonnet",
    "claude-haiku-4-5-20251001": "haiku",
}
LAST_FAST_DAY = date(2026, 11, 30)
SONNETS_NEW_PRICE = date(2026, 10, 7)
LAST_DAY_OF_OPUS_4_1 = date(2026, 8, 5)
"""The last day on which the most expensive Opus was served; later ones have the price of Opus 4.8."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the usage report. `workspace` is `default` and `key` None where there is none."""

    starts_at: datetime
    model: str
    workspace: str
    key: str | None
    batch: bool
    us: bool
    fast: bool
    tokens: Tokens
    searches: int


@dataclass(frozen=True, slots=True)
class BillRow:
    """A row of the cost report; `amount` in millionths of a millionth of a dollar."""

    day: date
    workspace: str
    cost_type: str
    amount: int


@dataclass(frozen=True, slots=True)
class Watch:
    """A budget. `scope`: `organization`, or `workspace`, `key`, `model`, `family` with a `value`. Limits in dollars.

    `week_starts`: 0 for Monday.
    """

    name: str
    scope: str
    value: str
    period: str
    zone: str
    soft: int | None
    hard: int | None
    week_starts: int = 0

    def counts(self, row: Row) -> bool:
        if self.scope == "family":
            return FAMILIES[row.model] == self.value
        # The same model also where an id carries its date.
        mine = {"workspace": row.workspace, "key": row.key, "model": row.model.removesuffix("-20251001")}
        return self.scope == "organization" or mine[self.scope] == self.value

    def bills(self, row: BillRow) -> bool:
        return self.scope == "organization" or (self.scope == "workspace" and row.workspace == self.value)

    def label(self, moment: datetime) -> str:
        """Label of the period at this moment."""
        today = moment.astimezone(_ZONES.setdefault(self.zone, ZoneInfo(self.zone))).date()
        if self.period == "day":
            return str(today)
        if self.period == "week" and self.week_starts:
            while today.weekday() != self.week_starts:
                today -= DAY
            return f"week-{today}"
        return today.strftime("%G-W%V" if self.period == "week" else "%Y-%m")

    def before(self, label: str, moment: datetime) -> str:
        """The period before the one that is called `label`, to which `moment` belongs."""
        while self.label(moment) == label:
            moment -= HOUR
        return self.label(moment)


_ZONES: dict[str, ZoneInfo] = {}


def price(row: Row) -> int:
    """Cost of a row."""
    day = row.starts_at.date()
    if row.model == "claude-opus-4-8":
        prices = OPUS_4_8
    elif row.model == "claude-sonnet-5-5":
        prices = SONNET_5_5 if day < SONNETS_NEW_PRICE else SONNET_5_5_SINCE_OCTOBER
    elif row.model == UNKNOWN_OPUS:
        prices = DEAREST_OPUS if day <= LAST_DAY_OF_OPUS_4_1 else OPUS_4_8
    else:
        prices = HAIKU_4_5
    amount = sum(tokens * each for tokens, each in zip(row.tokens, prices, strict=True))
    if row.fast and row.model == "claude-opus-4-8" and day <= LAST_FAST_DAY:
        amount *= 2
    if row.us:
        amount = amount * 11 // 10
    return (amount // 2 if row.batch else amount) + row.searches * SEARCH


@dataclass(frozen=True, slots=True)
class ReportedIncident:
    """One incident's message: when it was decided on, and what it is about."""

    at: datetime
    incident: str


@dataclass(slots=True)
class _Account:
    """One budget: dollars by period and UTC day, and limits by period, as they were when the bot last looked."""

    watch: Watch
    totals: dict[str, dict[date, int]] = field(default_factory=dict)
    limits: dict[str, Watch] = field(default_factory=dict)


class Oracle:
    """`reported`: expected alerts in the channel, once each.

    `again`: how often a limit was crossed another time. `late`: how many were reported after the end of their period.
    """

    def __init__(self, watches: Iterable[Watch]) -> None:
        self.reported: list[ReportedIncident] = []
        self.again = self.late = 0
        self._accounts = [_Account(watch) for watch in watches]
        self._hours: dict[datetime, tuple[Row, ...]] = {}
        self._bill: dict[date, list[BillRow]] = {}
        self._billed_at: datetime | None = None
        self._above: dict[str, bool] = {}

    def answered(self, starts_at: datetime, ends_at: datetime, rows: Sequence[Row]) -> None:
        """The usage report said that this is all there is in these hours."""
        found: dict[datetime, list[Row]] = {}
        for row in rows:
            found.setdefault(row.starts_at.replace(minute=0), []).append(row)
        hour = starts_at
        while hour < ends_at:
            before, after = self._hours.get(hour, ()), tuple(found.get(hour, ()))
            if before != after:
                self._hours[hour] = after
                self._add(before, -1)
                self._add(after, 1)
            hour += HOUR

    def billed(self, first: date, last: date, rows: Sequence[BillRow], at: datetime) -> None:
        """The cost report said at this moment that this is all there is in these days."""
        self._bill = {day: kept for day, kept in self._bill.items() if not first <= day <= last}
        for row in rows:
            self._bill.setdefault(row.day, []).append(row)
        self._billed_at = at

    def edited(self, name: str, soft: int | None, hard: int | None) -> None:
        """Set new limits of a budget."""
        for account in self._accounts:
            if account.watch.name == name:
                account.watch = replace(account.watch, soft=soft, hard=hard)

    def looked(self, now: datetime) -> None:
        """The bot looked at every budget."""
        for account in self._accounts:
            present = account.watch.label(now)
            for label, within in _labels(account.watch, now):
                if label == present:
                    account.limits[label] = account.watch
                elif label not in account.limits:
                    # Away for all of it: earlier limits still apply. Never watched: not reported.
                    earlier = account.limits.get(account.watch.before(label, within))
                    if earlier is None:
                        continue
                    account.limits[label] = earlier
                self._judge(account, label, now)

    def spent(self, name: str, label: str) -> int:
        """Known spend of a budget in a period."""
        (account,) = (account for account in self._accounts if account.watch.name == name)
        return self._spent(account, label)

    def _judge(self, account: _Account, label: str, now: datetime) -> None:
        limits, spent = account.limits[label], self._spent(account, label)
        hard = limits.hard is not None and spent >= limits.hard * DOLLAR
        soft = limits.soft is not None and spent >= limits.soft * DOLLAR
        # While the hard message is open, it covers the soft limit too.
        for level, limit, above in (("hard", limits.hard, hard), ("soft", limits.soft, soft and not hard)):
            if limit is None:
                continue
            incident = f"{limits.name}/{label}/{level}/{limit}"
            if above and incident not in self._above:
                self.reported.append(ReportedIncident(now, incident))
                self.late += label != account.watch.label(now)
            elif above and not self._above[incident]:
                self.again += 1
            if above or incident in self._above:
                self._above[incident] = above

    def _spent(self, account: _Account, label: str) -> int:
        watch, totals = account.watch, account.totals.get(label, {})
        bills = {
            day: mine
            for day, rows in self._bill.items()
            if account.watch.label(_midnight(day)) == label
            and (mine := [row for row in rows if account.watch.bills(row)])
        }
        spent = 0
        for day in totals.keys() | bills.keys():
            rows = bills.get(day, [])
            if rows and self._settled(day) and watch.label(_midnight(day) + DAY - timedelta.resolution) == label:
                spent += sum(row.amount for row in rows)
            else:
                spent += totals.get(day, 0)
                spent += sum(row.amount for row in rows if row.cost_type == "code_execution")
        return spent

    def _settled(self, day: date) -> bool:
        return self._billed_at is not None and self._billed_at >= _midnight(day) + 2 * DAY

    def _add(self, rows: Iterable[Row], sign: int) -> None:
        for row in rows:
            amount = sign * price(row)
            for account in self._accounts:
                if account.watch.counts(row):
                    days = account.totals.setdefault(account.watch.label(row.starts_at), {})
                    days[row.starts_at.date()] = days.get(row.starts_at.date(), 0) + amount


def _labels(watch: Watch, now: datetime) -> Iterator[tuple[str, datetime]]:
    """The periods that are looked at, the oldest first, each with a moment in it."""
    seen = set()
    moment = now - REVIEWED
    while moment <= now:
        label = watch.label(moment)
        if label not in seen:
            seen.add(label)
            yield label, moment
        moment += HOUR


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
