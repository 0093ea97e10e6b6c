"""An alert with everything that alerts can show, to be checked by Slack and never to be sent."""

from datetime import datetime
from decimal import Decimal

from bot.alerts.decide import Reason, Status
from bot.alerts.model import LimitAlert
from bot.budgets.budget import Level
from bot.budgets.budget_spend import BudgetSpend, ModeShare, NamedMover
from bot.clock import DAY
from bot.mode import DEGRADED, NORMAL


def sample_facts(now: datetime) -> LimitAlert:
    """A hard limit crossed, with movers, a way out and every warning."""
    spend = BudgetSpend(
        budget="sample",
        scope="organization",
        soft_usd=Decimal(50),
        hard_usd=Decimal(100),
        period=f"{now:%Y-%m}",
        ends_at=now + DAY,
        spent_usd=Decimal(120),
        billed_usd=Decimal(80),
        billed_days=2,
        computed_usd=Decimal(39),
        report_only_usd=Decimal(1),
        at_least=True,
        assumed=("claude-sample-1",),
        expected_usd=Decimal(150),
        low_usd=Decimal(130),
        high_usd=Decimal(170),
        movers=(
            NamedMover(model="claude-sample-1", workspace="Search", key="ingest", usd=Decimal(9), before_usd=None),
        ),
        shares=(ModeShare(mode=DEGRADED, model="claude-sample-0", share=Decimal("0.6")),),
        as_of=now,
    )
    return LimitAlert(
        level=Level.HARD,
        limit_usd=Decimal(100),
        status=Status.OPEN,
        reason=Reason.CROSSED,
        decided_at=now,
        mode=NORMAL,
        spend=spend,
    )
