"""Proposals, warnings, history and the form: with any words, Slack accepts them and external text is escaped."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.savings import Saving
from bot.fallback.impact import Overview
from bot.modes.changes import AuditEntry
from bot.modes.consequences import Consequences
from bot.modes.model import ModeAnnouncement, ModeEnding, Proposal, ProposalStatus
from bot.sandbox.block_limits import view_problems
from handlers.render.fallback import announcement, end_warning, history_message, mode_and_until
from handlers.render.forms import change_form
from handlers.render.proposal import asked_message, proposal_message
from tests.databases import NOW
from tests.unit.test_blocks import AS_OF, MOST_TEXT, buttons, check, check_twin, hostile, modes, saving

COSTS = Consequences(
    "Haiku 4.5",
    retokenized=("Sonnet 4.6",),
    cached_tokens=1_000_000,
    cached_from=4096,
    options=("Opus 5.5",),
    may_retire=NOW.date(),
)


def proposal(mode: str = "degraded", reason: str = "too dear", **changes: Any) -> Proposal:
    facts = Proposal(
        proposal_id=7,
        mode=mode,
        previous="normal",
        variables={},
        lasts=timedelta(hours=2),
        reason=reason,
        asked_by="U0ADMIN",
        asked_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        needed=2,
        savings=(saving(mode),),
        as_of=AS_OF,
        costs=COSTS,
    )
    return replace(facts, **changes)


def test_an_open_proposal_says_what_it_saves_and_asks_before_each_of_its_buttons() -> None:
    message = proposal_message(proposal())
    check(message)
    check_twin(message)
    approve, reject = buttons(message)
    assert "saves about $128.45" in approve["confirm"]["text"]["text"]
    assert (approve["value"], reject["value"]) == ("7", "7")
    assert "Waits for the approval of 2 other admins, until 20 Nov 13:00 UTC." in message.text
    assert "Haiku 4.5 caches prompts from 4,096 tokens on" in message.text


@pytest.mark.parametrize("status", [status for status in ProposalStatus if status is not ProposalStatus.OPEN])
def test_a_closed_proposal_has_no_buttons(status: ProposalStatus) -> None:
    message = proposal_message(proposal(status=status, closed_by="U0ADMIN", why="the mode was changed meanwhile"))
    check(message)
    assert buttons(message) == []


@given(mode=modes, reason=hostile, why=hostile, status=st.sampled_from(ProposalStatus))
def test_every_proposal_fits_into_slack_and_lets_nothing_in(
    mode: str, reason: str, why: str, status: ProposalStatus
) -> None:
    facts = proposal(mode, reason, status=status, why=why, closed_by="U0ADMIN", approved_by=("U0ADMIN",))
    check(proposal_message(facts))
    check(asked_message(facts))
    check(end_warning(ModeEnding(mode=mode, ends_at=NOW, because=why)))


@given(actor=hostile, action=hostile, detail=hostile)
def test_every_history_fits_into_slack_and_lets_nothing_in(actor: str, action: str, detail: str) -> None:
    entries = [AuditEntry(NOW, actor, action, outcome, detail) for outcome in ("done", "refused", "failed")] * 5
    check(history_message(entries), most_text=MOST_TEXT)
    check(history_message([]))


@given(names=st.lists(modes, min_size=1, max_size=30, unique=True))
def test_every_form_is_one_that_slack_opens(names: list[str]) -> None:
    savings: tuple[Saving, ...] = tuple(saving(name, name) for name in names)
    overview = Overview(savings, dict.fromkeys(names, COSTS), AS_OF)
    assert view_problems(change_form(names, names[0], overview, "https://hooks.example.com/x")) == []


def test_a_button_says_its_mode_and_its_end() -> None:
    assert mode_and_until("degraded") == ("degraded", None)
    assert mode_and_until(f"degraded until={NOW.isoformat()}") == ("degraded", NOW)


MARKED = "*budget* is gone, see `runbook`"


def test_a_reason_with_marks_leaves_the_headlines_bold_and_stands_below_as_typed() -> None:
    facts = ModeAnnouncement(
        mode="minimal", previous="normal", by="U0ADMIN", reason=MARKED, changed_at=NOW, savings=(), as_of=None
    )
    announced, asked = announcement(facts, [], NOW, None), proposal_message(proposal(reason=MARKED))
    for message, headline in (
        (announced, "*Fallback mode normal → minimal, by <@U0ADMIN>:*"),
        (asked, "*Asked for: fallback mode normal → degraded for 2 h, by <@U0ADMIN>:*"),
    ):
        check(message)
        first, second = message.blocks[:2]
        assert first["text"]["text"] == headline
        assert second["text"] == {"type": "plain_text", "text": MARKED, "emoji": False}
        assert message.text.splitlines()[0].endswith(f": {MARKED}")


def test_the_reason_of_a_rejected_proposal_notifies_nobody_in_the_history() -> None:
    entry = AuditEntry(NOW, "U0ADMIN", "proposal", "refused", "normal -> minimal rejected: <@U0ANNA> wants it")
    assert "<@U0ANNA>" not in history_message([entry]).text
