"""Slack's mrkdwn as plain text, for places that know nothing of Slack."""

import re

_ANGLES = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_CALL_TO_ALL = re.compile(r"@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_UNESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def plain_text(mrkdwn: str) -> str:
    """Mentions, links and dates written out, escapes undone.

    Names from outside are escaped in mrkdwn, so that what stands in angles is ours. Some chat services would call
    everybody at the sight of words such as @everyone: those are parted by a space without width.
    """
    text = _ANGLES.sub(_written_out, mrkdwn)
    for escaped, character in _UNESCAPED:
        text = text.replace(escaped, character)
    return _CALL_TO_ALL.sub("@\u200b", text)


def _written_out(match: re.Match[str]) -> str:
    target, label = match[1], match[2]
    if target.startswith("@"):
        return label or target
    if target.startswith("#"):
        return f"#{label}" if label else target
    if target.startswith("!"):
        return label or f"@{target[1:]}"
    address = target.removeprefix("mailto:")
    return address if label is None or label == address else f"{label} ({target})"
