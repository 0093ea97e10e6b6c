"""Masks secrets in texts for people: possible secrets are never quoted, and a sentence is one line."""

import ipaddress
import re
from collections.abc import Callable

from bot.language import ntr

_KNOWN = re.compile(
    r"""
      (?<![A-Za-z0-9])(?:
          xox[a-z](?:\.xox[a-z])?-[\w.+/%-]{4,}     # Slack: bot, user, refresh and configuration tokens
        | xapp-[\w.+/%-]{4,}                        # Slack: app-level tokens
        | sk-(?:ant|proj)-[\w.+/-]{4,}              # Anthropic, and others who copy the form
        | sk-[\w-]{16,}
        | (?:gh[a-z]_|github_pat_|glpat-|npm_|pypi-|hf_)[\w.-]{6,}
        | (?:AKIA|ASIA|AIza)[\w-]{10,}              # AWS, Google
        | eyJ[\w-]{4,}(?:\.[\w-]*){0,4}            # a JSON Web Token
      )
    | -----BEGIN[\s\S]*                            # PEM
    | (?<=hooks\.slack\.com/)\S+
    | (?<=://)[^\s/@'"]+@                          # the login of an address
    | [^\s/:@'"]{1,64}:[^\s@'"]{1,512}@(?=[\w.\[-])  # the same without a scheme, bounded so that long words cost little
    | (?<=[Bb]earer\ )[\w.+/=~-]{16,}
    """,
    re.VERBOSE,
)

_ONE_TOKEN = re.compile(r"[A-Za-z0-9+/=_~.-]{20,}")
_RANDOM_RUN = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}")

Shape = re.Pattern[str] | Callable[[str], bool]
"""The form of a harmless text in its position."""

TOO_SHORT = 5
"""Characters: a shorter text is neither a secret nor a useful part of one."""

NUMBER = re.compile(r"[-+]?[$€£¥]?[0-9.,_]{1,15} ?[a-zA-Z%€$]{0,3}")
CHANNEL = re.compile(r"[A-Z][A-Z0-9]{0,10}|#[a-z]{1,12}(-[a-z]{1,12}){0,3}")
WORD = re.compile(r"")
"""Matches nothing: only texts below `TOO_SHORT` are shown."""

MODEL = re.compile(r"[a-z./_-]{0,24}claude-[a-z0-9.@:-]{1,48}(\[1m\])?")
SCOPE = re.compile(r"[a-z]{1,12}:[a-z0-9]{0,5}")
ZONE = re.compile(r"[A-Z][a-z]{1,12}/[A-Z][A-Za-z_]{1,20}")
_HOST_NAME = re.compile(r"localhost|[a-z]{1,12}(?:[.-][a-z0-9]{1,12}){0,4}\.[a-z]{2,12}")
KEY = re.compile(r"[a-z]{1,12}(_[a-z]{1,12}){0,3}")
"""A key of the TOML file, or one that is misspelled."""

_PATH_WORD = r"(?:[a-z]{1,16}|[A-Z]{1,16}|[A-Z][a-z]{1,15})[0-9]{0,4}|[0-9]{1,4}"
PATH = re.compile(
    rf"(?:~|\.{{1,2}})?(?:/\.?(?:{_PATH_WORD})(?:[._-]+(?:{_PATH_WORD}))*)+/?|[a-z-]{{1,16}}\.[a-z]{{1,5}}"
)


def _is_host(text: str) -> bool:
    if _HOST_NAME.fullmatch(text):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    # A zone of IPv6 (`%eth0`) may be any text.
    return "%" not in text


HOST: Shape = _is_host
"""An IP address, or a plain name of a host."""


def looks_secret(text: str) -> bool:
    """Whether `text` has a form that only secrets have, or is one long random word."""
    if _KNOWN.search(text):
        return True
    return _ONE_TOKEN.fullmatch(text) is not None and "/" not in text and _RANDOM_RUN.search(text) is not None


def masked(text: str) -> str:
    """`text` with an ellipsis for everything that looks like a secret."""
    return _KNOWN.sub("…", text)


def quoted(text: str, shape: Shape) -> str:
    """`text` in quotes if it has the harmless `shape` usual in its position; otherwise only its length."""
    return repr(text) if _harmless(text, shape) else _described(text)


def shown(text: str, shape: Shape) -> str:
    """Like `quoted`, without quotes."""
    return text if _harmless(text, shape) else _described(text)


def one_line(text: str) -> str:
    """`text` without line breaks and control characters of terminals."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _harmless(text: str, shape: Shape) -> bool:
    if len(text) <= TOO_SHORT:
        return text.isprintable()
    fits = shape.fullmatch(text) is not None if isinstance(shape, re.Pattern) else shape(text)
    return fits and not looks_secret(text)


def _described(text: str) -> str:
    length = len(text)
    return ntr(
        "a text of {length} character (not shown)", "a text of {length} characters (not shown)", length, length=length
    )
