"""Output of a command: if an answer cannot be written, it ends in a sentence and exit code 1, not in a traceback."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OutputError(Exception):
    """The answer cannot be written; the message is one sentence."""


def show(text: str) -> None:
    """Print an answer. Raises `OutputError`, and BrokenPipeError if the reader has gone, as in `… | head`."""
    if sys.stdout is None:
        raise OutputError("Cannot write the answer: standard output is closed.")
    encoding = sys.stdout.encoding or "utf-8"
    with _as_sentence():
        print(text.encode(encoding, "replace").decode(encoding))
    flush()


def flush() -> None:
    """Flush the buffer, so that a failure is noticed while it can be handled. Raises like `show`."""
    if sys.stdout is not None:
        with _as_sentence():
            sys.stdout.flush()


@contextmanager
def _as_sentence() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "standard output is closed"
        raise OutputError(f"Cannot write the answer: {reason[:1].lower()}{reason[1:]}.") from None


def complain(text: str) -> None:
    """Print to standard error, if there is one."""
    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def guarded(command: Callable[[], int]) -> int:
    """Run a command; returns its exit code, or 1 if its answer cannot be written."""
    try:
        try:
            return command()
        finally:
            # Output of argparse is still in the buffer, and the end of the process is too late for a sentence.
            flush()
    except OutputError as error:
        _forget_output()
        complain(str(error))
    except BrokenPipeError:
        # The reader has what it wanted: no error.
        _forget_output()
    return 1


def _forget_output() -> None:
    """Prevent the interpreter from writing failed output again at exit."""
    if sys.stdout is None:
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
