"""Digests that are set in chat: the words, when the next one comes, what is kept, and how it is drawn at its worst."""

import itertools
import string
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select

from bot.budgets.budget import ORGANIZATION, PeriodKind, Scope, ScopeKind, Weekday
from bot.budgets.owners import Team, Teams
from bot.clock import DAY, MINUTE
from bot.db.schema import digest_settings, digests
from bot.digests.model import DigestChange
from bot.digests.schedule import DigestRule, Scheduled, newest_due, next_due
from bot.digests.settings_store import MOST_KEPT, Changed, DigestSettingsStore
from bot.digests.words import DigestWordsError, about, digest_wish, of_wish, rule_from, rule_words
from bot.language import LANGUAGES, in_language
from bot.messages import Message
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from handlers.render.digest_form import Abouts, Carried, carried, digest_form, filled_digest
from handlers.render.digest_settings import (
    change_message,
    changed_answer,
    digests_message,
    not_in_channel_note,
    stopped_answer,
)
from tests.databases import NOW
from tests.unit.test_worst_messages import NAMES

ZONES = [
    *("UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo"),
    *("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "Africa/Casablanca", "America/St_Johns"),
]
NAME = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=60)
RULES = st.builds(
    DigestRule,
    st.sampled_from(PeriodKind),
    channel=st.none() | st.sampled_from(["C0SEARCH", "G0PRIVATE"]),
    at=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    on=st.sampled_from(Weekday),
    language=st.none() | st.sampled_from(sorted(LANGUAGES)),
    budget=st.none() | NAME,
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # the strategy adds the zone


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(RULES, NAME, st.sampled_from(ScopeKind))
def test_the_words_of_a_digest_make_it_again(rule: DigestRule, name: str, kind: ScopeKind) -> None:
    if rule.every is not PeriodKind.WEEK:
        rule = replace(rule, on=Weekday.MONDAY)
    if rule.budget is None and kind not in (ScopeKind.ORGANIZATION, ScopeKind.TAG):
        rule = replace(rule, scope=Scope(kind, name))
    assert rule_from(rule_words(rule)) == rule


@given(RULES)
def test_what_is_kept_may_also_be_typed(rule: DigestRule) -> None:
    rule = replace(rule, budget=None)
    made = of_wish(digest_wish(rule_words(rule)), DigestRule(PeriodKind.DAY))
    assert rule_words(made) == rule_words(rule)


@given(RULES, MOMENTS)
def test_the_next_one_is_the_first_that_becomes_due(rule: DigestRule, now: datetime) -> None:
    following = next_due(rule, now)
    assert following > now
    due = newest_due(rule, following)
    assert due is not None
    assert due.at == following
    before = newest_due(rule, following - timedelta.resolution)
    assert before is None or before.at <= now
    # By the wall clock of its zone it is the hour that was chosen, or else the clocks skip it, or its days still run.
    local = following.astimezone(rule.zone)
    skipped = datetime.combine(local.date(), rule.at, rule.zone).astimezone(UTC).astimezone(rule.zone).time() != rule.at
    assert local.time() == rule.at or skipped or following.time() == time()


@given(RULES, MOMENTS)
def test_after_one_was_posted_the_next_is_of_other_days(rule: DigestRule, now: datetime) -> None:
    first = newest_due(rule, next_due(rule, now))
    assert first is not None
    later = replace(rule, at=time(23, 59))
    second = newest_due(later, next_due(later, now, {first.period.key}.__contains__))
    assert second is not None
    assert second.period.key != first.period.key


@given(RULES, RULES, MOMENTS, st.integers(0, 3 * 24 * 60))
def test_whatever_is_changed_when_nothing_is_made_up_for_and_no_days_come_twice(
    first: DigestRule, second: DigestRule, now: datetime, minutes: int
) -> None:
    """Looked at every 97 minutes, with a change of hour, zone and day in between."""
    second = replace(second, every=first.every, channel=first.channel, budget=first.budget)
    assert second.key == first.key
    changed_at = now + minutes * MINUTE
    posted: list[str] = []
    for step in range(0, 10 * 24 * 60, 97):
        moment = now + step * MINUTE
        scheduled = Scheduled(first, now, "U") if moment < changed_at else Scheduled(second, changed_at, "U")
        due = scheduled.newest_due(moment)
        if due is not None:
            assert scheduled.since is not None
            assert due.at > scheduled.since
            if due.period.key not in posted:
                posted.append(due.period.key)
    if first.every is PeriodKind.DAY:
        days = [datetime.fromisoformat(key) for key in posted]
        assert all(later > earlier for earlier, later in itertools.pairwise(days))
        assert len(days) >= 7


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("", ""),
        ("daily", "daily at=09:00 zone=UTC"),
        ("DAILY AT=7:05", "daily at=07:05 zone=UTC"),
        ("every day at 7 pm", "daily at=19:00 zone=UTC"),
        ("weekly on fri at 9:30 in Europe/Berlin", None),
        ("weekly on fri at 9:30 zone=berlin", "weekly at=09:30 zone=Europe/Berlin on=friday"),
        ("every monday at 9am", "weekly at=09:00 zone=UTC on=monday"),
        ("mondays 12am", "weekly at=00:00 zone=UTC on=monday"),
        ("month close 10:00 tokyo", "monthly at=10:00 zone=Asia/Tokyo"),
        ("毎週 金曜 18時 zone=JST 日本語", "weekly at=18:00 zone=Asia/Tokyo on=friday lang=ja"),
        ("毎日 7時30分", "daily at=07:30 zone=UTC"),
        ("weekly, at = 09:00, zone = utc", "weekly at=09:00 zone=UTC on=monday"),
        ("weekly in <#C0SEARCH|search> lang=English", "weekly at=09:00 zone=UTC on=monday channel=C0SEARCH lang=en"),
        ("daily weekly", None),
        ("daily at=24:00", None),
        ("daily at=13pm", None),
        ("month on=tue", None),
        ("daily channel=search", None),
        ("weekly zone=Mars/Olympus", None),
        ("weekly lang=klingon", None),
        ("weekly because", None),
    ],
)
def test_words_in_any_order_make_a_digest_or_one_sentence(words: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(DigestWordsError) as refused:
            of_wish(digest_wish(words), DigestRule(PeriodKind.DAY))
        assert str(refused.value).strip().endswith((".", "?"))
        return
    made = of_wish(digest_wish(words), DigestRule(PeriodKind.DAY))
    assert rule_words(made) == (kept or "daily at=09:00 zone=UTC")


@given(st.text(max_size=80))
def test_any_text_makes_a_wish_or_one_sentence(text: str) -> None:
    with suppress(DigestWordsError):
        of_wish(digest_wish(text), DigestRule(PeriodKind.DAY))


TEAMS = Teams([Team("Search", (Scope(ScopeKind.WORKSPACE, "w1"),), owners=("U0ADA",))])


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ""),
        ("organization", ""),
        ("team:search", "team:Search"),
        ("TEAM:SEARCH", "team:Search"),
        ("search", "team:Search"),
        ("ads", "budget:ads"),
        ("budget:ads", "budget:ads"),
        ("feature:summaries", "feature:summaries"),
        ("tag:team=care", "tag:team=care"),
    ],
)
def test_what_it_is_about_is_found_by_the_name_that_people_use(typed: str, found: str) -> None:
    assert about(DigestRule(PeriodKind.DAY), typed, ["ads"], TEAMS).about == found


