"""The words of `claude-cost run`, apart from what the command needs to run."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `run`."""
    parser.add_argument("--once", action="store_true", help="poll, decide and deliver once, then exit (for cron)")
