"""The Web API methods of the local Slack (docs.slack.dev, method pages); all others are unknown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from bot.sandbox import slack_arguments as args
from bot.sandbox.block_limits import problems, view_problems
from bot.sandbox.slack_arguments import Arguments
from bot.sandbox.slack_checks import POSTED_TEXT, UPDATED_TEXT
from bot.sandbox.slack_views import SlackViews
from bot.sandbox.slack_workspace import BOT_ID, BOT_USER, TEAM_ID, ApiError, Channel, Message, SlackWorkspace

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Slack:
    """State that the methods act on. `url`: the workspace's address. `connection_url`: a new one for each
    connection.
    """

    workspace: SlackWorkspace
    views: SlackViews
    url: Callable[[], str]
    connection_url: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Method:
    """`scope`: the required bot scope. `token`: which of the two tokens it takes."""

    run: Callable[[Slack, Arguments], Answer]
    scope: str | None = None
    token: Literal["bot", "app", "none"] = "bot"


def call(slack: Slack, method: Method, arguments: Arguments) -> Answer:
    """The response to a call with the right token. Raises `ApiError`."""
    if method.scope is not None:
        _need(slack, method.scope)
    return method.run(slack, arguments)


def _need(slack: Slack, scope: str) -> None:
    scopes = slack.workspace.scopes
    if scope not in scopes:
        raise ApiError("missing_scope", needed=scope, provided=",".join(sorted(scopes)))


def _api_test(slack: Slack, arguments: Arguments) -> Answer:
    if "error" in arguments:
        raise ApiError(str(arguments["error"]), args=dict(arguments))
    return {"args": dict(arguments)}


def _auth_test(slack: Slack, arguments: Arguments) -> Answer:
    return {
        "url": slack.url(),
        "team": "Sandbox",
        "user": slack.workspace.users[BOT_USER],
        "team_id": TEAM_ID,
        "user_id": BOT_USER,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def _connections_open(slack: Slack, arguments: Arguments) -> Answer:
    return {"url": slack.connection_url()}


def _post_message(slack: Slack, arguments: Arguments) -> Answer:
    channel = _postable(slack, arguments)
    text, blocks = args.content(arguments, most=POSTED_TEXT, unknown=slack.workspace.unknown_blocks)
    thread_ts = _parent(slack, channel, arguments)
    message = slack.workspace.post(
        channel.id,
        BOT_USER,
        text,
        blocks,
        thread_ts=thread_ts,
        broadcast=args.truth(arguments, "reply_broadcast"),
        metadata=args.metadata(arguments) or None,
    )
    return {"channel": channel.id, "ts": message.ts, "message": message.as_slack(metadata=True)}


def _update(slack: Slack, arguments: Arguments) -> Answer:
    channel = _channel(slack, arguments)
    message = _stored(slack, channel, str(arguments.get("ts") or ""))
    if message.user != BOT_USER:
        raise ApiError("cant_update_message")
    if channel.is_archived:
        raise ApiError("is_inactive")
    text, blocks = args.content(arguments, most=UPDATED_TEXT, unknown=slack.workspace.unknown_blocks)
    if arguments.get("blocks") is None:
        blocks = message.blocks
    metadata = args.metadata(arguments)
    if metadata is not None:
        message.metadata = metadata or None
    slack.workspace.edit(message, text, blocks)
    return {"channel": channel.id, "ts": message.ts, "text": text, "message": message.as_slack(metadata=True)}


def _delete(slack: Slack, arguments: Arguments) -> Answer:
    channel = _channel(slack, arguments)
    message = _stored(slack, channel, str(arguments.get("ts") or ""))
    if message.user != BOT_USER:
        raise ApiError("cant_delete_message")
    slack.workspace.delete(message)
    return {"channel": channel.id, "ts": message.ts}


def _post_ephemeral(slack: Slack, arguments: Arguments) -> Answer:
    channel = _postable(slack, arguments)
    user = str(arguments.get("user") or "")
    if user not in slack.workspace.users:
        raise ApiError("user_not_in_channel")
    text, blocks = args.content(arguments, most=POSTED_TEXT, unknown=slack.workspace.unknown_blocks)
    thread_ts = _parent(slack, channel, arguments)
    message = slack.workspace.post(channel.id, BOT_USER, text, blocks, thread_ts=thread_ts, ephemeral_to=user)
    return {"message_ts": message.ts}


def _permalink(slack: Slack, arguments: Arguments) -> Answer:
    channel = _channel(slack, arguments)
    message = _stored(slack, channel, str(arguments.get("message_ts") or ""))
    link = f"{slack.url()}archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


def _conversation_info(slack: Slack, arguments: Arguments) -> Answer:
    channel = _channel(slack, arguments)
    _need(slack, "groups:read" if channel.is_private else "channels:read")
    return {
        "channel": {
            "id": channel.id,
            "name": channel.name,
            "is_channel": not channel.is_private,
            "is_private": channel.is_private,
            "is_archived": channel.is_archived,
            "is_member": channel.has_bot,
        }
    }


def _history(slack: Slack, arguments: Arguments) -> Answer:
    channel = _readable(slack, arguments)
    found = [
        message for message in _lasting(slack, channel) if message.thread_ts in (None, message.ts) or message.broadcast
    ]
    return _page(list(reversed(found)), arguments, most=999)


def _replies(slack: Slack, arguments: Arguments) -> Answer:
    channel = _readable(slack, arguments)
    ts = str(arguments.get("ts") or "")
    found = [message for message in _lasting(slack, channel) if ts in (message.ts, message.thread_ts)]
    if not found:
        raise ApiError("thread_not_found")
    return _page(found, arguments, most=1000)


def _page(found: list[Message], arguments: Arguments, *, most: int) -> Answer:
    oldest, latest = args.moment(arguments, "oldest"), args.moment(arguments, "latest")
    inclusive = args.truth(arguments, "inclusive")
    kept = [
        message
        for message in found
        if (oldest is None or Decimal(message.ts) > oldest or (inclusive and Decimal(message.ts) == oldest))
        and (latest is None or Decimal(message.ts) < latest or (inclusive and Decimal(message.ts) == latest))
    ]
    limit = min(int(arguments.get("limit") or 100), most)
    cursor = str(arguments.get("cursor") or "next:0")
    if not cursor.removeprefix("next:").isdigit():
        raise ApiError("invalid_cursor")
    first = int(cursor.removeprefix("next:"))
    metadata = args.truth(arguments, "include_all_metadata")
    answer: Answer = {
        "messages": [message.as_slack(metadata=metadata) for message in kept[first : first + limit]],
        "has_more": first + limit < len(kept),
    }
    if answer["has_more"]:
        answer["response_metadata"] = {"next_cursor": f"next:{first + limit}"}
    return answer


def _usergroup_members(slack: Slack, arguments: Arguments) -> Answer:
    members = slack.workspace.usergroups.get(str(arguments.get("usergroup")))
    if members is None:
        raise ApiError("no_such_subteam")
    return {"users": members}


def _user_info(slack: Slack, arguments: Arguments) -> Answer:
    user = str(arguments.get("user") or "")
    if user not in slack.workspace.users:
        raise ApiError("user_not_found")
    found: Answer = {"id": user, "name": slack.workspace.users[user], "is_admin": user in slack.workspace.admins}
    if str(arguments.get("include_locale")).lower() in ("1", "true"):
        found["locale"] = slack.workspace.locales.get(user, "en-US")
    return {"user": found}


def _views_open(slack: Slack, arguments: Arguments) -> Answer:
    view = slack.views.open(str(arguments.get("trigger_id") or ""), args.view(arguments))
    return {"view": view.as_slack()}


def _views_publish(slack: Slack, arguments: Arguments) -> Answer:
    view = slack.views.publish(str(arguments.get("user_id") or ""), args.view(arguments), arguments.get("hash"))
    return {"view": view.as_slack()}


def _views_update(slack: Slack, arguments: Arguments) -> Answer:
    found = slack.views.find(arguments.get("view_id"), arguments.get("external_id"))
    return {"view": slack.views.update(found, args.view(arguments), arguments.get("hash")).as_slack()}


def _blocks_validate(slack: Slack, arguments: Arguments) -> Answer:
    given = [name for name in ("blocks", "message", "view") if arguments.get(name) is not None]
    if len(given) != 1:
        raise args.invalid_arguments("must provide exactly one of `blocks`, `view`, or `message`")
    value = args.decoded(arguments, given[0], args.invalid_arguments("not valid JSON"))
    if given[0] == "view":
        found = view_problems(value) if isinstance(value, dict) else ["not an object"]
    else:
        found = problems(value.get("blocks", []) if isinstance(value, dict) else value, "message")
    if found:
        raise ApiError(f"invalid_{given[0]}", errors=[{"code": "failed_constraint", "message": one} for one in found])
    return {}


def _channel(slack: Slack, arguments: Arguments) -> Channel:
    channel = slack.workspace.channels.get(str(arguments.get("channel") or ""))
    if channel is None or (channel.is_private and not channel.has_bot):
        raise ApiError("channel_not_found")
    return channel


def _postable(slack: Slack, arguments: Arguments) -> Channel:
    """The channel to post in; a person's id means direct messages with them."""
    if arguments.get("channel") in slack.workspace.users:
        return slack.workspace.direct_channel(str(arguments["channel"]))
    channel = _channel(slack, arguments)
    if channel.is_archived:
        raise ApiError("is_archived")
    if not channel.has_bot and "chat:write.public" not in slack.workspace.scopes:
        raise ApiError("not_in_channel")
    return channel


