"""`GET /v1/budgets`: every budget with spend and what is left, for a status line or a CI step."""

import logging
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from bot.amounts import CENT
from bot.budgets.account import Detail
from bot.budgets.budget import Budget
from bot.budgets.budget_spend import BudgetSpend
from bot.db.engine import database_problem
from bot.services import Services
from bot.web.access import BearerAccess
from bot.web.fallback import unavailable

log = logging.getLogger(__name__)

PATH = "/v1/budgets"


def budgets_route(services: Services, readers: BearerAccess) -> web.RouteDef:
    """The route. 503 if the database does not answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return web.json_response(await services.threads.web(budgets_object, services))
        except SQLAlchemyError as error:
            log.error("no budgets: %s", database_problem(error))
            return unavailable({"error": "The budgets cannot be read at this moment: ask again later."})

    return web.get(PATH, readers.guard(answer))


def budgets_object(services: Services) -> dict[str, Any]:
    """The response object. Amounts are strings, unknown values null. Synchronous."""
    now = services.clock()
    spends = {spend.budget: spend for spend in services.review.spend(now, Detail.ENDS)}
    return {
        "as_of": _time(services.snapshots.current().as_of),
        "budgets": [_budget(budget, spends.get(budget.name), now) for budget in services.budgets.in_force()],
    }


def _budget(budget: Budget, spend: BudgetSpend | None, now: datetime) -> dict[str, Any]:
    """`left_usd`: up to the higher limit, 0.00 above it. `status`: ok, soft or hard, by the reached limit.

    `raised`: limits that are raised for a while.
    """
    limit = budget.soft_usd if budget.hard_usd is None else budget.hard_usd
    spent = None if spend is None else spend.spent_usd
    left = None if spent is None or limit is None else max(limit - spent, Decimal(0))
    period = budget.period_at(now)
    return {
        "name": budget.name,
        "scope": str(budget.scope),
        "as_of": None if spend is None else _time(spend.as_of),
        "period": period.key if spend is None else spend.period,
        "ends_at": _time(period.ends_at if spend is None else spend.ends_at),
        "spent_usd": _usd(spent),
        "provisional_usd": _usd(None if spend is None else spend.provisional_usd),
        "soft_usd": _usd(budget.soft_usd),
        "hard_usd": _usd(budget.hard_usd),
        "left_usd": _usd(left),
        "expected_usd": _usd(None if spend is None else _cents(spend.expected_usd)),
        "status": _status(budget, spent),
        "raised": [
            {"limit": each.kind, "from_usd": _usd(each.base_usd), "until": _time(each.until)} for each in budget.raised
        ],
    }


def _status(budget: Budget, spent: Decimal | None) -> str:
    if spent is None:
        return "unknown"
    if budget.hard_usd is not None and spent >= budget.hard_usd:
        return "hard"
    return "soft" if budget.soft_usd is not None and spent >= budget.soft_usd else "ok"


def _cents(expected: Decimal | None) -> Decimal | None:
    return None if expected is None else expected.quantize(CENT, ROUND_HALF_UP)


def _usd(amount: Decimal | None) -> str | None:
    """All digits, at least two decimals."""
    if amount is None:
        return None
    cents = amount.quantize(CENT)
    return f"{cents if cents == amount else amount.normalize():f}"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
