"""`/claude-cost budget`: the list, previews of changes, and answers to confirmations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.alerts.asks import Ask
from bot.amounts import usd
from bot.budgets.budget import CHAT, LIMITS, Budget, LimitKind, PeriodKind, ScopeKind, Weekday, in_period
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.owners import MENTIONED_BY_DEFAULT, Team, Teams
from bot.budgets.raises import EXAMPLE as RAISE_EXAMPLE
from bot.budgets.scopes import Unmatched
from bot.budgets.store import KeptBudget
from bot.display import Display
from bot.language import tr, tr_noop
from bot.listed import all_of, comma_list, labelled, sentences
from bot.messages import Block, Message, Part
from handlers.render.asking import ask_row
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
    said,
    section,
    sentence,
    shown,
)
from handlers.render.raises import raise_button, raised_note
from handlers.render.spend import amount, display_lines, in_its_period, limits_line

SET_ACTION = "budget_set"
REMOVE_ACTION = "budget_remove"

ROOM = 9000
"""Characters for all budgets; Slack was seen to reject messages of some 13,200 in all."""

COMMAND_LIMIT = 300

MOST_RAISED = 10
"""Most budgets offered for raising."""

WITHDRAWN = tr_noop("Its open alerts are withdrawn at the next poll.")
CONFIRM_FIRST = tr_noop("Nothing is changed until you confirm it, and only the people in CLAUDE_COST_ADMINS may.")

EACH = {
    PeriodKind.DAY: tr_noop("{scope}, each day ({zone}), {limits}"),
    PeriodKind.WEEK: tr_noop("{scope}, each week ({zone}), {limits}"),
    PeriodKind.MONTH: tr_noop("{scope}, each month ({zone}), {limits}"),
}
WEEKDAYS = {
    Weekday.MONDAY: tr_noop("Monday"),
    Weekday.TUESDAY: tr_noop("Tuesday"),
    Weekday.WEDNESDAY: tr_noop("Wednesday"),
    Weekday.THURSDAY: tr_noop("Thursday"),
    Weekday.FRIDAY: tr_noop("Friday"),
    Weekday.SATURDAY: tr_noop("Saturday"),
    Weekday.SUNDAY: tr_noop("Sunday"),
}
LIMIT_OF = {LimitKind.SOFT: tr_noop("soft {limit}"), LimitKind.HARD: tr_noop("hard {limit}")}
LIMIT_NAMES = {LimitKind.SOFT: tr_noop("soft limit"), LimitKind.HARD: tr_noop("hard limit")}


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget in its present period, which has this key. `spend`: the last known one, None before the first poll.

    `unmatched`: why its scope matches nothing, None if it matches.
    """

    period: str
    spend: BudgetSpend | None
    unmatched: str | None = None

    @property
    def known(self) -> BudgetSpend | None:
        """Spend of the present period; None if the data ends before its start."""
        return self.spend if self.spend is not None and self.spend.period == self.period else None


def described(budget: Budget) -> str:
    """`workspace:wrkspc_01, each week from Sunday (UTC), soft $50.00 and hard $100.00, notified at 50% and 75%`."""
    limits = [
        " ".join([tr(LIMIT_OF[kind], limit=usd(limit)), *(f"({note})" for note in raised_note(budget.raised, kind))])
        for kind in LIMITS
        if (limit := budget.limit(kind)) is not None
    ]
    values = {"scope": shown(str(budget.scope)), "zone": shown(budget.zone.key), "limits": all_of(limits)}
    if budget.period is PeriodKind.WEEK and budget.week_starts is not Weekday.MONDAY:
        weekday = tr(WEEKDAYS[budget.week_starts])
        text = tr("{scope}, each week from {weekday} ({zone}), {limits}", weekday=weekday, **values)
    else:
        text = tr(EACH[budget.period], **values)
    if not budget.thresholds:
        return text
    return tr("{budget}, notified at {thresholds}", budget=text, thresholds=_thresholds(budget))


def unmatched_line(unmatched: Unmatched) -> str:
    """A budget that counts nothing, or is unknown, and why."""
    if unmatched.unread:
        why = sentence(unmatched.sentence)
        return tr("Budget {name} has no data: {why}", name=shown(unmatched.budget.name), why=why)
    return tr(
        "Budget {name} counts nothing: {why}", name=shown(unmatched.budget.name), why=sentence(unmatched.sentence)
    )


