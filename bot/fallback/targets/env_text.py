"""The text of an env file: the managed block between two markers, with values that every reader understands. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.language import tr_lazy, tr_noop

BEGIN = b"# >>> claude-cost: managed by the bot, do not edit >>>"
END = b"# <<< claude-cost <<<"

BOM = b"\xef\xbb\xbf"
"""Byte order mark that Windows editors write before the first line; not part of any line."""

# A shell expands no patterns and no braces in an assignment, so these need no quotes, which `docker run --env-file`
# would keep in the value. A tilde is expanded at the beginning and after a colon, a # begins a comment after a space.
_PLAIN = re.compile(r"(?![#~])(?:[A-Za-z0-9_./:@,+%=\[\]{}*?!^#-]|(?<=[A-Za-z0-9_.-])~|[^\x00-\x7f])*")

_UTF_16 = re.compile(
    rb"\xff\xfe(?:\0\0|(?:[\t\r\n -~]\0){2})|\0\0\xfe\xff|\xfe\xff(?:\0[\t\r\n -~]){2}"
    rb"|(?:[\t\r\n -~]\0){4}|(?:\0[\t\r\n -~]){4}"
)
"""First ASCII characters in UTF-16 or UTF-32, with or without byte order mark."""

DOCKER = "docker run --env-file"
DOTENV = "python-dotenv"


@dataclass(frozen=True, slots=True)
class EnvText:
    """`block`: the lines between the markers, None without a block; `before` and `after`: everything around it."""

    before: bytes
    block: bytes | None
    after: bytes

    def with_block(self, variables: Mapping[str, str]) -> bytes:
        """The whole text with this block in place of the old one, or at the end."""
        before = self.before
        if before and not before.endswith(b"\n") and not (b"\n" + before).endswith(b"\n" + BOM):
            before += b"\n"
        return before + BEGIN + b"\n" + block_of(variables) + END + b"\n" + self.after


def read_env_text(content: bytes) -> EnvText:
    """Parse. Raises ValueError with a clause and remedy if the block cannot be found reliably."""
    if _UTF_16.match(content):
        raise ValueError(tr_lazy("is written in UTF-16, which no reader of env files understands: save it as UTF-8"))
    lines = re.findall(rb"[^\n]*\n|[^\n]+", content)
    begins = [index for index, line in enumerate(lines) if _bare(line) == BEGIN]
    ends = [index for index, line in enumerate(lines) if _bare(line) == END]
    if not begins and not ends:
        return EnvText(content, None, b"")
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ValueError(
            tr_lazy(
                "has a damaged managed block: remove its marker lines (>>> claude-cost, <<< claude-cost) and what "
                "stands between them"
            )
        )
    begin, end = begins[0], ends[0]
    mark = BOM if lines[begin].startswith(BOM) else b""
    return EnvText(b"".join(lines[:begin]) + mark, b"".join(lines[begin + 1 : end]), b"".join(lines[end + 1 :]))


def block_of(variables: Mapping[str, str]) -> bytes:
    """The lines between the markers."""
    return "".join(f"{name}={_written(value)}\n" for name, value in variables.items()).encode()


def not_read_by(value: str) -> tuple[str, ...]:
    """Readers that would get another value than this, because shells need quotes."""
    if _PLAIN.fullmatch(value):
        return ()
    return (DOCKER, DOTENV) if re.search(r"[$`]", value) else (DOCKER,)


def sets(content: bytes, name: str) -> bool:
    """Whether a line sets the variable."""
    pattern = rb"^(?:\xef\xbb\xbf)?[ \t]*(?:export[ \t]+)?" + re.escape(name.encode()) + rb"[ \t]*="
    return re.search(pattern, content, re.MULTILINE) is not None


def unfinished_line(before: bytes) -> tuple[int, str] | None:
    """The line that makes a shell read the block as part of it, and what it lacks; None if there is none."""
    text = before.removeprefix(BOM).decode("utf-8", "surrogateescape")
    if text and not text.endswith("\n"):
        text += "\n"
    quote, opened, line, position = "", 0, 1, 0
    word_begins = True
    while position < len(text):
        character = text[position]
        step = 1
        if character == "\\" and quote != "'":
            joined = text[position + 1] == "\n"
            # The marker that follows is still a comment if a word may begin there.
            if joined and position + 2 == len(text) and not quote and not word_begins:
                return line, tr_noop("ends with a backslash")
            line += joined
            word_begins = word_begins and joined
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote, opened = character, line
        elif character == "#" and word_begins:
            step = text.index("\n", position) - position
        line += character == "\n"
        word_begins = not quote and text[position + step - 1] in " \t\n;&|("
        position += step
    return (opened, tr_noop("leaves a quote open")) if quote else None


def _bare(line: bytes) -> bytes:
    return line.removeprefix(BOM).strip()


def _written(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'
