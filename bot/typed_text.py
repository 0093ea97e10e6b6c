"""Normalises typed text, as phones, Macs and Slack deliver it.

Keyboards curl quotes, lengthen dashes and add full stops; copied text brings non-breaking spaces and invisible
characters; Slack turns everything that looks like an address into a link. Every command, form and command line reads
`cleaned` text. A reason is shown as typed: only Slack's own markup is expanded (`readable`).
"""

import re
import unicodedata
from collections.abc import Iterable

BECAUSE = "because"

_QUOTES = dict.fromkeys(map(ord, "\"'`´“”„‟‘’‚‛«»‹›「」『』＂＇｀"))
_DASHES = dict.fromkeys(
    map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d"),
    "-",
)
_EAST_ASIAN = str.maketrans({"、": ", ", "。": ". ", "｡": ". ", "､": ", "})
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_KEPT_AS_THEY_ARE = ("<super>", "<sub>", "<fraction>", "<circle>")
"""Characters that NFKC would turn into digits with another meaning: `2³` into 23."""

_LINK = re.compile(r"<((?:https?://|mailto:|tel:)[^<>|\s]*)(?:\|([^<>]*))?>")
_MENTION = re.compile(r"<([@#])([A-Z0-9]+)(?:\|([^<>]*))?>|<!subteam\^[A-Z0-9]+\|([^<>]+)>")
_ENTITY = re.compile(r"&(?:amp;)*(lt|gt|amp);")
_ENTITY_ONCE = re.compile(r"&(lt|gt|amp);")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&"}

_EMPHASIS = re.compile(r"(?<![^\s=:,])[*~]+(?=[^\s*~])|(?<=[^\s*~])[*~]+(?![^\s,;.:!?])")
_UNDERLINED = re.compile(r"(?<!\S)_+(?=[^\s_])([^\n]*?[^\s_])_+(?![^\s,;.:!?])")
_END_OF_SENTENCE = re.compile(r"(?<=[^\s.])(?:[!?;]+|\.(?!\.)|\.{3,})+(?=,*(?:\s|$))")


def cleaned(text: str) -> str:
    """`text` as from a plain keyboard, on one line, without quotes, emphasis and full stops.

    Idempotent. Commas and colons stay, since they separate values.
    """
    while (once := _cleaned_once(text)) != text:
        text = once
    return text


def words_in(text: str) -> list[str]:
    """The cleaned words, without trailing commas and dashes between them."""
    stripped = (word.strip(",;") for word in cleaned(text).split())
    return [word for word in stripped if word.strip("-")]


def first_word(text: str) -> tuple[str, str]:
    """The first word, cleaned, and the rest, as typed."""
    first, rest = "", text
    while not first and rest.strip():
        typed, *behind = rest.split(maxsplit=1)
        first, rest = cleaned(typed).strip("-/,:;?!"), behind[0] if behind else ""
    return first, rest


def split_reason(text: str) -> tuple[str, str]:
    """The text before the first `because`, as typed, and the reason after it, readable; empty without one."""
    words = text.split()
    for at, word in enumerate(words):
        if cleaned(word).strip("-,:;").lower() == BECAUSE:
            return " ".join(words[:at]), readable(" ".join(words[at + 1 :]))
    return text, ""


def readable(text: str) -> str:
    """`text` as it was typed: links and mentions by their labels, and Slack's three escapes undone."""
    text = _LINK.sub(lambda found: found[2] or found[1], text)
    return _ENTITY_ONCE.sub(lambda found: _ENTITIES[found[1]], _MENTION.sub(_shown_mention, text))


def _shown_mention(found: re.Match[str]) -> str:
    if found[4]:
        return str(found[4])
    if not found[3]:
        return found[0]
    return f"{found[1]}{found[3].removeprefix(found[1])}"


def _cleaned_once(text: str) -> str:
    text = _LINK.sub(lambda found: (found[2] or found[1]).removeprefix("tel:").removeprefix("mailto:"), text)
    text = _ENTITY.sub(lambda found: _ENTITIES[found[1]], text)
    if not text.isascii():
        text = text.translate(_QUOTES | _DASHES | _EAST_ASIAN)
        text = _plain_characters(text).translate(_DASHES)
    # Control characters count as spaces: a line break, a tab.
    text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.translate(_QUOTES).split())
    text = _EMPHASIS.sub("", _UNDERLINED.sub(r"\1", text))
    return _END_OF_SENTENCE.sub("", text)


def _plain_characters(text: str) -> str:
    """Full-width and other stylistic variants as the plain character, without invisible characters."""
    plain = []
    for character in text:
        if unicodedata.category(character) == "Cf" or ord(character) in _VARIATION_SELECTORS:
            continue
        keeps = unicodedata.decomposition(character).startswith(_KEPT_AS_THEY_ARE)
        plain.append(character if keeps else unicodedata.normalize("NFKC", character))
    return unicodedata.normalize("NFC", "".join(plain))


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that was likely meant: one that begins with `word`, or the most similar; None if none is close.

    `cutoff`: similarity from 0 to 1.
    """
    # Import only for a mistake: it would slow the start of every command line.
    from difflib import get_close_matches

    listed, typed = list(known), word.lower()
    begun = [one for one in listed if len(typed) > 2 and one.lower().startswith(typed)]
    by_lower = {one.lower(): one for one in reversed(listed)}
    near = begun or [by_lower[one] for one in get_close_matches(typed, by_lower, n=1, cutoff=cutoff)]
    return near[0] if near else None
