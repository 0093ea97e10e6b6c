"""What of the ledger is configured."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class LedgerRules:
    """`keep`: how long events are kept once they have come; their sums stay for ever.

    `hash_users`: whether ids of users are stored as keyed hashes only.
    """

    keep: timedelta = timedelta(days=35)
    hash_users: bool = False
