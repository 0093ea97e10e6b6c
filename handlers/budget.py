"""`/claude-cost budget`: list, set, raise or remove budgets, and their history of changes.

Nothing is set or removed before a click confirms it.
"""

from dataclasses import replace

from slack_bolt.async_app import AsyncApp

from bot.alerts.asks import Ask, Place, Wanted
from bot.budgets.account import Detail
from bot.budgets.budget import ATTRIBUTED, Budget, Scope
from bot.budgets.owners import team_name
from bot.budgets.parsing import EXAMPLE, BudgetWordsError, budget_of, budget_words, named_first, split_budget_words
from bot.budgets.raises import limit_to_raise
from bot.budgets.report import known_of
from bot.budgets.scopes import NoMatchError, attributed, is_of_user
from bot.budgets.store import ACTION
from bot.clock import DAY, floor_day
from bot.language import tr, tr_noop
from bot.messages import Message, Part
from bot.services import Services
from bot.threads import InFlight
from bot.typed_text import cleaned, first_word, nearest, words_in
from bot.usage.attributed_days import PRODUCTS
from bot.usage.model import AttributedBy, NotAttributedError
from bot.usage.store_reads import AttributedNames
from handlers import raises
from handlers.asking import askable, command_ask, refused
from handlers.budget_trial import suggest_answer, try_answer
from handlers.raises import raise_command
from handlers.render.budget import (
    REMOVE_ACTION,
    SET_ACTION,
    Standing,
    another_scope,
    budget_list,
    configured_refusal,
    not_yours,
    ownership_lines,
    proposed,
    proposed_removal,
    raise_choices,
    stale,
    unchanged,
    unknown_budget,
    was_removed,
    was_set,
)
from handlers.render.budget_changes import UNDO_ACTION, history_message, undo_answer
from handlers.render.budget_form import form_button
from handlers.render.help import COMMAND, unknown_action
from handlers.render.parts import buttons, code, context, paragraph, said, sentence, shown
from handlers.render.raises import WHICH_ACTION, raise_button, which_button
from handlers.render.status import share_of_limit
from handlers.requests import Click, Request, dated, on_click

ASKED_BACK = 30 * DAY
"""A scope without spend for this long is unknown to budgets."""

ACTIONS = ("list", "set", "try", "suggest", "raise", "remove", "history")
USE = tr_noop(
    "use `budget list`, `budget set NAME hard=USD`, `budget try NAME hard=USD`, `budget suggest`, "
    "`budget raise NAME to=USD until=2d`, `budget remove NAME` or `budget history`"
)
NO_CHANGE = 0
"""Id of no change, for a forged button."""


async def budget_command(services: Services, request: Request) -> Message:
    """`budget [list | set … | try … | suggest … | raise … | remove NAME | history [NAME]]`."""
    action, rest = first_word(request.typed)
    action = action.lower() or "list"
    hidden = None
    if action in ("set", "try", "suggest") and _may_be_of_user(rest):
        hidden = await services.user_spend.refusal(request.person)
    if action in ("set", "raise") and not words_in(rest):
        return await services.threads.commands(_form if action == "set" else _raises, services)
    try:
        if action == "raise":
            return await raise_command(services, request.person, rest)
        asked = await _asked_of_anthropic(services, rest) if action == "set" else None
        message = await services.threads.commands(_answer, services, action, rest, asked, hidden)
    except BudgetWordsError as error:
        ways = await services.threads.commands(_ways_on, services, action, rest)
        return Message([*said(sentence(str(error))).parts, *ways])
    if action == "list" or not any(block["type"] == "actions" for block in message.blocks):
        return message
    # Somebody without permission reads the refusal before the preview, which then has no button.
    permission = await services.admins.may_switch(request.person, tr_noop("change budgets"))
    if permission.refusal is None:
        return message
    words = f"budget {action} {cleaned(rest)}"
    services.fallback.refused(request.person.id, ACTION, f"{words}: {permission.recorded}")
    return not_yours(message, permission.refusal, f"{COMMAND} {words}", askable(services, command_ask(words)))


def _form(services: Services) -> Message:
    how = tr("Fill in the form, or type it, as in {example}.", example=f"`budget set {EXAMPLE}`")
    return Message([paragraph(how), buttons([form_button()])])


def _raises(services: Services) -> Message:
    """A button for every budget that can be raised, nearest to its limit first."""
    sums = sorted(services.review.spending(services.clock()).sums(), key=share_of_limit, reverse=True)
    return raise_choices(sums)


def _ways_on(services: Services, action: str, rest: str) -> list[Part]:
    """The button of the form if only a name was typed; otherwise the sentence explains what is wrong."""
    if "=" in rest:
        return []
    name = cleaned(first_word(rest)[0])
    if action == "set":
        return [buttons([form_button(name)])]
    budget = services.budgets.effective(name) if action == "raise" else None
    return [] if budget is None else [buttons([raise_button(budget.name, limit_to_raise(budget, ""))])]