def _readable(slack: Slack, arguments: Arguments) -> Channel:
    channel = _channel(slack, arguments)
    _need(slack, "groups:history" if channel.is_private else "channels:history")
    if not channel.has_bot:
        raise ApiError("not_in_channel")
    return channel


def _lasting(slack: Slack, channel: Channel) -> list[Message]:
    """Stored messages of a channel: ephemeral messages are not stored."""
    return [one for one in slack.workspace.messages if one.channel == channel.id and one.ephemeral_to is None]


def _stored(slack: Slack, channel: Channel, ts: str) -> Message:
    message = slack.workspace.find(ts, channel.id)
    if message.ephemeral_to is not None:
        raise ApiError("message_not_found")
    return message


def _parent(slack: Slack, channel: Channel, arguments: Arguments) -> str | None:
    """The thread to post in. Slack asks to name the parent and never a reply, so the sandbox insists."""
    ts = str(arguments.get("thread_ts") or "")
    named = slack.workspace.at(ts, channel.id)
    if named is not None and (named.thread_ts is not None or named.ephemeral_to is not None):
        raise ApiError("cannot_reply_to_message")
    return ts or None


METHODS: Mapping[str, Method] = {
    "api.test": Method(_api_test, token="none"),
    "apps.connections.open": Method(_connections_open, token="app"),
    "auth.test": Method(_auth_test),
    "blocks.validate": Method(_blocks_validate),
    "chat.delete": Method(_delete, "chat:write"),
    "chat.getPermalink": Method(_permalink),
    "chat.postEphemeral": Method(_post_ephemeral, "chat:write"),
    "chat.postMessage": Method(_post_message, "chat:write"),
    "chat.update": Method(_update, "chat:write"),
    "conversations.history": Method(_history),
    "conversations.info": Method(_conversation_info),
    "conversations.replies": Method(_replies),
    "usergroups.users.list": Method(_usergroup_members, "usergroups:read"),
    "users.info": Method(_user_info, "users:read"),
    "views.open": Method(_views_open),
    "views.publish": Method(_views_publish),
    "views.update": Method(_views_update),
}
