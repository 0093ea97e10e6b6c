"""`/claude-cost budget`: the list, what a change would make of a budget, and the answers to a confirmation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.amounts import usd
from bot.budgets.budget import ATTRIBUTED, CHAT, LIMITS, Budget, LimitKind, PeriodKind, ScopeKind, Weekday, in_period
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.owners import MENTIONED_BY_DEFAULT, Team, Teams
from bot.budgets.scopes import Unmatched
from bot.budgets.store import KeptBudget
from bot.display import Display
from bot.language import tr
from bot.messages import Block, Message
from handlers.render.parts import (
    NAME_LIMIT,
    button,
    buttons,
    channel_mention,
    code,
    confirmation,
    context,
    fitting,
    lead,
    mention,
    moment,
    paragraph,
    plain,
    sentence,
    shown,
)
from handlers.render.raises import raised_note
from handlers.render.spend import amount, display_lines, in_its_period, limits_line

SET_ACTION = "budget_set"
REMOVE_ACTION = "budget_remove"

ROOM = 9000
"""Characters for all budgets; Slack was seen to refuse messages of some 13,200 in all."""

COMMAND_LIMIT = 300

WITHDRAWN = "Its open alerts are withdrawn at the next poll."
CONFIRM_FIRST = "Nothing is changed until you confirm it, and only the people in CLAUDE_COST_ADMINS may."


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget in its present period, which has this key. `spend`: the last known one, None before the first poll.

    `unmatched`: why its scope counts nothing, None where it counts.
    """

    period: str
    spend: BudgetSpend | None
    unmatched: str | None = None

    @property
    def known(self) -> BudgetSpend | None:
        """What is spent in the present period; None where the data ends before it began."""
        return self.spend if self.spend is not None and self.spend.period == self.period else None


def described(budget: Budget) -> str:
    """`workspace:wrkspc_01, each week from Sunday (UTC), soft $50.00 and hard $100.00, notified at 50% and 75%`."""
    limits = [
        " ".join([f"{kind} {usd(limit)}", *(f"({note})" for note in raised_note(budget.raised, kind))])
        for kind in LIMITS
        if (limit := budget.limit(kind)) is not None
    ]
    period = budget.period.value
    if budget.period is PeriodKind.WEEK and budget.week_starts is not Weekday.MONDAY:
        period += f" from {budget.week_starts.capitalize()}"
    text = f"{shown(str(budget.scope))}, each {period} ({shown(budget.zone.key)}), {' and '.join(limits)}"
    thresholds = _thresholds(budget)
    return f"{text}, notified at {thresholds}" if budget.thresholds else text


def unmatched_line(unmatched: Unmatched) -> str:
    """A budget that counts nothing, or of which nothing is known, and why."""
    if unmatched.budget.scope.kind in ATTRIBUTED and not unmatched.certain:
        why = sentence(unmatched.sentence)
        return tr("Budget {name} has no data: {why}", name=shown(unmatched.budget.name), why=why)
    return f"Budget {shown(unmatched.budget.name)} counts nothing: {sentence(unmatched.sentence)}"


def where(budget: Budget) -> str:
    """Where the budget is set, and how it is changed."""
    if budget.origin == CHAT:
        return f"It is set in chat: change it with `budget set {shown(budget.name)} …`."
    return f"It is set in {sentence(budget.origin)}: change it there and restart the bot."


def configured_refusal(budget: Budget) -> str:
    """Why a configured budget is not changed from chat."""
    return f"Nothing was changed: budget {shown(budget.name)} cannot be changed from chat. {where(budget)}"


def ownership_lines(budget: Budget, team: Team | None) -> list[str]:
    """Where its alerts go, whom they mention, and what its team is. `budget`: with what it takes from the team."""
    lines = []
    if budget.channel is not None:
        lines.append(tr("Its alerts go to {channel}.", channel=channel_mention(budget.channel)))
    levels = MENTIONED_BY_DEFAULT if budget.mention is None else budget.mention
    if budget.owners and levels:
        owners = " ".join(map(mention, budget.owners))
        lines.append(tr("Owners: {owners}, mentioned at: {levels}.", owners=owners, levels=", ".join(levels)))
    elif budget.owners:
        lines.append(tr("Owners: {owners}, never mentioned.", owners=" ".join(map(mention, budget.owners))))
    if team is not None and budget.scope.kind is ScopeKind.TEAM:
        counted = ", ".join(shown(str(scope)) for scope in team.counted)
        lines.append(tr("Team {team} counts {scopes}, each request once.", team=shown(team.name), scopes=counted))
        if team.left_out:
            lines.append(
                tr(
                    "Not counted: {scopes}. Applications log it, so it cannot be added to Anthropic's figures.",
                    scopes=", ".join(shown(str(scope)) for scope in team.left_out),
                )
            )
    return lines