def where(budget: Budget) -> str:
    """Where the budget is set, and how to change it."""
    if budget.origin == CHAT:
        return tr("It is set in chat: change it with `budget set {name} …`.", name=shown(budget.name))
    return tr("It is set in {origin}: change it there and restart the bot.", origin=_origin(budget))


def _origin(budget: Budget) -> str:
    """The variables or the file that set it."""
    variables = budget.origin.split(" and ") if budget.origin.startswith("CLAUDE_COST_") else [budget.origin]
    return sentence(all_of(variables))


def configured_refusal(budget: Budget) -> str:
    """Why a configured budget cannot be changed from chat."""
    return tr(
        "Nothing was changed: budget {name} cannot be changed from chat. {where}",
        name=shown(budget.name),
        where=where(budget),
    )


def ownership_lines(budget: Budget, team: Team | None) -> list[str]:
    """Channel, owners and team of its alerts. `budget`: completed by its team."""
    lines = []
    if budget.channel is not None:
        lines.append(tr("Its alerts go to {channel}.", channel=channel_mention(budget.channel)))
    levels = MENTIONED_BY_DEFAULT if budget.mention is None else budget.mention
    if budget.owners and levels:
        owners = " ".join(map(mention, budget.owners))
        lines.append(tr("Owners: {owners}, mentioned at: {levels}.", owners=owners, levels=comma_list(levels)))
    elif budget.owners:
        lines.append(tr("Owners: {owners}, never mentioned.", owners=" ".join(map(mention, budget.owners))))
    if team is not None and budget.scope.kind is ScopeKind.TEAM:
        counted = comma_list([shown(str(scope)) for scope in team.counted])
        lines.append(tr("Team {team} counts {scopes}, each request once.", team=shown(team.name), scopes=counted))
        if team.left_out:
            lines.append(
                tr(
                    "Not counted: {scopes}. Applications log it, so it cannot be added to Anthropic's figures.",
                    scopes=comma_list([shown(str(scope)) for scope in team.left_out]),
                )
            )
    return lines


def raise_choices(spends: Sequence[BudgetSpend]) -> Message:
    """A button for each of the first budgets. `spends`: nearest to its limit first."""
    if not spends:
        return said(tr("No budget has spend yet: type {example}.", example=f"`budget raise {RAISE_EXAMPLE}`"))
    blocks: list[Block] = []
    lines = []
    for spend in spends[:MOST_RAISED]:
        line = tr(
            "{spent} {when}, {limits}: budget {budget}",
            spent=amount(spend),
            when=in_its_period(spend),
            limits=limits_line(spend),
            budget=shown(spend.budget),
        )
        kind = LimitKind.HARD if spend.hard_usd is not None else LimitKind.SOFT
        blocks.append({**section(line), "accessory": raise_button(spend.budget, kind)})
        lines.append(line)
    how = tr("Or type it, as in {example}.", example=f"`budget raise {RAISE_EXAMPLE}`")
    return Message(
        [paragraph(tr("Which limit is to be raised for a while?")), Part("\n".join(lines), blocks), context(how)]
    )


def budget_list(
    budgets: Sequence[Budget],
    standing: Callable[[Budget], Standing],
    kept: Sequence[KeptBudget],
    display: Display,
    teams: Teams | None = None,
) -> Message:
    """Every budget in force, as many as fit. `standing`: called for each one shown. `kept`: set in chat."""
    by_name = {one.budget.name: one for one in kept}

    def lines_of(budget: Budget) -> list[str]:
        author = by_name.get(budget.name) if budget.origin == CHAT else None
        return [
            tr("• {name}: {budget}.", name=shown(budget.name), budget=described(budget)),
            *ownership_lines(budget, None if teams is None else teams.of(budget)),
            *_spent(standing(budget), display),
            where(budget) if author is None else f"{where(budget)} {_author(author)}",
        ]

    listed = fitting(map(lines_of, budgets), ROOM)
    lines = [line for group in listed for line in group]
    if len(listed) < len(budgets):
        more = len(budgets) - len(listed)
        lines.append(tr("and {number} more budgets, which do not fit into one message.", number=more))
    if not budgets:
        lines = [tr("No budget is set: `budget set NAME hard=USD` sets one.")]
    return Message([paragraph(*lines, *overridden_lines(kept, budgets))])


