"""Set digests from chat: typed, or by the form that a button or `digest settings` opens.

Admins may set any, owners those of their teams and budgets. Permissions are checked at each change.
"""

import asyncio
from dataclasses import replace

from slack_bolt.async_app import AsyncApp

from bot.alerts.asks import Ask
from bot.budgets.budget import ScopeKind
from bot.budgets.owners import owners_of
from bot.budgets.scopes import NoMatchError, is_of_user
from bot.db.state import Person
from bot.digests.schedule import DEFAULT_EVERY, DigestRule
from bot.digests.settings_store import ACTION, Changed
from bot.digests.words import DigestWordsError, Wish, about, digest_wish, of_wish, rule_words
from bot.fallback.admins import Admins, Permission, UserSpend
from bot.language import tr, tr_noop
from bot.messages import Message
from bot.services import Services
from bot.slack_api import CallError, as_object, call
from bot.threads import InFlight
from bot.typed_text import cleaned, first_word, words_in
from handlers.asking import askable, command_ask
from handlers.render.asking import refusal_message
from handlers.render.digest_form import Abouts
from handlers.render.digest_settings import (
    OF_FILE,
    STOP_ACTION,
    UNDO_ACTION,
    changed_answer,
    digests_message,
    not_in_channel_note,
    nothing_to_stop,
    stopped_answer,
    which_channel,
)
from handlers.render.parts import mention, said, sentence, shown
from handlers.requests import (
    Click,
    Request,
    on_click,
)

SETTINGS = ("settings", "setting", "set", "設定")
LIST = ("list", "all", "一覧")
ON = ("on", "add", "start", "開始")
OFF = ("off", "stop", "remove", "停止")

SET_DIGESTS = tr_noop("set digests")
ERROR_LIMIT = 300
NO_CHANGE = 0
"""Id of no change, for a forged button."""


def settings_action(typed: str) -> tuple[str, str] | None:
    """The action on settings, and the words after it; None if the words are about something else."""
    word, rest = first_word(typed)
    for action, names in (("settings", SETTINGS), ("list", LIST), ("on", ON), ("off", OFF)):
        if word.lower() in names:
            return action, rest
    return None


def asks_for_form(typed: str) -> bool:
    """Whether `digest …` opens the form."""
    found = settings_action(typed)
    return found is not None and found[0] == "settings" and not words_in(found[1])


async def settings_command(services: Services, request: Request, action: str, rest: str) -> Message:
    """`digest [settings | list | on … | off …]`. If no form can open, `settings` lists them."""
    try:
        if action == "on":
            return await _on(services, request, digest_wish(rest))
        if action == "off":
            return await _off(services, request, digest_wish(rest), rest)
    except DigestWordsError as error:
        return said(sentence(str(error)))
    return await services.threads.commands(_list, services)


def _list(services: Services) -> Message:
    digests = services.digest_settings
    found = digests.in_force()
    nothing = {each.rule.key: why for each in found if (why := _counts_nothing(services, each.rule)) is not None}
    return digests_message(found, {each.rule.key: digests.next_due(each.rule) for each in found}, digests.main, nothing)


async def _on(services: Services, request: Request, wish: Wish) -> Message:
    channel = wish.channel or request.channel
    if not channel.startswith(("C", "G")):
        return which_channel()
    digests = services.digest_settings
    rule = await services.threads.commands(_asked, services, wish, channel)
    before = await services.threads.commands(digests.same_as, rule)
    start = rule if before is None or before.since is None else before.rule
    return await wanted(services, request.person, digests.placed(of_wish(replace(wish, channel=channel), start)))


def _asked(services: Services, wish: Wish, channel: str) -> DigestRule:
    """The rule that was typed. Without a frequency, the channel's only digest on the same subject is meant.

    Raises `DigestWordsError`.
    """
    digests = services.digest_settings
    rule = about_words(services, digests.placed(DigestRule(wish.every or DEFAULT_EVERY, channel)), wish.about or "")
    here = [
        each.rule
        for each in digests.in_force()
        if each.since is not None and each.rule.channel == rule.channel and each.rule.about == rule.about
    ]
    return replace(rule, every=here[0].every) if wish.every is None and len(here) == 1 else rule


def about_words(services: Services, rule: DigestRule, typed: str) -> DigestRule:
    """The rule with the typed subject. Raises `DigestWordsError`."""
    names = [budget.name for budget in services.budgets.in_force()]
    return about(rule, typed, names, services.budgets.teams)