def budget_list(
    budgets: Sequence[Budget],
    standing: Callable[[Budget], Standing],
    kept: Sequence[KeptBudget],
    display: Display,
    teams: Teams | None = None,
) -> Message:
    """Every budget in force, as many as fit. `standing`: asked of each that is shown. `kept`: set in chat."""
    by_name = {one.budget.name: one for one in kept}

    def lines_of(budget: Budget) -> list[str]:
        author = by_name.get(budget.name) if budget.origin == CHAT else None
        return [
            f"• {shown(budget.name)}: {described(budget)}.",
            *ownership_lines(budget, None if teams is None else teams.of(budget)),
            *_spent(standing(budget), display),
            where(budget) if author is None else f"{where(budget)} {_author(author)}",
        ]

    listed = fitting(map(lines_of, budgets), ROOM)
    lines = [line for group in listed for line in group]
    if len(listed) < len(budgets):
        lines.append(f"and {len(budgets) - len(listed)} more budgets, which do not fit into one message.")
    if not budgets:
        lines = ["No budget is set: `budget set NAME hard=USD` sets one."]
    return Message([paragraph(*lines, *overridden_lines(kept, budgets))])


def overridden_lines(kept: Sequence[KeptBudget], budgets: Sequence[Budget]) -> list[str]:
    """A line for each budget from chat that does not count, because a configured one has its name."""
    configured = {budget.name: budget for budget in budgets if budget.origin != CHAT}
    return [
        f"Another budget {shown(one.budget.name)} was set in chat and does not count, since "
        f"{sentence(configured[one.budget.name].origin)} sets one of that name: rename it there, or type "
        f"`budget remove {shown(one.budget.name)}`. {_author(one)}"
        for one in kept
        if one.budget.name in configured
    ]


def proposed(
    before: Budget | None,
    after: Budget,
    standing: Standing,
    doubts: Sequence[str],
    value: str,
    display: Display,
    ownership: Sequence[str] = (),
) -> Message:
    """What a budget would be, `before` being None where it is new. `standing`: of the budget as it would be.

    `doubts`: sentences about what looks wrong. `value`: what the button says. `ownership`: its `ownership_lines`.
    """
    lines = [f"Budget {shown(after.name)} would be {'set' if before is None else 'changed'}: {described(after)}."]
    if before is not None:
        lines += changes(before, after)
    lines += [*ownership, *doubts, *_spent(standing, display), *_passed(after, standing)]
    if after.channel is not None and (before is None or before.channel != after.channel):
        lines.append(tr("Invite the bot there if it is not a member: type /invite @claude-cost in the channel."))
    return _to_confirm(lines, set_button(before, after, value, doubtful=standing.unmatched is not None))


def set_button(
    before: Budget | None, after: Budget, value: str, *, label: str | None = None, doubtful: bool = False
) -> Block:
    """Sets or changes a budget after a dialog. `value`: as of `proposed`. `doubtful`: it may count nothing."""
    verb = "Set" if before is None else "Change"
    text = f"{described(after)}. It is watched from the next poll on."
    dialog = confirmation(f"{verb} budget {plain(after.name, NAME_LIMIT)}?", text, f"{verb} budget")
    style = "danger" if doubtful else "primary"
    return button(label or f"{verb} budget", SET_ACTION, value, confirm=dialog, style=style)


def proposed_removal(budget: Budget, standing: Standing, value: str, display: Display) -> Message:
    """What would be removed. `value`: what the button says."""
    lines = [f"Budget {shown(budget.name)} would be removed: {described(budget)}.", *_spent(standing, display)]
    lines.append(WITHDRAWN)
    dialog = confirmation(
        f"Remove budget {plain(budget.name, NAME_LIMIT)}?",
        f"{described(budget)}. Its limits are not watched any more. {WITHDRAWN}",
        "Remove budget",
        danger=True,
    )
    return _to_confirm(lines, button("Remove budget", REMOVE_ACTION, value, confirm=dialog, style="danger"))


def another_scope(budget: Budget) -> str:
    """The refusal to change whose spend a budget counts: its alerts would be about what it never counted."""
    return (
        f"Nothing was changed: budget {shown(budget.name)} counts {shown(str(budget.scope))}, and its alerts are about "
        "that. Set a budget of another name for another scope, and remove this one if it is not needed."
    )


