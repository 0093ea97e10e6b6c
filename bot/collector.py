"""Python's garbage collector, set so that no collection stalls the event loop.

A collection stops every thread, for as long as it takes to look at the objects. What the start made, mostly
modules, stays until the end, so it is never looked at again. What is young is collected in portions that bound each
stop to some milliseconds; a full collection, which looks at everything, is left for what cycles of references have
gathered over days.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""New objects, less those that are gone, after which the young are collected."""

MIDDLE = 10
"""Collections of the young after which those that survived are collected too: at most 100,000 objects."""

FULL = 1_000
"""Collections of those after which everything is."""


@contextmanager
def calm_collector() -> Iterator[None]:
    """For as long as the bot runs. To be entered once everything is built, since it begins with a full collection."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, FULL)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
