"""The environment variables: one table, used by the settings, docs/settings.md and the doctor."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.typed_text import nearest


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: a row of docs/settings.md, read by `load_settings`."""

    name: str
    meaning: str
    default: str = ""
    secret: bool = False


VARIABLES: tuple[Variable, ...] = (
    Variable("SLACK_BOT_TOKEN", "bot token of the Slack app, `xoxb-…`", secret=True),
    Variable("SLACK_APP_TOKEN", "app-level token, `xapp-…`; when it is set the bot uses Socket Mode", secret=True),
    Variable("SLACK_SIGNING_SECRET", "without an app token: HTTP mode at `/slack/events`", secret=True),
    Variable("SLACK_API_URL", "address of Slack's Web API", "https://slack.com/api/"),
    Variable("ANTHROPIC_ADMIN_KEY", "an Admin key, or a key with the scope `read:analytics`", secret=True),
    Variable(
        "ANTHROPIC_API_KEY", "optional, an ordinary key: only to count the tokens of a prompt, for free", secret=True
    ),
    Variable("ANTHROPIC_BASE_URL", "address of Anthropic's API", "https://api.anthropic.com"),
    Variable(
        "CLAUDE_COST_ALLOW_HTTP",
        "hosts, with commas between them, that may get the key or the token over plain http; the loopback always may",
    ),
    Variable("CLAUDE_COST_CHANNEL", "id of the channel for alerts and announcements, such as `C0123456789`"),
    Variable("CLAUDE_COST_SOFT_USD", "soft limit of the organization's calendar month, in USD"),
    Variable("CLAUDE_COST_HARD_USD", "hard limit of the same month, in USD; one of the two limits suffices"),
    Variable("CLAUDE_COST_POLL_SECONDS", "seconds between two polls, 1 to 3600", "60"),
    Variable("CLAUDE_COST_USAGE_API", "`auto`, `analytics` or `admin`", "auto"),
    Variable("CLAUDE_COST_DATABASE_URL", "the bot's database", "sqlite:///claude-cost.db", secret=True),
    Variable("CLAUDE_COST_BACKUP_FOLDER", "folder for a copy of an SQLite database every day"),
    Variable(
        "CLAUDE_COST_LEDGER_URL",
        "a ClickHouse that keeps what applications log, `https://USER:PASSWORD@HOST:8443/DATABASE`",
        secret=True,
    ),
    Variable("CLAUDE_COST_ENV_FILE", "a file with these variables; the environment counts before it", ".env"),
    Variable("CLAUDE_COST_CONFIG", "a TOML file with more budgets, modes and destinations of alerts"),
    Variable(
        "CLAUDE_COST_FALLBACK_CHAIN",
        "models in falling order of price; a family such as `opus` is its newest model",
        "claude-opus-5-5,claude-sonnet-5-5,claude-haiku-5-5",
    ),
    Variable("CLAUDE_COST_FALLBACK_FILE", "the env file that the bot manages for your services", "claude-cost.env"),
    Variable(
        "CLAUDE_COST_ADMINS", "Slack user (`U…`) or user-group (`S…`) ids that may change the fallback mode and budgets"
    ),
    Variable("CLAUDE_COST_HTTP_HOST", "address that the HTTP port listens on", "127.0.0.1"),
    Variable("CLAUDE_COST_HTTP_PORT", "HTTP port; opens in HTTP mode (then 8080) or when it is set"),
    Variable(
        "CLAUDE_COST_READ_TOKEN",
        "bearer token for reading the fallback mode over HTTP; required where the address is not the loopback",
        secret=True,
    ),
    Variable(
        "CLAUDE_COST_LANGUAGE",
        "language of posts, and of answers to people whose own is not known: `en` or `ja`",
        "en",
    ),
    Variable("CLAUDE_COST_LOG_FORMAT", "lines of the log as `text`, or each as a JSON object: `json`", "text"),
    Variable("CLAUDE_COST_LOG_LEVEL", "the least that is logged: `info`, `warning` or `error`", "info"),
    Variable(
        "CLAUDE_COST_TRACES",
        "`otlp` sends traces of the bot's own work, to where the `OTEL_…` variables say; needs the extra `traces`",
        "off",
    ),
    Variable("CLAUDE_COST_INGEST_TOKEN", "bearer token with which applications send their usage", secret=True),
)

DEFAULT_HTTP_PORT = 8080

OF_THE_APPLICATION = (
    *("CLAUDE_COST_FALLBACK_URL", "CLAUDE_COST_URL", "CLAUDE_COST_SPOOL"),
    "CLAUDE_COST_USAGE_LOG",
)
"""Variables of the client in the team's services, which may share an environment or `.env` with the bot."""


_PLAUSIBLE = re.compile(r"(?=.{1,48}$)CLAUDE_COST(?:_[A-Z]{1,14}){1,5}")
"""The form of a name that may be shown; another one may be a pasted secret."""


def given(environ: Mapping[str, str]) -> list[str]:
    """Names of the settings that have a value in the environment or in a file."""
    names = [name for each in VARIABLES for name in (each.name, *([f"{each.name}_FILE"] if each.secret else []))]
    return [name for name in names if environ.get(name, "").strip()]


def misspelled(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting but is not one."""
    known = {*OF_THE_APPLICATION, *(variable.name for variable in VARIABLES)} | {
        f"{v.name}_FILE" for v in VARIABLES if v.secret
    }
    sentences = []
    for name in sorted(environ):
        if name.startswith("CLAUDE_COST_") and name not in known:
            if not _PLAUSIBLE.fullmatch(name):
                sentences.append(
                    f"a variable that begins with CLAUDE_COST_ and has a name of {len(name)} characters (not shown) is "
                    "not a setting of this version and is ignored"
                )
                continue
            near = nearest(name, known)
            hint = f"; did you mean {near}?" if near else ""
            sentences.append(f"{name} is not a setting of this version and is ignored{hint}")
    return sentences
