"""Compare `cost_of` with the bare formula: five counts times five prices as `Decimal`, measured in the same run.

    python benchmarks/cost_of.py

Prints microseconds of CPU per usage and the ratio. The two alternate, and the fastest of many rounds counts: slower
rounds only show other load on the machine. The bare formula gets its prices beforehand.
"""

import time
from collections.abc import Callable
from datetime import date

from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of, unit_prices
from bot.pricing.tokens import STANDARD, Terms, TokenCounts

CALLS, ROUNDS = 1_000, 200
DAY = date(2026, 11, 2)
USAGES = {
    "all five kinds": ("claude-sonnet-5-5", TokenCounts(1_000, 200, 300, 4_000, 500), Terms("standard", "global")),
    "input and output": ("claude-opus-5-5", TokenCounts(2_000, output_tokens=500), STANDARD),
    "dated id, with a step": ("claude-sonnet-4-5-20250929", TokenCounts(1_000, 200, 300, 4_000, 500), STANDARD),
    "unknown model, batch": ("claude-opus-9", TokenCounts(1_000, 200, 300, 4_000, 500), Terms("batch")),
}


def main() -> None:
    """Print the table."""
    print(f"{'usage':24}{'bare µs':>9}{'cost_of µs':>12}{'ratio':>7}")  # noqa: T201
    card = load_rate_card()
    for name, (model, counts, terms) in USAGES.items():
        uncached, write_5m, write_1h, read, output, _ = unit_prices(card, model, terms, DAY).usd_per_token

        def bare(c: TokenCounts = counts, p=(uncached, write_5m, write_1h, read, output)) -> object:  # type: ignore[no-untyped-def]
            return (
                c.uncached_input_tokens * p[0]
                + c.cache_creation_5m_input_tokens * p[1]
                + c.cache_creation_1h_input_tokens * p[2]
                + c.cache_read_input_tokens * p[3]
                + c.output_tokens * p[4]
            )

        def product(c: TokenCounts = counts, model: str = model, terms: Terms = terms) -> object:
            return cost_of(card, model, c, terms, DAY, prompt_tokens=5_500)

        floor, ours = fastest(bare, product)
        print(f"{name:24}{floor:9.2f}{ours:12.2f}{ours / floor:7.2f}")  # noqa: T201


def fastest(*calls: Callable[[], object]) -> list[float]:
    """Microseconds of CPU per call of each, alternating."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for at, call in enumerate(calls):
            began = time.process_time_ns()
            for _ in range(CALLS):
                call()
            best[at] = min(best[at], (time.process_time_ns() - began) / CALLS / 1_000)
    return best


if __name__ == "__main__":
    main()