async def _asked_of_anthropic(services: Services, words: str) -> AttributedNames | None:
    """Recipients of Anthropic's recent attribution, if the words name an unknown product, group, agent or actor."""
    scope = await services.threads.commands(_unknown_scope, services, words)
    if scope is None:
        return None
    now = services.clock()
    try:
        found = await services.attribution.spend(AttributedBy(scope.kind.value), floor_day(now) - ASKED_BACK, now)
    except NotAttributedError as error:
        return AttributedNames({}, known=False, error=str(error))
    snapshot = await services.threads.commands(services.attributed.current)
    stored = snapshot.names.attributed.get(scope.kind.value)
    names = {row.who.id: row.who.name or row.who.id for row in found.rows if row.who.id}
    products = dict(zip(PRODUCTS, PRODUCTS, strict=True)) if found.by is AttributedBy.PRODUCT else {}
    return AttributedNames({**products, **({} if stored is None else stored.names), **names}, known=True)


def _unknown_scope(services: Services, words: str) -> Scope | None:
    """The scope of the words if Anthropic attributes spend to its kind and nothing stored matches it."""
    name, values = split_budget_words(words)
    scope = budget_of(name, values, services.budgets.find(name)).scope
    if scope.kind not in ATTRIBUTED:
        return None
    try:
        services.review.scope_of(scope)
    except NoMatchError:
        return scope
    return None


