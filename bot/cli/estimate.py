"""`claude-cost estimate WORDS…`: the same as `/claude-cost estimate`, on the terminal."""

import argparse

from bot.cli.command_parser import PlainHelpText
from bot.cli.output import complain, show
from bot.clock import system_clock
from bot.pricing.card import load_rate_card
from bot.pricing.estimate import estimate
from bot.pricing.estimate_text import estimate_json, estimate_text
from bot.pricing.words import EXAMPLES, MEANINGS, WordsError, parse_workload
from bot.typed_text import cleaned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `estimate`; `--json` may be anywhere among them."""
    parser.usage = "claude-cost estimate [--json] MODEL requests=N in=TOKENS out=TOKENS [WORD…]"
    parser.formatter_class = PlainHelpText
    parser.epilog = "\n".join(help_lines())
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="the workload, in any order")
    parser.set_defaults(print_help=parser.print_help)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 2 for invalid words."""
    words: list[str] = arguments.words
    words = words[1:] if words[:1] == ["--"] else words
    as_json = arguments.json or any(_is_json(word) for word in words)
    words = [word for word in words if not _is_json(word)]
    if {"-h", "--help"} & set(words) or [word.lower() for word in words] in (["help"], ["?"]):
        arguments.print_help()
        return 0
    if not words:
        complain(f"No workload is given: type one, as in claude-cost estimate {EXAMPLES[0]}.")
        return 2
    card = load_rate_card()
    try:
        workload = parse_workload(" ".join(words), card)
    except WordsError as error:
        complain(str(error))
        return 2
    if workload.name is not None:
        complain("as= keeps an estimate in Slack: type it there, or leave as out.")
        return 2
    result = estimate(workload, card, system_clock().date())
    if as_json:
        import json

        show(json.dumps(estimate_json(result), indent=2))
    else:
        show(estimate_text(result))
    return 0


def _is_json(word: str) -> bool:
    """Accepts `—json` too, as phones write it."""
    plain = cleaned(word)
    return plain.startswith("-") and plain.lstrip("-") == "json"


def help_lines() -> list[str]:
    """Every word with its meaning, and examples."""
    width = max(len(word) for word, _ in MEANINGS)
    lines = [f"  {word.ljust(width)}  {meaning.replace('`', '')}" for word, meaning in MEANINGS]
    return ["words, in any order:", *lines, "", "examples:", *(f"  claude-cost estimate {text}" for text in EXAMPLES)]
