"""The review of budgets over a real database: each period of its own, and no crossing lost at a change of the month."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from bot.alerts.decide import LimitReason
from bot.alerts.incident import AlertKind, Status
from bot.alerts.limit import LimitAlert
from bot.alerts.notice_contents import parsed
from bot.alerts.store import AlertStore
from bot.budgets.budget import Budget, LimitKind, Period, PeriodKind, parse_scope
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.report import GroupBy, report_of
from bot.budgets.report_words import report_words
from bot.budgets.review import BudgetReview
from bot.budgets.savings import savings_of
from bot.budgets.snapshots import Snapshots
from bot.clock import DAY, HOUR, floor_hour
from bot.db.schema import alerts, notices
from bot.mode import modes_from_chain
from bot.notify.model import Address
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import ADMIN_DELAY, BilledRow, DataState, Read, UsageReading, UsageRow
from bot.usage.store import Bill, UsageStore
from bot.usage.store_reads import Name
from handlers.render.limit_alert import limit_message
from tests.databases import open_migrated
from tests.detectors import evaluator

CARD = load_rate_card()
MODES = modes_from_chain(("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"), {})
OPUS = "claude-opus-4-8"
MINUTE = timedelta(minutes=1)


def budget(
    soft_usd: int | None = 100,
    hard_usd: int | None = None,
    period: str = "month",
    zone: str = "UTC",
    scope: str = "organization",
    name: str = "default",
) -> Budget:
    soft, hard = (None if usd is None else Decimal(usd) for usd in (soft_usd, hard_usd))
    return Budget(name, parse_scope(scope), PeriodKind(period), ZoneInfo(zone), soft, hard, "test")


def at(text: str) -> datetime:
    """`11-30 23:57` of 2026, UTC."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Use:
    """Tokens that cost this much on Opus 4.8, used at this moment."""

    at: datetime
    usd: Decimal
    workspace: str
    key: str | None


