"""The reader's language. English is in the code; `bot/locale/<language>.po` has the same texts in other languages.

A text is translated when it is made, into the language in force (a context variable, which thread pools pass on).
Stored values and the log are not translated.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from babel import Locale
    from babel.messages.catalog import Catalog

ENGLISH = "en"

LANGUAGES = {ENGLISH: "English", "ja": "日本語"}
"""Language codes (ISO 639-1) with a catalogue, and their own names."""

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


@contextmanager
def in_language(code: str | None) -> Iterator[None]:
    """Set the language of texts in this block; English for None or a language without a catalogue."""
    token = _language.set(code if code in LANGUAGES else ENGLISH)
    try:
        yield
    finally:
        _language.reset(token)


def language() -> str:
    """The code of the language in force."""
    return _language.get()


def locale() -> "Locale":
    """Babel's locale for numbers and dates, in the language in force."""
    return _locale(_language.get())


def language_of(tag: str | None) -> str | None:
    """`ja` for `ja-JP` or `ja_JP`, as Slack and environments write locales; None without a catalogue."""
    code = (tag or "").replace("_", "-").partition("-")[0].lower()
    return code if code in LANGUAGES else None


def known_languages() -> str:
    """`en (English) or ja (日本語)`, for a remedy."""
    return " or ".join(f"{code} ({name})" for code, name in LANGUAGES.items())


def tr(text: str, /, **values: object) -> str:
    """`text` in the language in force, its `{name}` fields filled in (`str.format`).

    `text`: a literal, so that the catalogue finds it. Text without values may hold braces.
    """
    translated = _translated(text)
    return translated.format(**values) if values else translated


def ntr(one: str, many: str, number: int, /, **values: object) -> str:
    """`tr` for something counted: `{number}` is the number, with separators of thousands."""
    plural = one if number == 1 else many
    found = plural if _language.get() == ENGLISH else _catalogue(_language.get()).get(one, plural)
    return found.format(number=f"{number:,}", **values)


def tr_noop(text: str, /) -> str:
    """Mark a constant for the catalogue; call `tr` where it is shown."""
    return text


class Text:
    """A text with its values, translated when it is shown: `str(text)`."""

    # No dataclass: those import code generation, which a short command avoids.
    __slots__ = ("text", "values")

    def __init__(self, text: str, values: Mapping[str, object]) -> None:
        self.text = text
        self.values = values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.text, self.values) == (other.text, other.values)

    __hash__ = None  # type: ignore[assignment]  # the values may be lists

    def __str__(self) -> str:
        return tr(self.text, **self.values)


def tr_lazy(text: str, /, **values: object) -> Text:
    """`tr` for texts that are kept and shown to several readers."""
    return Text(text, values)


_KEPT = '{"text": '


def kept(found: object) -> str:
    """A sentence for the database: the key and values as JSON for a `Text`, or an exception raised with one.

    `spoken` shows it to each reader in their own language. Anything else is kept as text.
    """
    if not isinstance(_inner(found), Text):
        return str(found)
    # Import lazily: short commands store nothing.
    import json

    return json.dumps(_encoded(_inner(found)), ensure_ascii=False)


def restored(stored: str) -> Text | str:
    """Inverse of `kept`; a sentence of an older version, or from outside, is unchanged."""
    if not stored.startswith(_KEPT):
        return stored
    import json

    try:
        return _decoded(json.loads(stored))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return stored


def spoken(stored: str) -> str:
    """A stored sentence in the language in force; English if none is, as for the log."""
    return str(restored(stored))


def _inner(found: object) -> object:
    return found.args[0] if isinstance(found, Exception) and len(found.args) == 1 else found


def _encoded(value: object) -> object:
    value = _inner(value)
    if not isinstance(value, Text):
        return str(value)
    return {"text": value.text, "values": {name: _encoded(each) for name, each in value.values.items()}}


def _decoded(value: Any) -> Text | str:
    if isinstance(value, str):
        return value
    text, values = str(value["text"]), {str(name): _decoded(each) for name, each in value["values"].items()}
    if text in _catalogue(next(code for code in LANGUAGES if code != ENGLISH)):
        return Text(text, values)
    # A later wording or typed text: filled in without the rules of `str.format`.
    for name, each in values.items():
        text = text.replace(f"{{{name}}}", str(each))
    return text


def _translated(text: str) -> str:
    code = _language.get()
    return text if code == ENGLISH else _catalogue(code).get(text, text)


@lru_cache
def _locale(code: str) -> "Locale":
    # Import lazily: the command line rarely needs another language.
    from babel import Locale

    return Locale.parse(code)


@lru_cache
def _catalogue(code: str) -> dict[str, str]:
    return translations(read_catalogue(code))


def read_catalogue(code: str) -> "Catalog":
    """The catalogue of a language, from its file."""
    from importlib import resources

    from babel.messages.pofile import read_po

    with resources.files("bot").joinpath(f"locale/{code}.po").open("rb") as file:
        return read_po(file, locale=code)


def translations(catalogue: "Catalog") -> dict[str, str]:
    """English to the other language; for counted texts, the singular is the key and the first form the value."""
    found: dict[str, str] = {}
    for message in catalogue:
        key, value = message.id, message.string
        if isinstance(key, tuple | list):
            key = key[0]
        if isinstance(value, tuple | list):
            value = value[0]
        if key and value:
            found[str(key)] = str(value)
    return found
