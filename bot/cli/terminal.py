"""Questions on the terminal. Answers come from people, whose secrets are not echoed, or from lines of a pipe."""

import getpass
import locale
import shutil
import sys
import textwrap
import warnings
from contextlib import suppress

from bot.cli.output import show
from bot.secret_shapes import looks_secret, one_line

NARROWEST = 40
"""Narrowest width in columns: a narrower terminal breaks the lines itself."""


class EndOfInputError(Exception):
    """There is nobody to answer; the message is one sentence."""


class Terminal:
    """`asks`: whether questions are allowed."""

    def __init__(self, *, asks: bool = True) -> None:
        self.asks = asks and sys.stdin is not None
        self._is_person = self.asks and sys.stdin.isatty()
        if self.asks and not self._is_person:
            with suppress(AttributeError):  # Replacements of standard input.
                sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]

    def say(self, text: str) -> None:
        """Print lines without breaking words at the edge of the terminal. Raises like `show`."""
        if self._is_person and sys.stdout is not None and sys.stdout.isatty():
            width = max(shutil.get_terminal_size().columns - 1, NARROWEST)
            text = "\n".join(_filled(line, width) for line in text.split("\n"))
        show(text)

    def ask(self, prompt: str, *, is_secret: bool = False) -> str:
        """The answer, stripped. Raises `EndOfInputError`, and KeyboardInterrupt at Ctrl-C."""
        if not self.asks:
            raise EndOfInputError(f"There is no answer to “{one_line(prompt)}”, and nobody may be asked.")
        try:
            answer = self._from_person(_drawn(prompt), is_secret) if self._is_person else self._from_input(prompt)
        except EOFError:
            raise EndOfInputError(f"The input ended before the answer to “{one_line(prompt)}”.") from None
        answer = answer.strip()
        if self._is_person and not is_secret and looks_secret(answer):
            self.say("That looks like a secret, and it was shown on this screen: clear it, or revoke the secret.")
        return answer

    def agrees(self, prompt: str, *, enter: bool = False) -> bool:
        """Whether the answer is yes. `enter`: what an empty answer means; anything else is no. Raises like `ask`."""
        answer = self.ask(f"{prompt} {'[Y/n]' if enter else '[y/N]'} ").lower()
        return answer in ("y", "yes") or (enter and not answer)

    def _from_input(self, prompt: str) -> str:
        show(prompt.rstrip())
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    def _from_person(self, prompt: str, is_secret: bool) -> str:
        try:
            if not is_secret:
                return input(prompt)
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)
                return getpass.getpass(prompt)
        except getpass.GetPassWarning:
            raise EndOfInputError(
                "This terminal would show the secret as you type it: set it in the environment instead."
            ) from None
        except UnicodeDecodeError:
            return "\N{REPLACEMENT CHARACTER}"


def _filled(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def _drawn(text: str) -> str:
    """`text` reduced to characters that the terminal can show."""
    encoding = locale.getencoding()
    return text.encode(encoding, "replace").decode(encoding)