async def _off(services: Services, request: Request, wish: Wish, rest: str) -> Message:
    digests = services.digest_settings
    channel = wish.channel or request.channel
    if not channel.startswith(("C", "G")):
        return which_channel()
    named = None
    if wish.about is not None:
        asked = DigestRule(wish.every or DEFAULT_EVERY)
        named = await services.threads.commands(about_words, services, asked, wish.about)
    place = None if channel == digests.main else channel
    words = f"off {cleaned(rest)}" if wish.channel else f"off {cleaned(rest)} channel={channel}"
    found = [
        each
        for each in await services.threads.commands(digests.in_force)
        if digests.placed(each.rule).channel == place
        and wish.every in (None, each.rule.every)
        and (named is None or named.about == each.rule.about)
    ]
    if not found:
        return nothing_to_stop(channel)
    stopped: list[Changed] = []
    refused: list[tuple[DigestRule, str]] = []
    ask = None
    for each in found:
        if each.since is None:
            refused.append((each.rule, tr(OF_FILE)))
            continue
        why = await _refusal(services, request.person, each.rule)
        if why is not None:
            refused.append((each.rule, why))
            ask = askable(services, _ask(words))
        else:
            stopped.append(await services.threads.commands(digests.remove, each.rule.key, request.person.id))
    return stopped_answer(stopped, refused, digests.main, ask)


async def wanted(services: Services, person: Person, rule: DigestRule, instead_of: str = "") -> Message:
    """Set a digest if this person may, and may also change the one that it replaces."""
    digests = services.digest_settings
    before = await services.threads.commands(digests.find, instead_of) if instead_of else None
    for each in (rule, *([] if before is None else [before.rule])):
        why = await _refusal(services, person, each)
        if why is not None:
            is_same = before is None or before.rule.key == rule.key
            return _refused(services, why, _on_words(services, rule) if is_same else "settings")
    if before is not None and before.since is None:
        return changed_answer(Changed("configured", before.rule), digests.main, None)
    why_not = await hides(services, person, rule, services.user_spend.in_public) or await services.threads.commands(
        _counts_nothing, services, rule
    )
    if why_not is not None:
        return said(tr("Nothing was changed. {why}", why=sentence(why_not)))
    changed = await services.threads.commands(digests.set, rule, person.id, instead_of)
    notes = []
    if changed.outcome in ("set", "changed") and await _is_outside(services, rule.channel):
        notes.append(not_in_channel_note(rule.channel or ""))
    next_at = await services.threads.commands(digests.next_due, changed.rule or rule)
    return changed_answer(changed, digests.main, next_at, notes)


async def _refusal(services: Services, person: Person, rule: DigestRule) -> str | None:
    """Why this person may not set such a digest; None if allowed. Refusals go to the audit trail."""
    permission = await may_set(services, person, rule)
    if permission.refusal is None:
        return None
    services.fallback.refused(person.id, ACTION, f"{rule.key}: {permission.recorded}")
    owners = await services.threads.commands(_owners, services, rule)
    if not owners:
        return permission.refusal
    named = ", ".join(map(mention, owners))
    return tr("{refusal} The owners may set this one too: {owners}.", refusal=permission.refusal, owners=named)


def _refused(services: Services, why: str, words: str) -> Message:
    """The refusal, with the button that asks an admin to type `digest WORDS`."""
    return refusal_message(why, askable(services, _ask(words)))


def _ask(words: str) -> Ask:
    return command_ask(f"digest {words}")


def _on_words(services: Services, rule: DigestRule) -> str:
    """What sets such a digest from any channel."""
    return f"on {rule_words(replace(rule, channel=rule.channel or services.digest_settings.main))}"


def _off_words(services: Services, rule: DigestRule) -> str:
    """What stops it from any channel."""
    channel = rule.channel or services.digest_settings.main
    return f"off {rule_words(DigestRule(rule.every, channel, scope=rule.scope, budget=rule.budget))}"


async def may_set(services: Services, person: Person, rule: DigestRule) -> Permission:
    """Admins may set every digest, owners those of their team or budget."""
    admins = services.admins
    permission = await admins.may_switch(person, SET_DIGESTS)
    if permission.allowed:
        return permission
    owners = await services.threads.commands(_owners, services, rule)
    if owners and (await Admins(frozenset(owners), admins.client, admins.workspace).may_switch(person)).allowed:
        return Permission(None)
    return permission