def unchanged(budget: Budget) -> str:
    """The answer where the budget is so already."""
    return f"Nothing was changed: budget {shown(budget.name)} is already set so, {described(budget)}."


def was_set(budget: Budget, user: str) -> str:
    """The answer to the person who confirmed."""
    text = f"Budget {shown(budget.name)} is set by {mention(user)}: {described(budget)}."
    return " ".join([text, *ownership_lines(budget, None), "It is watched from the next poll on."])


def was_removed(name: str, user: str) -> str:
    """The answer to the person who confirmed."""
    return f"Budget {shown(name)} is removed by {mention(user)}. {WITHDRAWN}"


def stale(name: str, present: Budget | None) -> str:
    """The answer to a button that shows a budget as it is not any more."""
    now = "there is none of that name now" if present is None else f"it is now {described(present)}"
    return (
        f"Nothing was changed: budget {shown(name)} was changed since this was shown; {now}. Type the command again to "
        "see what it would do."
    )


def unknown_budget(name: str, nearest: str | None) -> str:
    """The answer where nothing can be removed."""
    hint = "`budget list` shows what there is." if nearest is None else f"Did you mean {code(nearest)}?"
    return f"Nothing was changed: there is no budget {code(name)}. {hint}"


def _thresholds(budget: Budget) -> str:
    return _and([f"{percent}%" for percent in budget.thresholds]) or "no share before"


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _author(one: KeptBudget) -> str:
    return f"Set by {mention(one.set_by)}, {moment(one.set_at)}."


def not_yours(message: Message, refusal: str, command: str) -> Message:
    """What a change would do, for somebody who may not make it. `refusal`: why not; `command`: what to ask for."""
    parts = [part for part in message.parts if not any(block["type"] == "actions" for block in part.blocks)]
    ask = tr("Ask an admin to type: {command}", command=code(command, COMMAND_LIMIT))
    return Message([lead(refusal), paragraph(ask), *parts[:-1]])


def _to_confirm(lines: Sequence[str], element: Block) -> Message:
    return Message([lead(*lines), buttons([element]), context(CONFIRM_FIRST)])


def _spent(standing: Standing, display: Display) -> list[str]:
    spend = standing.known
    if spend is not None:
        line = f"Spent {in_its_period(spend)}: {amount(spend)}, {limits_line(spend)}."
        return [line, *display_lines(spend.spent_usd, display)]
    if standing.unmatched is not None:
        return [f"What it has spent is not known: {sentence(standing.unmatched)}"]
    if standing.spend is None:
        return ["What it has spent is not known yet: there is no data."]
    when = shown(in_period(standing.period, standing.spend.as_of))
    return [f"What it has spent {when} is not known yet: the data ends before that began."]


def _passed(budget: Budget, standing: Standing) -> list[str]:
    spend = standing.known
    if spend is None:
        return []
    passed = [kind.value for kind in LIMITS if (limit := budget.limit(kind)) is not None and spend.spent_usd >= limit]
    if not passed:
        return []
    limits = f"{' and '.join(passed)} {'limits are' if len(passed) > 1 else 'limit is'}"
    return [f"The {limits} reached already: the next poll reports it, unless it was reported in this period before."]


def changes(before: Budget, after: Budget) -> list[str]:
    """A line for each thing that is another one."""
    rows = [
        ("scope", str(before.scope), str(after.scope)),
        ("period", before.period.value, after.period.value),
        ("zone", before.zone.key, after.zone.key),
        ("week starts", before.week_starts.value, after.week_starts.value),
        *((f"{kind} limit", _limit(before, kind), _limit(after, kind)) for kind in LIMITS),
        ("thresholds", _thresholds(before), _thresholds(after)),
        ("team", before.team or "none", after.team or "none"),
        ("channel", before.channel or "the main one", after.channel or "the main one"),
        ("owners", ", ".join(before.owners) or "none", ", ".join(after.owners) or "none"),
        ("mention", _mention(before), _mention(after)),
    ]
    return [f"• {name}: {shown(was)} → {shown(will)}" for name, was, will in rows if was != will]


def _mention(budget: Budget) -> str:
    levels = MENTIONED_BY_DEFAULT if budget.mention is None else budget.mention
    return ", ".join(levels) or "never"


def _limit(budget: Budget, kind: LimitKind) -> str:
    limit = budget.limit(kind)
    return "none" if limit is None else usd(limit)