@pytest.mark.parametrize("typed", ["team:ads", "budget:search", "nobody", "user", "tag:team", "foo:bar", ":", "team:"])
def test_what_nobody_knows_is_one_sentence(typed: str) -> None:
    with pytest.raises(DigestWordsError) as refused:
        about(DigestRule(PeriodKind.DAY), typed, ["ads"], TEAMS)
    assert str(refused.value)
    assert refused.value.key == "for"


WEEKLY = DigestRule(PeriodKind.WEEK, "C0SEARCH")


@pytest.fixture
def store(engine: Engine) -> DigestSettingsStore:
    return DigestSettingsStore([DigestRule(PeriodKind.MONTH, "C0MAIN")], engine, HandClock(NOW), "C0MAIN")


def test_a_digest_is_set_changed_stopped_and_set_back_once(store: DigestSettingsStore) -> None:
    first = store.set(WEEKLY, "U1")
    assert (first.outcome, store.set(WEEKLY, "U1").outcome) == ("set", "same")
    later = replace(WEEKLY, at=time(10))
    second = store.set(later, "U2")
    assert second.outcome == "changed"
    assert store.undo(first.change_id, "U1").outcome == "since"
    assert store.undo(second.change_id, "U1") == Changed("undone", WEEKLY, 3)
    assert store.undo(second.change_id, "U1").outcome == "since"
    assert store.find(WEEKLY.key) == Scheduled(WEEKLY, NOW, "U1")
    assert store.remove(WEEKLY.key, "U1").outcome == "removed"
    assert store.remove(WEEKLY.key, "U1").outcome == "missing"
    assert store.undo(999, "U1").outcome == "unknown"


