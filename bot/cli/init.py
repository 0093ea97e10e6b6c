"""`claude-cost init`: asks for what the bot needs, checks each answer at once, and writes the file of settings."""

import argparse
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.cli.init_checks import Checks
from bot.cli.init_dialog import ADMINS, HARD, SECRETS, SOFT, Dialog, NotAcceptedError, normal, questions
from bot.cli.output import complain
from bot.cli.terminal import EndOfInputError, Terminal
from bot.clock import system_clock
from bot.config.env_edit import edited, replace_privately
from bot.config.env_file import (
    DEFAULT,
    SETTINGS,
    VARIABLE,
    EnvFile,
    env_file_path,
    find_env_file,
    is_open_to_others,
    missing,
)
from bot.config.settings import Need, SettingsError, load_settings

INTERRUPTED = 130

OPTIONS = {"channel": "CLAUDE_COST_CHANNEL", "soft": SOFT, "hard": HARD, "admins": ADMINS}
"""Options that answer a question. Secrets have none: other users of the machine can see the arguments of a command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `init`."""
    parser.add_argument("--file", metavar="PATH", help=f"the file to write (default: {VARIABLE}, or {DEFAULT})")
    parser.add_argument("--channel", metavar="ID", help="id of the alert channel")
    parser.add_argument("--soft", metavar="USD", help="soft limit of the month")
    parser.add_argument("--hard", metavar="USD", help="hard limit of the month")
    parser.add_argument("--admins", metavar="IDS", help="Slack ids of those who may change the mode and budgets")
    parser.add_argument(
        "--no-input",
        action="store_true",
        help="ask nothing: options, the environment (secrets there alone) and the file have every answer",
    )
    parser.add_argument("--replace", action="store_true", help="replace values of the file without asking")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 once the file is written, 1 if an answer is not accepted or the file cannot be written, 2 for wrong
    or missing answers.
    """
    os.umask(0o077)
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    terminal = Terminal(asks=not arguments.no_input)
    environ = {**os.environ, **({} if arguments.file is None else {VARIABLE: arguments.file})}
    given = {name: environ[name].strip() for name in _asked_for() if environ.get(name, "").strip()}
    given |= {name: value for option, name in OPTIONS.items() if (value := getattr(arguments, option)) is not None}
    given = {name: normal(name, value) for name, value in given.items()}
    try:
        file = _existing(environ)
        # The checks use proxies and certificates as well.
        others = missing(os.environ, file.values)
        os.environ.update({name: value for name, value in others.items() if name not in SETTINGS})
        dialog = Dialog(terminal, file, environ, given)
        dialog.go_through()
        _write(dialog, replaces=arguments.replace)
    except (SettingsError, EndOfInputError) as error:
        complain(f"{error} Nothing was written.")
        return 2
    except NotAcceptedError as error:
        complain(f"{error} Nothing was written.")
        return 1
    except KeyboardInterrupt:
        complain("\nNothing was written.")
        return INTERRUPTED
    return _say_what_is_next(dialog)


def _asked_for() -> list[str]:
    return [*(question.variable for question in questions(Checks(system_clock))), SOFT, HARD, ADMINS]


def _existing(environ: Mapping[str, str]) -> EnvFile:
    """The existing file, if it can be replaced at the end. Raises `SettingsError` and `NotAcceptedError`."""
    path, _ = env_file_path(environ)
    real = Path(os.path.realpath(path))
    if real.is_dir():
        raise NotAcceptedError(f"{path} is a directory: name another file with --file.")
    if not real.parent.is_dir():
        raise NotAcceptedError(f"There is no directory {real.parent}: make it, or name another file with --file.")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise NotAcceptedError(f"{real.parent} cannot be written: name a file elsewhere with --file.")
    file = find_env_file({VARIABLE: str(path)}) if real.exists() else None
    return EnvFile(path, (), ()) if file is None else file


def _write(dialog: Dialog, *, replaces: bool) -> None:
    """Write the changes. Raises `NotAcceptedError` if the user declines all of them, or writing fails."""
    file, changes = dialog.file, _changes(dialog)
    replaced = [name for name in changes if file.values.get(name)]
    if replaced and not replaces:
        listed = ", ".join(replaced)
        if not dialog.terminal.asks:
            raise NotAcceptedError(f"{file.path} has other values of {listed}: add --replace.")
        if not dialog.terminal.agrees(f"\nReplace {listed} in {file.path}? No keeps what it has and writes the rest."):
            changes = _without(replaced, changes, dialog)
    if not changes and not is_open_to_others(file.path, dialog.environ):
        return
    try:
        replace_privately(file.path, edited(file.entries, changes))
    except OSError as error:
        reason = (error.strerror or "it failed").lower()
        raise NotAcceptedError(f"{file.path} cannot be written ({reason}): correct that, or use --file.") from None
    except ValueError as error:
        raise NotAcceptedError(f"{file.path} cannot be written: {error}.") from None


def _without(kept: Sequence[str], changes: dict[str, str | None], dialog: Dialog) -> dict[str, str | None]:
    """The changes without those of `kept`, whose old values count again. Raises `NotAcceptedError` if none is left, or
    the old values do not fit the new ones.
    """
    names = {name.removesuffix("_FILE") for name in kept}
    rest = {name: value for name, value in changes.items() if name.removesuffix("_FILE") not in names}
    if not rest:
        raise NotAcceptedError(f"{dialog.file.path} is as it was.")
    for name in names:
        dialog.answers.pop(name, None)
    try:
        load_settings(dialog.effective(), Need.RUN)
    except SettingsError as error:
        raise NotAcceptedError(f"The rest does not fit what {dialog.file.path} has: {error}") from None
    dialog.terminal.say(f"Kept: {', '.join(kept)}.")
    return rest


def _changes(dialog: Dialog) -> dict[str, str | None]:
    """New lines; None removes a line: an empty one, or the other form of the same secret."""
    before = dialog.file.values
    changes: dict[str, str | None] = {}
    for name, answer in dialog.answers.items():
        if answer != before.get(name, ""):
            changes[name] = answer or None
        if name in SECRETS and answer and f"{name}_FILE" in before:
            changes[f"{name}_FILE"] = None
    for name in SECRETS.intersection(_asked_for()) - dialog.answers.keys():
        path = dialog.environ.get(f"{name}_FILE", "").strip()
        if path:
            changes |= {f"{name}_FILE": path} if before.get(f"{name}_FILE") != path else {}
            changes |= {name: None} if name in before else {}
    return changes


def _say_what_is_next(dialog: Dialog) -> int:
    """Exit code 1 if the bot would not start yet."""
    path, terminal = dialog.file.path, dialog.terminal
    terminal.say(f"\nThe settings are in {path}, which only you may read.")
    for name, answer in dialog.answers.items():
        if answer and dialog.environ.get(name, "").strip() not in ("", answer):
            terminal.say(f"Careful: the environment has another {name}, which counts before the file: unset it.")
    try:
        load_settings(dialog.effective(), Need.RUN)
    except SettingsError as error:
        terminal.say(f"The bot would not start yet: {error}")
        return 1
    command = _command(path)
    terminal.say(f"Next:\n  {command} doctor    checks the whole set-up\n  {command} run       starts the bot")
    return 0


def _command(file: Path) -> str:
    """Command that starts the bot with this file from here."""
    called = sys.argv[0] if sys.argv else ""
    is_elsewhere = Path(called).name == "claude-cost" and shutil.which("claude-cost") is None
    command = shlex.quote(called) if is_elsewhere else "claude-cost"
    return command if file == Path(DEFAULT).absolute() else f"{VARIABLE}={shlex.quote(str(file))} {command}"
