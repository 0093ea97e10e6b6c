"""Modals and Home tabs of the local Slack, and the trigger ids that open modals (docs.slack.dev, Modals)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.clock import Clock
from bot.sandbox.block_limits import view_problems
from bot.sandbox.slack_workspace import APP_ID, BOT_ID, TEAM_ID, ApiError, Change, SlackWorkspace, with_block_ids

TRIGGER_LIFE = timedelta(seconds=3)
STACK = 3
VIEW_BYTES = 250_000

Content = Mapping[str, Any]


@dataclass(slots=True)
class Trigger:
    """One person's action that may open one modal."""

    user: str
    at: datetime
    used: bool = False


@dataclass(slots=True, eq=False)
class View:
    """A view of one person."""

    id: str
    user: str
    content: dict[str, Any]
    hash: str

    def as_slack(self) -> dict[str, Any]:
        """The view object of API answers and payloads."""
        return {
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            **self.content,
            "id": self.id,
            "team_id": TEAM_ID,
            "app_id": APP_ID,
            "bot_id": BOT_ID,
            "hash": self.hash,
            "blocks": with_block_ids(self.content.get("blocks", [])),
            "state": {"values": {}},
        }


class SlackViews:
    """`homes` by user; `modals` by user, topmost last. `lifetime_clock`: expires trigger ids."""

    def __init__(self, workspace: SlackWorkspace, lifetime_clock: Clock) -> None:
        self._workspace = workspace
        self._clock = lifetime_clock
        self._triggers: dict[str, Trigger] = {}
        self.homes: dict[str, View] = {}
        self.modals: dict[str, list[View]] = {}

    def new_trigger(self, user: str) -> str:
        """A trigger id for what this person has just done."""
        id_ = f"{self._workspace.new_id('')}.{TEAM_ID}.sandbox"
        self._triggers[id_] = Trigger(user, self._clock())
        return id_

    def open(self, trigger_id: str, content: Content) -> View:
        """Open a modal, on top of the person's open ones. Raises `ApiError`."""
        checked = _checked(content, "modal")
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.used:
            raise ApiError("exchanged_trigger_id")
        if self._clock() - trigger.at > TRIGGER_LIFE:
            raise ApiError("expired_trigger_id")
        if len(self.modals.get(trigger.user, [])) >= STACK:
            raise ApiError("push_limit_reached")
        trigger.used = True
        return self.put_on_top(trigger.user, checked)

    def put_on_top(self, user: str, content: Content) -> View:
        """Push a modal for this person. Raises `ApiError`."""
        view = self._new(user, _checked(content, "modal"))
        self.modals.setdefault(user, []).append(view)
        self._workspace.publish(Change("view", user=user))
        return view

    def publish(self, user: str, content: Content, hash_: str | None) -> View:
        """A person's Home tab. Raises `ApiError`."""
        checked = _checked(content, "home")
        if user not in self._workspace.users:
            raise ApiError("user_not_found")
        present = self.homes.get(user)
        if hash_ and present is not None and hash_ != present.hash:
            raise ApiError("hash_conflict")
        self.homes[user] = self._new(user, checked)
        self._workspace.publish(Change("view", user=user))
        return self.homes[user]

    def update(self, view: View, content: Content, hash_: str | None = None) -> View:
        """A view with new content. Raises `ApiError`."""
        checked = _checked(content, str(view.content["type"]))
        if hash_ and hash_ != view.hash:
            raise ApiError("hash_conflict")
        view.content, view.hash = checked, self._workspace.new_ts()
        self._workspace.publish(Change("view", user=view.user))
        return view

    def find(self, view_id: str | None, external_id: str | None = None) -> View:
        """The view with this id. Raises `ApiError` (`not_found`)."""
        for view in [*self.homes.values(), *(view for stack in self.modals.values() for view in stack)]:
            if view.id == view_id or (external_id and view.content.get("external_id") == external_id):
                return view
        raise ApiError("not_found")

    def close(self, view: View, *, all_of_them: bool = False) -> None:
        """Close one modal, or the person's whole stack."""
        stack = self.modals[view.user]
        self.modals[view.user] = [] if all_of_them else [other for other in stack if other is not view]
        self._workspace.publish(Change("view", user=view.user))

    def _new(self, user: str, content: dict[str, Any]) -> View:
        return View(self._workspace.new_id("V"), user, content, self._workspace.new_ts())


def _checked(content: Content, kind: str) -> dict[str, Any]:
    if content.get("type") != kind:
        raise ApiError("invalid_arguments", response_metadata={"messages": [f"[ERROR] the view is no {kind}"]})
    if len(json.dumps(content).encode()) > VIEW_BYTES:
        raise ApiError("view_too_large")
    problems = view_problems(content)
    if problems:
        raise ApiError("invalid_arguments", response_metadata={"messages": problems})
    return dict(content)
