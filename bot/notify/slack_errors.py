"""Slack's refusals, each with the remedy (codes: docs.slack.dev, error lists of the methods used here)."""

from bot.slack_api import CallError, RefusedCallError

CREDENTIALS = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "not_allowed_token_type"}
    | {"team_added_to_org", "two_factor_setup_required", "org_login_required", "ekm_access_denied"}
)
"""Codes that say that the token itself is refused: no later attempt with it can succeed."""

_REMEDIES = {
    "not_in_channel": "The bot is not in {channel}: type /invite @claude-cost there.",
    "channel_not_found": (
        "Slack knows no channel {channel} that the bot may see: correct CLAUDE_COST_CHANNEL, or type "
        "/invite @claude-cost there if the channel is private."
    ),
    "is_archived": "The channel {channel} is archived: unarchive it or set CLAUDE_COST_CHANNEL to another one.",
    "missing_scope": "The Slack app lacks the scope {needed}: add it on OAuth & Permissions and reinstall the app.",
    "invalid_auth": "Slack refuses SLACK_BOT_TOKEN: copy the Bot User OAuth Token again from your Slack app.",
    "not_authed": "Slack got no token: set SLACK_BOT_TOKEN.",
    "token_revoked": "SLACK_BOT_TOKEN was revoked: reinstall the Slack app and set the new token.",
    "token_expired": "SLACK_BOT_TOKEN has expired: switch token rotation off in the Slack app and reinstall it.",
    "account_inactive": "The bot's Slack account is switched off: reinstall the Slack app and set the new token.",
    "not_allowed_token_type": "SLACK_BOT_TOKEN is of the wrong kind: it must be the bot token, xoxb-….",
    "team_added_to_org": "The workspace has joined an Enterprise organisation: reinstall the Slack app there.",
    "two_factor_setup_required": "The workspace asks for two-factor sign-in: finish that set-up in Slack.",
    "restricted_action": "The workspace does not let this app post in {channel}: ask its admins for that right.",
    "no_permission": "The workspace does not let this app post in {channel}: ask its admins for that right.",
    "message_not_found": "The message was deleted in Slack.",
    "cant_update_message": "Slack does not let the bot edit that message.",
    "is_inactive": "The channel of that message is archived: unarchive it to see the message edited.",
    "edit_window_closed": "Slack does not let messages of that age be edited in this workspace.",
}


def remedy(code: str, *, channel: str, needed: str = "") -> str:
    """One sentence for a refusal by Slack. `needed`: the scope that Slack named."""
    sentence = _REMEDIES.get(code)
    if sentence is None and code.startswith("restricted_action"):
        sentence = _REMEDIES["restricted_action"]
    if sentence is None:
        return f"Slack refuses ({code}): look the code up in Slack's method pages, or run the set-up again."
    return sentence.format(channel=channel, needed=needed or "that Slack names")


def sentence_of(error: CallError, channel: str) -> str:
    """One sentence for a call that failed; the remedy where Slack refused it."""
    if isinstance(error, RefusedCallError):
        return remedy(error.code, channel=channel, needed=error.needed)
    return str(error)
