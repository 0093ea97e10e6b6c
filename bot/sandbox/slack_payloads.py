"""The payloads that Slack sends an app when people do something (docs.slack.dev, commands and interactivity)."""

from collections.abc import Iterator, Mapping
from typing import Any

from bot.sandbox.slack_views import View
from bot.sandbox.slack_workspace import APP_ID, TEAM_ID, Channel, Message, SlackWorkspace, with_block_ids

Payload = dict[str, Any]

TEAM = {"id": TEAM_ID, "domain": "sandbox"}
OPTION_ELEMENTS = ("static_select", "radio_buttons", "overflow")


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
    """What a click on a message adds to `block_actions`. Slack does not send along an ephemeral message."""
    ephemeral = message.ephemeral_to is not None
    payload: Payload = {
        "container": {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": ephemeral,
        },
        "channel": {"id": channel.id, "name": channel.name},
        "response_url": response_url,
    }
    if not ephemeral:
        payload["message"] = message.as_slack()
    return payload


def view_click(view: View) -> Payload:
    """What a click in a modal or Home tab adds to `block_actions`; such a click has no response URL."""
    return {"container": {"type": "view", "view_id": view.id}, "view": view.as_slack()}


def block_actions(
    workspace: SlackWorkspace, user: str, action: Mapping[str, Any], trigger_id: str, place: Mapping[str, Any]
) -> Payload:
    """`place`: of `message_click` or `view_click`."""
    return {
        **_from(workspace, user, "block_actions"),
        "trigger_id": trigger_id,
        "actions": [{**action, "action_ts": workspace.new_ts()}],
        **place,
    }


def action_of(blocks: list[dict[str, Any]], action_id: str, chosen: str | None) -> Payload:
    """The action of a click on one element. `chosen`: an option's value. Raises `ValueError`."""
    for block_id, element in elements_of(blocks):
        if element.get("action_id") != action_id:
            continue
        action: Payload = {
            name: element[name] for name in ("type", "action_id", "text", "value", "style") if name in element
        }
        action["block_id"] = block_id
        if element["type"] in OPTION_ELEMENTS:
            action["selected_option"] = _option(element, chosen)
        return action
    offered = ", ".join(str(element.get("action_id")) for _, element in elements_of(blocks)) or "none"
    raise ValueError(f"there is nothing to click with the action id {action_id!r}; there are: {offered}")


def elements_of(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything interactive, with the id of its block."""
    for block in with_block_ids(blocks):
        candidates = [*block.get("elements", []), block.get("accessory"), block.get("element")]
        for element in candidates:
            if isinstance(element, dict) and element.get("action_id"):
                yield block["block_id"], element


def view_submission(
    workspace: SlackWorkspace, user: str, view: View, values: Mapping[str, str], trigger_id: str
) -> Payload:
    """`values`: what was typed or chosen, by action id. Raises `ValueError` where a required input is empty."""
    state: dict[str, dict[str, Any]] = {}
    unknown = set(values) - {str(element["action_id"]) for _, element in elements_of(view.content["blocks"])}
    if unknown:
        raise ValueError(f"the form has no input {sorted(unknown)[0]!r}")
    for block in with_block_ids(view.content["blocks"]):
        for block_id, element in elements_of([block]):
            entered = _entered(element, values.get(element["action_id"]))
            if block["type"] == "input" and not block.get("optional") and not any(list(entered.values())[1:]):
                raise ValueError(f"the input {element['action_id']!r} is required")
            state.setdefault(block_id, {})[element["action_id"]] = entered
    shown = view.as_slack() | {"state": {"values": state}}
    return {**_from(workspace, user, "view_submission"), "trigger_id": trigger_id, "view": shown, "response_urls": []}


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
    return {
        "token": "sandbox",
        "type": "event_callback",
        "team_id": TEAM_ID,
        "api_app_id": APP_ID,
        "event": event,
        "event_id": workspace.new_id("Ev"),
        "event_time": int(float(ts)),
        "authorizations": [{"team_id": TEAM_ID, "user_id": user, "is_bot": True, "is_enterprise_install": False}],
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


def _entered(element: Mapping[str, Any], value: str | None) -> dict[str, Any]:
    kind = element["type"]
    if kind in OPTION_ELEMENTS:
        chosen = element.get("initial_option") if value is None else _option(element, value)
        return {"type": kind, "selected_option": chosen}
    return {"type": kind, "value": element.get("initial_value") if value is None else value or None}


def _option(element: Mapping[str, Any], value: str | None) -> Any:
    groups = element.get("option_groups") or [element]
    for option in (option for group in groups for option in group.get("options", [])):
        if option["value"] == value:
            return option
    raise ValueError(f"{element['action_id']!r} has no option {value!r}")
