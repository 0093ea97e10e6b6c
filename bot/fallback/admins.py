"""Permissions to change the fallback mode and budgets. Checked at the click, not when the button is drawn."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.budget import Budget
from bot.budgets.owners import owners_of
from bot.db.state import Person
from bot.language import ENGLISH, Text, in_language, tr, tr_lazy, tr_noop
from bot.notify.slack_connection import (
    ANSWER_SECONDS,
    SlackRefusedError,
    SlackUnreachableError,
    Workspace,
    check_bot_token,
)
from bot.slack_api import CallError, RefusedCallError, as_list, call

SWITCH = tr_noop("change the fallback mode")
"""What most buttons and commands of admins do."""


RAISE = tr_noop("raise limits")
SETTING = "CLAUDE_COST_ADMINS"
OWNERS = "owners"
"""Where ids are set: in the environment, or with a budget."""


@dataclass(frozen=True, slots=True)
class Permission:
    """`why_not`: makes one sentence with reason and remedy; None if allowed."""

    why_not: Callable[[], str] | None

    @property
    def allowed(self) -> bool:
        return self.why_not is None

    @property
    def refusal(self) -> str | None:
        """The reason, in the language in force."""
        return None if self.why_not is None else self.why_not()

    @property
    def recorded(self) -> str:
        """The reason, for the audit trail."""
        with in_language(ENGLISH):
            return self.refusal or ""


@dataclass(frozen=True, slots=True)
class NotAnOwner:
    """Why somebody may not even ask for more of a budget. `unread`: unreadable groups, one clause each with the remedy.

    `not_yet`: Slack has not yet said which workspace the owners belong to.
    """

    owners: tuple[str, ...]
    unread: tuple[Exception, ...] = ()
    not_yet: bool = False


@dataclass(frozen=True, slots=True)
class RaiseRights:
    """What somebody may do about a limit. `at_once`: raise it, as admins may; everybody else asks, unless `refused`."""

    at_once: bool
    refused: NotAnOwner | None = None


class Admins:
    """User ids decide at once; members of user groups are read from Slack (optional scope `usergroups:read`).

    Nothing is cached between two clicks: whoever leaves the group loses the right. The ids are of the bot's own
    workspace or organization: the same id from another one (Slack Connect) has no rights.
    """

    def __init__(
        self,
        ids: AbstractSet[str],
        client: AsyncWebClient,
        workspace: Workspace,
        setting: str = SETTING,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`setting`: where the ids are set, `SETTING` or `OWNERS`."""
        self.answer_seconds = answer_seconds
        """Longest wait for each answer of Slack."""
        self._setting = setting
        self._users = frozenset(word for word in ids if not word.startswith("S"))
        self._groups = frozenset(ids) - self._users
        self.client = client
        self.workspace = workspace

    @property
    def ids(self) -> tuple[str, ...]:
        """Users and groups with the right."""
        return (*sorted(self._users), *sorted(self._groups))

    async def may_switch(self, person: Person, what: str = SWITCH) -> Permission:
        """Whether this person may do what only admins may. `what`: marked by `tr_noop`."""
        if not self._users and not self._groups:
            return Permission(partial(_nobody, what))
        found = await self._looked_up(person)
        match found.standing:
            case _Standing.NAMED:
                return Permission(None)
            case _Standing.STRANGER:
                return Permission(partial(_only_here, what))
            case _Standing.UNKNOWN:
                return Permission(partial(_not_yet, what))
            case _Standing.OTHER:
                return Permission(partial(_refusal, sorted(self._users), found.unread, what))

    async def may_raise(self, person: Person, budget: Budget) -> RaiseRights:
        """Whether this person may raise a limit at once or ask for it: owners may ask, or anybody if there are none."""
        owners = owners_of(budget)
        at_once = (await self.may_switch(person, RAISE)).allowed
        if at_once or not owners:
            return RaiseRights(at_once)
        theirs = Admins(frozenset(owners), self.client, self.workspace, OWNERS, self.answer_seconds)
        found = await theirs._looked_up(person)
        if found.standing is _Standing.NAMED:
            return RaiseRights(at_once)
        return RaiseRights(at_once, NotAnOwner(owners, found.unread, not_yet=found.standing is _Standing.UNKNOWN))

    async def _looked_up(self, person: Person) -> "_Found":
        """Whether a person is one of these users or in one of these groups, as far as Slack tells."""
        if self._groups or person.id in self._users:
            own = self.workspace
            if not own.is_known:
                with suppress(SlackRefusedError, SlackUnreachableError):
                    own.learn(await check_bot_token(self.client, "", self.answer_seconds))
            if not own.is_known:
                return _Found(_Standing.UNKNOWN)
            if not own.has(person):
                return _Found(_Standing.STRANGER)
        if person.id in self._users:
            return _Found(_Standing.NAMED)
        unread: list[_UnreadError] = []
        for group in sorted(self._groups):
            try:
                if person.id in await self._members(group):
                    return _Found(_Standing.NAMED)
            except _UnreadError as error:
                unread.append(error)
        return _Found(_Standing.OTHER, tuple(unread))

    async def unread_groups(self) -> list[str]:
        """One clause with the remedy for each group whose members cannot be read."""
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
            raise _UnreadError(_why(group, error.code, self._setting)) from None
        except CallError:
            raise _UnreadError(_why(group, "", self._setting)) from None
        return frozenset(user for user in as_list(answer.data.get("users")) if isinstance(user, str))


