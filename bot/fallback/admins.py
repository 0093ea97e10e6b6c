"""Who may change the fallback mode and budgets. Checked at the click, not when the button is drawn."""

from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass

from slack_sdk.web.async_client import AsyncWebClient

from bot.actor import Person
from bot.budgets.budget import Budget
from bot.budgets.owners import owners_of
from bot.language import tr
from bot.notify.slack_connection import (
    ANSWER_SECONDS,
    SlackRefusedError,
    SlackUnreachableError,
    Workspace,
    check_bot_token,
)
from bot.slack_api import CallError, RefusedCallError, as_list, call


@dataclass(frozen=True, slots=True)
class Permission:
    """`refusal`: one sentence that says why not and what would help; None when it is allowed."""

    refusal: str | None

    @property
    def allowed(self) -> bool:
        return self.refusal is None


class Admins:
    """User ids decide at once; members of user groups are asked of Slack (optional scope `usergroups:read`).

    Nothing is remembered between two clicks: whoever has left the group has lost the right. The ids are those of the
    bot's own workspace or organization: the same id from another one (Slack Connect) has no rights.
    """

    def __init__(self, ids: AbstractSet[str], client: AsyncWebClient, workspace: Workspace) -> None:
        self.answer_seconds: float = ANSWER_SECONDS
        """How long Slack may take for each answer."""
        self._users = frozenset(word for word in ids if not word.startswith("S"))
        self._groups = frozenset(ids) - self._users
        self.client = client
        self.workspace = workspace

    @property
    def ids(self) -> tuple[str, ...]:
        """Users and groups that may."""
        return (*sorted(self._users), *sorted(self._groups))

    async def may_switch(self, person: Person, what: str = "change the fallback mode") -> Permission:
        """Whether this person may do what only admins may."""
        if not self._users and not self._groups:
            return Permission(
                f"Nothing was changed: nobody may {what} yet. Put the Slack ids of those who may "
                "into CLAUDE_COST_ADMINS and restart the bot."
            )
        if self._groups or person.id in self._users:
            stranger = await self._stranger(person, what)
            if stranger is not None:
                return Permission(stranger)
        if person.id in self._users:
            return Permission(None)
        unread: list[str] = []
        for group in sorted(self._groups):
            try:
                if person.id in await self._members(group):
                    return Permission(None)
            except _UnreadError as error:
                unread.append(str(error))
        return Permission(_refusal(self._users, unread, what))

    async def _stranger(self, person: Person, what: str) -> str | None:
        """The refusal of somebody who is not known to belong to the bot's own workspace."""
        own = self.workspace
        if not own.is_known:
            with suppress(SlackRefusedError, SlackUnreachableError):
                own.learn(await check_bot_token(self.client, "", self.answer_seconds))
        if not own.is_known:
            return (
                "Nothing was changed: Slack has not said yet which workspace the bot belongs to, and only admins "
                f"there may {what}. Try again in a minute."
            )
        if own.has(person):
            return None
        return f"Nothing was changed: only admins of the bot's own Slack workspace may {what}."

    async def unread_groups(self) -> list[str]:
        """For each group whose members cannot be read, one clause with the remedy."""
        unread: list[str] = []
        for group in sorted(self._groups):
            try:
                await self._members(group)
            except _UnreadError as error:
                unread.append(str(error))
        return unread

    async def _members(self, group: str) -> frozenset[str]:
        try:
            answer = await call(self.client.usergroups_users_list(usergroup=group), self.answer_seconds)
        except RefusedCallError as error:
            raise _UnreadError(_why(group, error.code)) from None
        except CallError:
            raise _UnreadError(_why(group, "")) from None
        return frozenset(user for user in as_list(answer.data.get("users")) if isinstance(user, str))


class UserSpend:
    """Who may see what single users spend. `everyone`: everybody; otherwise admins alone."""

    def __init__(self, admins: Admins, *, everyone: bool) -> None:
        self._admins = admins
        self._everyone = everyone

    async def refusal(self, person: Person) -> str | None:
        """Why this person may not, with the setting; None where they may."""
        if self._everyone or (await self._admins.may_switch(person)).allowed:
            return None
        return tr(
            'Only the people in CLAUDE_COST_ADMINS may see what single users spend: user_spend = "everyone" under '
            "[privacy] in the TOML file shows it to everybody."
        )


async def may_ask(admins: Admins, person: Person, budget: Budget) -> bool:
    """Whether this person may ask for a change of a budget: one of its owners, or an admin."""
    owners = Admins(frozenset(owners_of(budget)), admins.client, admins.workspace)
    return (await admins.may_switch(person)).allowed or (await owners.may_switch(person)).allowed


class _UnreadError(Exception):
    """The members of a group are not known; the text is one clause with the remedy."""


def _why(group: str, code: str) -> str:
    if code == "missing_scope":
        return f"the members of {group} could not be read: that needs the optional scope usergroups:read"
    if code == "no_such_subteam":
        return f"Slack knows no user group {group}: correct CLAUDE_COST_ADMINS"
    if code:
        return f"the members of {group} could not be read: Slack refuses ({code})"
    return f"the members of {group} could not be read: Slack does not answer, so try again in a minute"


def _refusal(users: AbstractSet[str], unread: list[str], what: str) -> str:
    sentence = f"Nothing was changed: only the people named in CLAUDE_COST_ADMINS may {what}"
    if users:
        sentence += " (" + ", ".join(f"<@{user}>" for user in sorted(users)) + ")"
    return "; ".join([sentence, *unread]) + "."
