"""Every kind of alert at every step, `status` and the fallback mode in Japanese: no English sentence is left."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bot.alerts.delivery import DeliveryAlert
from bot.alerts.first_seen import FirstSeenAlert, FirstSeenReason
from bot.alerts.incident import AlertKind, Identity, Status
from bot.alerts.lifecycle import Life, LifecycleStep, OpenAlert
from bot.alerts.limit import LimitAlert
from bot.alerts.model import AlertPayload
from bot.alerts.no_data import NoDataAlert
from bot.alerts.notice_contents import LifecycleEvent, loaded
from bot.alerts.outlier import OutlierAlert, OutlierReason, Usual
from bot.alerts.retirement import RetirementAlert
from bot.alerts.unattributed import UnattributedAlert, UnattributedReason, UnloggedPart
from bot.budgets.budget import Limit, LimitKind
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.model_news import Retirement
from bot.budgets.trend import CauseKind
from bot.clock import HOUR
from bot.db.migrations.versions.v0015_kinds_of_alerts import rewritten
from bot.fallback.impact import Overview
from bot.fallback.service import Auto
from bot.language import in_language
from bot.messages import Message, in_utc
from bot.modes.changes import AutoSwitch
from bot.modes.model import VOID_BECAUSE, ModeAnnouncement, ModeEnding, Proposal, ProposalStatus, VerificationReport
from bot.modes.verification import VerificationState
from bot.usage.model import DataState
from handlers.render.fallback import announcement, end_warning, mode_status, switched
from handlers.render.lifecycle import life_message, open_line, with_life
from handlers.render.limit_alert import limit_step_message
from handlers.render.parts import plain_text
from handlers.render.proposal import proposal_message
from handlers.render.verification import proof_message
from handlers.rendering import incident_message
from tests.unit.test_blocks import (
    AS_OF,
    IMPACT,
    LINK,
    LONGEST_EDIT,
    MOST_TEXT,
    NOW,
    SAVINGS,
    SPEND,
    TARGETS,
    alert,
    cause,
    check,
    mover,
    state,
    status,
    texts,
    with_spend,
)
from tests.unit.test_watch_blocks import drift, period

STORED = Path(__file__).with_name("stored_payloads.jsonl").read_text().splitlines()

NOT_ENGLISH = re.compile(
    r"`[^`]*`|\S+/\S+|Priority Tier|Anthropic Console|Anthropic API|[\w-]+-prod"
    r"|(?:Claude )?(?:Opus|Sonnet|Haiku) [\d.]+"
)
"""Code, ids, names and terms that stay as they are."""

ENGLISH = re.compile(r"[A-Za-z']{2,}[ ,:;.]+[a-z']{2,}")


def check_japanese(message: Message, most_text: int = LONGEST_EDIT) -> None:
    """Assert that no two English words are adjacent, dialogs and buttons included."""
    check(message, most_text=most_text)
    shown = [*texts(message.blocks, "mrkdwn"), *texts(message.blocks, "plain_text"), message.text]
    assert_japanese(shown)


def assert_japanese(shown: Sequence[str]) -> None:
    for text in shown:
        for line in plain_text(in_utc(text)).splitlines():
            found = ENGLISH.search(NOT_ENGLISH.sub("◆", line))
            assert found is None, (found[0], line)


def _with_japanese_error(payload: AlertPayload) -> AlertPayload:
    """A payload with an external error, which is not translated."""
    if isinstance(payload, NoDataAlert):
        return replace(payload, because="接続できません。")
    return replace(payload, error="接続できません") if isinstance(payload, DeliveryAlert) else payload


def every_kind() -> list[AlertPayload]:
    kinds: list[AlertPayload] = [alert(level) for level in LimitKind]
    for row in STORED:
        payload = loaded(rewritten(json.loads(row)))
        if isinstance(payload, AlertPayload) and not isinstance(payload, LimitAlert):
            kinds.append(_with_japanese_error(payload))
    kinds += [drift(), drift(by_model=False), period(), period(mode="degraded", soft_usd=Decimal(5))]
    step = {"status": Status.OPEN, "decided_at": NOW, "mode": "normal", "as_of": AS_OF}
    day = date(2026, 11, 16)
    for what in ("key", "model", "feature"):
        kinds.append(
            FirstSeenAlert(
                **step,  # type: ignore[arg-type]
                reason=FirstSeenReason.FIRST_USED,
                what=what,
                id="x1",
                name="claude-haiku-4-5" if what == "model" else "answers",
                first_day=day,
                usd=Decimal(50),
                floor_usd=Decimal(5),
                callers=(mover(),),
                models=("claude-opus-4-7",),
            )
        )
    team = Usual(own_usd=Decimal(3), days=9, team="search", members_usd=Decimal(4), members=6)
    for usual, above_team in ((Usual(own_usd=Decimal(3), days=9), False), (team, True), (Usual(days=1), False)):
        kinds.append(
            OutlierAlert(
                **step,  # type: ignore[arg-type]
                reason=OutlierReason.ABOVE_OWN,
                what="user",
                id="u1",
                day=day,
                usd=Decimal(50),
                usual=usual,
                above_team=above_team,
                factor=Decimal(5),
                floor_usd=Decimal(5),
                callers=(mover(),),
                hidden=True,
            )
        )
    parts = tuple(
        UnloggedPart(key=key, model="claude-opus-4-8", percent=60, usd=Decimal(72), at_least=key is None)
        for key in (None, "ingest")
    )
    step.pop("as_of")
    for reason in UnattributedReason:
        kinds.append(
            UnattributedAlert(
                **step,  # type: ignore[arg-type]
                reason=reason,
                began_at=NOW,
                until=NOW,
                counted_usd=Decimal(120),
                missing_usd=Decimal(72),
                parts=parts,
                limit_percent=Decimal(30),
                floor_usd=Decimal(20),
                clear_percent=Decimal(80),
            )
        )
    news = Retirement(
        model="claude-opus-4-7",
        name="Opus 4.7",
        last_day=day,
        successor="Opus 5.5",
        usd=Decimal(9),
        successor_usd=Decimal(8),
        days=7,
    )
    kinds.append(
        RetirementAlert(**step, reason="", model="claude-opus-4-7", key="x", as_of=AS_OF, retires=news)  # type: ignore[arg-type]
    )
    return kinds


KINDS = every_kind()
ACKNOWLEDGED = Life(
    acknowledged_at=NOW, acknowledged_by="U0ADMIN", snoozed_until=NOW + HOUR, snoozed_by="U0ADMIN", escalated_at=None
)
STEPS = [each for each in Status if each is not Status.WATCHED]


def test_every_kind_of_alert_is_among_them() -> None:
    assert {payload.identity.kind for payload in KINDS} == set(AlertKind)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("payload", KINDS, ids=lambda payload: payload.identity.kind.module)
def test_an_alert_has_no_english_sentence_at_any_step(payload: AlertPayload, step: Status) -> None:
    if isinstance(payload, UnattributedAlert) and step is Status.WITHDRAWN:
        payload = replace(payload, reason=UnattributedReason.NOTHING_LOGGED)
    with in_language("ja"):
        at_step = replace(payload, status=step)
        message = incident_message(at_step, LINK)
        check_japanese(message)
        check_japanese(with_life(message, 7, step, ACKNOWLEDGED))
        check_japanese(with_life(message, 7, step, Life(escalated_at=NOW)))
        if isinstance(at_step, LimitAlert):
            check_japanese(limit_step_message(at_step))


SPENDS = [
    with_spend(causes=tuple(cause(kind) for kind in CauseKind), at_least=True, assumed=("claude-new",)),
    with_spend(provisional_usd=Decimal(2), provisional_since=NOW, budget="search"),
    with_spend(expected_usd=None, budget="little"),
    with_spend(soft_usd=None, budget="hard", movers=(replace(mover(), since=NOW), replace(mover(), before_usd=None))),
    with_spend(hard_usd=None, budget="soft", period="2026-W47"),
    *(with_spend(budget=f"more-{number}", period="2026-11-20") for number in range(60)),
]


@pytest.mark.parametrize("spends", [SPENDS, [SPEND], [], [with_spend(ends_at=NOW - HOUR)]])
@pytest.mark.parametrize("age", [timedelta(minutes=5), 12 * HOUR])
def test_status_has_no_english_sentence(spends: Sequence[BudgetSpend], age: timedelta) -> None:
    limits = [Limit(kind, Decimal(600)) for kind in LimitKind]
    kinds = [Identity(AlertKind.LIMIT, "default", "2026-11", limit) for limit in limits]
    kinds += [Identity(kind, "default", "2026-11-20/user") for kind in AlertKind]
    data = DataState(
        as_of=NOW - age,
        source="admin",
        polled_at=NOW,
        error="接続できません。",
        error_since=NOW,
        billed_error="接続できません。",
        changed_at=NOW,
        changed_from="analytics",
    )
    with in_language("ja"):
        assert_japanese([open_line(OpenAlert(kind, Decimal(4), NOW, Life())) for kind in kinds])
        opened = [OpenAlert(kind, Decimal(4), NOW, ACKNOWLEDGED) for kind in kinds]
        check_japanese(status(spends, data, state(), "接続できません。", open_alerts=opened), MOST_TEXT)


def test_a_change_of_the_mode_its_end_and_what_usage_shows_have_no_english_sentence() -> None:
    payloads = [loaded(rewritten(json.loads(row))) for row in STORED]
    with in_language("ja"):
        check_japanese(switched(state(), "normal", None, IMPACT))
        for mode in (state(reason="高い"), state("normal", reason="高い", changed_at=None)):
            for auto in (Auto(on=True, said=None), Auto(on=False, said=AutoSwitch(on=False, by="U0ADMIN", at=NOW))):
                check_japanese(mode_status(mode, auto, Overview(SAVINGS, {}, AS_OF, SPEND)))
        check_japanese(switched(state(write_error="書けません。"), "degraded", NOW, IMPACT))
        for payload in payloads:
            match payload:
                case ModeAnnouncement():
                    payload = replace(payload, reason="高い")
                    check_japanese(announcement(payload, TARGETS, NOW, None))
                    check_japanese(announcement(replace(payload, automatic=True, until=NOW), TARGETS, None, "だめ"))
                    check_japanese(announcement(replace(payload, written=True), TARGETS, NOW, None))
                case ModeEnding():
                    check_japanese(end_warning(replace(payload, because="its time is over then")))
                case Proposal():
                    for why in VOID_BECAUSE:
                        at = replace(
                            payload, why=why.format(mode=payload.mode), closed_by="U0ADMIN", approved_by=("U0ADMIN",)
                        )
                        for step in ProposalStatus:
                            check_japanese(
                                proposal_message(replace(at, status=step, asked_by="U0ADMIN", reason="高い"))
                            )
                case VerificationReport():
                    for shown in VerificationState:
                        check_japanese(proof_message(replace(payload, state=shown)))
                        check_japanese(proof_message(replace(payload, state=shown, last=True), "U0ADMIN"))
                case _:
                    pass


@pytest.mark.parametrize("step", LifecycleStep)
def test_a_reply_about_a_step_of_people_has_no_english_sentence(step: LifecycleStep) -> None:
    event = LifecycleEvent(
        step=step, by="U0ADMIN", at=NOW, until=NOW + HOUR, since=NOW - HOUR, about=alert(LimitKind.HARD)
    )
    with in_language("ja"):
        check_japanese(life_message(event, "見出し"))


def test_english_would_be_found() -> None:
    with pytest.raises(AssertionError, match="soft limit"):
        assert_japanese([incident_message(alert()).text])
