"""The greeting of a new installation, and help by example."""

from collections.abc import Sequence
from decimal import Decimal

from bot.amounts import usd
from bot.budgets.budget import ORGANIZATION, PeriodKind
from bot.budgets.greeting_store import Greeting, WatchedBudget
from bot.language import tr, tr_noop
from bot.listed import comma_list, labelled
from bot.messages import Message, Part
from bot.typed_text import nearest as nearest_of
from handlers.render.parts import code, escape, fold, lead, paragraph, said, shown

COMMAND = "/claude-cost"

OF_ADMINS = ("fallback on for 2h", tr_noop("a cheaper model for two hours; for admins"))

EXAMPLES = (
    ("status", tr_noop("what is spent against every budget, and where it will end")),
    ("estimate sonnet requests=100k in=2000 out=500", tr_noop("what a workload would cost before you build it")),
    OF_ADMINS,
)
"""Commands to try first, and what they do."""

Rows = Sequence[tuple[str, str]]
"""Words after the command, and what they do."""


def examples(*, for_admins: bool = True) -> list[str]:
    """A line for each of `EXAMPLES`. `for_admins`: with what only admins may."""
    offered = [example for example in EXAMPLES if for_admins or example is not OF_ADMINS]
    return [f"• `{COMMAND} {words}`: {tr(meaning)}" for words, meaning in offered]


def help_message(rows: Rows) -> Message:
    """The examples, and every command folded."""
    more = tr(
        "A form for a new budget: `{command} budget set`. A question: `{command} what did we spend this week?`",
        command=COMMAND,
    )
    return Message([paragraph(tr("For example:"), *examples(), more), _all(rows)])


def not_known_message(unknown: str, nearest: str | None) -> Message:
    """What to type instead of an unknown command. `nearest`: the command that may be meant."""
    if nearest is None:
        first = tr("{word} is not a command of mine.", word=code(unknown))
    else:
        meant = f"`{COMMAND} {nearest}`"
        first = tr("{word} is not a command of mine: did you mean {meant}?", word=code(unknown), meant=meant)
    return said(f"{first} {tr('`{command} help` lists everything.', command=COMMAND)}")


def command_help(row: tuple[str, str], examples: Sequence[str]) -> Message:
    """One command with its examples, not folded."""
    shown = [f"• `{COMMAND} {escape(example)}`" for example in examples]
    return Message([paragraph(*_lines([row]), *([tr("For example:"), *shown] if shown else []))])


def unknown_action(command: str, typed: str, known: Sequence[str], use: str) -> Message:
    """`typed` is not an action of this command. `use`: how to type the known ones, a clause."""
    near = nearest_of(typed, known)
    if near is None:
        return said(tr("{word} is not known here: {use}.", word=code(typed), use=use))
    text = tr(
        "{word} is not known here: {use}. Did you mean `{command} {near}`?",
        word=code(typed),
        use=use,
        command=command,
        near=near,
    )
    return said(text)


def _all(rows: Rows) -> Part:
    return fold(tr("All commands"), [paragraph(*_lines(rows))])


def _lines(rows: Rows) -> list[str]:
    return [labelled(f"`{COMMAND} {escape(usage)}`", escape(meaning)) for usage, meaning in rows]


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
    """The greeting; it mentions nobody."""
    first, *budgets = _watched(greeting.budgets)
    return Message(
        [
            lead(first),
            *([paragraph(*budgets)] if budgets else []),
            paragraph(_who(greeting.admins)),
            paragraph(tr("To try:"), *examples(for_admins=bool(greeting.admins))),
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
    # An id in code style mentions nobody.
    ids = comma_list([*map(code, admins[:MOST_ADMINS]), *(["…"] if len(admins) > MOST_ADMINS else [])])
    return tr("The people in `CLAUDE_COST_ADMINS` ({ids}) may change budgets and the fallback mode.", ids=ids)
