"""What a command prints: an answer that cannot be written ends in a sentence and exit code 1, not in a traceback."""

import os
import sys
from collections.abc import Callable


class OutputError(Exception):
    """The answer cannot be written; the text is one sentence."""


def show(text: str) -> None:
    """Print an answer. Raises `OutputError`, and BrokenPipeError where the reader has gone, as in `… | head`."""
    if sys.stdout is None:
        raise OutputError("Cannot write the answer: standard output is closed.")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # Flushed here, so that a failure is noticed while somebody can handle it.
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "standard output is closed"
        raise OutputError(f"Cannot write the answer: {reason[:1].lower()}{reason[1:]}.") from None


def complain(text: str) -> None:
    """Print to standard error, where there is one."""
    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def guarded(command: Callable[[], int]) -> int:
    """Run a command that prints by `show`: its exit code, or 1 where its answer cannot be written."""
    try:
        return command()
    except OutputError as error:
        _forget_output()
        complain(str(error))
    except BrokenPipeError:
        # The reader has what it wanted; there is nothing to complain about.
        _forget_output()
    return 1


def _forget_output() -> None:
    """Let nothing be written at the end of the process that could not be written now."""
    if sys.stdout is None:
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
