"""One response of the API as logs record it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.pricing.tokens import STANDARD, Terms, TokenCounts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970. `at`: aware."""
    return (at - EPOCH) // MICROSECOND


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens of one request to one model."""

    model: str
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Call:
    """One response of the API, or a sum of several as a report has them.

    `at`: aware UTC, None where the log has no time. `response`: the message id, None where the log has none.
    `session`: whose conversation it belongs to, None where the log does not say. `unsplit`: how many of the 5-minute
    writes were written without a lifetime. `inside`: how `counts` divides into requests, empty where it is one or not
    known; `outside`: what was billed besides `counts`; `odd`: iterations that could not be read. `is_sum`: `counts`
    are of several requests, whose prompts are longer than `prompts_above` and at most `prompts_to` tokens where that is
    known. `sums_session`: the record sums up the calls of
    its session, and counts only where those are nowhere else.
    """

    model: str
    counts: TokenCounts
    terms: Terms = STANDARD
    at: datetime | None = None
    feature: str | None = None
    user: str | None = None
    response: str | None = None
    session: str | None = None
    unsplit: int = 0
    inside: tuple[Part, ...] = ()
    outside: tuple[Part, ...] = ()
    odd: int = 0
    is_sum: bool = False
    prompts_above: int = 0
    prompts_to: int | None = None
    sums_session: bool = False
