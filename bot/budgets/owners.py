"""Ownership of budgets: channel, owners, and the team that may provide scopes, channel and owners.

A team's budget counts each response once. Scopes of Anthropic's usage (workspaces, keys) and of the applications' log
(features, users, tags) cannot be added, since a logged response may be in any workspace: if a team has both, its
budgets count the former, and `Team.left_out` lists the latter.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from bot.budgets.budget import LOGGED, Budget, Scope, ScopeKind, parse_scope
from bot.language import tr
from bot.listed import any_of, comma_list
from bot.secret_shapes import CHANNEL, SCOPE, WORD, quoted
from bot.strict_fields import Table
from bot.typed_text import nearest

MENTIONED = ("threshold", "soft", "hard", "forecast", "spike")
"""Levels of a budget's alerts at which its owners may be mentioned."""

MENTIONED_BY_DEFAULT = ("hard",)

MOST_OWNERS = 10
MOST_SCOPES = 50
IN_A_TEAM = frozenset({ScopeKind.WORKSPACE, ScopeKind.KEY}) | LOGGED

_CHANNEL_ID = re.compile(r"[CG][A-Z0-9]{2,30}")
_OWNER_ID = re.compile(r"[UWS][A-Z0-9]{2,30}")
_MENTION = re.compile(r"<(?:[@#]|!subteam\^)([A-Z0-9]{1,40})(?:\|[^<>]*)?>")


def ids_in(text: str) -> str:
    """`text` with every mention as its id: `<#C0…|search>`, `<@U0…|ada>`, `<!subteam^S0…|@team>`."""
    return _MENTION.sub(r"\1", text)


def channel_id(text: str) -> str:
    """The id of a channel or of a mention of it. Raises ValueError with one clause."""
    found = ids_in(text.strip())
    if not _CHANNEL_ID.fullmatch(found):
        raise ValueError(
            tr(
                "{text} is no channel: type # and choose it from Slack's list, or write its id such as C0123456789 "
                "(in Slack: open the channel, its name, About, Channel ID)",
                text=quoted(text, CHANNEL),
            )
        )
    return found


def owner_ids(values: Iterable[str]) -> tuple[str, ...]:
    """Ids of users and user groups, each once, given as ids or mentions. Raises ValueError with one clause."""
    found: dict[str, None] = {}
    for value in values:
        owner = ids_in(str(value).strip())
        if not _OWNER_ID.fullmatch(owner):
            raise ValueError(
                tr(
                    "{text} is no owner: type @ and choose a person or a user group from Slack's list, or write an id "
                    "such as U0123456789 or S0123456789",
                    text=quoted(str(value), WORD),
                )
            )
        found[owner] = None
    if len(found) > MOST_OWNERS:
        raise ValueError(tr("a budget has at most {number} owners; a user group counts as one", number=MOST_OWNERS))
    return tuple(found)


def _mention_levels(value: object) -> object:
    levels = tuple(value) if isinstance(value, list | tuple) else value
    if not isinstance(levels, tuple) or not all(level in MENTIONED for level in levels):
        raise ValueError(tr("use {words}", words=any_of(MENTIONED)))
    return tuple(level for level in MENTIONED if level in levels)


ChannelId = Annotated[str, AfterValidator(channel_id)]
OwnerIds = Annotated[tuple[str, ...], AfterValidator(owner_ids)]
MentionLevels = Annotated[tuple[str, ...], BeforeValidator(_mention_levels)]


@dataclass(frozen=True, slots=True)
class Team:
    """A name for several scopes. `channel`, `owners`, `mention`: for its budgets that do not set their own."""

    name: str
    scopes: tuple[Scope, ...]
    channel: str | None = None
    owners: tuple[str, ...] = ()
    mention: tuple[str, ...] | None = None

    @property
    def counted(self) -> tuple[Scope, ...]:
        """The scopes that its budgets count, all of one source."""
        billed = tuple(scope for scope in self.scopes if scope.kind not in LOGGED)
        return billed or self.scopes

    @property
    def left_out(self) -> tuple[Scope, ...]:
        """The scopes that its budgets do not count, since they are in the applications' log."""
        return tuple(scope for scope in self.scopes if scope not in self.counted)


