"""A digest is posted once, by whichever copy comes first, and is read back as it was stored."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from bot.alerts.notice_contents import dumped, loaded
from bot.budgets.budget import PeriodKind
from bot.budgets.budget_spend import NamedCause, NamedMover
from bot.budgets.model_news import ChangedPrice, PriceChange, Retirement
from bot.budgets.spend import Spend
from bot.budgets.trend import CauseKind
from bot.db.schema import digests, notices
from bot.digests.cheaper import Cheaper, Option, Way
from bot.digests.model import Digest, DigestRow, EstimatePace
from bot.digests.schedule import DigestRule, DueDigest, period_until
from bot.digests.settings_store import DigestSettingsStore
from bot.digests.store import STORED, DigestPoster, DigestStore
from bot.language import LANGUAGES, in_language
from bot.pricing.cost import Hidden
from bot.sandbox.block_limits import problems
from handlers.render.digest import digest_message
from handlers.rendering import plain_message
from tests.databases import NOW, spend_facts

HOSTILE = ("<!channel> & *_~`bold`~_* " * 12) + "\u202e right to left 🙂"
HUGE = Decimal("123456789012.345678")


def digest(name: str = "search", usd: Decimal = Decimal(91), count: int = 1) -> Digest:
    spend = Spend(usd, 6, usd, Decimal("0.5"), frozenset(Hidden), (name,), Decimal(3), NOW)
    mover = NamedMover(model=name, workspace=name, key=name, usd=usd, before_usd=Decimal(2))
    cause = NamedCause(
        kind=CauseKind.TOKENS_ROSE, model=name, workspace=name, key=name, usd=usd, before=Decimal(1), after=usd
    )
    price = ChangedPrice(kind="input", before=Decimal(3), after=None)
    options = (
        Option(way=Way.MODEL, usd=usd, model=name),
        Option(way=Way.CACHE, usd=usd),
        Option(way=Way.BATCH, usd=usd),
    )
    rows = tuple(DigestRow(label=name, usd=usd, before_usd=usd) for _ in range(5 * count))
    return Digest(
        every="week",
        rule=DigestRule(PeriodKind.WEEK).key,
        scope=None,
        period=period_until(PeriodKind.WEEK, NOW.date()),
        as_of=NOW,
        decided_at=NOW,
        spend=spend,
        computed_usd=usd,
        before_usd=Decimal(40),
        before="2026-W45",
        unbilled_days=1,
        missing_hours=3,
        by="feature",
        rows=rows[:6],
        rows_usd=sum((row.usd for row in rows[:6]), Decimal(0)),
        movers=(mover,) * 3,
        causes=(cause,) * 3,
        of_last_day=False,
        budgets=(replace(spend_facts(), budget=name[:60], spent_usd=usd),) * 10 * count,
        cheaper=(Cheaper(caller=name, options=options),) * 3,
        estimates=(EstimatePace(name=name[:60], estimated_usd=usd, monthly_usd=Decimal(7)),) * 5,
        prices=(
            PriceChange(
                model=name,
                name="Sonnet 5.5",
                first_day=NOW.date(),
                prices=(price,) * 7,
                usd_before=usd,
                usd_after=usd,
                days=14,
            ),
        )
        * 3,
        retirements=(
            Retirement(
                model=name,
                name="Opus 4.5",
                last_day=NOW.date(),
                successor="Opus 5.5",
                usd=usd,
                successor_usd=usd,
                days=14,
            ),
        )
        * 3,
    )


def test_whoever_comes_second_posts_nothing(engine: Engine) -> None:
    store = DigestStore(engine)
    one = digest()
    assert not store.is_posted(one.rule, one.period.key)
    with ThreadPoolExecutor(4) as threads:
        posted = list(threads.map(lambda _: DigestStore(engine).post(one, None, NOW), range(8)))
    assert sorted(posted) == [False] * 7 + [True]
    assert store.is_posted(one.rule, one.period.key)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(digests)).scalar_one() == 1
        (facts,) = connection.execute(select(notices.c.facts)).scalars()
    assert loaded(facts) == one


def test_another_channel_and_another_week_are_other_digests(engine: Engine) -> None:
    store, one = DigestStore(engine), digest()
    elsewhere = replace(one, rule=DigestRule(PeriodKind.WEEK, "C0OTHER").key)
    later = replace(one, period=period_until(PeriodKind.WEEK, NOW.date() + timedelta(days=7)))
    assert all(store.post(each, None, NOW) for each in (one, elsewhere, later))


def test_it_is_stored_as_the_outbox_stores_everything() -> None:
    one = digest(HOSTILE, HUGE)
    assert STORED.dump_python(one, mode="json") == dumped(one)
    assert loaded(json.loads(json.dumps(dumped(one)))) == one


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("name", "usd"), [("search", Decimal(91)), (HOSTILE, HUGE), ("", Decimal(0)), ("x" * 300, Decimal("0.001"))]
)
def test_the_worst_digest_is_one_that_slack_takes(language: str, name: str, usd: Decimal) -> None:
    with in_language(language):
        message = digest_message(digest(name, usd))
    assert problems(message.blocks, "message") == []
    assert len(message.text) < 12_000
    assert "<!channel>" not in message.text


def test_without_anything_spent_it_says_so_and_names_nothing() -> None:
    empty = replace(
        digest(),
        spend=Spend(Decimal(0), 0, Decimal(0), Decimal(0), frozenset(), ()),
        computed_usd=Decimal(0),
        before_usd=None,
        before=None,
        missing_hours=0,
        rows=(),
        movers=(),
        causes=(),
        budgets=(),
        cheaper=(),
        estimates=(),
        prices=(),
        retirements=(),
    )
    message = digest_message(empty)
    assert problems(message.blocks, "message") == []
    assert message.text.splitlines()[0].endswith(": $0.00 spent")
    assert plain_message(empty, NOW, NOW).title.endswith(": $0.00 spent")


def test_a_digest_with_a_fault_stops_no_other_and_the_fault_is_raised(engine: Engine) -> None:
    class Faulty(DigestPoster):
        def _digest(self, due: DueDigest, now: datetime) -> Digest | None:
            if due.rule.channel == "C0BROKEN":
                raise KeyError("a fault")
            return replace(digest(), rule=due.rule.key, period=due.period)

    monday = datetime(2026, 11, 16, 12, tzinfo=UTC)
    rules = [DigestRule(PeriodKind.WEEK, "C0BROKEN"), DigestRule(PeriodKind.WEEK, "C0SEARCH")]
    settings = DigestSettingsStore(rules, engine, lambda: NOW, "C0MAIN")
    sources: Any = SimpleNamespace(snapshots=SimpleNamespace(current=lambda: SimpleNamespace(as_of=monday)))
    for _ in range(2):
        with pytest.raises(KeyError):
            Faulty(settings, sources, DigestStore(engine)).look(monday, "normal")
    with engine.connect() as connection:
        assert list(connection.execute(select(notices.c.channel)).scalars()) == ["C0SEARCH"]
