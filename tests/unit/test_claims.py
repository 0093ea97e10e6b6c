"""Several copies drain one outbox: each notice is sent once, each chain in order, and what Slack asks holds for all."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine, insert, select, update

from bot.alerts.notice_contents import ContentStore
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.clock import seconds_since_boot
from bot.db.engine import connect
from bot.db.schema import alerts, notices, unreachable_channels
from bot.notify.claims import ATTEMPT_SECONDS, TURN_SECONDS, AskedWait, Claim, Claims
from bot.notify.model import LONGEST_WAIT, Address, Failed
from bot.notify.outbox import Outbox
from bot.notify.queue_store import insert_notice
from bot.sandbox.clock import HandClock
from tests.databases import NOW, SOFT_AGAIN, SOFT_RESOLVED, crossed, open_migrated, reported
from tests.unit.test_outbox import UNKNOWN, Channel, record, render

SECOND = timedelta(seconds=1)
CUT_OFF = Failed("Slack cannot be reached.")
BUDGETS = [f"b{number}" for number in range(4)]


class Slow(Channel):
    """Each call takes a while, so that the copies overlap. `now`: the chains in which one is under way."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self.now: list[str] = []
        self.overlaps: list[str] = []

    async def _call(self, text: str) -> None:
        chain = text.split()[0]
        self.overlaps += [chain] if chain in self.now else []
        self.now.append(chain)
        await asyncio.sleep(self._random.uniform(0, 0.01))
        self.now.remove(chain)

    async def post(self, *message: object, **options: object) -> object:  # type: ignore[override]
        await self._call(message[0].text)  # type: ignore[attr-defined]
        return await super().post(*message, **options)  # type: ignore[arg-type]

    async def update(self, *message: object, **options: object) -> object:  # type: ignore[override]
        await self._call(message[1].text)  # type: ignore[attr-defined]
        return await super().update(*message, **options)  # type: ignore[arg-type]


def copy_on(
    engine: Engine,
    channel: Channel,
    clock: HandClock | None = None,
    monotonic: Callable[[], float] = seconds_since_boot,
) -> Outbox:
    """A copy of the bot beside others, with a clock of its own."""
    clock = clock or HandClock(NOW)
    return Outbox(ContentStore(engine), channel, render, clock, others_alive=lambda: True, monotonic=monotonic)


