"""Destinations of alerts: how they are configured, what they are called, and the text they get."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from apprise.plugins.base import NotifyBase

from bot.alerts.incident import LEVELS, AlertKind, Status
from bot.alerts.rules import LATE, Receiver
from bot.budgets.budget import LimitKind
from bot.config.toml import read_config_file
from bot.notify.apprise import default_name, service_of
from handlers.render.parts import plain_text
from handlers.rendering import REPORTED_ONCE, plain_message
from tests.databases import NOW, SOFT_RESOLVED, crossed, facts_of, spend_facts

TOKEN = "c0ffee5ecre7"
CHATWORK = f"chatwork://{TOKEN}@4711"


def read(folder: Path, toml: str) -> tuple[Receiver, ...]:
    path = folder / "bot.toml"
    path.write_text(toml, encoding="utf-8")
    return read_config_file(path).destinations


def refusal(folder: Path, toml: str) -> str:
    with pytest.raises(ValueError, match=r"bot\.toml") as refused:
        read(folder, toml)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


def test_a_destination_needs_only_its_address(tmp_path: Path) -> None:
    (receiver,) = read(tmp_path, f'[[destination]]\nurl = "{CHATWORK}"')
    assert receiver.name == "chatwork://4711"
    assert receiver.levels == set(LEVELS) - {AlertKind.NEW_PERIOD}
    assert receiver.url.get_secret_value() == CHATWORK
    assert TOKEN not in repr(receiver)


def test_the_address_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{CHATWORK}\n")
    toml = f'[[destination]]\nurl_file = "{tmp_path}/secret"\nname = "ops room"\nlevels = ["hard"]'
    assert read(tmp_path, toml)[0].url.get_secret_value() == CHATWORK
    assert [(a.name, a.levels) for a in read(tmp_path, toml)] == [("ops room", frozenset({LimitKind.HARD}))]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('url = "mailot://me:c0ffee5ecre7@example.com"', "did you mean mailto://?"),
        ('url = "c0ffee5ecre7"', "not an Apprise address"),
        ('url = ""', "not an Apprise address"),
        ('url = "chatwork://c0ffee5ecre7@room"', "this chatwork:// address lacks a part"),
        ('url = "chatwork://c0ffee5ecre7"', "this chatwork:// address lacks a part"),
        ('url = "json://a/c0ffee5ecre7, json://b/c0ffee5ecre7"', "write one [[destination]] for each"),
        ('url = "json://a/c0ffee5ecre7"\nlevels = ["soft", "medium"]', "destination.0.levels.1"),
        ('url = "json://a/c0ffee5ecre7"\nlevels = []', "destination.0.levels"),
        ('url = "json://a/c0ffee5ecre7"\nurl_file = "a"', "url or url_file"),
        ('name = "mail"', "url or url_file"),
        ('url_file = "/nowhere/secret"', "/nowhere/secret, which cannot be read (No such file or directory)"),
        ('url = "json://a/c0ffee5ecre7"\nname = ""', "destination.0.name"),
        ('url = "json://a/c0ffee5ecre7"\nname = "a\\u0007"', "destination.0.name"),
        ('url = "json://a/c0ffee5ecre7"\nlevel = "soft"', "does not know this key"),
    ],
)
def test_a_mistake_is_one_sentence_that_does_not_show_the_address(tmp_path: Path, lines: str, said: str) -> None:
    sentence = refusal(tmp_path, f"[[destination]]\n{lines}")
    assert said in sentence
    assert TOKEN not in sentence


def test_two_destinations_of_one_name_are_refused_since_nobody_could_know_which_one_waits(tmp_path: Path) -> None:
    two = f'[[destination]]\nurl = "{CHATWORK}"\n' * 2
    assert "two destinations are named chatwork://4711: give one of them another name." in refusal(tmp_path, two)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"mailto://me:{TOKEN}@mail.example.com?to=you@example.com", "mailto://mail.example.com"),
        (f"jsons://me:{TOKEN}@hooks.example.com/services/{TOKEN}?+X-Key={TOKEN}", "jsons://hooks.example.com"),
        (f"https://discord.com/api/webhooks/4174216298/{TOKEN}", "discord://4...8"),
    ],
)
def test_a_name_that_nobody_gave_shows_scheme_and_host_alone(url: str, name: str) -> None:
    assert default_name(service_of(url)) == name


def test_nothing_in_an_address_makes_a_service_sleep_retry_or_hide_its_failures() -> None:
    service: NotifyBase = service_of("mailto://localhost?from=a@b.com&to=c@d.com&retry=3&wait=60&optional=yes")
    assert (service.request_rate_per_sec, service.retry, service.optional) == (0, 0, False)


@pytest.mark.parametrize(
    "url",
    [
        "discord://4174216298/{token}?template={file}",
        "discord://4174216298/{token}?template=file://{file}",
        "slack://T1JJ3T3L2/A1BRTD4JD/{token}{token}/?template={file}",
        "tgram://123456789:abcdefg_hijklmnop/12315544/?template={file}",
        "workflow://host:443/workflow/{token}/?template={file}",
    ],
)
def test_no_address_makes_the_bot_send_a_file(url: str, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"text": "secret"}')
    with pytest.raises(ValueError, match="leave it out") as refused:
        service_of(url.format(token=TOKEN, file=tmp_path / "secret.json"))
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"discord://4174216298/{TOKEN}?template=http://127.0.0.1:9/x",
        "mailto://u:p@localhost?to=a@b.com&pgp=encrypt&pgppub=https://127.0.0.1:9/x",
        "fcm://project/device?keyfile=http://127.0.0.1:9/x",
    ],
)
def test_no_address_makes_the_bot_read_another_address(url: str) -> None:
    with pytest.raises(ValueError, match="has a wrong one"):
        service_of(url)


def test_a_key_may_be_in_a_file() -> None:
    assert service_of("mailto://u:p@localhost?to=a@b.com&pgp=encrypt&pgppub=key.asc")


@pytest.mark.parametrize(
    ("mrkdwn", "plain"),
    [
        ("see <https://example.com/a|its message>.", "see its message (https://example.com/a)."),
        ("<https://example.com>", "https://example.com"),
        ("<mailto:a@b.com|a@b.com>", "a@b.com"),
        ("<@U123> in <#C123|alerts>", "@U123 in #alerts"),
        ("<!date^1763283600^{date_short}|16 Nov 09:00 UTC>", "16 Nov 09:00 UTC"),
        ("R&amp;D &lt;search&gt;", "R&D <search>"),
        ("&amp;lt;", "&lt;"),
        ("&lt;https://x|y&gt;", "<https://x|y>"),
        ("@everyone, @here and anna@example.com", "@\u200beveryone, @\u200bhere and anna@example.com"),
        ("3 < 4", "3 < 4"),
    ],
)
def test_slacks_markup_is_written_out(mrkdwn: str, plain: str) -> None:
    assert plain_text(mrkdwn) == plain


def test_a_letter_has_the_sum_as_its_title_and_says_what_slack_says() -> None:
    spend = replace(spend_facts(), budget="R&D")
    written = plain_message(facts_of(spend)(crossed(LimitKind.HARD)), NOW, NOW)
    assert written.title == "$612.35 of $600.00 (102%): hard limit crossed, November, budget R&D"
    assert written.tone == "hard"
    assert "The soft limit of $400.00 is passed too." in written.body
    assert written.body.endswith("Nothing has been stopped: only the limit in Anthropic's Console stops requests.")
    assert "Late" not in written.body


def test_the_letter_that_a_limit_is_resolved_says_that_it_is_the_last_one() -> None:
    written = plain_message(facts_of()(SOFT_RESOLVED), NOW, NOW)
    assert "soft limit resolved" in written.title
    assert (written.tone, written.body.splitlines()[0]) == ("resolved", REPORTED_ONCE)


def test_a_letter_is_late_after_ten_minutes_and_says_how_late() -> None:
    facts = facts_of()(crossed(LimitKind.SOFT))
    assert "Late" not in plain_message(facts, NOW, NOW + LATE).body
    late = plain_message(facts, NOW, NOW + timedelta(minutes=95))
    assert late.body.splitlines()[0] == "Late by 95 min: this is how it stood at 20 Nov 12:00 UTC."
    assert late.title == plain_message(facts, NOW, NOW).title
    assert facts.status is Status.OPEN