@pytest.mark.parametrize("channel", [None, "C0MAIN"])
def test_the_alert_channel_is_the_same_by_its_id(store: DigestSettingsStore, channel: str | None) -> None:
    assert store.set(DigestRule(PeriodKind.MONTH, channel), "U1").outcome == "configured"
    assert store.set(DigestRule(PeriodKind.MONTH, channel, scope=None, budget="ads"), "U1").outcome == "set"
    assert store.set(DigestRule(PeriodKind.WEEK, channel), "U1").rule == DigestRule(PeriodKind.WEEK)


def test_one_that_the_file_has_as_well_counts_once(engine: Engine, store: DigestSettingsStore) -> None:
    store.set(WEEKLY, "U1")
    after_restart = DigestSettingsStore([replace(WEEKLY, at=time(7))], engine, HandClock(NOW), "C0MAIN")
    assert [each.rule for each in after_restart.in_force()] == [replace(WEEKLY, at=time(7))]
    assert after_restart.remove(WEEKLY.key, "U1").outcome == "removed"


def test_another_copy_sees_a_change_and_two_at_once_keep_one(engine: Engine, store: DigestSettingsStore) -> None:
    other = DigestSettingsStore([], engine, HandClock(NOW), "C0MAIN")
    assert other.in_force() == ()
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda _: store.set(WEEKLY, "U1").outcome, range(8)))
    assert sorted(outcomes) == ["same"] * 7 + ["set"]
    assert [each.rule for each in DigestSettingsStore([], engine, HandClock(NOW), "C0MAIN").in_force()] == [WEEKLY]


def test_one_takes_the_place_of_another_and_there_is_a_most(engine: Engine, store: DigestSettingsStore) -> None:
    for number in range(MOST_KEPT):
        assert store.set(replace(WEEKLY, budget=f"b{number}"), "U1").outcome == "set"
    assert store.set(replace(WEEKLY, budget="more"), "U1").outcome == "full"
    moved = store.set(replace(WEEKLY, budget="more"), "U1", replace(WEEKLY, budget="b0").key)
    assert moved.outcome == "changed"
    kept = {each.rule.budget for each in store.in_force()}
    assert "more" in kept
    assert "b0" not in kept