class WrittenTeam(Table):
    """One `[[team]]`. Validation says what to write instead."""

    name: str
    scopes: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_SCOPES)]
    channel: ChannelId | None = None
    owners: OwnerIds = ()
    mention: MentionLevels | None = None

    @field_validator("name")
    @classmethod
    def _short_word(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.-]{1,60}", value):
            raise ValueError(tr("a name is one word of at most 60 letters, digits, points, - and _"))
        return value

    @field_validator("scopes")
    @classmethod
    def _of_a_team(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if parse_scope(text).kind not in IN_A_TEAM:
                raise ValueError(
                    f"{quoted(text, SCOPE)} cannot belong to a team: use workspace:ID, key:ID, feature:NAME, "
                    "user:ID or tag:NAME=VALUE"
                )
        return value

    def team(self) -> Team:
        """The team, each of its scopes once."""
        scopes = tuple(dict.fromkeys(map(parse_scope, self.scopes)))
        return Team(self.name, scopes, self.channel, self.owners, self.mention)


class Teams:
    """Teams by name, ignoring case."""

    def __init__(self, teams: Sequence[Team] = ()) -> None:
        self._by_name = {team.name.casefold(): team for team in teams}

    def find(self, name: str | None) -> Team | None:
        """The team with this name; None if there is none."""
        return self._by_name.get((name or "").casefold())

    @property
    def names(self) -> tuple[str, ...]:
        """Names as configured."""
        return tuple(team.name for team in self._by_name.values())

    def in_channel(self, channel: str) -> str | None:
        """Name of the only team with this channel; None if there is none, or more than one."""
        found = [team.name for team in self._by_name.values() if channel and team.channel == channel]
        return found[0] if len(found) == 1 else None

    def of(self, budget: Budget) -> Team | None:
        """The team that a budget belongs to."""
        return self.find(team_name(budget))

    def scope(self, scope: Scope) -> Scope:
        """A team's scope with the scopes it counts; other scopes unchanged."""
        team = self.find(scope.value) if scope.kind is ScopeKind.TEAM else None
        return scope if team is None else replace(scope, value=team.name, parts=team.counted)

    def completed(self, budget: Budget) -> Budget:
        """The budget, completed with what it takes from its team."""
        team = self.of(budget)
        if team is None:
            return budget
        return replace(
            budget,
            scope=self.scope(budget.scope),
            channel=budget.channel or team.channel,
            owners=budget.owners or team.owners,
            mention=team.mention if budget.mention is None else budget.mention,
            team=team.name,
        )

    def unknown(self, name: str) -> str | None:
        """One sentence if no team has this name."""
        if self.find(name) is not None:
            return None
        known = [team.name for team in self._by_name.values()]
        if not known:
            return tr("There is no team {team}: the file that CLAUDE_COST_CONFIG names has no [[team]].", team=name)
        near = nearest(name, known)
        if near:
            return tr("There is no team {team}: did you mean team:{near}?", team=name, near=near)
        return tr("There is no team {team}: there is {teams}.", team=name, teams=comma_list(sorted(known)[:5]))


def team_name(budget: Budget) -> str | None:
    """The team that a budget is for, or that it names."""
    return budget.scope.value if budget.scope.kind is ScopeKind.TEAM else budget.team


def owners_of(budget: Budget) -> tuple[str, ...]:
    """Ids of a completed budget's users and user groups, including its team's."""
    return budget.owners


def mentioned(budget: Budget, level: str) -> tuple[str, ...]:
    """The owners that an alert of this level mentions."""
    levels = MENTIONED_BY_DEFAULT if budget.mention is None else budget.mention
    return owners_of(budget) if level in levels else ()
