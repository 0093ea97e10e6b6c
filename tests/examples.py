"""How many examples Hypothesis tries of a property. `pytest --hypothesis-profile=thorough` tries many more."""

from hypothesis import settings

SUITE, THOROUGH = "suite", "thorough"
EXAMPLES = {SUITE: 25, THOROUGH: 1_000}
"""The suite tries the same ones each time, so that it fails where something was changed; `thorough` looks for more."""


def register_profiles() -> None:
    """Without a deadline: a machine that does other things as well may be slow, which is no failure."""
    for name, examples in EXAMPLES.items():
        settings.register_profile(name, max_examples=examples, deadline=None, derandomize=name == SUITE)
    settings.load_profile(SUITE)


def one_in(divisor: int) -> int:
    """So many examples, of a property whose examples take long, for each `divisor` of the others."""
    return max(1, settings().max_examples // divisor)
