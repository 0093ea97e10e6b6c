"""The words of `claude-cost doctor`, apart from what the command needs to run."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `doctor`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--rollups", action="store_true", help="also compare every sum by day with its rows, which reads everything"
    )
    parser.add_argument("--repair", action="store_true", help="like --rollups, and make sums that differ anew")
