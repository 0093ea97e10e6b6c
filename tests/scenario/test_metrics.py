"""Prometheus scrapes what the bot knows and has counted, and nothing that it does not know."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version as version_of

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from bot.metrics import Described
from bot.notify.store import Backlog
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import ADMIN
from bot.web.metrics import CONTENT_TYPE, OPENMETRICS, STATE, by_label, exposition, family
from tests.exposition import samples
from tests.scenario.conftest import World
from tests.scenario.http_port import served, type_in_slack
from tests.scenario.test_statements import counted

NOW = datetime(2026, 11, 26, 14, tzinfo=UTC)
MOST_IN_A_SCRAPE = 4
"""Three for the fallback mode, and one for what waits."""

KNOWN = tuple(metric.name for metric in STATE)


async def test_before_the_first_poll_there_are_limits_and_a_mode_but_no_spend(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    found = samples(answer.text)
    assert {series: value for series, value in found.items() if series.startswith(KNOWN)} == {
        'claude_cost_limit_usd{budget="default",level="soft"}': 100,
        'claude_cost_limit_usd{budget="default",level="hard"}': 200,
        'claude_cost_fallback_mode{mode="normal"}': 1,
        'claude_cost_fallback_mode{mode="degraded"}': 0,
        'claude_cost_fallback_mode{mode="minimal"}': 0,
        'claude_cost_notices_waiting{destination="slack"}': 0,
        "claude_cost_poll_interval_seconds": 1,
    }
    assert found['claude_cost_polls_total{outcome="failed"}'] == 0
    assert found[f'claude_cost_build_info{{version="{version_of("claude-cost-bot")}"}}'] == 1
    assert found["process_resident_memory_bytes"] > 0


async def test_after_a_poll_the_spend_its_age_and_what_waits_are_there(simulated: World, clock: HandClock) -> None:
    simulated.spend(120, clock() - timedelta(hours=2))
    simulated.slack.faults.add("chat.postMessage", Fault("html", status=502))
    decided_at = clock().timestamp()
    async with simulated.bot() as bot, served(bot) as client:
        await bot.cycle()
        fallback = bot.services.fallback
        fallback.switch(fallback.modes["degraded"], ADMIN, "a test", (), None)
        found = samples((await client.get("/metrics")).text)
        as_of = bot.services.usage.data_state().as_of
    assert as_of is not None
    assert found['claude_cost_spend_usd{budget="default",period="2026-11",scope="organization"}'] == 120
    assert found["claude_cost_data_as_of_timestamp_seconds"] == as_of.timestamp()
    assert found["claude_cost_last_poll_timestamp_seconds"] == decided_at
    assert found['claude_cost_assumed_models{budget="default"}'] == 0
    assert found['claude_cost_fallback_mode{mode="normal"}'] == 0
    assert found['claude_cost_fallback_mode{mode="degraded"}'] == 1
    # The greeting, the alert and the change of the mode.
    assert found['claude_cost_notices_waiting{destination="slack"}'] == 3
    assert found['claude_cost_oldest_notice_timestamp_seconds{destination="slack"}'] == decided_at
    assert found['claude_cost_mode_switches_total{by="person",mode="degraded"}'] == 1
    assert found["claude_cost_leader"] == 1
    failed = 'claude_cost_deliveries_total{destination="slack",reason="outcome_unknown",result="failed"}'
    assert found[failed] == 1


async def test_a_cycle_a_command_and_an_upload_are_counted_with_their_times(simulated: World, clock: HandClock) -> None:
    simulated.spend(120, clock() - timedelta(hours=2))
    async with simulated.connected_bot() as bot, served(bot) as client:
        await bot.cycle()
        simulated.anthropic.faults.outage = Fault("status", status=403)
        await bot.cycle()
        await type_in_slack(simulated, "help")
        call = {"feature": "search", "user_id": "u", "model": "claude-haiku-4-5", "input_tokens": 1, "output_tokens": 1}
        sent = await client.post("/v1/usage", json=[{**call, "id": "msg_1"}, {**call, "id": "msg_1"}, {"model": 3}])
        assert sent.status_code == 200
        assert (await client.get("/nowhere")).status_code == 404
        await client.get("/metrics")
        with counted(bot) as scrape:
            found = samples((await client.get("/metrics")).text)
    assert len(scrape.statements) <= MOST_IN_A_SCRAPE
    assert [found[f'claude_cost_polls_total{{outcome="{end}"}}'] for end in ("ok", "refused")] == [1, 1]
    assert found["claude_cost_poll_duration_seconds_count"] == found["claude_cost_cycle_duration_seconds_count"] == 2
    assert found['claude_cost_anthropic_requests_total{status="2xx"}'] > 1
    assert found['claude_cost_anthropic_requests_total{status="4xx"}'] > 1
    assert found['claude_cost_alert_steps_total{level="soft",step="opened"}'] == 1
    delivered = found['claude_cost_deliveries_total{destination="slack",reason="sent",result="delivered"}']
    assert found['claude_cost_delivery_delay_seconds_count{destination="slack"}'] == delivered > 1
    assert found['claude_cost_acknowledgement_duration_seconds_bucket{kind="command",le="+Inf"}'] == 1
    for result in ("accepted", "duplicate", "rejected"):
        assert found[f'claude_cost_ingest_records_total{{result="{result}",route="/v1/usage"}}'] == 1
    assert found['claude_cost_http_requests_total{route="/v1/usage",status="200"}'] == 1
    assert found['claude_cost_http_requests_total{route="other",status="404"}'] == 1


def test_a_destination_of_the_name_slack_is_counted_apart_from_the_channel() -> None:
    further = {"slack": 2, "Slack.": 3, "pager": 0, "slack (further)": 4}
    waiting = {name: Backlog(number, NOW) for name, number in {"Slack": 1, **further}.items() if number}
    found = {label: 0 if one is None else one.count for label, one in by_label(waiting, [*further]).items()}
    assert found["slack"] == 1
    assert (found["Slack."], found["pager"], found["slack (further)"]) == (3, 0, 4)
    assert sorted(found.values()) == [0, 1, 2, 3, 4]


async def test_spend_is_for_those_with_the_token(simulated: World) -> None:
    async with simulated.bot() as bot, served(bot, "a-token") as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/metrics", headers={"Authorization": "Bearer a-token"})).status_code == 200


@pytest.mark.parametrize("version", ["1.0.0", "x"])
async def test_whoever_asks_for_openmetrics_gets_it(simulated: World, version: str) -> None:
    async with simulated.bot() as bot, served(bot) as client:
        accept = f"application/openmetrics-text;version={version};q=0.5,*/*;q=0.1"
        answer = await client.get("/metrics", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, OPENMETRICS)
    families = {found.name: found.type for found in openmetrics_families(answer.text)}  # type: ignore[no-untyped-call]
    assert (families["claude_cost_polls"], families["claude_cost_limit_usd"]) == ("counter", "gauge")


class Known:
    """A collector with one figure, and a metric of which nothing is known."""

    def collect(self) -> Iterator[Metric]:
        yield family(Described("claude_cost_spend_usd", "gauge", "Spend.", ("scope",)), [(HOSTILE, Decimal("1E-7"))])
        yield family(Described("claude_cost_pace_usd", "gauge", "Nothing is known."), [])


HOSTILE = ('a "b" \\ c\nd',)


def test_labels_are_escaped_and_small_amounts_keep_their_digits() -> None:
    text = exposition([Known()])
    assert text == (
        "# HELP claude_cost_spend_usd Spend.\n# TYPE claude_cost_spend_usd gauge\n"
        'claude_cost_spend_usd{scope="a \\"b\\" \\\\ c\\nd"} 1e-07\n'
    )
    assert list(samples(text).values()) == [1e-7]
