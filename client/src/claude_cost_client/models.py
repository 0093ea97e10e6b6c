# Written by `python -m tests.contract.client_copies`: change bot/pricing/rate_card.toml instead.
"""The models of claude-cost's rate card, as far as the ceiling of a mode asks about them."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple


class Model(NamedTuple):
    """`input`, `output`: USD per million tokens by the newest list price. `spellings`: further ids at Anthropic's API.

    `tokenizer`: 2 for Opus 4.7 and later, 1 for models before.
    """

    id: str
    family: str
    released: date
    tokenizer: int
    input: float
    output: float
    spellings: tuple[str, ...] = ()


MODELS = (
    Model("claude-fable-5-2", "fable", date(2026, 11, 9), 2, 8, 40),
    Model("claude-fable-5-1", "fable", date(2026, 9, 1), 2, 10, 50),
    Model("claude-fable-5", "fable", date(2026, 6, 9), 2, 10, 50),
    Model("claude-mythos-5-2", "mythos", date(2026, 11, 9), 2, 8, 40),
    Model("claude-mythos-5-1", "mythos", date(2026, 9, 1), 2, 10, 50),
    Model("claude-mythos-5", "mythos", date(2026, 6, 9), 2, 10, 50),
    Model("claude-opus-5-5", "opus", date(2026, 9, 22), 2, 4, 20),
    Model("claude-opus-5", "opus", date(2026, 7, 24), 2, 5, 25),
    Model("claude-opus-4-8", "opus", date(2026, 5, 28), 2, 5, 25),
    Model("claude-opus-4-7", "opus", date(2026, 4, 1), 2, 5, 25, ("claude-opus-4-7-20260416",)),
    Model("claude-opus-4-6", "opus", date(2026, 2, 1), 1, 5, 25, ("claude-opus-4-6-20260205",)),
    Model("claude-opus-4-5", "opus", date(2025, 11, 1), 1, 5, 25, ("claude-opus-4-5-20251101",)),
    Model("claude-opus-4-1", "opus", date(2025, 8, 5), 1, 15, 75, ("claude-opus-4-1-20250805",)),
    Model("claude-opus-4", "opus", date(2025, 5, 14), 1, 15, 75, ("claude-opus-4-0", "claude-opus-4-20250514")),
    Model("claude-3-opus", "opus", date(2024, 2, 29), 1, 15, 75, ("claude-3-opus-20240229", "claude-3-opus-latest")),
    Model("claude-sonnet-5-5", "sonnet", date(2026, 9, 30), 2, 2, 10),
    Model("claude-sonnet-5", "sonnet", date(2026, 6, 30), 2, 2, 10),
    Model("claude-sonnet-4-6", "sonnet", date(2026, 2, 1), 1, 3, 15, ("claude-sonnet-4-6-20260217",)),
    Model("claude-sonnet-4-5", "sonnet", date(2025, 9, 29), 1, 3, 15, ("claude-sonnet-4-5-20250929",)),
    Model("claude-sonnet-4", "sonnet", date(2025, 5, 14), 1, 3, 15, ("claude-sonnet-4-0", "claude-sonnet-4-20250514")),
    Model(
        "claude-3-7-sonnet",
        "sonnet",
        date(2025, 2, 19),
        1,
        3,
        15,
        ("claude-3-7-sonnet-20250219", "claude-3-7-sonnet-latest"),
    ),
    Model(
        "claude-3-5-sonnet",
        "sonnet",
        date(2024, 6, 20),
        1,
        3,
        15,
        ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest"),
    ),
    Model(
        "claude-3-sonnet", "sonnet", date(2024, 2, 29), 1, 3, 15, ("claude-3-sonnet-20240229", "claude-3-sonnet-latest")
    ),
    Model("claude-haiku-5-5", "haiku", date(2026, 10, 7), 2, 0.1, 0.5),
    Model("claude-haiku-4-5", "haiku", date(2025, 10, 1), 1, 1, 5, ("claude-haiku-4-5-20251001",)),
    Model(
        "claude-3-5-haiku",
        "haiku",
        date(2024, 10, 22),
        1,
        0.8,
        4,
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku-latest"),
    ),
    Model("claude-3-haiku", "haiku", date(2024, 3, 7), 1, 0.25, 1.25, ("claude-3-haiku-20240307",)),
    Model("claude-2.1", "claude", date(2023, 11, 21), 1, 8, 24),
    Model("claude-2.0", "claude", date(2023, 7, 11), 1, 8, 24, ("claude-2",)),
    Model(
        "claude-1.3",
        "claude",
        date(2023, 3, 14),
        1,
        8,
        24,
        ("claude-1.2", "claude-1.1", "claude-1.0", "claude-1", "claude-v1"),
    ),
    Model(
        "claude-instant-1.2",
        "instant",
        date(2023, 3, 14),
        1,
        0.8,
        2.4,
        ("claude-instant-1.1", "claude-instant-1.0", "claude-instant-1", "claude-instant"),
    ),
)
