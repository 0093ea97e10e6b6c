"""The words of `claude-cost doctor`, apart from what the command needs to run."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `doctor`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
