"""The payloads that Slack sends an app when people do something (docs.slack.dev, commands and interactivity)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bot.sandbox.slack_views import View
from bot.sandbox.slack_workspace import APP_ID, BOT_USER, TEAM_ID, Channel, Message, SlackWorkspace, with_block_ids

Payload = dict[str, Any]

Entered = str | Sequence[str]
"""Value of an input: a text, the value of an option, or the values of all ticked options."""

Values = Mapping[str, Entered | Mapping[str, Entered]]
"""Values of a whole form: by action id, by block id if several inputs share one, or by both as Slack nests them."""

TEAM = {"id": TEAM_ID, "domain": "sandbox"}
ONE_OPTION = ("static_select", "radio_buttons", "overflow")
SEVERAL_OPTIONS = ("checkboxes", "multi_static_select")
PICKERS = {
    "datepicker": "date",
    "timepicker": "time",
    "users_select": "user",
    "channels_select": "channel",
    "conversations_select": "conversation",
}
SEVERAL_PICKED = {
    "multi_users_select": "users",
    "multi_channels_select": "channels",
    "multi_conversations_select": "conversations",
}
WITHOUT_STATE = ("button", "overflow")


def slash_command(
    workspace: SlackWorkspace, line: str, user: str, channel: Channel, response_url: str, trigger_id: str
) -> Payload:
    """`line`: the typed line. Slack escapes three characters of what follows the command."""
    command, _, words = line.strip().partition(" ")
    return {
        "token": "sandbox",
        "command": command,
        "text": words.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        "response_url": response_url,
        "trigger_id": trigger_id,
        "user_id": user,
        "user_name": workspace.users[user],
        "channel_id": channel.id,
        "channel_name": "directmessage" if channel.id.startswith("D") else channel.name,
        "team_id": TEAM_ID,
        "team_domain": TEAM["domain"],
        "api_app_id": APP_ID,
        "is_enterprise_install": "false",
    }


def message_click(message: Message, channel: Channel, response_url: str) -> Payload:
    """Fields that a click on a message adds to `block_actions`. Slack omits ephemeral messages."""
    ephemeral = message.ephemeral_to is not None
    container = {"type": "message", "message_ts": message.ts, "channel_id": channel.id, "is_ephemeral": ephemeral}
    if message.thread is not None:
        container["thread_ts"] = message.thread
    payload: Payload = {
        "container": container,
        "channel": {"id": channel.id, "name": channel.name},
        "response_url": response_url,
    }
    if not ephemeral:
        payload["message"] = message.as_slack()
    return payload


def view_click(view: View, values: Values) -> Payload:
    """Fields that a click in a modal or Home tab adds to `block_actions`; such a click has no response URL.

    `values`: of the view's inputs. Raises `ValueError`.
    """
    shown = view.as_slack() | {"state": _state(view, values)}
    return {"container": {"type": "view", "view_id": view.id}, "view": shown}


def view_closed(workspace: SlackWorkspace, user: str, view: View, *, is_cleared: bool) -> Payload:
    """`is_cleared`: whether the whole stack was closed with this view."""
    return {**_from(workspace, user, "view_closed"), "view": view.as_slack(), "is_cleared": is_cleared}


def block_actions(
    workspace: SlackWorkspace, user: str, action: Mapping[str, Any], trigger_id: str, place: Mapping[str, Any]
) -> Payload:
    """`place`: from `message_click` or `view_click`."""
    return {
        **_from(workspace, user, "block_actions"),
        "trigger_id": trigger_id,
        "actions": [{**action, "action_ts": workspace.new_ts()}],
        **place,
    }


def action_of(
    blocks: list[dict[str, Any]], action_id: str, chosen: Entered | None, block_id: str | None = None
) -> Payload:
    """The action of a click on the first element with this id. `chosen`: what was typed or chosen there.

    `block_id`: of the element's block, if several have elements with one id. If the message was redrawn since it was
    read, the element may be in another block: use that if there is no other. Raises `ValueError`.
    """
    candidates = [each for each in elements_of(blocks) if each[1]["action_id"] == action_id]
    if len(candidates) > 1:
        candidates = [each for each in candidates if block_id in (None, each[0])]
    for found_in, element in candidates[:1]:
        action: Payload = {
            name: element[name] for name in ("type", "action_id", "text", "value", "style") if name in element
        }
        action["block_id"] = found_in
        if element["type"] == "button":
            return action
        if chosen is None:
            raise ValueError(f"{action_id!r} needs what was chosen")
        return action | _entered(element, chosen)
    offered = ", ".join(str(element.get("action_id")) for _, element in elements_of(blocks)) or "none"
    raise ValueError(f"there is nothing to click with the action id {action_id!r}; there are: {offered}")


def elements_of(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every interactive element, with the id of its block."""
    for block in with_block_ids(blocks):
        candidates = [*block.get("elements", []), block.get("accessory"), block.get("element")]
        for element in candidates:
            if isinstance(element, dict) and element.get("action_id"):
                yield block["block_id"], element


def view_submission(workspace: SlackWorkspace, user: str, view: View, values: Values, trigger_id: str) -> Payload:
    """`values`: what was typed or chosen. Raises `ValueError` if a required input is empty."""
    state = _state(view, values)
    for block in with_block_ids(view.content["blocks"]):
        if block["type"] == "input" and not block.get("optional"):
            for action_id, entered in state["values"].get(block["block_id"], {}).items():
                _, held = entered.values()
                if not held:
                    raise ValueError(f"in the block {block['block_id']!r} the input {action_id!r} is required")
    shown = view.as_slack() | {"state": state}
    return {**_from(workspace, user, "view_submission"), "trigger_id": trigger_id, "view": shown, "response_urls": []}


