"""The verification of a mode change as a message."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.notice_contents import dumped, parsed
from bot.db.migrations.versions.v0015_kinds_of_alerts import rewritten
from bot.modes.model import NamedCaller, VerificationReport
from bot.modes.verification import UsageSum, VerificationState
from handlers.render.verification import PROOF_DISMISS, proof_message
from tests.unit.test_blocks import AS_OF, MOST_TEXT, NOW, buttons, check, check_twin, hostile

MINUTE = timedelta(minutes=1)


def mix(usd: str, above: str, per_mtok: str | None = None) -> UsageSum:
    rate = None if per_mtok is None else Decimal(per_mtok)
    tokens = round(Decimal(usd) * 1_000_000 / rate) if rate else 0
    return UsageSum(Decimal(usd), Decimal(above), tokens, timedelta(hours=1))


def calling(
    model: str = "claude-opus-4-8", workspace: str = "billing-prod", key: str | None = "ingest-2", usd: str = "12.10"
) -> NamedCaller:
    return NamedCaller(
        model=model,
        workspace_id=workspace,
        workspace=workspace,
        api_key_id=key,
        key=key,
        usd_per_hour=Decimal(usd),
    )


def facts(state: VerificationState = VerificationState.CONFIRMED, **changes: Any) -> VerificationReport:
    wrong = state in (VerificationState.PARTIAL, VerificationState.NO_EFFECT)
    return replace(
        VerificationReport(
            change_id=7,
            mode="degraded",
            ceiling="claude-sonnet-5-5",
            since=NOW - 40 * MINUTE,
            state=state,
            above=("Opus",),
            before=mix("41", "29.11", "4.1"),
            after=mix("40.5", "28.76", "4.051") if wrong else mix("9", "0.27", "1.8"),
            took=None if wrong else 6 * MINUTE,
            callers=(calling(),) if wrong else (),
            more_callers=0,
            last=not wrong,
            as_of=AS_OF,
            decided_at=NOW,
        ),
        **changes,
    )


def test_a_change_that_took_effect_is_said_with_the_figures_first() -> None:
    message = proof_message(facts())
    assert message.text.startswith("Opus share 71% → 3% in 6 min, $4.10 → $1.80 a million tokens.\n")
    assert "degraded has taken effect: services use at most `claude-sonnet-5-5`." in message.text
    assert buttons(message) == []


def test_no_effect_names_who_calls_what_with_which_key_and_for_how_much() -> None:
    message = proof_message(facts(VerificationState.NO_EFFECT))
    assert message.text.startswith(
        "No effect: workspace billing-prod still calls Opus 4.8 with key ingest-2 ($12.10 an hour)\n"
    )
    assert "Opus share 71% → 71%, $4.10 → $4.05 a million tokens." in message.text
    (button,) = buttons(message)
    assert (button["action_id"], button["value"]) == (PROOF_DISMISS, "7")


def test_in_part_names_the_largest_and_counts_the_rest() -> None:
    callers = (calling(), calling(key=None, usd="3"))
    message = proof_message(facts(VerificationState.PARTIAL, callers=callers, more_callers=4))
    assert message.text.startswith("In part: workspace billing-prod still calls Opus 4.8 with key ingest-2")
    assert "• Opus 4.8 · billing-prod · no key: $3.00 an hour\nand 4 more." in message.text
    assert (
        "without a key ($1.00 an hour)"
        in proof_message(facts(VerificationState.PARTIAL, callers=(calling(key=None, usd="1"),))).text
    )


def test_a_small_share_is_not_called_none_and_an_unknown_one_not_zero() -> None:
    assert "Opus share 71% → under 1% in 6 min" in proof_message(facts(after=mix("9", "0.01"))).text
    assert "Opus share 71% → 0%" in proof_message(facts(after=mix("9", "0"))).text
    assert (
        "Opus share unknown → 3% in 6 min, unknown → $1.80 a million tokens" in proof_message(facts(before=None)).text
    )
    assert "Opus share no usage → 3%" in proof_message(facts(before=mix("0", "0"))).text


def test_dollars_a_million_tokens_are_unknown_where_there_were_no_tokens_and_never_zero() -> None:
    idle = proof_message(facts(before=mix("0", "0"))).text
    assert "Opus share no usage → 3% in 6 min, unknown → $1.80 a million tokens." in idle
    cheap = proof_message(facts(after=mix("9", "0.27", "0.004"))).text
    assert "$4.10 → under $0.01 a million tokens." in cheap


def test_nothing_is_said_of_dollars_an_hour_before_and_after() -> None:
    message = proof_message(facts())
    assert "an hour" not in message.text
    assert "Shares of the dollars of all usage, by list prices; tokens of all kinds. Usage as of" in message.text


@pytest.mark.parametrize("state", list(VerificationState))
def test_a_report_of_a_version_that_counted_no_tokens_is_shown_without_them(
    state: VerificationState,
) -> None:
    stored = dumped(facts(state))
    for side in ("before", "after"):
        stored[side] = {"usd_per_hour": stored[side]["usd"], "above_usd_per_hour": stored[side]["above_usd"]}
    old = parsed(rewritten(stored))
    assert isinstance(old, VerificationReport)
    message = proof_message(old)
    assert "tokens" not in message.text
    assert "unknown" not in message.text
    if state is VerificationState.CONFIRMED:
        assert message.text.startswith("Opus share 71% → 3% in 6 min.\n")


def test_how_long_it_took_is_left_out_where_it_is_not_known() -> None:
    assert "3%, $4.10 → $1.80 a million tokens" in proof_message(facts(took=None)).text
    assert "in less than 1 min" in proof_message(facts(took=timedelta())).text
    assert "in 2 min" in proof_message(facts(took=timedelta(seconds=61))).text


@pytest.mark.parametrize(
    ("above", "words"),
    [
        ((), "Share above `claude-sonnet-5-5` 71%"),
        (("Opus", "Fable"), "Opus and Fable share 71%"),
        (("Opus", "Fable", "Sonnet 4.6", "x", "y"), "Opus, Fable, Sonnet 4.6 and 2 more share 71%"),
    ],
)
def test_the_share_says_of_what(above: tuple[str, ...], words: str) -> None:
    assert proof_message(facts(above=above)).text.startswith(words)


def test_the_last_line_says_that_it_is_the_last() -> None:
    for state in (
        VerificationState.PARTIAL,
        VerificationState.NO_EFFECT,
        VerificationState.IDLE,
        VerificationState.WAITING,
    ):
        message = proof_message(facts(state, last=True))
        assert "It is 24 h since the change, which is not watched any more." in message.text
        assert buttons(message) == []
    assert proof_message(facts(VerificationState.IDLE)).text.startswith(
        "No usage since the switch to fallback mode degraded"
    )


def test_whoever_dismisses_it_is_named_and_the_button_goes() -> None:
    message = proof_message(facts(VerificationState.NO_EFFECT), dismissed_by="U0ADMIN")
    assert "Dismissed by <@U0ADMIN>" in message.text
    assert buttons(message) == []


def test_it_is_read_back_from_the_outbox_as_it_was_put_there() -> None:
    for state in VerificationState:
        assert parsed(dumped(facts(state))) == facts(state)


amounts = st.decimals(0, 10**7, places=4)
mixes = st.one_of(
    st.none(),
    st.builds(
        lambda one, other, rate: mix(str(max(one, other)), str(min(one, other)), None if rate is None else str(rate)),
        amounts,
        amounts,
        st.none() | amounts,
    ),
)


@given(
    st.sampled_from(VerificationState),
    st.lists(hostile, max_size=5).map(tuple),
    st.lists(st.builds(calling, hostile, hostile, st.one_of(st.none(), hostile)), max_size=3).map(tuple),
    st.tuples(hostile.filter(bool), hostile),
    st.tuples(mixes, mixes),
    st.booleans(),
    st.sampled_from([None, "U0ADMIN"]),
)
def test_every_proof_fits_into_slack_and_lets_nothing_in_whatever_the_names(
    state: VerificationState,
    above: tuple[str, ...],
    callers: tuple[NamedCaller, ...],
    mode: tuple[str, str],
    figures: tuple[UsageSum | None, UsageSum | None],
    last: bool,
    dismissed_by: str | None,
) -> None:
    found = facts(
        state,
        above=above,
        callers=callers,
        mode=mode[0],
        ceiling=mode[1],
        before=figures[0],
        after=figures[1],
        last=last,
    )
    check(proof_message(found, dismissed_by), most_text=MOST_TEXT)


@given(st.sampled_from(VerificationState), st.tuples(mixes, mixes), st.booleans())
def test_the_text_of_a_proof_has_every_figure_of_its_blocks(
    state: VerificationState, figures: tuple[UsageSum | None, UsageSum | None], last: bool
) -> None:
    check_twin(proof_message(facts(state, before=figures[0], after=figures[1], last=last)))