@pytest.fixture
def file_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("seed", range(2))
async def test_copies_that_race_send_each_notice_once_and_each_chain_in_order(engine: Engine, seed: int) -> None:
    channel, store = Slow(Random(seed)), AlertStore(engine)
    for step in (crossed(LimitKind.SOFT), SOFT_RESOLVED, SOFT_AGAIN):
        for number, budget in enumerate(BUDGETS):
            store.record(reported([step], budget=budget), NOW + number * SECOND)
    engines = [connect(engine.url.render_as_string(hide_password=False)) for _ in range(3)]
    deliveries = await asyncio.gather(*(copy_on(each, channel).deliver() for each in engines))
    for each in engines:
        each.dispose()
    assert channel.overlaps == []
    for budget in BUDGETS:
        told = [(action.split()[0], text.split()[1]) for action, text in channel.sent if text.startswith(f"{budget}/")]
        # The edit to resolved gave way to the next one.
        assert told == [("post", "open"), ("below", "resolved"), ("edit", "open"), ("below", "open")]
    assert sum(delivery.delivered for delivery in deliveries) == len(channel.sent)
    # How many each sends is up to them; on SQLite a writer may get the lock again and again.
    assert engine.dialect.name == "sqlite" or all(delivery.delivered for delivery in deliveries)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_notice_that_another_copy_claims_at_this_moment_is_passed_over(engine: Engine) -> None:
    store = AlertStore(engine)
    record(store, crossed(LimitKind.SOFT))
    store.record(reported([crossed(LimitKind.HARD)]), NOW + SECOND)
    store.record(reported([crossed(LimitKind.SOFT)], budget="search"), NOW)
    with engine.begin() as other:
        first = other.execute(select(notices.c.id).order_by(notices.c.id).limit(1).with_for_update()).scalar_one()
        claimed = store.notices.claim(NOW)
        assert claimed is not None
        assert claimed.id != first
        assert store.notices.claim(NOW, frozenset({claimed.id})) is None


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(hours=1), -timedelta(hours=1)])
async def test_what_slack_asks_of_one_copy_holds_for_all_whatever_their_clocks_say(
    engine: Engine, skew: timedelta
) -> None:
    store, theirs = AlertStore(engine), HandClock(NOW + skew)
    record(store, crossed(LimitKind.SOFT))
    channel = Channel(Failed("Slack asks to wait.", retry_after=30 * SECOND))
    other = copy_on(engine, channel, theirs)
    await copy_on(engine, channel).deliver()
    record(store, crossed(LimitKind.HARD))
    assert (await other.deliver()).delivered == 0
    theirs.advance(20 * SECOND)
    assert (await other.deliver()).delivered == 0
    theirs.advance(10 * SECOND)
    assert (await other.deliver()).delivered == 2
    assert len(channel.sent) == 3


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(hours=1), -timedelta(hours=1)])
async def test_a_claim_of_a_dead_copy_is_taken_over_after_its_time_whatever_the_clocks_say(
    engine: Engine, skew: timedelta
) -> None:
    seconds = 0.0
    channel = Channel(readable=True)
    record(AlertStore(engine), crossed(LimitKind.SOFT))
    assert ContentStore(engine).claim(NOW + skew) is not None
    survivor = copy_on(engine, channel, monotonic=lambda: seconds)
    assert (await survivor.deliver()).delivered == 0
    seconds = ATTEMPT_SECONDS - 0.1
    assert (await survivor.deliver()).delivered == 0
    seconds = ATTEMPT_SECONDS
    assert (await survivor.deliver()).delivered == 1
    assert channel.searches == 1


async def test_of_two_alerts_of_one_moment_the_second_waits_for_its_link_to_the_first(file_engine: Engine) -> None:
    seconds, channel, others = 0.0, Channel(), ContentStore(file_engine)
    for kind in (LimitKind.SOFT, LimitKind.HARD):
        record(AlertStore(file_engine), crossed(kind))
    mine = copy_on(file_engine, channel, monotonic=lambda: seconds)
    soft = others.claim(NOW)
    assert soft is not None
    assert (await mine.deliver()).delivered == 0
    others.finish(soft.id, NOW, Address("C1", "1.0"), claim=soft.claim)
    hard = others.claim(NOW, claims=Claims(lambda: True))
    assert hard is not None
    assert hard.content.related == Address("C1", "1.0")


async def test_an_alert_waits_seconds_for_one_of_the_same_moment_and_not_for_one_of_another_channel(
    file_engine: Engine,
) -> None:
    seconds, channel, store = 0.0, Channel(), AlertStore(file_engine)
    for budget in ("a", "b", "c"):
        store.record(reported([crossed(LimitKind.SOFT)], budget=budget), NOW)
    with file_engine.begin() as connection:
        connection.execute(update(notices).where(notices.c.about.startswith("c/")).values(channel="C2"))
    mine = copy_on(file_engine, channel, monotonic=lambda: seconds)
    assert ContentStore(file_engine).claim(NOW) is not None
    await mine.deliver()
    assert [text[0] for _, text in channel.sent] == ["c"]
    seconds = TURN_SECONDS
    await mine.deliver()
    assert [text[0] for _, text in channel.sent] == ["c", "b"]


async def test_what_one_copy_gave_back_another_may_try_at_once(file_engine: Engine) -> None:
    channel = Channel(UNKNOWN, readable=True)
    record(AlertStore(file_engine), crossed(LimitKind.SOFT))
    assert (await copy_on(file_engine, channel).deliver()).delivered == 0
    assert (await copy_on(file_engine, channel).deliver()).delivered == 1
    assert channel.actions == ["post"]