def test_what_another_version_has_written_is_left_out_and_set_anew(
    engine: Engine, store: DigestSettingsStore, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        values = {"rule": WEEKLY.key, "words": "fortnightly at=09:00", "set_by": "U1", "set_at": NOW}
        connection.execute(insert(digest_settings).values(**values))
    assert all(each.since is None for each in store.in_force())
    assert "a digest that was set in chat is not posted" in caplog.text
    assert store.set(WEEKLY, "U1").outcome == "set"
    assert store.find(WEEKLY.key) is not None


def test_the_next_one_is_after_what_was_posted(engine: Engine, store: DigestSettingsStore) -> None:
    daily = DigestRule(PeriodKind.DAY, "C0MAIN", at=time(23))
    due = newest_due(daily, store.next_due(daily))
    assert due is not None
    with engine.begin() as connection:
        # Under the name of the alert channel that the file gives it.
        values = {"rule": replace(daily, channel=None).key, "key": due.period.key, "posted_at": NOW}
        connection.execute(insert(digests).values(**values))
    assert store.next_due(daily) == due.at + DAY
    with engine.connect() as connection:
        assert connection.execute(select(digests.c.key)).scalars().all() == [due.period.key]


def drawn(name: str) -> dict[str, Message]:
    """Every message, with a name at its worst."""
    rule = replace(WEEKLY, budget=name, language="ja")
    of_scope = DigestRule(PeriodKind.DAY, scope=Scope(ScopeKind.TEAM, name))
    many = [Scheduled(replace(rule, channel=f"C0{number:05}"), NOW, "U0ADA") for number in range(100)]
    many += [Scheduled(replace(of_scope, channel=f"C0{number:05}")) for number in range(100)]
    nexts = {each.rule.key: NOW for each in many}
    change = DigestChange(change_id=7, by=name[:64], at=NOW, before=rule_words(rule), after=f"weekly {name}")
    found = {
        "list": digests_message(many, nexts, "C0MAIN"),
        "empty": digests_message([], {}, "C0MAIN"),
        "change": change_message(change),
        "undone": change_message(replace(change, before=None, undone_by="U1")),
        "off": stopped_answer([Changed("removed", rule, 1)] * 3, [(of_scope, name)] * 3, "C0MAIN"),
    }
    for outcome in ("set", "changed", "removed", "undone", "same", "configured", "full", "missing", "since", "unknown"):
        found[outcome] = changed_answer(Changed(outcome, rule, 1), "C0MAIN", NOW, [not_in_channel_note("C0SEARCH")])
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_slack_takes_every_message_and_the_form_at_their_worst(language: str, name: str) -> None:
    with in_language(language):
        for what, message in drawn(name).items():
            assert problems(message.blocks, "message") == [], what
            assert "<!channel>" not in message.text
        many = [Scheduled(replace(WEEKLY, budget=name, channel=f"C0{n:05}"), NOW, "U") for n in range(100)]
        many += [Scheduled(each.rule) for each in many]
        abouts = Abouts(True, [f"{name}{number}"[:60] for number in range(500)], [f"b{n}" for n in range(500)])
        for start in (DigestRule(PeriodKind.WEEK), replace(WEEKLY, budget=name, at=time(9, 41), language="ja")):
            for carry in (Carried("https://hooks.example/1"), Carried("", "x" * 1000)):
                form = digest_form(start, carry, abouts, many, "C0MAIN")
                assert problems(form["blocks"], "modal") == []
                assert len(form["private_metadata"]) <= 3000


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, set()),
        ({"zone": "", "lang": "", "channel": ""}, set()),
        ({"zone": "Mars"}, {"zone"}),
        ({"zone": "Mars", "at": "99", "on": "someday", "every": "year"}, {"zone", "at", "on", "every"}),
    ],
)
def test_every_mistake_of_the_form_is_at_its_field(changes: dict[str, str], wrong: set[str]) -> None:
    values = {"every": "day", "on": "monday", "at": "07:00", "zone": "tokyo", "about": "organization", "lang": "ja"}
    filled = filled_digest(values | changes)
    assert set(filled.mistakes) == wrong
    assert filled.about == ""
    assert filled.rule.scope in (None, ORGANIZATION)


@pytest.mark.parametrize("made_up", ["", "null", "[]", "{", "7", '{"key": 7}', "[" * 3000])
def test_a_made_up_form_carries_nothing_harmful(made_up: str) -> None:
    assert carried({"private_metadata": made_up}).response_url == ""
