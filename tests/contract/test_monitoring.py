"""Alert rules, dashboard and docs/monitoring.md name metrics that exist, with labels that they have."""

import json
import re
from collections.abc import Iterator
from typing import get_args

import pytest
import yaml
from prometheus_client import ProcessCollector
from promql_parser import MatrixSelector

from bot.acknowledgement import KINDS
from bot.alerts.incident import Status
from bot.alerts.lifecycle import LifecycleStep
from bot.alerts.store import OPENED, REOPENED, UPDATED
from bot.metrics import COUNTED, NO_ANSWER, POLL_ENDS, RARE_STEPS, SWITCHED_BY, Cause, Described, Metrics
from bot.notify.results import Reason, Result
from bot.web.metrics import STATE
from tests.contract.promql_labels import Reading, nodes, parsed, selectors
from tests.contract.test_readme import rows, section
from tests.contract.test_rooms import ROOT

RULES_FILE, DASHBOARD_FILE = ROOT / "deploy/prometheus/claude-cost.rules.yaml", ROOT / "deploy/grafana/claude-cost.json"
RULES = [rule for group in yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
DASHBOARD = json.loads(DASHBOARD_FILE.read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def series() -> dict[str, set[str]]:
    """The labels of every series, by its name."""
    found = {metric.name: set(metric.labels) for metric in (*STATE, *COUNTED) if metric.type != "histogram"}
    for metric in (metric for metric in COUNTED if metric.type == "histogram"):
        found |= {f"{metric.name}_{part}": set(metric.labels) for part in ("sum", "count")}
        found[f"{metric.name}_bucket"] = {*metric.labels, "le"}
    return found | {metric.name: set() for metric in of_process()}


def of_process() -> list[Described]:
    """What the library measures of the process."""
    found = ProcessCollector(registry=None).collect()
    named = [(metric.name + "_total" * (metric.type == "counter"), metric) for metric in found]
    return [Described(name, "gauge", metric.documentation) for name, metric in named]


SERIES = series()

CLOSED = {
    "outcome": set(POLL_ENDS),
    "cause": set(get_args(Cause)),
    "step": {OPENED, REOPENED, UPDATED, *(set(Status) - {Status.OPEN, Status.WATCHED})}
    | {step.replace(" ", "_") for step in LifecycleStep},
    "result": {*get_args(Result), "accepted", "duplicate", "rejected"},
    "reason": set(get_args(Reason)),
    "kind": {"command", "other", *KINDS.values()},
    "by": set(SWITCHED_BY),
    "status": {"2xx", "3xx", "4xx", "429", "5xx", NO_ANSWER},
}
"""Labels whose values the code lists."""


def expressions() -> Iterator[tuple[str, str]]:
    """Where an expression stands, and the expression."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        yield from ((f"panel {panel['title']}", target["expr"]) for target in panel["targets"])
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def reading(expression: str) -> tuple[set[str], list[str]]:
    """The labels of its result, and what is wrong with it."""
    found = Reading(SERIES, CLOSED)
    return found.labels(parsed(expression)) or set(), found.mistakes


WRONG_MATCH = ["no metric up", "on: nothing has budget", "on ['budget', 'job'] may match several of ['job']"]
NEVER = "['budget', 'instance', 'job', 'period', 'scope'] never match ['instance', 'job']"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('rate(claude_cost_polls_total{outcome="ok"}[5m])', []),
        ("rate(claude_cost_poll_total[5m])", ["no metric claude_cost_poll_total"]),
        ("claude_cost_poll_duration_seconds", ["no metric claude_cost_poll_duration_seconds"]),
        ('claude_cost_polls_total{result="ok"}', ["claude_cost_polls_total has no label result"]),
        ('claude_cost_polls_total{outcome="fine"}', ["no outcome is fine"]),
        ("sum by (job, model) (claude_cost_spend_usd)", ["by: nothing has model"]),
        ("max by (job) (up) > on (job, budget) max by (job, budget) (claude_cost_spend_usd)", WRONG_MATCH),
        ("claude_cost_spend_usd >= claude_cost_leader", [NEVER]),
        (
            "histogram_quantile(0.9, sum(claude_cost_poll_duration_seconds_bucket))",
            ["histogram_quantile: nothing has le"],
        ),
    ],
)
def test_a_wrong_name_in_an_expression_is_found(expression: str, found: list[str]) -> None:
    assert reading(expression)[1] == found


def test_every_expression_is_of_metrics_that_exist() -> None:
    assert {where: wrong for where, expression in expressions() if (wrong := reading(expression)[1])} == {}


def test_every_counter_is_read_by_its_increase_and_every_histogram_by_its_buckets() -> None:
    """A counter itself says only since when the process runs."""
    counters = {metric.name for metric in COUNTED if metric.type != "gauge"}
    for where, expression in expressions():
        in_ranges = [node.vector_selector.name for node in nodes(expression) if isinstance(node, MatrixSelector)]
        for selector in selectors(expression):
            if any(str(selector.name).startswith(counter) for counter in counters):
                assert selector.name in in_ranges, where


def test_rules_say_what_is_wrong_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "runbook"}
        assert all(text.endswith(".") for text in rule["annotations"].values()), rule["alert"]
        # A label that an aggregation drops would be empty in the sentence.
        kept, _ = reading(rule["expr"])
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert named <= kept, rule["alert"]


def test_the_dashboard_shows_its_panels_beside_each_other_from_the_chosen_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    (source, job) = DASHBOARD["templating"]["list"]
    assert (source["type"], job["query"]["query"]) == ("datasource", "label_values(claude_cost_build_info, job)")
    for panel in PANELS:
        assert panel["description"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": f"${{{source['name']}}}"}
            for selector in selectors(target["expr"]):
                assert [matcher.value for matcher in selector.matchers.matchers if matcher.name == "job"] == ["$job"]


def test_everything_counted_is_on_the_dashboard() -> None:
    shown = {str(selector.name) for _, expression in expressions() for selector in selectors(expression)}
    left_out = {metric.name for metric in (*STATE, *COUNTED) if not any(name.startswith(metric.name) for name in shown)}
    assert left_out == {"claude_cost_limit_raised_from_usd"}


def test_the_page_has_every_metric_with_its_labels_and_meaning() -> None:
    for title, metrics in (("What the bot knows", STATE), ("What the bot has counted", COUNTED)):
        written = [row for row in rows(section(title)) if row[0].startswith("`")]
        assert written == [
            [f"`{each.name}`", each.type, ", ".join(f"`{label}`" for label in each.labels), each.meaning]
            for each in metrics
        ]
    written = [[row[0].strip("`"), row[3]] for row in rows(section("The process")) if row[0].startswith("`")]
    assert written == [[each.name, each.meaning] for each in of_process()]


def test_what_the_page_lists_is_what_a_bot_has() -> None:
    made = {metric.name + "_total" * (metric.type == "counter") for metric in _made().registry.collect()}
    assert made == {metric.name for metric in (*COUNTED, *of_process())}


def _made() -> Metrics:
    metrics = Metrics()
    metrics.lead_by(lambda: True)
    return metrics


def test_rare_steps_are_steps() -> None:
    assert set(RARE_STEPS) < CLOSED["step"]


def test_the_page_has_every_label_with_its_values_and_every_alert_with_its_severity() -> None:
    labels = {row[0].strip("`"): row[1] for row in rows(section("Labels")) if row[0].startswith("`")}
    reasons = set(get_args(Reason))
    assert labels.keys() - reasons == {label for metric in (*STATE, *COUNTED) for label in metric.labels}
    for label, values in CLOSED.items():
        written = reasons & labels.keys() if label == "reason" else set(re.findall(r"`(\w+)`", labels[label]))
        assert written == values, label
    alerts = [[row[0].strip("`"), row[1]] for row in rows(section("What to alert on")) if row[0].startswith("`")]
    assert alerts == [[rule["alert"], rule["labels"]["severity"]] for rule in RULES]
