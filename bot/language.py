"""The reader's language. English is in the code; `bot/locale/<language>.po` has the same texts in other languages.

A text is translated where it is made, in the language in force there (a context variable, which the pools of threads
take along). What is stored stays a value, and what goes to the log stays English.
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
    """Make the texts of this block in a language; one without a catalogue, or None, is English."""
    token = _language.set(code if code in LANGUAGES else ENGLISH)
    try:
        yield
    finally:
        _language.reset(token)


def language() -> str:
    """The code of the language in force."""
    return _language.get()


def locale() -> "Locale":
    """What Babel formats numbers and dates by, in the language in force."""
    return _locale(_language.get())


def language_of(tag: str | None) -> str | None:
    """`ja` for `ja-JP` or `ja_JP`, as Slack and environments write locales; None where there is no catalogue."""
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
    """As `tr`, for something counted: `{number}` is the number, with separators of thousands."""
    plural = one if number == 1 else many
    found = plural if _language.get() == ENGLISH else _catalogue(_language.get()).get(one, plural)
    return found.format(number=f"{number:,}", **values)


def tr_noop(text: str, /) -> str:
    """Mark a constant for the catalogue: whoever shows it calls `tr` on it."""
    return text


class Text:
    """A text with its values that is translated where it is shown: `str(text)`, in the language in force there."""

    # No dataclass: those import what writes code, which a short command does without.
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
    """As `tr`, for what is kept and shown to several readers."""
    return Text(text, values)


_KEPT = '{"text": '


def kept(found: object) -> str:
    """A sentence for the database: of a `Text`, or of an exception that was raised with one, key and values as JSON.

    Each reader is shown it in their own language by `spoken`. Anything else is kept as it reads.
    """
    if not isinstance(_inner(found), Text):
        return str(found)
    # Short commands store nothing.
    import json

    return json.dumps(_encoded(_inner(found)), ensure_ascii=False)


def restored(stored: str) -> Text | str:
    """What `kept` has made; a sentence of an older version, or from outside, as it is."""
    if not stored.startswith(_KEPT):
        return stored
    import json

    try:
        return _decoded(json.loads(stored))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return stored


def spoken(stored: str) -> str:
    """A stored sentence in the language in force; English where none is, as for the log."""
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
    # A later wording, or what somebody has typed: it is filled in without the rules of `str.format`.
    for name, each in values.items():
        text = text.replace(f"{{{name}}}", str(each))
    return text


def _translated(text: str) -> str:
    code = _language.get()
    return text if code == ENGLISH else _catalogue(code).get(text, text)


@lru_cache
def _locale(code: str) -> "Locale":
    # Import lazily: the command line mostly needs no other language.
    from babel import Locale

    return Locale.parse(code)


@lru_cache
def _catalogue(code: str) -> dict[str, str]:
    return translations(read_catalogue(code))


def read_catalogue(code: str) -> "Catalog":
    """The catalogue of a language, as its file has it."""
    from importlib import resources

    from babel.messages.pofile import read_po

    with resources.files("bot").joinpath(f"locale/{code}.po").open("rb") as file:
        return read_po(file, locale=code)


def translations(catalogue: "Catalog") -> dict[str, str]:
    """English to the other language; of what is counted, the singular is the key and the first form the value."""
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
