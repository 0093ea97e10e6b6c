"""The manifest: valid for Slack, and saying exactly what the code does."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.doctor.slack import OPTIONAL_SCOPES
from handlers.commands import SUBCOMMANDS
from handlers.estimate import FORM_SHORTCUT, PROMPT_SHORTCUT
from handlers.render.help import COMMAND
from tests.contract.json_schema import fault_by
from tests.contract.parsed import tree_in

ROOT = Path(__file__).resolve().parents[2]

SCOPES_OF_METHODS = {
    "chat_postMessage": "chat:write",
    "chat_update": "chat:write",
    "auth_test": None,
    "apps_connections_open": None,  # the app-level token's own scope
    "views_open": None,
    "views_publish": None,
    "views_update": None,
    "conversations_history": "channels:history",
    "conversations_replies": "channels:history",
    "conversations_info": "channels:read",
    "usergroups_users_list": "usergroups:read",
    "users_info": "users:read",
}
"""Every Web API method that the product calls, with the bot scope that it needs (docs.slack.dev, method pages)."""

SCOPES_OF_EVENTS = {"app_home_opened": None, "app_mention": "app_mentions:read", "message.im": "im:history"}
"""Every event that the product listens to, with the bot scope that it needs (docs.slack.dev, event pages)."""

SCOPES_OF_PRIVATE_CHANNELS = {"channels:history": "groups:history", "channels:read": "groups:read"}

NEEDED_SCOPES = {"chat:write", "commands"}
"""The product does without all others; docs/operations.md says what each is for."""


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "manifest.yml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def called_methods() -> set[str]:
    """Names of all methods that are called on a client outside the sandbox, where they are Web API methods."""
    called = set()
    for folder in ("bot", "handlers"):
        for path in (ROOT / folder).rglob("*.py"):
            if "sandbox" in path.parts:
                continue
            for node in ast.walk(tree_in(path)):
                if isinstance(node, ast.Attribute) and re.fullmatch(
                    r"(admin|apps|auth|bookmarks|bots|chat|conversations|files|pins|team|usergroups|users|views)_\w+",
                    node.attr,
                ):
                    called.add(node.attr)
    return called


def test_slacks_own_schema_accepts_it(manifest: dict[str, Any], shared: Path) -> None:
    schema = json.loads((shared / "data" / "slack" / "manifest.schema.1.0.0.json").read_text(encoding="utf-8"))
    assert fault_by(schema, manifest) is None


def test_the_colour_is_one(manifest: dict[str, Any]) -> None:
    assert re.fullmatch(r"#[0-9a-f]{6}", manifest["display_information"]["background_color"])


def test_it_declares_the_command_that_the_code_listens_to(manifest: dict[str, Any]) -> None:
    assert [command["command"] for command in manifest["features"]["slash_commands"]] == [COMMAND]


def test_it_subscribes_to_the_event_that_draws_the_home_tab(manifest: dict[str, Any]) -> None:
    assert manifest["features"]["app_home"]["home_tab_enabled"] is True
    assert manifest["settings"]["event_subscriptions"]["bot_events"] == list(SCOPES_OF_EVENTS)


def test_people_can_write_to_the_app(manifest: dict[str, Any]) -> None:
    assert manifest["features"]["app_home"]["messages_tab_enabled"] is True
    assert manifest["features"]["app_home"]["messages_tab_read_only_enabled"] is False


def test_it_declares_the_shortcuts_that_the_code_listens_to(manifest: dict[str, Any]) -> None:
    kinds = {each["callback_id"]: each["type"] for each in manifest["features"]["shortcuts"]}
    assert kinds == {FORM_SHORTCUT: "global", PROMPT_SHORTCUT: "message"}


def test_the_hint_names_every_subcommand(manifest: dict[str, Any]) -> None:
    hint = manifest["features"]["slash_commands"][0]["usage_hint"]
    assert set(re.findall(r"[a-z-]+", hint)) == {row.name for row in SUBCOMMANDS}


def test_every_method_that_the_code_calls_has_a_known_scope() -> None:
    assert called_methods() == set(SCOPES_OF_METHODS)


def test_it_asks_for_exactly_the_scopes_that_are_needed(manifest: dict[str, Any]) -> None:
    used = {scope for scopes in (SCOPES_OF_METHODS, SCOPES_OF_EVENTS) for scope in scopes.values() if scope}
    wanted = used | {SCOPES_OF_PRIVATE_CHANNELS[scope] for scope in used & set(SCOPES_OF_PRIVATE_CHANNELS)}
    scopes = manifest["oauth_config"]["scopes"]
    assert set(scopes["bot"]) == wanted | {"commands"}
    # Slack wants every optional scope in both lists (docs.slack.dev, app manifest reference, oauth).
    assert set(scopes["bot_optional"]) == set(scopes["bot"]) - NEEDED_SCOPES


def test_buttons_need_interactivity(manifest: dict[str, Any]) -> None:
    assert manifest["settings"]["interactivity"]["is_enabled"] is True


def test_doctor_names_every_optional_scope(manifest: dict[str, Any]) -> None:
    in_private_channels = set(SCOPES_OF_PRIVATE_CHANNELS.values())
    assert set(OPTIONAL_SCOPES) == set(manifest["oauth_config"]["scopes"]["bot_optional"]) - in_private_channels


def test_every_optional_scope_is_explained(manifest: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [scope for scope in manifest["oauth_config"]["scopes"]["bot_optional"] if f"`{scope}`" not in page] == []