async def test_a_copy_that_is_cut_off_from_slack_holds_up_no_other_and_tries_ever_less_often(
    file_engine: Engine,
) -> None:
    engine = file_engine
    store, clock, good = AlertStore(engine), HandClock(NOW), Channel()
    cut_off = copy_on(engine, Channel(*[CUT_OFF] * 20), clock)
    waits = []
    for number in range(5):
        store.record(reported([crossed(LimitKind.SOFT)], budget=f"b{number}"), NOW)
        waits.append((await cut_off.deliver()).retry_in)
        assert (await copy_on(engine, good).deliver()).delivered == 1
        clock.advance(waits[-1] or timedelta(0))
    assert waits == [min(SECOND * 2**number, LONGEST_WAIT) for number in range(5)]
    assert good.actions == ["post"] * 5


@pytest.mark.parametrize(
    ("looks", "waits"),
    [
        ([[AskedWait(1, 1, 30 * SECOND, 2 * SECOND)]], [28 * SECOND]),
        ([[AskedWait(1, 1, 30 * SECOND, 2 * SECOND)]] * 2, [28 * SECOND, timedelta(0)]),
        ([[AskedWait(1, 1, 30 * SECOND, -90 * SECOND)]], [30 * SECOND]),
        ([[AskedWait(1, 1, 30 * SECOND, 90 * SECOND)]], [timedelta(0)]),
        ([[AskedWait(1, 1, timedelta(days=9), timedelta(0))]], [LONGEST_WAIT]),
        (
            [[AskedWait(1, 1, SECOND, timedelta(0))], [AskedWait(1, 2, SECOND, timedelta(0))], []],
            [SECOND, SECOND, timedelta(0)],
        ),
    ],
)
def test_a_wait_counts_once_by_the_age_of_its_attempt(
    looks: Sequence[Sequence[AskedWait]], waits: Sequence[timedelta]
) -> None:
    claims = Claims()
    assert [claims.asked(look) for look in looks] == waits


def test_a_copy_knows_its_own_claims_and_forgets_those_that_are_settled() -> None:
    seconds = 0.0
    mine, theirs = Claims(lambda: True, lambda: seconds), Claims(lambda: True, lambda: seconds)
    first, second = (Claim(number, theirs.new(), timedelta(0)) for number in (1, 2))
    own = Claim(3, mine.new(), timedelta(0))

    def under_way(*claims: Claim) -> AbstractSet[int]:
        return mine.under_way([*claims, own]).keys()

    assert under_way(first, second) == {1, 2}
    seconds = ATTEMPT_SECONDS
    again = Claim(1, theirs.new(), timedelta(0))
    assert under_way(again, second) == {1}
    assert mine._seen.keys() == {again.id, second.id}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_edit_that_is_decided_while_its_message_moves_to_the_main_channel_moves_along(engine: Engine) -> None:
    store = AlertStore(engine)
    record(store, crossed(LimitKind.SOFT))
    with engine.begin() as connection:
        connection.execute(update(notices).values(channel="C2"))
    post = store.notices.claim(NOW)
    assert post is not None
    with ThreadPoolExecutor(1) as other, engine.begin() as connection:
        connection.execute(select(alerts.c.id).with_for_update())
        moved = other.submit(store.notices.divert, post.id, NOW, "It is closed.", claim=post.claim)
        wait([moved], timeout=0.2)
        insert_notice(connection, "update", post.about, {}, NOW, channel="C2", alert_id=1)
    assert moved.result()
    with engine.connect() as connection:
        assert list(connection.execute(select(notices.c.channel)).scalars()) == [None, None]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_copies_that_find_one_channel_closed_at_once_both_move_their_messages(engine: Engine) -> None:
    store = AlertStore(engine)
    record(store, crossed(LimitKind.SOFT))
    with engine.begin() as connection:
        connection.execute(update(notices).values(channel="C2"))
    post = store.notices.claim(NOW)
    assert post is not None
    with ThreadPoolExecutor(1) as other, engine.begin() as connection:
        connection.execute(insert(unreachable_channels).values(channel="C2", since=NOW, error="It is archived."))
        moved = other.submit(store.notices.divert, post.id, NOW, "It is closed.", claim=post.claim)
        wait([moved], timeout=0.2)
    assert moved.result()
    assert store.notices.unreachable()["C2"].error == "It is closed."