def _may_be_of_user(words: str) -> bool:
    return any(kind in words.lower() for kind in ("user", "tag", "team", "actor"))


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons that confirm."""
    app.action(SET_ACTION)(on_click(services, in_flight, _confirmed))
    app.action(REMOVE_ACTION)(on_click(services, in_flight, _confirmed))
    app.action(UNDO_ACTION)(on_click(services, in_flight, _undone))
    app.action(WHICH_ACTION)(on_click(services, in_flight, _which))
    raises.register(app, services, in_flight)


async def _which(services: Services, click: Click) -> Message:
    return await services.threads.commands(_raises, services)


async def _undone(services: Services, click: Click) -> Message:
    permission = await services.admins.may_switch(click.person, tr_noop("change budgets"))
    if permission.refusal is not None:
        ask = Ask(Wanted.DECISION, "", Place.CHANGE, click.id or NO_CHANGE)
        answer = refused(services, click.person, permission, ACTION, f"undo {click.value}", ask)
        return await dated(services, answer)
    outcome, name = await services.threads.commands(services.budgets.undo, click.id or NO_CHANGE, click.person.id)
    return await dated(services, undo_answer(outcome, name))


async def _confirmed(services: Services, click: Click) -> Message:
    removes = click.action == REMOVE_ACTION
    permission = await services.admins.may_switch(click.person, tr_noop("change budgets"))
    if permission.refusal is not None:
        words = f"{'remove' if removes else 'set'} {click.value.partition(' ')[2]}"
        ask = command_ask(f"budget {words}")
        return await dated(services, refused(services, click.person, permission, ACTION, words, ask))
    try:
        change = _removed if removes else _set
        text = await services.threads.commands(change, services, click.person.id, click.value)
    except BudgetWordsError as error:
        # The button is of another version, or forged.
        text = sentence(tr("Nothing was changed: {why}", why=error))
    return await dated(services, said(text))


def _set(services: Services, user: str, value: str) -> str:
    seen, _, words = value.partition(" ")
    budget = budget_of(*split_budget_words(words))
    if services.budgets.set(budget, seen, user):
        return was_set(budget, user)
    return _not_changed(services, budget)


def _removed(services: Services, user: str, value: str) -> str:
    seen, _, name = value.partition(" ")
    if services.budgets.remove(name, seen, user):
        return was_removed(name, user)
    return stale(name, services.budgets.find(name))


def _not_changed(services: Services, budget: Budget) -> str:
    configured = services.budgets.configured(budget.name)
    if configured is not None:
        return configured_refusal(configured)
    present = services.budgets.find(budget.name)
    return unchanged(budget) if present == budget else stale(budget.name, present)


def _answer(services: Services, action: str, rest: str, asked: AttributedNames | None, hidden: str | None) -> Message:
    if action == "list" and not words_in(rest):
        return _list(services)
    if action == "set":
        return _proposed(services, rest, asked, hidden)
    if action == "try":
        return try_answer(services, rest, hidden)
    if action == "suggest":
        return suggest_answer(services, rest, hidden)
    if action == "remove":
        name, more = named_first(rest)
        if name and not words_in(more):
            return _removal(services, name)
        if name:
            word = code(words_in(more)[0])
            return said(tr("{word} is not known here: `budget remove` takes one name.", word=word))
        return said(tr("`budget remove` takes one name: {use}.", use=tr(USE)))
    if action == "history":
        name, more = named_first(rest)
        if words_in(more):
            word = code(words_in(more)[0])
            return said(tr("{word} is not known here: `budget history` takes at most one name.", word=word))
        return history_message(services.budgets.history(name or None), name or None)
    if action == "list":
        word = code(words_in(rest)[0])
        return said(tr("{word} is not known here: `budget list` takes no words: {use}.", word=word, use=tr(USE)))
    return unknown_action("budget", action, ACTIONS, tr(USE))


def _list(services: Services) -> Message:
    now = services.clock()
    budgets = services.budgets.in_force()
    unmatched = {each.budget.name: each.sentence for each in services.review.unmatched()}
    spending = services.review.spending(now)

    def standing(budget: Budget) -> Standing:
        return Standing(budget.period_at(now).key, spending.of(budget.name), unmatched.get(budget.name))

    listed = budget_list(budgets, standing, services.budgets.kept(), services.display, services.budgets.teams)
    how = tr("A new one: `budget set`, which opens a form. A higher limit for a while: `budget raise`.")
    return Message([*listed.parts, buttons([form_button(), which_button()]), context(how)])


def _proposed(services: Services, words: str, asked: AttributedNames | None, hidden: str | None) -> Message:
    """`hidden`: why this person may not see what single users spend."""
    name, values = split_budget_words(words)
    configured = services.budgets.configured(name)
    if configured is not None:
        return said(configured_refusal(configured))
    before = services.budgets.find(name)
    after = budget_of(name, values, before)
    if after == before:
        return said(unchanged(after))
    if before is not None and after.scope != before.scope:
        return said(another_scope(before))
    team = team_name(after)
    unknown = None if team is None else services.budgets.teams.unknown(team)
    if unknown is not None:
        instead = tr(
            "A budget for its workspace or key, with channel= and owners=, needs no team: `budget set` has a form."
        )
        return said(f"{tr('Nothing was changed. {why}', why=sentence(unknown))} {instead}")
    counted = services.budgets.teams.scope(after.scope)
    if hidden is not None and any(map(is_of_user, (counted, *counted.parts))):
        return said(hidden)
    doubts = []
    try:
        _scope_of(services, after.scope, asked)
    except NoMatchError as error:
        if error.certain:
            scope = shown(str(after.scope))
            why = sentence(str(error))
            return said(tr("Nothing was changed: {scope} would count nothing. {why}", scope=scope, why=why))
        doubts.append(sentence(str(error)))
    value = f"{services.budgets.version(name)} {budget_words(after)}"
    standing = replace(_standing(services, after), unmatched=doubts[0] if doubts else None)
    return proposed(
        before,
        after,
        standing,
        _doubts(services, after),
        value,
        services.display,
        ownership_lines(services.budgets.teams.completed(after), services.budgets.teams.of(after)),
    )


def _scope_of(services: Services, scope: Scope, asked: AttributedNames | None) -> Scope:
    return services.review.scope_of(scope) if asked is None else attributed(scope, asked)


def _removal(services: Services, name: str) -> Message:
    if services.budgets.find(name) is None and services.budgets.configured(name) is None:
        # The full stop may end a sentence.
        name = name.rstrip(".") or name
    before = services.budgets.find(name)
    if before is not None:
        value = f"{services.budgets.version(name)} {name}"
        return proposed_removal(before, _standing(services, before), value, services.display)
    configured = services.budgets.configured(name)
    if configured is not None:
        return said(configured_refusal(configured))
    known = [budget.name for budget in services.budgets.in_force()]
    return said(unknown_budget(name, nearest(name, known)))


def _standing(services: Services, budget: Budget) -> Standing:
    now = services.clock()
    return Standing(budget.period_at(now).key, services.review.spend_against(budget, now, Detail.NONE))


def _doubts(services: Services, budget: Budget) -> list[str]:
    """Warnings about a budget that could be set."""
    doubts = []
    snapshot = (services.attributed if budget.scope.kind in ATTRIBUTED else services.snapshots).current()
    as_of = snapshot.as_of
    starts_at = budget.period_at(services.clock()).starts_at
    if as_of is not None and starts_at < as_of:
        known = known_of(snapshot, starts_at, as_of)
        if not known.complete:
            doubts.append(
                tr(
                    "INCOMPLETE: of {hours} of {of_hours} hours of this period no usage is known here yet, so the true "
                    "sum may be higher; the next poll reads them.",
                    hours=f"{known.of_hours - known.hours:,}",
                    of_hours=f"{known.of_hours:,}",
                )
            )
    return doubts
