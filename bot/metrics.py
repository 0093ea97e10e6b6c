"""Counters and histograms of one bot for Prometheus, in a registry of its own.

Rooms that count take a method of `Metrics` as a callable, and name nothing of Prometheus. A label has few values: words
that the code lists, or names from the configuration. No user, key, feature, model or text of an error is a label.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from itertools import product
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector


@dataclass(frozen=True, slots=True)
class Described:
    """One metric. `name` ends with its unit; `buckets`: upper bounds of a histogram, in that unit."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


BUILD = Described("claude_cost_build_info", "gauge", "1; its label is the version.", ("version",))
LEADER = Described("claude_cost_leader", "gauge", "1 if this copy leads, which is to poll and to decide; otherwise 0.")

POLLS = Described("claude_cost_polls_total", "counter", "Polls of Anthropic's usage.", ("outcome",))
POLL_SECONDS = Described(
    *("claude_cost_poll_duration_seconds", "histogram", "Duration of a poll, however it ended."),
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
CYCLE_SECONDS = Described(
    *("claude_cost_cycle_duration_seconds", "histogram", "Duration of a cycle of poll, decisions and delivery."),
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
FAULTS = Described(
    *("claude_cost_faults_total", "counter", "Parts of a cycle that failed, by the part and what failed in it."),
    labels=("part", "cause"),
)
ANTHROPIC = Described(
    *("claude_cost_anthropic_requests_total", "counter", "Requests to Anthropic, each attempt of a retry included."),
    labels=("status",),
)
ALERT_STEPS = Described(
    *("claude_cost_alert_steps_total", "counter", "Steps of alerts that were recorded."), labels=("level", "step")
)
DELIVERIES = Described(
    *("claude_cost_deliveries_total", "counter", "Attempts to deliver a notice, and notices that were dropped."),
    labels=("destination", "result", "reason"),
)
DELIVERY_SECONDS = Described(
    *("claude_cost_delivery_delay_seconds", "histogram", "Time from the decision to send a notice to its delivery."),
    labels=("destination",),
    buckets=(1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600),
)
ACKNOWLEDGEMENTS = Described(
    "claude_cost_acknowledgement_duration_seconds",
    "histogram",
    "Time from a request of Slack's to its acknowledgement; Slack waits 3 seconds.",
    labels=("kind",),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3),
)
REQUESTS = Described(
    *("claude_cost_http_requests_total", "counter", "Requests that the HTTP port has answered."),
    labels=("route", "status"),
)
RECORDS = Described(
    *("claude_cost_ingest_records_total", "counter", "Usage records that applications sent."),
    labels=("route", "result"),
)
SWITCHES = Described(
    *("claude_cost_mode_switches_total", "counter", "Switches of the fallback mode that this copy made."),
    labels=("mode", "by"),
)

COUNTED = (
    *(BUILD, LEADER, POLLS, POLL_SECONDS, CYCLE_SECONDS, FAULTS, ANTHROPIC, ALERT_STEPS, DELIVERIES, DELIVERY_SECONDS),
    *(ACKNOWLEDGEMENTS, REQUESTS, RECORDS, SWITCHES),
)
"""Metrics of `Metrics`, besides those of the process."""

PollEnd = Literal["ok", "failed", "refused"]
POLL_ENDS: tuple[PollEnd, ...] = ("ok", "failed", "refused")

NO_ANSWER = "none"
"""The status of a request that got no answer."""

RARE_STEPS = ("opened", "reopened", "resolved", "escalated", "acknowledged")
"""Steps of alerts whose series begin at 0."""

SWITCHED_BY = ("person", "bot")

Cause = Literal["database", "clickhouse", "backup", "internal"]

CHANNEL = "slack"
"""The label of the alert channel as a destination."""


class Metrics:
    """Made once for each bot. Thread-safe, and without I/O.

    Series that rarely grow begin at 0: Prometheus sees no increase where the first value of a series is 1.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauge(BUILD).labels(version("claude-cost-bot")).set(1)
        self._polls = self._counter(POLLS)
        for end in POLL_ENDS:
            self._polls.labels(end)
        self._poll_seconds = self._histogram(POLL_SECONDS)
        self._cycle_seconds = self._histogram(CYCLE_SECONDS)
        self._faults = self._counter(FAULTS)
        self._anthropic = self._counter(ANTHROPIC)
        self._alert_steps = self._counter(ALERT_STEPS)
        self._deliveries = self._counter(DELIVERIES)
        self._delivery_seconds = self._histogram(DELIVERY_SECONDS)
        self._acknowledgements = self._histogram(ACKNOWLEDGEMENTS)
        self._requests = self._counter(REQUESTS)
        self._records = self._counter(RECORDS)
        self._switches = self._counter(SWITCHES)

    def lead_by(self, held: Callable[[], bool]) -> None:
        """Show whether this copy leads, as `held` says at each scrape; it does no I/O. Once."""
        self._gauge(LEADER).set_function(held)

    def begin_alerts(
        self, levels: Iterable[str], destinations: Iterable[str], outcomes: Sequence[tuple[str, str]]
    ) -> None:
        """Begin what is rare at 0. `outcomes`: results and reasons of deliveries, for each destination by its label."""
        for level, step in product(levels, RARE_STEPS):
            self._alert_steps.labels(level, step)
        for destination, (result, reason) in product(destinations, outcomes):
            self._deliveries.labels(destination, result, reason)

    def begin_modes(self, modes: Iterable[str]) -> None:
        """Begin the switches to these modes at 0."""
        for mode, by in product(modes, SWITCHED_BY):
            self._switches.labels(mode, by)

    def polled(self, end: PollEnd, seconds: float) -> None:
        """A poll has ended."""
        self._polls.labels(end).inc()
        self._poll_seconds.observe(seconds)

    def cycled(self, seconds: float) -> None:
        """A cycle of the leading copy has ended."""
        self._cycle_seconds.observe(seconds)

    def failed(self, part: str, cause: Cause) -> None:
        """A part of a cycle has failed. `part`: as faults name it."""
        self._faults.labels(part, cause).inc()

    def answered(self, status: int | None) -> None:
        """Anthropic has answered with `status`; None: not at all. One class has one label, but 429 has its own."""
        self._anthropic.labels(NO_ANSWER if status is None else "429" if status == 429 else f"{status // 100}xx").inc()

    def alert_step(self, level: str, step: str) -> None:
        """An alert has taken a step."""
        self._alert_steps.labels(level, step).inc()

    def delivered(self, destination: str, outcome: tuple[str, str], delay: timedelta) -> None:
        """An attempt has ended. `outcome`: its result and the reason; `delay`: since the decision."""
        result, reason = outcome
        self._deliveries.labels(destination, result, reason).inc()
        if result == "delivered":
            self._delivery_seconds.labels(destination).observe(max(delay.total_seconds(), 0.0))

    def acknowledged(self, kind: str, seconds: float) -> None:
        """Slack has the acknowledgement of a request of this kind."""
        self._acknowledgements.labels(kind).observe(seconds)

    def requested(self, route: str, status: int) -> None:
        """The HTTP port has answered."""
        self._requests.labels(route, str(status)).inc()

    def ingested(self, route: str, accepted: int, duplicates: int, rejected: int) -> None:
        """The records of one body are stored, or refused."""
        for result, number in (("accepted", accepted), ("duplicate", duplicates), ("rejected", rejected)):
            self._records.labels(route, result).inc(number)

    def switched(self, mode: str, *, automatic: bool) -> None:
        """The fallback mode is another one."""
        person, bot = SWITCHED_BY
        self._switches.labels(mode, bot if automatic else person).inc()

    def _counter(self, metric: Described) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _gauge(self, metric: Described) -> Gauge:
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _histogram(self, metric: Described) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry)


def destination_labels(further: Sequence[str]) -> dict[str, str]:
    """The label of each destination besides the alert channel, which is `slack`, by its name.

    A further destination that has the name `slack` too is `slack (further)`: equal labels would be one series.
    """
    labels: dict[str, str] = {}
    for name in further:
        label = name
        while label == CHANNEL or (label != name and label in further):
            label += " (further)"
        labels[name] = label
    return labels
