"""What a bot counts is its own, and each result has few words."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.acknowledgement import kind_of
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.metrics import Metrics
from bot.notify.model import Address, Delivered, Failed, Found, NotEditable, Unreachable
from bot.notify.results import DeliveryResult, result_of
from bot.web.metrics import exposition
from tests.databases import NOW, SOFT_AGAIN, SOFT_RESOLVED, crossed, open_migrated, reported
from tests.exposition import samples

SECOND = timedelta(seconds=1)


def counted(metrics: Metrics) -> dict[str, float]:
    return samples(exposition([metrics.registry]))


def test_two_bots_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.polled("failed", 0.2)
    one.lead_by(lambda: True)
    other.lead_by(lambda: False)
    series = 'claude_cost_polls_total{outcome="failed"}'
    assert (counted(one)[series], counted(other)[series]) == (1, 0)
    assert (counted(one)["claude_cost_leader"], counted(other)["claude_cost_leader"]) == (1, 0)


def test_what_is_rare_is_there_before_it_happens() -> None:
    metrics = Metrics()
    metrics.begin_alerts(["hard"], ["slack"], [DeliveryResult("failed", "refused")])
    metrics.begin_modes(["degraded"])
    found = counted(metrics)
    assert found['claude_cost_alert_steps_total{level="hard",step="escalated"}'] == 0
    assert found['claude_cost_deliveries_total{destination="slack",reason="refused",result="failed"}'] == 0
    assert found['claude_cost_mode_switches_total{by="bot",mode="degraded"}'] == 0


def test_a_clock_that_was_set_back_makes_no_delay_below_zero() -> None:
    metrics = Metrics()
    metrics.delivered("slack", DeliveryResult("delivered", "sent"), -SECOND)
    metrics.delivered("slack", DeliveryResult("failed", "unreachable"), SECOND)
    found = counted(metrics)
    assert found['claude_cost_delivery_delay_seconds_sum{destination="slack"}'] == 0
    assert found['claude_cost_delivery_delay_seconds_count{destination="slack"}'] == 1


@pytest.mark.parametrize(("status", "label"), [(200, "2xx"), (302, "3xx"), (404, "4xx"), (429, "429"), (503, "5xx")])
def test_answers_are_counted_by_their_class(status: int, label: str) -> None:
    metrics = Metrics()
    metrics.answered(status)
    metrics.answered(None)
    found = counted(metrics)
    assert found[f'claude_cost_anthropic_requests_total{{status="{label}"}}'] == 1
    assert found['claude_cost_anthropic_requests_total{status="none"}'] == 1


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Delivered(), ("delivered", "sent")),
        (Found(Address("C1", "1.0")), ("delivered", "found")),
        (Failed("x", for_good=True, alone=True), ("failed", "refused")),
        (Failed("x", SECOND), ("failed", "asked_to_wait")),
        (Failed("x", outcome_unknown=True), ("failed", "outcome_unknown")),
        (Failed("x", alone=True), ("failed", "message_refused")),
        (Failed("x"), ("failed", "unreachable")),
        (NotEditable("x", gone=True), ("dropped", "message_gone")),
        (NotEditable("x"), ("dropped", "not_editable")),
        (Unreachable("x"), ("diverted", "channel_unreachable")),
    ],
)
def test_each_outcome_of_an_attempt_has_a_result_and_a_reason(
    outcome: Delivered | Found | Failed | NotEditable | Unreachable, result: tuple[str, str]
) -> None:
    assert result_of(outcome) == result


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"command": "/claude-cost", "type": "block_actions"}, "command"),
        ({"type": "block_actions"}, "action"),
        ({"type": "view_submission"}, "view"),
        ({"type": "event_callback", "event": {"type": "app_mention"}}, "event"),
        ({"type": "made up by somebody"}, "other"),
        ({"type": []}, "other"),
    ],
)
def test_a_request_of_slacks_is_of_one_of_five_kinds(body: dict[str, object], kind: str) -> None:
    assert kind_of(body) == kind


def test_an_alert_that_opens_resolves_and_opens_again_has_taken_these_steps(tmp_path: Path) -> None:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    steps: list[tuple[str, str]] = []
    store = AlertStore(engine, count=lambda level, step: steps.append((level, step)))
    for step in (crossed(LimitKind.SOFT), SOFT_RESOLVED, SOFT_AGAIN, SOFT_AGAIN):
        store.record(reported([step]), NOW)
    notice = store.notices.claim(NOW)
    assert notice is not None
    store.notices.finish(notice.id, NOW, Address("C1", "1.0"), claim=notice.claim)
    (seen,) = store.life.seen()
    assert [store.life.acknowledge(seen.alert_id, "U1", NOW).outcome for _ in range(2)] == ["done", "already"]
    assert steps == [("soft", each) for each in ("opened", "resolved", "reopened", "updated", "acknowledged")]
    engine.dispose()
