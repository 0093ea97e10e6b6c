"""The greeting of a new installation: what is watched, who may change it, and what to try."""

from collections.abc import Sequence
from decimal import Decimal

from bot.amounts import usd
from bot.budgets.budget import ORGANIZATION, PeriodKind
from bot.budgets.greeting import Greeting, WatchedBudget
from bot.language import tr, tr_noop
from bot.listed import comma_list
from bot.messages import Message
from handlers.render.help import examples
from handlers.render.parts import code, lead, paragraph, shown

MOST_BUDGETS = 10
MOST_ADMINS = 10

WATCHES = tr_noop("claude-cost watches what this organization spends on Claude.")

AT_ONE = {
    PeriodKind.DAY: tr_noop("claude-cost watches what this organization spends on Claude, and reports at {usd} a day."),
    PeriodKind.WEEK: tr_noop(
        "claude-cost watches what this organization spends on Claude, and reports at {usd} a week."
    ),
    PeriodKind.MONTH: tr_noop(
        "claude-cost watches what this organization spends on Claude, and reports at {usd} a month."
    ),
}
AT_TWO = {
    PeriodKind.DAY: tr_noop(
        "claude-cost watches what this organization spends on Claude, and reports at {first} and at {second} a day."
    ),
    PeriodKind.WEEK: tr_noop(
        "claude-cost watches what this organization spends on Claude, and reports at {first} and at {second} a week."
    ),
    PeriodKind.MONTH: tr_noop(
        "claude-cost watches what this organization spends on Claude, and reports at {first} and at {second} a month."
    ),
}
BUDGET_AT_ONE = {
    PeriodKind.DAY: tr_noop("• {name} ({scope}): reports at {usd} a day"),
    PeriodKind.WEEK: tr_noop("• {name} ({scope}): reports at {usd} a week"),
    PeriodKind.MONTH: tr_noop("• {name} ({scope}): reports at {usd} a month"),
}
BUDGET_AT_TWO = {
    PeriodKind.DAY: tr_noop("• {name} ({scope}): reports at {first} and at {second} a day"),
    PeriodKind.WEEK: tr_noop("• {name} ({scope}): reports at {first} and at {second} a week"),
    PeriodKind.MONTH: tr_noop("• {name} ({scope}): reports at {first} and at {second} a month"),
}


def greeting_message(greeting: Greeting) -> Message:
    """Nobody is mentioned in it."""
    first, *budgets = _watched(greeting.budgets)
    return Message(
        [
            lead(first),
            *([paragraph(*budgets)] if budgets else []),
            paragraph(_who(greeting.admins)),
            paragraph(tr("Three things to try:"), *examples()),
        ]
    )


def _watched(budgets: Sequence[WatchedBudget]) -> list[str]:
    if not budgets:
        none = tr("No budget is set yet: `/claude-cost budget set` sets one.")
        return [tr(WATCHES), none]
    one = budgets[0]
    if len(budgets) == 1 and one.scope == str(ORGANIZATION):
        return [_at(one, AT_ONE[one.period], AT_TWO[one.period])]
    lines = [
        _at(each, BUDGET_AT_ONE[each.period], BUDGET_AT_TWO[each.period], name=shown(each.name), scope=code(each.scope))
        for each in budgets[:MOST_BUDGETS]
    ]
    more = len(budgets) - MOST_BUDGETS
    if more > 0:
        lines.append(tr("• and {number} more: `/claude-cost budget list` shows all", number=more))
    return [tr(WATCHES), *lines]


def _at(budget: WatchedBudget, at_one: str, at_two: str, **named: str) -> str:
    limits = [_dollars(limit) for limit in budget.limits_usd]
    if len(limits) == 1:
        return tr(at_one, usd=limits[0], **named)
    return tr(at_two, first=limits[0], second=limits[-1], **named)


def _dollars(limit: Decimal) -> str:
    return usd(limit).removesuffix(".00")


def _who(admins: Sequence[str]) -> str:
    if not admins:
        return tr(
            "Nobody may change budgets or the fallback mode yet: put Slack ids into `CLAUDE_COST_ADMINS` and restart "
            "the bot."
        )
    # An id in code style calls nobody.
    ids = comma_list([*map(code, admins[:MOST_ADMINS]), *(["…"] if len(admins) > MOST_ADMINS else [])])
    return tr("The people in `CLAUDE_COST_ADMINS` ({ids}) may change budgets and the fallback mode.", ids=ids)
