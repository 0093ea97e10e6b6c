"""What the local Anthropic bills where that is not what its usage costs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from bot.clock import DAY
from bot.sandbox.anthropic_usage import DEFAULT_WORKSPACE_ID, DIMENSIONS, rfc3339


@dataclass(frozen=True, slots=True)
class BilledLine:
    """One line of a day's bill, in cents. `list_cents`: before discounts, the same where there are none."""

    day: date
    cents: Decimal
    model: str | None = None
    workspace_id: str | None = None
    cost_type: str = "tokens"
    list_cents: Decimal | None = None

    @property
    def starts_at(self) -> datetime:
        return datetime.combine(self.day, time(), UTC)


def admin_results(lines: Iterable[BilledLine], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of one day of the admin cost report, grouped by `names`."""
    described = "description" in names
    return [
        {
            "amount": str(line.cents),
            "currency": "USD",
            "workspace_id": line.workspace_id if "workspace_id" in names else None,
            "description": f"{line.model or line.cost_type} Usage" if described else None,
            "model": line.model if described else None,
            "cost_type": line.cost_type if described else None,
        }
        for line in lines
    ]


def analytics_rows(lines: Iterable[BilledLine], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the analytics cost report by the day, grouped by `names`."""
    rows = []
    for line in lines:
        group: dict[str, Any] = dict.fromkeys((*DIMENSIONS, "cost_type"))
        if "workspace_id" in names:
            group["workspace_id"] = line.workspace_id or DEFAULT_WORKSPACE_ID
        if "model" in names:
            group["model"] = line.model
        if "cost_type" in names:
            group["cost_type"] = line.cost_type
        rows.append(
            {
                "starting_at": rfc3339(line.starts_at),
                "ending_at": rfc3339(line.starts_at + DAY),
                "group": group,
                "cost": {
                    "amount": str(line.cents),
                    "list_amount": str(line.cents if line.list_cents is None else line.list_cents),
                    "currency": "USD",
                    "requests": None,
                },
            }
        )
    return rows
