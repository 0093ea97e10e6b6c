"""Whether the chain steps down by itself, and how many further admins have to agree."""

from dataclasses import dataclass
from datetime import timedelta

from bot.alerts.kinds import Level
from bot.budgets.budget import LimitKind


@dataclass(frozen=True, slots=True)
class FallbackRules:
    """`auto`: whether the chain steps down by itself at an alert of `auto_levels`, until chat says otherwise.

    `approvals`: how many admins beside the one who asks have to agree, within `approval_lasts`.
    """

    auto: bool = False
    auto_levels: frozenset[Level] = frozenset({LimitKind.HARD})
    approvals: int = 0
    approval_lasts: timedelta = timedelta(hours=1)