def shortcut(
    workspace: SlackWorkspace, user: str, callback_id: str, trigger_id: str, place: Mapping[str, Any] | None
) -> Payload:
    """A global shortcut, or one of a message. `place`: from `message_click`, which has a response URL."""
    kind = "shortcut" if place is None else "message_action"
    named: Payload = {"callback_id": callback_id, "trigger_id": trigger_id, "action_ts": workspace.new_ts()}
    found: Payload = {**_from(workspace, user, kind), **named}
    if place is not None:
        found |= {name: value for name, value in place.items() if name != "container"}
        found["message_ts"] = place["container"]["message_ts"]
    return found


def written(workspace: SlackWorkspace, message: Message, channel: Channel, *, mentions: bool) -> Payload:
    """The Events API's callback for a message to the app: a mention in a channel, or a direct message."""
    direct = channel.id.startswith("D")
    event: Payload = {
        "type": "app_mention" if mentions and not direct else "message",
        "user": message.user,
        "text": message.text,
        "ts": message.ts,
        "channel": channel.id,
        "team": TEAM_ID,
        "event_ts": message.ts,
    }
    if direct:
        event["channel_type"] = "im"
    if message.thread_ts is not None:
        event["thread_ts"] = message.thread_ts
    return _event(workspace, event)


def home_opened(workspace: SlackWorkspace, user: str, home: View | None) -> Payload:
    """The Events API's callback for `app_home_opened`."""
    ts = workspace.new_ts()
    event: Payload = {
        "type": "app_home_opened",
        "user": user,
        "channel": workspace.direct_channel(user).id,
        "tab": "home",
        "event_ts": ts,
    }
    if home is not None:
        event["view"] = home.as_slack()
    return _event(workspace, event)


def _event(workspace: SlackWorkspace, event: Payload) -> Payload:
    return {
        "token": "sandbox",
        "type": "event_callback",
        "team_id": TEAM_ID,
        "api_app_id": APP_ID,
        "event": event,
        "event_id": workspace.new_id("Ev"),
        "event_time": int(float(event["event_ts"])),
        "authorizations": [{"team_id": TEAM_ID, "user_id": BOT_USER, "is_bot": True, "is_enterprise_install": False}],
    }


def _from(workspace: SlackWorkspace, user: str, kind: str) -> Payload:
    name = workspace.users[user]
    return {
        "type": kind,
        "token": "sandbox",
        "api_app_id": APP_ID,
        "team": TEAM,
        "user": {"id": user, "name": name, "username": name, "team_id": TEAM_ID},
        "is_enterprise_install": False,
    }


def _state(view: View, values: Values) -> Payload:
    """State of a view's elements in Slack's form: by block id and action id. Raises `ValueError`."""
    elements = {
        (block_id, str(element["action_id"])): element
        for block_id, element in elements_of(view.content["blocks"])
        if element["type"] not in WITHOUT_STATE
    }
    given: dict[tuple[str, str], Entered] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            given |= {(name, action_id): entered for action_id, entered in value.items()}
        else:
            given[_place_of(name, elements)] = value
    for block_id, action_id in given.keys() - elements.keys():
        raise ValueError(f"the form has no input {action_id!r} in {block_id!r}")
    state: dict[str, dict[str, Any]] = {}
    for (block_id, action_id), element in elements.items():
        state.setdefault(block_id, {})[action_id] = _entered(element, given.get((block_id, action_id)))
    return {"values": state}


def _place_of(name: str, places: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The only input with this action id, or else in the block with this id."""
    for index in (1, 0):
        found = [place for place in places if place[index] == name]
        if len(found) == 1:
            return found[0]
    raise ValueError(f"the form has no input {name!r}, or several of that name")


def _entered(element: Mapping[str, Any], value: Entered | None) -> dict[str, Any]:
    """State of an element. `value` None: its initial value; empty: nothing."""
    kind = element["type"]
    if kind in SEVERAL_OPTIONS:
        if value is None:
            return {"type": kind, "selected_options": element.get("initial_options", [])}
        ticked = filter(None, [value] if isinstance(value, str) else value)
        return {"type": kind, "selected_options": [_option(element, one) for one in ticked]}
    if kind in SEVERAL_PICKED:
        what = SEVERAL_PICKED[kind]
        picked = element.get(f"initial_{what}", []) if value is None else [value] if isinstance(value, str) else value
        return {"type": kind, f"selected_{what}": list(filter(None, picked))}
    if not isinstance(value, str | None):
        raise ValueError(f"{element['action_id']!r} takes one value")
    if kind in ONE_OPTION:
        chosen = element.get("initial_option") if value is None else _option(element, value) if value else None
        return {"type": kind, "selected_option": chosen}
    begun_with, held_as = "initial_value", "value"
    if kind in PICKERS:
        begun_with, held_as = f"initial_{PICKERS[kind]}", f"selected_{PICKERS[kind]}"
    return {"type": kind, held_as: element.get(begun_with) if value is None else value or None}


def _option(element: Mapping[str, Any], value: str | None) -> Any:
    groups = element.get("option_groups") or [element]
    for option in (option for group in groups for option in group.get("options", [])):
        if option["value"] == value:
            return option
    raise ValueError(f"{element['action_id']!r} has no option {value!r}")
