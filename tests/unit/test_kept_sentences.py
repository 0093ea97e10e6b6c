"""Errors and reasons are stored as values: each reader gets the sentence in their own language."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.fallback.auto import FallbackRules, auto_step
from bot.fallback.targets.env_file import EnvFile, EnvFileError
from bot.language import Text, in_language, kept, restored, spoken, tr_lazy
from bot.messages import in_utc
from bot.slack_api import remedy
from bot.usage.model import DataState, SourceError
from handlers.render.parts import sentence
from handlers.render.status import problem_lines
from tests.unit.test_blocks import mode_facts, state
from tests.unit.test_fallback_auto import CROSSED, HARD, HARDLY_LESS, MODES, SAVINGS

DOWN = tr_lazy("Anthropic has a fault of its own at {path} (HTTP {status}).", path="/v1/usage", status=503)
BOTH = SourceError(
    tr_lazy(
        "Neither usage API can be read. Analytics: {analytics} Admin: {admin}", analytics=SourceError(DOWN), admin=DOWN
    )
)
ENGLISH = "Anthropic has a fault of its own at /v1/usage (HTTP 503)."
JAPANESE = "Anthropic の /v1/usage で障害が起きています（HTTP 503）。"


def test_a_stored_error_is_shown_in_the_language_of_whoever_reads_it() -> None:
    stored = kept(BOTH)
    assert "Anthropic の" not in stored
    assert spoken(stored) == f"Neither usage API can be read. Analytics: {ENGLISH} Admin: {ENGLISH}"
    with in_language("ja"):
        assert spoken(stored) == f"使用量の API をどちらも読み取れません。Analytics：{JAPANESE}Admin：{JAPANESE}"


def test_what_is_stored_in_a_japanese_request_is_the_same() -> None:
    with in_language("ja"):
        assert kept(BOTH) == kept(BOTH)
        stored = kept(SourceError(DOWN))
    assert spoken(stored) == ENGLISH


@pytest.mark.parametrize(
    "text",
    [
        "Slack cannot be reached (X).",
        "",
        "{not json",
        '{"text": ',
        '{"text": "a", "values": 3}',
        '{"text": "a", "values": {"b": [1]}}',
        '{"text": 5}',
        "日本語のまま {x}",
    ],
)
def test_what_an_older_version_has_stored_stays_as_it_is(text: str) -> None:
    assert spoken(text) == text
    assert kept(text) == text


def test_a_sentence_of_another_version_is_filled_in_without_the_rules_of_format() -> None:
    stored = json.dumps({"text": "{a.__class__} and {a:>999999999} and {a}", "values": {"a": "x"}})
    assert spoken(stored) == "{a.__class__} and {a:>999999999} and x"


def test_values_are_shown_as_they_are_whatever_they_hold() -> None:
    stored = kept(tr_lazy("Slack refuses ({code}).", code="{path} <!channel>"))
    assert spoken(stored) == "Slack refuses ({path} <!channel>)."
    assert "<!channel>" not in sentence(stored)
    assert isinstance(restored(stored), Text)


def test_status_says_in_japanese_why_polling_fails() -> None:
    since = datetime(2026, 11, 20, 12, tzinfo=UTC)
    data = DataState(error=kept(BOTH), error_since=since)
    failing = remedy("not_in_channel", channel="C0ALERTS")
    with in_language("ja"):
        mode = replace(state(), write_error=kept(tr_lazy("Slack asks to wait.")))
        polling, file, waiting = (in_utc(line) for line in problem_lines(data, mode, kept(failing)))
    assert polling.endswith(f"使用量の API をどちらも読み取れません。Analytics：{JAPANESE}Admin：{JAPANESE}")
    assert file == "Slack が間隔を空けるよう求めています。"
    assert "ボットが C0ALERTS に入っていません。そこで /invite @claude-cost と入力してください。" in waiting


def test_an_automatic_switch_says_why_in_japanese() -> None:
    found = auto_step(FallbackRules(auto=True), True, MODES, [], [HARD], HARDLY_LESS, SAVINGS, CROSSED)
    assert found is not None
    facts = mode_facts(reason=found.reason)
    assert "crossed" in spoken(facts.reason)
    with in_language("ja"):
        assert sentence(facts.reason) == "予算 default のハード上限 $600.00 を超えたため"


def test_doubts_and_faults_of_an_env_file_are_in_japanese(tmp_path: Path) -> None:
    file = tmp_path / "services.env"
    file.write_text('MODEL=x\nA="open\n')
    with in_language("ja"):
        other, unfinished = EnvFile(file).doubts({"MODEL": "y"})
    assert other == "注意：ファイルの他の行でも MODEL が設定されています。サービスがそちらを読む可能性があります。"
    assert unfinished.startswith("注意：ファイルの 2 行目が引用符を閉じていないため")
    file.write_text("# <<< claude-cost <<<\n".replace("# <<< claude-cost <<<", "#"))
    file.write_bytes("A=1".encode("utf-16"))
    with pytest.raises(EnvFileError) as raised:
        EnvFile(file).read({})
    assert str(raised.value).endswith(
        "is written in UTF-16, which no reader of env files understands: save it as UTF-8."
    )
    with in_language("ja"):
        assert spoken(kept(raised.value)).endswith(
            "は UTF-16 で、env ファイルとして読めません。UTF-8 で保存してください。"
        )