class Watched:
    """An organization, its usage, and the bot's stores. Usage is visible five minutes after it happened."""

    def __init__(self, engine: Engine, *budgets: Budget) -> None:
        self.engine = engine
        self.usage = UsageStore(engine)
        self.alerts = AlertStore(engine)
        self.uses: list[Use] = []
        self.bill: list[BilledRow] = []
        self.review = self.started(*(budgets or [budget()]))

    def started(self, *budgets: Budget) -> BudgetReview:
        """The review of a process that begins now, with these budgets."""
        self.snapshots = Snapshots(self.usage, CARD)
        self.review = BudgetReview(self.snapshots, lambda: budgets, MODES, CARD)
        self.limits = evaluator(AlertKind.LIMIT, self.engine, self.snapshots, self.alerts, self.review)
        return self.review

    def spends(
        self, usd: Decimal | int | str, when: str, workspace: str = "wrkspc_1", key: str | None = "apikey_1"
    ) -> None:
        self.uses.append(Use(at(when), Decimal(usd), workspace, key))

    def polls(self, when: str | datetime, *, billed_error: str | None = None, decides: bool = True) -> int:
        """One poll as the poller does it, and the decision after it; returns how many steps were taken."""
        now = at(when) if isinstance(when, str) else when
        since = self.review.needed_since(now)
        border = max(since, floor_hour(now) - 2 * HOUR)
        end = floor_hour(now) + HOUR
        visible = [use for use in self.uses if use.at + ADMIN_DELAY <= now]
        reads = (Read("1h", since, border), Read("1m", border, end))
        readings = [UsageReading(read, _rows(visible, read), None) for read in reads]
        bill, read_at = None, self.usage.data_state().billed_read_at
        if billed_error is None:
            read_at = now
            first, last = (now - 30 * DAY).date(), now.date()
            bill = Bill(first, last, [row for row in self.bill if first <= row.day <= last])
        data = DataState(
            as_of=now - ADMIN_DELAY,
            source="admin",
            polled_at=now,
            billed_error=billed_error,
            billed_at=now,
            billed_read_at=read_at,
        )
        self.usage.save(readings, "admin", now, data, bill)
        return self.limits.look(now, "normal") if decides else 0

    def reported(self) -> list[tuple[str, LimitAlert]]:
        """Every post and every edit that was put into the outbox, in order; the replies in threads are left out."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(notices.c.action, notices.c.facts).order_by(notices.c.id)).all()
        found = [(row.action, parsed(row.facts)) for row in rows]
        return [(action, facts) for action, facts in found if isinstance(facts, LimitAlert) and action != "reply"]

    def posts(self) -> list[str]:
        """The incidents that have a message of their own."""
        return [facts.incident for action, facts in self.reported() if action == "post"]

    def delivers(self) -> None:
        """Deliver everything in the outbox to Slack."""
        far = datetime(2030, 1, 1, tzinfo=UTC)
        while (notice := self.alerts.notices.claim(far)) is not None:
            self.alerts.notices.finish(
                notice.id, far, Address("C1", f"{notice.id}.0") if notice.action == "post" else None
            )


def _rows(uses: Sequence[Use], read: Read) -> tuple[UsageRow, ...]:
    return tuple(_row(use, read) for use in uses if read.starts_at <= use.at < read.ends_at)


def _row(use: Use, read: Read) -> UsageRow:
    counts = TokenCounts(uncached_input_tokens=int(use.usd * 200_000))
    starts_at = floor_hour(use.at) if read.width == "1h" else use.at.replace(second=0, microsecond=0)
    return UsageRow(starts_at, OPUS, use.workspace, use.key, STANDARD, counts)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def team(engine: Engine) -> Watched:
    return Watched(engine)


def test_before_the_first_poll_nothing_is_decided_and_nothing_is_known(team: Watched) -> None:
    assert team.limits.look(at("11-20 12:00"), "normal") == 0
    assert team.review.spend(at("11-20 12:00")) == []
    assert team.review.widest(at("11-20 12:00")) is None
    assert team.reported() == []


def test_a_crossing_is_reported_once_however_often_it_is_looked_at(team: Watched) -> None:
    team.spends(90, "11-20 08:00")
    assert team.polls("11-20 12:00") == 0
    team.spends(20, "11-20 12:10")
    assert team.polls("11-20 12:20") == 1
    assert team.polls("11-20 12:21") == 0
    team.started(budget())
    assert team.polls("11-20 12:22") == 0
    assert team.posts() == ["default/2026-11/soft/100"]


def test_a_budget_with_a_fault_keeps_no_other_limit_from_being_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    team, broken = Watched(engine, budget(name="broken"), budget()), [True]
    spends_in = team.review.spends_in

    def faulty(asked: Sequence[tuple[Budget, Period]], *more: Any) -> list[BudgetSpend]:
        if broken[0] and asked[0][0].name == "broken":
            raise KeyError("a fault")
        return spends_in(asked, *more)

    monkeypatch.setattr(team.review, "spends_in", faulty)
    team.spends(110, "11-20 08:00")
    for minute in (0, 1):
        with pytest.raises(KeyError):
            team.polls(f"11-20 12:0{minute}")
        assert team.posts() == ["default/2026-11/soft/100"]
    broken[0] = False
    team.polls("11-20 12:02")
    assert team.posts() == ["default/2026-11/soft/100", "broken/2026-11/soft/100"]


def test_usage_of_a_months_last_minutes_that_is_seen_after_midnight_opens_that_months_alert(team: Watched) -> None:
    team.spends(90, "11-20 08:00")
    team.polls("11-30 23:58")
    team.spends(20, "11-30 23:57")
    team.spends(3, "12-01 00:01")
    assert team.polls("12-01 00:01") == 0
    assert team.polls("12-01 00:03") == 1
    assert team.posts() == ["default/2026-11/soft/100"]
    ((_, facts),) = team.reported()
    assert facts.spend.spent_usd == 110
    assert facts.spend.ends_at == at("12-01 00:00")
    assert (facts.spend.expected_usd, facts.spend.movers, facts.spend.shares) == (None, (), ())
    text = limit_message(facts, None).text
    assert text.splitlines()[0] == ("$110.00 of $100.00 (110%): soft limit crossed, November, which is over")
    assert "November is over: it ended 1 Dec 00:00 UTC." in text
    assert "Expected end" not in text


def test_a_late_crossing_is_reported_once_and_the_new_month_begins_for_itself(team: Watched) -> None:
    team.spends(90, "11-20 08:00")
    team.polls("11-30 23:58")
    team.spends(20, "11-30 23:57")
    for minute in range(3, 40):
        team.polls(at("12-01 00:00") + minute * MINUTE)
    team.started(budget())
    team.spends(101, "12-01 10:00")
    team.polls("12-01 11:00")
    team.polls("12-02 11:00")
    assert team.posts() == ["default/2026-11/soft/100", "default/2026-12/soft/100"]
    assert len(team.reported()) == 2


def test_an_alert_that_was_reported_before_the_end_is_not_reported_again_after_it(team: Watched) -> None:
    team.spends(110, "11-30 20:00")
    team.polls("11-30 21:00")
    team.spends(500, "11-30 23:58")
    for hour in range(48):
        team.polls(at("12-01 00:10") + hour * HOUR)
    assert team.posts() == ["default/2026-11/soft/100"]
    assert len(team.reported()) == 1


def test_both_limits_crossed_in_the_last_minutes_are_one_hard_message(engine: Engine) -> None:
    team = Watched(engine, budget(100, 200))
    team.polls("11-30 23:50")
    team.spends(250, "11-30 23:58")
    team.polls("12-01 00:05")
    ((action, facts),) = team.reported()
    assert (action, facts.level, facts.reason) == ("post", LimitKind.HARD, LimitReason.CROSSED_WITH_SOFT)
    assert limit_message(facts, None).text.splitlines()[-1].startswith("Nothing has been stopped")


def test_a_correction_after_the_end_edits_the_message_and_does_not_post(team: Watched) -> None:
    team.spends(110, "11-30 20:00")
    team.polls("11-30 21:00")
    team.delivers()
    team.uses.clear()
    team.polls("12-01 09:00")
    (_, (action, facts)) = team.reported()
    assert (action, facts.status, facts.reason) == ("update", Status.RESOLVED, LimitReason.FELL_BELOW)
    assert "which is over" in limit_message(facts, None).text.splitlines()[0]


def test_the_bill_of_the_last_day_may_still_open_the_alert(team: Watched) -> None:
    team.spends(90, "11-30 08:00")
    team.bill = [BilledRow(date(2026, 11, 30), "wrkspc_1", "tokens", Decimal(105), None)]
    team.polls("11-30 09:00")
    assert team.polls("12-01 23:59") == 0
    assert team.polls("12-02 00:00") == 1
    assert team.posts() == ["default/2026-11/soft/100"]


def test_a_period_is_reviewed_for_two_days_after_its_end_and_no_longer(team: Watched) -> None:
    team.spends(90, "11-20 08:00")
    team.polls("11-30 23:00")
    team.spends(20, "11-30 22:00")
    assert team.review.needed_since(at("12-02 23:59")) == at("11-01 00:00")
    assert team.review.needed_since(at("12-03 00:00")) == at("11-30 22:00")
    assert team.polls("12-03 00:00") == 0
    assert team.posts() == []


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_a_bot_that_is_new_says_nothing_of_periods_that_it_never_watched(engine: Engine, period: str) -> None:
    # 1 June 2026 was a Monday, so day, week and month begin together.
    team = Watched(engine, budget(period=period))
    for day in ("05-29", "05-30", "05-31"):
        team.spends(500, f"{day} 12:00")
    for hour in (9, 10, 30):
        team.polls(at("06-01 00:00") + hour * HOUR)
    assert team.posts() == []


def test_a_limit_that_came_after_the_end_is_not_held_against_the_period_and_the_old_one_still_is(
    team: Watched,
) -> None:
    team.spends(90, "11-20 08:00")
    team.polls("11-30 23:58")
    team.started(budget(50, 200))
    assert team.polls("12-01 00:04") == 0
    team.spends(20, "11-30 23:57")
    assert team.polls("12-01 00:10") == 1
    assert team.posts() == ["default/2026-11/soft/100"]
    (facts,) = (facts for _, facts in team.reported())
    assert (facts.spend.soft_usd, facts.spend.hard_usd) == (Decimal(100), None)


def test_a_limit_that_is_lifted_after_the_end_leaves_the_messages_of_the_period_alone(engine: Engine) -> None:
    team = Watched(engine, budget(100, 200))
    team.spends(150, "11-30 20:00")
    team.polls("11-30 21:00")
    team.spends(60, "11-30 21:30")
    team.polls("11-30 22:00")
    before = team.reported()
    team.started(budget(100, 900))
    team.polls("12-01 09:00")
    assert team.reported() == before


def test_a_limit_that_was_lifted_within_the_period_stays_lifted_after_it(engine: Engine) -> None:
    team = Watched(engine, budget(100, 500))
    team.spends(150, "11-20 08:00")
    team.polls("11-20 12:00")
    team.started(budget(None, 500))
    team.polls("11-20 13:00")
    before = team.reported()
    assert [facts.status for _, facts in before] == [Status.OPEN, Status.WITHDRAWN]
    team.spends(10, "11-30 23:58")
    assert team.polls("12-01 00:05") == 0
    assert team.reported() == before


def test_a_limit_edited_within_the_period_holds_with_its_last_value(team: Watched) -> None:
    team.polls("11-20 12:00")
    team.started(budget(300))
    team.polls("11-20 13:00")
    team.spends(200, "11-30 23:58")
    team.started(budget(50))
    assert team.polls("12-01 00:05") == 0
    team.spends(100, "11-30 23:59")
    assert team.polls("12-01 00:06") == 1
    assert team.posts() == ["default/2026-11/soft/300"]


def test_a_bot_that_was_away_for_a_whole_day_still_reports_it(engine: Engine) -> None:
    team = Watched(engine, budget(period="day"))
    team.polls("11-20 18:00")
    team.spends(150, "11-21 12:00")
    team.spends(150, "11-22 12:00")
    team.polls("11-23 08:00")
    assert team.posts() == ["default/2026-11-21/soft/100", "default/2026-11-22/soft/100"]
    team.polls("11-23 08:01")
    assert len(team.reported()) == 2


def test_what_is_only_watched_is_no_incident_and_has_no_message(engine: Engine) -> None:
    team = Watched(engine, budget(100, 200))
    team.polls("11-20 12:00")
    team.polls("11-20 12:01")
    with engine.connect() as connection:
        rows = connection.execute(select(alerts.c.limit_kind, alerts.c.status, alerts.c.key)).all()
    assert [tuple(row) for row in rows] == [("soft", "watched", "2026-11"), ("hard", "watched", "2026-11")]
    assert team.reported() == []


def test_every_budget_is_decided_in_its_own_period_and_zone(engine: Engine) -> None:
    team = Watched(
        engine,
        budget(1000, name="org"),
        budget(10, period="day", zone="Asia/Tokyo", name="tokyo"),
        budget(10, period="day", name="utc"),
        budget(10, period="week", name="week", scope="workspace:wrkspc_2"),
        budget(10, period="week", name="key", scope="key:apikey_9"),
    )
    # Tuesday, 16:30 UTC: in Tokyo it is Wednesday already.
    team.spends(6, "11-24 14:00", workspace="wrkspc_2")
    team.spends(6, "11-24 16:00", workspace="wrkspc_2", key="apikey_9")
    team.polls("11-24 16:30")
    assert team.posts() == ["utc/2026-11-24/soft/10", "week/2026-W48/soft/10"]
    spent = {facts.budget: (facts.period, str(facts.spent_usd)) for facts in team.review.spend(at("11-24 16:30"))}
    assert spent == {
        "org": ("2026-11", "12"),
        "tokyo": ("2026-11-25", "6"),
        "utc": ("2026-11-24", "12"),
        "week": ("2026-W48", "12"),
        "key": ("2026-W48", "6"),
    }
    team.spends(5, "11-24 16:40")
    team.polls("11-24 16:50")
    assert team.posts()[2:] == ["tokyo/2026-11-25/soft/10"]


def test_usage_is_needed_from_the_oldest_reviewed_period_on(engine: Engine) -> None:
    team = Watched(engine, budget(period="day"))
    assert team.review.needed_since(at("11-20 12:34")) == at("11-18 00:00")
    team.started(budget(period="day"), budget(period="month"))
    assert team.review.needed_since(at("11-20 12:34")) == at("11-01 00:00")
    team.started(budget(period="month", zone="Asia/Tokyo"))
    assert team.review.needed_since(at("11-20 12:34")) == at("10-31 15:00")
    team.started()
    assert team.review.needed_since(at("11-20 12:34")) == at("11-18 10:00")


def test_minutes_after_the_change_of_the_month_nothing_known_is_not_shown_as_nothing_spent(team: Watched) -> None:
    team.spends(90, "11-20 08:00")
    team.polls("12-01 00:04")
    (facts,) = team.review.spend(at("12-01 00:04"))
    assert (facts.period, facts.spent_usd, facts.expected_usd) == ("2026-11", Decimal(90), None)
    team.polls("12-01 00:06")
    (facts,) = team.review.spend(at("12-01 00:06"))
    assert (facts.period, facts.spent_usd) == ("2026-12", Decimal(0))
    (facts,) = team.review.spend(at("12-05 12:00"))
    assert facts.period == "2026-12"


def test_data_from_before_the_change_of_the_month_stays_that_months(team: Watched) -> None:
    team.spends(90, "11-20 08:00")
    team.polls("11-29 10:00")
    (facts,) = team.review.spend(at("12-03 10:00"))
    assert (facts.period, facts.spent_usd, facts.as_of) == ("2026-11", Decimal(90), at("11-29 09:55"))


def test_savings_right_after_the_change_of_the_month_are_those_of_the_month_to_come(team: Watched) -> None:
    for hour in range(24):
        team.spends(5, f"11-30 {hour:02}:30")
    team.polls("12-01 00:04")
    spend = team.review.widest(at("12-01 00:04"))
    assert spend is not None
    assert (spend.period, spend.as_of) == ("2026-12", at("11-30 23:59"))
    savings = savings_of(spend, "normal")
    # $5 of input on Opus 4.8 are $2 on Sonnet 5.5 and $0.10 on Haiku 5.5.
    assert spend.left_usd is not None
    assert spend.left_usd > 24 * 5
    assert {saving.mode: round(saving.usd / spend.left_usd, 4) for saving in savings} == {
        "degraded": Decimal("0.6"),
        "minimal": Decimal("0.98"),
    }


def test_savings_are_those_of_the_whole_organization_where_it_has_a_budget(engine: Engine) -> None:
    team = Watched(engine, budget(scope="workspace:wrkspc_2", name="small"), budget(name="all"))
    team.usage.save_names([Name("workspace", "wrkspc_2", "Quiet")], at("11-20 00:00"))
    team.spends(10, "11-30 12:00")
    team.polls("11-30 18:05")
    savings = savings_of(team.review.widest(at("11-30 18:05")), "normal")
    assert [saving.usd > 0 for saving in savings] == [True, True]
    team.started(budget(scope="workspace:wrkspc_2", name="small"))
    assert savings_of(team.review.widest(at("11-30 18:05")), "normal") == ()
    team.started()
    assert team.review.widest(at("11-30 18:05")) is None


def test_movers_and_savings_say_what_the_last_24_hours_say(engine: Engine) -> None:
    team = Watched(engine, budget(1000))
    names = [Name("workspace", "wrkspc_1", "Search"), Name("key", "apikey_1", "ingest")]
    team.usage.save_names(names, at("11-20 00:00"))
    for hour in range(60):
        moment = f"{at('11-18 00:00') + hour * HOUR + 30 * MINUTE:%m-%d %H:%M}"
        team.spends(1, moment)
        if hour >= 36:
            team.spends(2, moment, workspace="wrkspc_2", key=None)
    team.polls("11-20 12:05")
    (facts,) = team.review.spend(at("11-20 12:05"))
    assert facts.as_of == at("11-20 12:00")
    assert facts.spent_usd == 60 + 48
    assert facts.low_usd is not None
    assert facts.expected_usd is not None
    assert facts.high_usd is not None
    assert 108 <= facts.low_usd < facts.expected_usd < facts.high_usd
    assert [(m.model, m.workspace, m.key, m.usd, m.before_usd) for m in facts.movers] == [
        (OPUS, "wrkspc_2", None, Decimal(48), None),
        (OPUS, "Search", "ingest", Decimal(24), Decimal(24)),
    ]
    assert [(each.mode, each.share) for each in facts.shares] == [
        ("normal", 1),
        ("degraded", Decimal("0.4")),
        ("minimal", Decimal("0.02")),
    ]
    left = facts.expected_usd - 108
    savings = [(saving.mode, saving.usd) for saving in savings_of(facts, "normal")]
    assert savings == [("degraded", Decimal("0.6") * left), ("minimal", Decimal("0.98") * left)]


def test_a_constant_stream_moves_nobody_whatever_the_minute(engine: Engine) -> None:
    team = Watched(engine, budget(1000))
    for minute in range(2, 60 * 60, 5):
        team.spends("0.25", f"{at('11-18 00:00') + minute * MINUTE:%m-%d %H:%M}")
    for minute in (5, 20, 35, 50):
        team.polls(at("11-20 09:00") + minute * MINUTE)
        (facts,) = team.review.spend(at("11-20 09:00") + minute * MINUTE)
        (mover,) = facts.movers
        assert mover.before_usd is not None
        assert [round(usd, 6) for usd in (mover.usd, mover.before_usd)] == [Decimal(72)] * 2
        assert facts.expected_usd is not None
        assert facts.expected_usd > facts.spent_usd


def test_there_is_no_expected_end_while_the_database_knows_less_than_six_hours(team: Watched) -> None:
    now = at("11-20 12:05")
    for hours, known in ((5, False), (6, True)):
        read = Read("1h", at("11-20 12:00") - hours * HOUR, at("11-20 13:00"))
        team.usage.save([UsageReading(read, (), None)], "admin", now, DataState(as_of=at("11-20 12:00")), None)
        (facts,) = team.review.spend(now)
        assert (facts.expected_usd is not None) == known


def test_a_report_that_cannot_be_read_any_more_does_not_settle_the_day_that_it_had_half(team: Watched) -> None:
    team.spends(80, "11-10 06:00")
    team.bill = [
        BilledRow(date(2026, 11, 8), "wrkspc_1", "tokens", Decimal(7), None),
        BilledRow(date(2026, 11, 10), "wrkspc_1", "tokens", Decimal(30), None),
    ]
    team.polls("11-10 12:00")
    for when in ("11-10 13:00", "11-12 00:00", "11-20 12:00"):
        team.polls(when, billed_error="The cost report cannot be read.")
        (facts,) = team.review.spend(at(when))
        assert (facts.spent_usd, facts.billed_usd, facts.billed_days) == (Decimal(87), Decimal(7), 1)
    team.polls("11-20 13:00")
    (facts,) = team.review.spend(at("11-20 13:00"))
    assert (facts.spent_usd, facts.billed_days) == (Decimal(37), 2)


def test_a_failing_report_leaves_every_number_and_every_open_alert_as_it_was(team: Watched) -> None:
    team.spends(90, "11-10 06:00")
    team.bill = [BilledRow(date(2026, 11, 10), "wrkspc_1", "tokens", Decimal(105), None)]
    team.polls("11-10 12:00")
    assert team.polls("11-12 00:30") == 1
    (before,) = team.review.spend(at("11-12 00:30"))
    for when in ("11-12 01:30", "11-12 02:30", "11-15 12:00"):
        assert team.polls(when, billed_error="The cost report cannot be read.") == 0
        (facts,) = team.review.spend(at(when))
        assert (facts.spent_usd, facts.billed_usd, facts.billed_days) == (before.spent_usd, Decimal(105), 1)
    asked = report_words("month", at("11-15 12:00"))
    report = report_of(team.snapshots.current(), asked.period, asked.before, GroupBy.MODEL)
    assert report is not None
    assert report.spend.billed_usd == 105
    assert team.posts() == ["default/2026-11/soft/100"]
    assert len(team.reported()) == 1


def test_a_failed_poll_after_days_away_lowers_no_number(team: Watched) -> None:
    team.spends(80, "11-10 06:00")
    team.bill = [BilledRow(date(2026, 11, 10), "wrkspc_1", "tokens", Decimal(30), None)]
    team.polls("11-10 12:00")
    state = replace(team.usage.data_state(), error="Anthropic cannot be reached.", error_since=at("11-14 12:00"))
    team.usage.save_state(state)
    (facts,) = team.review.spend(at("11-14 12:00"))
    assert facts.spent_usd == 80


moments = st.integers(0, 48 * 60 - 1).map(lambda minute: at("11-29 00:00") + minute * MINUTE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    uses=st.lists(st.tuples(moments, st.integers(1, 60)), max_size=6),
    polls=st.lists(moments, min_size=1, max_size=6),
    restarts=st.sets(st.integers(0, 6)),
)
def test_whenever_it_polls_every_day_that_ends_above_its_limit_is_reported_exactly_once(
    tmp_path_factory: pytest.TempPathFactory,
    uses: Sequence[tuple[datetime, int]],
    polls: Sequence[datetime],
    restarts: set[int],
) -> None:
    engine = open_migrated(f"sqlite:///{tmp_path_factory.mktemp('review') / 'claude-cost.db'}")
    try:
        team = Watched(engine, budget(100, period="day"))
        team.uses = [Use(moment, Decimal(usd), "wrkspc_1", "apikey_1") for moment, usd in uses]
        team.polls("11-28 23:00")
        for index, moment in enumerate([*sorted(polls), at("12-01 01:00")]):
            if index in restarts:
                team.started(budget(100, period="day"))
            team.polls(moment)
        by_day = {day: sum(usd for moment, usd in uses if moment.date() == day) for day in (_nov(29), _nov(30))}
        assert sorted(team.posts()) == [f"default/{day}/soft/100" for day, usd in by_day.items() if usd >= 100]
    finally:
        engine.dispose()


def _nov(day: int) -> date:
    return date(2026, 11, day)
