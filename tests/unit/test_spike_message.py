"""A spike as a message: the rate first, then whose it is, why, and the ways out."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bot.alerts.decide import LimitReason
from bot.alerts.incident import Status
from bot.alerts.notice_contents import dumped, parsed
from bot.alerts.spike import SpikeAlert
from bot.alerts.spike_rates import SpikeReason
from bot.budgets.budget_spend import BudgetSpend, NamedCause, NamedMover
from bot.messages import Message
from handlers.render.spend import NOTHING_STOPPED
from handlers.render.spike_alert import spike_message
from tests.unit.test_blocks import NOW, SPEND, buttons, cause, check, check_twin, hostile_spends, mover, named_spends

STEPS = [
    (Status.OPEN, SpikeReason.BEGAN),
    (Status.OPEN, SpikeReason.AGAIN),
    (Status.RESOLVED, SpikeReason.ENDED),
    (Status.WITHDRAWN, LimitReason.LIMIT_CHANGED),
]


def spike(
    status: Status = Status.OPEN,
    reason: str = SpikeReason.BEGAN,
    spend: BudgetSpend = SPEND,
    movers: tuple[NamedMover, ...] = (),
    causes: tuple[NamedCause, ...] = (),
    usual: Decimal | None = Decimal("1.10"),
    mode: str = "normal",
) -> SpikeAlert:
    return SpikeAlert(
        bound_usd_per_hour=Decimal("10.5"),
        status=status,
        reason=reason,
        decided_at=NOW,
        mode=mode,
        key="2026-11-20T12:00Z",
        spend=spend,
        long_usd_per_hour=Decimal("62.40"),
        short_usd_per_hour=Decimal("71.20"),
        usual_usd_per_hour=usual,
        since=NOW - timedelta(minutes=20),
        movers=movers,
        causes=causes,
    )


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


def test_the_first_line_has_the_rate_and_what_is_usual() -> None:
    shown = {
        (status, reason): first_line(spike_message(spike(status, reason))).partition(": ")[0]
        for status, reason in STEPS
    }
    assert list(shown.values()) == ["Spike", "Spike again", "Spike resolved", "Spike not watched any more"]
    assert first_line(spike_message(spike())) == "Spike: $62.40 an hour, usually $1.10"
    assert "what is usual is not known" in first_line(spike_message(spike(usual=None)))


def test_an_open_spike_says_whose_it_is_why_and_what_helps() -> None:
    message = spike_message(spike(movers=(mover(),), causes=(cause(),)))
    assert message.text.splitlines()[1:] == [
        "Why: Opus 4.8 · key ingest: cache-read share fell from 92% to 31%, about $1,312.77.",
        "Recommended: Switch to degraded · saves about $129.",
        "Spent in November: $412.50 of $600.00 (68%). Scope: organization.",
        "The last ten minutes ran at $71.20 an hour. It is a spike from $10.50 an hour on. "
        "First seen 20 Nov 11:40 UTC.",
        "• Opus 4.8 · Search · key ingest: $41.27 in the last hour, on average $9.13 an hour",
        "• Why: Opus 4.8 · key ingest: cache-read share fell from 92% to 31%, about $1,312.77",
        "• Fallback mode degraded (at most Sonnet 5.5) saves about $129.42 by the end of the period, 1 Dec 00:00 UTC.",
        "• Fallback mode minimal (at most Haiku 5.5) saves about $201.33 by the end of the period, 1 Dec 00:00 UTC.",
        "Incident default/2026-11-20T12:00Z/spike/10.5 · open",
        "Data as of 20 Nov 11:55 UTC.",
        NOTHING_STOPPED,
    ]
    assert [button["value"] for button in buttons(message)] == ["degraded", "minimal"]


def test_a_spike_that_is_over_offers_nothing() -> None:
    message = spike_message(spike(Status.RESOLVED, SpikeReason.ENDED, movers=(mover(),)))
    assert buttons(message) == []
    assert "Why" not in message.text
    assert NOTHING_STOPPED not in message.text


@given(st.sampled_from(STEPS), hostile_spends, st.booleans())
def test_every_spike_fits_into_slack_and_lets_nothing_in_whatever_the_names(
    step: tuple[Status, str], spend: BudgetSpend, known: bool
) -> None:
    usual = Decimal(1) if known else None
    message = spike_message(spike(*step, spend, spend.movers, spend.causes, usual, spend.budget))
    check(message)
    assert "limit" not in first_line(message).replace(spend.budget, "").replace(spend.scope, "")


@given(st.sampled_from(STEPS), named_spends)
def test_the_text_of_a_spike_has_every_figure_of_its_blocks(step: tuple[Status, str], spend: BudgetSpend) -> None:
    plain = replace(spend, assumed=(), shares=SPEND.shares)
    message = spike_message(spike(*step, plain, tuple(mover() for _ in spend.movers), (cause(),)))
    check(message)
    check_twin(message)


def test_what_a_spike_says_is_read_back_from_the_outbox_as_it_was() -> None:
    facts = spike(movers=(mover(),), causes=(cause(),))
    assert parsed(dumped(facts)) == facts


def test_an_alert_from_before_there_were_causes_is_read_back_without_any() -> None:
    adapter = TypeAdapter(BudgetSpend)
    stored = adapter.dump_python(SPEND, mode="json")
    del stored["causes"]
    assert adapter.validate_python(stored) == SPEND
