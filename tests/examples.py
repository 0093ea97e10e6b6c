"""Number of examples that Hypothesis tries of a property.

`pytest --hypothesis-profile=thorough` tries many more, `fast` a third.
"""

from hypothesis import settings

FAST, SUITE, THOROUGH = "fast", "suite", "thorough"
EXAMPLES = {FAST: 8, SUITE: 25, THOROUGH: 1_000}
"""The suite tries the same ones each time, so that it fails where something was changed; `thorough` looks for more."""


def register_profiles() -> None:
    """Set no deadline: a busy machine may be slow, which is not a failure."""
    for name, examples in EXAMPLES.items():
        settings.register_profile(name, max_examples=examples, deadline=None, derandomize=name != THOROUGH)
    settings.load_profile(SUITE)


def one_in(divisor: int) -> int:
    """Number of examples for a property that is slow: the usual number divided by `divisor`."""
    return max(1, settings().max_examples // divisor)