def overridden_lines(kept: Sequence[KeptBudget], budgets: Sequence[Budget]) -> list[str]:
    """A line for each chat budget that is overridden by a configured one with its name."""
    configured = {budget.name: budget for budget in budgets if budget.origin != CHAT}
    return [
        tr(
            "Another budget {name} was set in chat and does not count, since {origin} sets one of that name: rename it "
            "there, or type `budget remove {name}`. {author}",
            name=shown(one.budget.name),
            origin=_origin(configured[one.budget.name]),
            author=_author(one),
        )
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
    """Preview of a budget; `before` is None for a new one. `standing`: of the budget as it would be.

    `doubts`: warnings, as sentences. `value`: of the button. `ownership`: its `ownership_lines`.
    """
    values = {"name": shown(after.name), "budget": described(after)}
    if before is None:
        lines = [tr("Budget {name} would be set: {budget}.", **values)]
    else:
        lines = [tr("Budget {name} would be changed: {budget}.", **values), *changes(before, after)]
    lines += [*ownership, *doubts, *_spent(standing, display), *_passed(after, standing)]
    if after.channel is not None and (before is None or before.channel != after.channel):
        lines.append(tr("Invite the bot there if it is not a member: type /invite @claude-cost in the channel."))
    return _to_confirm(lines, set_button(before, after, value, doubtful=standing.unmatched is not None))


def set_button(
    before: Budget | None, after: Budget, value: str, *, label: str | None = None, doubtful: bool = False
) -> Block:
    """Button with a dialog that sets or changes a budget. `value`: as in `proposed`. `doubtful`: it may count
    nothing.
    """
    name = plain(after.name, NAME_LIMIT)
    if before is None:
        title, verb = tr("Set budget {name}?", name=name), tr("Set budget")
    else:
        title, verb = tr("Change budget {name}?", name=name), tr("Change budget")
    text = tr("{budget}. It is watched from the next poll on.", budget=described(after))
    style = "danger" if doubtful else "primary"
    return button(label or verb, SET_ACTION, value, confirm=confirmation(title, text, verb), style=style)


def proposed_removal(budget: Budget, standing: Standing, value: str, display: Display) -> Message:
    """Preview of a removal. `value`: of the button."""
    text = tr("Budget {name} would be removed: {budget}.", name=shown(budget.name), budget=described(budget))
    lines = [text, *_spent(standing, display), tr(WITHDRAWN)]
    dialog = confirmation(
        tr("Remove budget {name}?", name=plain(budget.name, NAME_LIMIT)),
        tr(
            "{budget}. Its limits are not watched any more. {withdrawn}",
            budget=described(budget),
            withdrawn=tr(WITHDRAWN),
        ),
        tr("Remove budget"),
        danger=True,
    )
    return _to_confirm(lines, button(tr("Remove budget"), REMOVE_ACTION, value, confirm=dialog, style="danger"))


def another_scope(budget: Budget) -> str:
    """The refusal to change a budget's scope: its alerts would be about spend that it never counted."""
    return tr(
        "Nothing was changed: budget {name} counts {scope}, and its alerts are about that. Set a budget of another "
        "name for another scope, and remove this one if it is not needed.",
        name=shown(budget.name),
        scope=shown(str(budget.scope)),
    )


def unchanged(budget: Budget) -> str:
    """The answer if nothing changes."""
    return tr(
        "Nothing was changed: budget {name} is already set so, {budget}.",
        name=shown(budget.name),
        budget=described(budget),
    )


def was_set(budget: Budget, user: str) -> str:
    """The answer to the person who confirmed."""
    text = tr(
        "Budget {name} is set by {who}: {budget}.",
        name=shown(budget.name),
        who=mention(user),
        budget=described(budget),
    )
    return sentences([text, *ownership_lines(budget, None), tr("It is watched from the next poll on.")])


def was_removed(name: str, user: str) -> str:
    """The answer to the person who confirmed."""
    return tr(
        "Budget {name} is removed by {who}. {withdrawn}", name=shown(name), who=mention(user), withdrawn=tr(WITHDRAWN)
    )


def stale(name: str, present: Budget | None) -> str:
    """The answer to an outdated button. `present`: the current budget."""
    if present is None:
        return tr(
            "Nothing was changed: budget {name} was changed since this was shown; there is none of that name now. Type "
            "the command again to see what it would do.",
            name=shown(name),
        )
    return tr(
        "Nothing was changed: budget {name} was changed since this was shown; it is now {budget}. Type the command "
        "again to see what it would do.",
        name=shown(name),
        budget=described(present),
    )


def unknown_budget(name: str, nearest: str | None) -> str:
    """The answer if there is no budget to remove."""
    if nearest is None:
        return tr("Nothing was changed: there is no budget {name}. `budget list` shows what there is.", name=code(name))
    return tr(
        "Nothing was changed: there is no budget {name}. Did you mean {near}?", name=code(name), near=code(nearest)
    )


def _thresholds(budget: Budget) -> str:
    return all_of([f"{percent}%" for percent in budget.thresholds]) or tr("no share before")


def _author(one: KeptBudget) -> str:
    return tr("Set by {who}, {time}.", who=mention(one.set_by), time=moment(one.set_at))


def not_yours(message: Message, refusal: str, command: str, asks: Ask | None) -> Message:
    """Preview for somebody who may not make the change. `refusal`: why not; `command`: what to ask for, by button if
    there is somebody to ask.
    """
    parts = [part for part in message.parts if not any(block["type"] == "actions" for block in part.blocks)]
    ask = tr("Ask an admin to type: {command}", command=code(command, COMMAND_LIMIT))
    return Message([lead(refusal), paragraph(ask), ask_row(asks), *parts[:-1]])


def _to_confirm(lines: Sequence[str], element: Block) -> Message:
    return Message([lead(*lines), buttons([element]), context(tr(CONFIRM_FIRST))])


def _spent(standing: Standing, display: Display) -> list[str]:
    spend = standing.known
    if spend is not None:
        line = tr(
            "Spent {when}: {amount}, {limits}.",
            when=in_its_period(spend),
            amount=amount(spend),
            limits=limits_line(spend),
        )
        return [line, *display_lines(spend.spent_usd, display)]
    if standing.unmatched is not None:
        return [tr("What it has spent is not known: {why}", why=sentence(standing.unmatched))]
    if standing.spend is None:
        return [tr("What it has spent is not known yet: there is no data.")]
    when = shown(in_period(standing.period, standing.spend.as_of))
    return [tr("What it has spent {when} is not known yet: the data ends before that began.", when=when)]


def _passed(budget: Budget, standing: Standing) -> list[str]:
    spend = standing.known
    if spend is None:
        return []
    passed = tuple(kind for kind in LIMITS if (limit := budget.limit(kind)) is not None and spend.spent_usd >= limit)
    return [tr(PASSED[passed])] if passed else []


PASSED = {
    (LimitKind.SOFT,): tr_noop(
        "The soft limit is reached already: the next poll reports it, unless it was reported in this period before."
    ),
    (LimitKind.HARD,): tr_noop(
        "The hard limit is reached already: the next poll reports it, unless it was reported in this period before."
    ),
    LIMITS: tr_noop(
        "The soft and hard limits are reached already: the next poll reports it, unless it was reported in this period "
        "before."
    ),
}


def changes(before: Budget, after: Budget) -> list[str]:
    """A line for each difference."""
    rows = [
        (tr("scope"), str(before.scope), str(after.scope)),
        (tr("period"), before.period.value, after.period.value),
        (tr("zone"), before.zone.key, after.zone.key),
        (tr("week starts"), before.week_starts.value, after.week_starts.value),
        *((tr(LIMIT_NAMES[kind]), _limit(before, kind), _limit(after, kind)) for kind in LIMITS),
        (tr("thresholds"), _thresholds(before), _thresholds(after)),
        (tr("team"), before.team or tr("none"), after.team or tr("none")),
        (tr("channel"), before.channel or tr("the main one"), after.channel or tr("the main one")),
        (tr("owners"), comma_list(before.owners) or tr("none"), comma_list(after.owners) or tr("none")),
        (tr("mention"), _mention(before), _mention(after)),
    ]
    return [f"• {labelled(name, f'{shown(was)} → {shown(will)}')}" for name, was, will in rows if was != will]


def _mention(budget: Budget) -> str:
    levels = MENTIONED_BY_DEFAULT if budget.mention is None else budget.mention
    return comma_list(levels) or tr("never")


def _limit(budget: Budget, kind: LimitKind) -> str:
    limit = budget.limit(kind)
    return tr("none") if limit is None else usd(limit)