def _owners(services: Services, rule: DigestRule) -> tuple[str, ...]:
    if rule.budget is not None:
        budget = services.budgets.effective(rule.budget)
        return () if budget is None else owners_of(budget)
    if rule.scope is None or rule.scope.kind is not ScopeKind.TEAM:
        return ()
    team = services.budgets.teams.find(rule.scope.value)
    return () if team is None else team.owners


async def hides(services: Services, person: Person, rule: DigestRule, readers: UserSpend) -> str | None:
    """Why its readers may not see it: it would show what a single user spends."""
    scope = rule.scope
    if rule.budget is not None:
        budget = await services.threads.commands(services.budgets.effective, rule.budget)
        scope = None if budget is None else budget.scope
    if scope is None:
        return None
    counted = services.budgets.teams.scope(scope)
    if not any(map(is_of_user, (counted, *counted.parts))):
        return None
    return await readers.refusal(person)


def _counts_nothing(services: Services, rule: DigestRule) -> str | None:
    """Why its subject matches nothing; None if it matches or that is not known yet."""
    if rule.budget is not None and services.budgets.effective(rule.budget) is None:
        return tr("There is no budget {budget} any more.", budget=shown(rule.budget))
    try:
        if rule.scope is not None:
            services.review.scope_of(rule.scope)
    except NoMatchError as error:
        return str(error) if error.certain else None
    return None


async def _is_outside(services: Services, channel: str | None) -> bool:
    """Whether the bot is not in the channel, as far as Slack tells."""
    if channel is None:
        return False
    try:
        answer = await call(services.admins.client.conversations_info(channel=channel), services.admins.answer_seconds)
    except CallError as error:
        return getattr(error, "code", "") == "channel_not_found"
    return as_object(answer.data.get("channel")).get("is_member") is False


async def abouts(services: Services, person: Person) -> Abouts:
    """The subjects of digests that this person may set."""
    admins = services.admins
    budgets = await services.threads.commands(services.budgets.in_force)
    teams = services.budgets.teams
    if (await admins.may_switch(person)).allowed:
        return Abouts(True, teams.names, [budget.name for budget in budgets])
    owners = {("team", name): found.owners for name in teams.names if (found := teams.find(name)) is not None}
    owners |= {("budget", budget.name): owners_of(budget) for budget in budgets}
    groups = sorted({each for each in owners.values() if each})
    asked = (Admins(frozenset(each), admins.client, admins.workspace).may_switch(person) for each in groups)
    mine = {group for group, found in zip(groups, await asyncio.gather(*asked), strict=True) if found.allowed}
    named = {kind: [name for (of, name), each in owners.items() if of == kind and each in mine] for kind in KINDS}
    return Abouts(False, named["team"], named["budget"])


KINDS = ("team", "budget")


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons that stop a digest or undo a change."""
    app.action(STOP_ACTION)(on_click(services, in_flight, _stopped))
    app.action(UNDO_ACTION)(on_click(services, in_flight, _undone))


async def _stopped(services: Services, click: Click) -> Message:
    digests = services.digest_settings
    found = await services.threads.commands(digests.find, click.value)
    if found is None:
        return changed_answer(Changed("missing"), digests.main, None)
    why = await _refusal(services, click.person, found.rule)
    if why is not None:
        return _refused(services, why, _off_words(services, found.rule))
    changed = await services.threads.commands(digests.remove, click.value, click.person.id)
    return changed_answer(changed, digests.main, None)


async def _undone(services: Services, click: Click) -> Message:
    digests = services.digest_settings
    change = await services.threads.commands(digests.change, click.id or NO_CHANGE)
    if change is None:
        return changed_answer(Changed("unknown"), digests.main, None)
    for rule in change:
        why = None if rule is None else await _refusal(services, click.person, rule)
        if why is not None:
            before, after = change
            back = _on_words(services, before) if before else _off_words(services, after) if after else "settings"
            return _refused(services, why, back)
    changed = await services.threads.commands(digests.undo, click.id or NO_CHANGE, click.person.id)
    next_at = None
    if changed.outcome == "undone" and changed.rule is not None:
        next_at = await services.threads.commands(digests.next_due, changed.rule)
    return changed_answer(changed, digests.main, next_at)
