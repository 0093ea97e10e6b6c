"""The dated tables beside this module. Their types are checked by tests, so that reading them needs no library."""

import os
import tomllib
from typing import Any

Table = dict[str, Any]
"""A table as TOML has it: texts, whole numbers, dates, lists and tables."""


def packaged(name: str) -> Table:
    """The content of a TOML file of this package. Raises OSError and TOMLDecodeError: then the install is broken."""
    # Not importlib.resources: its imports take longer than the reading.
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return tomllib.load(file)