class _Standing(Enum):
    """`NAMED`: one of them. `STRANGER`: of another workspace. `UNKNOWN`: the bot's own workspace is unknown yet."""

    NAMED = auto()
    STRANGER = auto()
    UNKNOWN = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class _Found:
    """`unread`: why the members of some groups are unknown."""

    standing: _Standing
    unread: tuple["_UnreadError", ...] = ()


class UserSpend:
    """Who may see what single users spend. `everyone`: everybody; otherwise only admins, and nobody in `public`."""

    def __init__(self, admins: Admins, *, everyone: bool, public: bool = False) -> None:
        self._admins = admins
        self._everyone = everyone
        self._public = public

    @property
    def in_public(self) -> "UserSpend":
        """The rule for answers that a whole channel reads: not even admins may see it there."""
        return UserSpend(self._admins, everyone=self._everyone, public=True)

    async def refusal(self, person: Person) -> str | None:
        """Why this person may not, with the setting; None if allowed."""
        if self._public and not self._everyone:
            return tr(
                "What single users spend is not shown to a whole channel: admins ask with `/claude-cost` or in a "
                "direct message, where only they see the answer."
            )
        if self._everyone or (await self._admins.may_switch(person)).allowed:
            return None
        return tr(
            'Only the people in CLAUDE_COST_ADMINS may see what single users spend: user_spend = "everyone" under '
            "[privacy] in the TOML file shows it to everybody."
        )


class _UnreadError(Exception):
    """The members of a group are unknown; the message is one clause with the remedy, in the language in force."""


def _why(group: str, code: str, setting: str) -> Text:
    if code == "missing_scope":
        return tr_lazy(
            "the members of {group} could not be read: that needs the optional scope usergroups:read", group=group
        )
    if code == "no_such_subteam":
        if setting == OWNERS:
            return tr_lazy("Slack knows no user group {group}: correct the owners of the budget", group=group)
        return tr_lazy("Slack knows no user group {group}: correct CLAUDE_COST_ADMINS", group=group)
    if code:
        return tr_lazy("the members of {group} could not be read: Slack refuses ({code})", group=group, code=code)
    return tr_lazy(
        "the members of {group} could not be read: Slack does not answer, so try again in a minute", group=group
    )


def _nobody(what: str) -> str:
    return tr(
        "Nothing was changed: nobody may {what} yet. Put the Slack ids of those who may into CLAUDE_COST_ADMINS and "
        "restart the bot.",
        what=tr(what),
    )


def _not_yet(what: str) -> str:
    return tr(
        "Nothing was changed: Slack has not said yet which workspace the bot belongs to, and only admins there may "
        "{what}. Try again in a minute.",
        what=tr(what),
    )


def _only_here(what: str) -> str:
    return tr("Nothing was changed: only admins of the bot's own Slack workspace may {what}.", what=tr(what))


def _refusal(users: Sequence[str], unread: Sequence[Exception], what: str) -> str:
    why = tr("; ").join(map(str, unread))
    people = ", ".join(f"<@{user}>" for user in users)
    values = {"what": tr(what), "people": people, "why": why}
    if users and unread:
        text = tr_noop("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may {what} ({people}); {why}.")
    elif users:
        text = tr_noop("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may {what} ({people}).")
    elif unread:
        text = tr_noop("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may {what}; {why}.")
    else:
        text = tr_noop("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may {what}.")
    return tr(text, **values)
