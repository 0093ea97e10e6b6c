"""Movers and causes: who moved spend between two stretches, and which changes of usage explain how many USD."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from bot.budgets.budget import Scope
from bot.budgets.spend import ZERO, PricedUsage, in_scope
from bot.clock import DAY, HOUR, floor_hour
from bot.pricing.card import RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import STANDARD, TokenCounts, same_text
from bot.usage.model import DayUsage

LEAST_KNOWN = timedelta(hours=6)
MOST_MOVERS = 3
WHOLE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Usage from `starts_at` to `ends_at` and the share of it that counts.

    Older usage is kept by the hour, and the last 24 hours seldom begin with one: the cut hour counts by the share that
    lies in them, as if its usage were spread evenly.
    """

    starts_at: datetime
    ends_at: datetime
    share: Decimal


@dataclass(frozen=True, slots=True)
class RecentWindow:
    """The last 24 hours and the 24 hours before, each as a list of stretches."""

    last: tuple[Stretch, ...]
    before: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class RecentUsage:
    """A row of recent usage, with the USD that count."""

    priced: PricedUsage
    share: Decimal

    @property
    def usd(self) -> Decimal:
        return self.priced.cost.usd * self.share


@dataclass(frozen=True, slots=True)
class Recent:
    """Usage of the last 24 hours and of the 24 hours before, and how much of the last is known."""

    last: Sequence[RecentUsage]
    before: Sequence[RecentUsage]
    covered: timedelta


@dataclass(frozen=True, slots=True)
class Mover:
    """USD of one (model, workspace, key) in the last 24 hours; `before_usd` is None without usage before."""

    model: str
    workspace_id: str
    api_key_id: str | None
    usd: Decimal
    before_usd: Decimal | None


def recent_window(as_of: datetime) -> RecentWindow:
    """The 24 hours up to `as_of`, and the 24 hours before those."""
    border = floor_hour(as_of - DAY)
    inside = _seconds(border + HOUR - (as_of - DAY)) / _seconds(HOUR)
    return RecentWindow(
        last=(Stretch(border, border + HOUR, inside), Stretch(border + HOUR, as_of, WHOLE)),
        before=(
            Stretch(border - DAY, border - DAY + HOUR, inside),
            Stretch(border - DAY + HOUR, border, WHOLE),
            Stretch(border, border + HOUR, WHOLE - inside),
        ),
    )


def usd_of(recent: Recent, scope: Scope, card: RateCard) -> Decimal:
    """USD of the scope in the last 24 hours; zero with less than 6 hours of data."""
    if recent.covered < LEAST_KNOWN:
        return ZERO
    return sum((row.usd for row in _in_scope(recent.last, scope, card)), ZERO)


def usd_under(ceiling: str, recent: Recent, scope: Scope, card: RateCard) -> Decimal:
    """USD of the scope's last 24 hours if this model had been the ceiling."""
    return sum(
        (_cost_under(ceiling, row.priced, card) * row.share for row in _in_scope(recent.last, scope, card)), ZERO
    )


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta.resolution) / 1_000_000


def _in_scope(rows: Iterable[RecentUsage], scope: Scope, card: RateCard) -> Iterator[RecentUsage]:
    return (row for row in rows if in_scope(scope, row.priced.usage, card))


def costs_more(model_id: str, than: str, on: date, card: RateCard) -> bool:
    """Whether a service on this model moves if the other one is the ceiling."""
    return _rank(card, model_id, on) > _rank(card, than, on)


def _cost_under(ceiling: str, row: PricedUsage, card: RateCard) -> Decimal:
    usage = row.usage
    if not costs_more(usage.model, ceiling, usage.day, card):
        return row.cost.usd
    counts = retokenized(usage, ceiling, card)
    return cost_of(card, ceiling, counts, usage.terms, usage.day, prompt_tokens=usage.prompt_tokens).usd


def _rank(card: RateCard, model_id: str, on: date) -> tuple[Decimal, Decimal]:
    rates = card.resolve(model_id, on).rates
    return rates.output, rates.input


def retokenized(usage: DayUsage, ceiling: str, card: RateCard) -> TokenCounts:
    """Tokens of the same text on another model."""
    now = card.resolve(usage.model, usage.day).model.tokenizer
    then = card.resolve(ceiling, usage.day).model.tokenizer

    def scaled(tokens: int) -> int:
        return same_text(tokens, now, then)

    counts = usage.counts
    return counts._replace(
        uncached_input_tokens=scaled(counts.uncached_input_tokens),
        cache_creation_5m_input_tokens=scaled(counts.cache_creation_5m_input_tokens),
        cache_creation_1h_input_tokens=scaled(counts.cache_creation_1h_input_tokens),
        cache_read_input_tokens=scaled(counts.cache_read_input_tokens),
        output_tokens=scaled(counts.output_tokens),
    )


MOST_CAUSES = 3

LEAST_USD = Decimal("0.50")
"""Smallest cause worth naming, whatever share of a small sum it is."""

LEAST_SHARE = Decimal("0.05")
"""Smallest share of the scope's USD that a cause explains."""

LEAST_RISE = Decimal("1.25")
"""Smallest rise: traffic and answers differ by a quarter from day to day without a change."""

LEAST_FALL = Decimal("0.05")
"""Smallest fall of the share of input read from cache, or of tokens in batches: shares vary by some points. A cache
miss costs ten times as much as a hit, so from 98 % a few points are enough to move a budget.
"""

TRACES = Decimal("0.05")
"""Trying out a mode on a smaller share of tokens is not yet its use."""

ALL_INPUT = ("input", "cache_write_5m", "cache_write_1h", "cache_read")
WRITTEN_OR_UNCACHED = ALL_INPUT[:-1]
TOKENS = (*ALL_INPUT, "output")


class CauseKind(StrEnum):
    """What changed. Values before and after are USD, unless listed here.

    `cache_read_fell`: shares of the input · `batch_fell`: shares of all tokens · `tokens_rose`: tokens of all kinds.
    """

    NEW_MODEL = "new_model"
    CACHE_READ_FELL = "cache_read_fell"
    CACHE_WRITES_1H_ROSE = "cache_writes_1h_rose"
    OUTPUT_ROSE = "output_rose"
    TOKENS_ROSE = "tokens_rose"
    FAST_MODE = "fast_mode"
    US_ONLY = "us_only"
    BATCH_FELL = "batch_fell"


ROSE = frozenset({CauseKind.NEW_MODEL, CauseKind.TOKENS_ROSE, CauseKind.OUTPUT_ROSE, CauseKind.CACHE_WRITES_1H_ROSE})
"""Kinds that a mode can cause by moving usage to a model."""


@dataclass(frozen=True, slots=True)
class Cause:
    """`usd`: about how many USD of the later stretch it explains. `before` is zero if there was none."""

    kind: CauseKind
    model: str
    workspace_id: str
    api_key_id: str | None
    usd: Decimal
    before: Decimal
    after: Decimal


Caller = tuple[str, str, str | None]


@dataclass(slots=True)
class _Sums:
    """A caller's usage of one stretch. `plain`: USD by kind of token without batch, region and speed."""

    usd: Decimal = ZERO
    tokens: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(TOKENS, ZERO))
    plain: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(TOKENS, ZERO))
    fast_tokens: Decimal = ZERO
    us_tokens: Decimal = ZERO
    batch_tokens: Decimal = ZERO
    fast_usd: Decimal = ZERO
    us_usd: Decimal = ZERO

    @property
    def all_tokens(self) -> Decimal:
        return sum(self.tokens.values(), ZERO)

    def share(self, tokens: Decimal) -> Decimal:
        """Share of all tokens; zero without any."""
        return tokens / self.all_tokens if self.all_tokens else ZERO

    @property
    def cache_read_share(self) -> Decimal:
        """Share of the input; zero without any."""
        prompt = sum((self.tokens[kind] for kind in ALL_INPUT), ZERO)
        return self.tokens["cache_read"] / prompt if prompt else ZERO


def causes(
    recent: Recent,
    scope: Scope,
    card: RateCard,
    new_models: AbstractSet[str],
    *,
    total_usd: Decimal | None = None,
) -> tuple[Cause, ...]:
    """The three largest causes of the scope's last stretch against the one before, largest first.

    Both stretches are weighted by the shares of their rows, so lengths may differ. `new_models`: never used before the
    last stretch. `total_usd`: of the scope, if callers too small to matter have been left out.
    """
    last, before = (_by_caller(rows, scope, card) for rows in (recent.last, recent.before))
    total_usd = sum((sums.usd for sums in last.values()), ZERO) if total_usd is None else total_usd
    least = max(LEAST_USD, LEAST_SHARE * total_usd)
    found = [
        cause
        for caller, after in last.items()
        if after.usd >= least
        for cause in _of_caller(caller, before.get(caller), after, card, new_models)
    ]
    worth = sorted((cause for cause in found if cause.usd >= least), key=lambda cause: -cause.usd)
    return tuple(_once_per_model(worth))[:MOST_CAUSES]


def _once_per_model(found: Iterable[Cause]) -> Iterator[Cause]:
    """Report a new model once, however many callers use it."""
    seen: set[str] = set()
    for cause in found:
        if cause.kind is CauseKind.NEW_MODEL:
            if cause.model in seen:
                continue
            seen.add(cause.model)
        yield cause


def _of_caller(
    caller: Caller, before: _Sums | None, after: _Sums, card: RateCard, new_models: AbstractSet[str]
) -> Iterator[Cause]:
    def cause(kind: CauseKind, usd: Decimal, was: Decimal, is_now: Decimal) -> Cause:
        return Cause(kind, *caller, usd, was, is_now)

    if caller[0] in new_models:
        yield cause(CauseKind.NEW_MODEL, after.usd, ZERO, after.usd)
    earlier = before or _Sums()
    for kind, was, is_now, usd in (
        (CauseKind.FAST_MODE, earlier.fast_tokens, after.fast_tokens, after.fast_usd),
        (CauseKind.US_ONLY, earlier.us_tokens, after.us_tokens, after.us_usd),
    ):
        if earlier.share(was) < TRACES <= after.share(is_now):
            yield cause(kind, usd, ZERO, usd)
    if before is None or not before.all_tokens or not after.all_tokens:
        # Everything rose for a new caller, which the movers already show.
        return
    growth = after.all_tokens / before.all_tokens
    if growth >= LEAST_RISE:
        yield cause(CauseKind.TOKENS_ROSE, before.usd * (growth - 1), before.all_tokens, after.all_tokens)
    fell = before.cache_read_share - after.cache_read_share
    if fell >= LEAST_FALL:
        usd = _costlier_input(fell, before, after)
        yield cause(CauseKind.CACHE_READ_FELL, usd, before.cache_read_share, after.cache_read_share)
    for kind, name in ((CauseKind.CACHE_WRITES_1H_ROSE, "cache_write_1h"), (CauseKind.OUTPUT_ROSE, "output")):
        # Growth of the kind beyond all the others.
        expected = before.plain[name] * growth
        if after.plain[name] >= max(expected * LEAST_RISE, before.plain[name] * LEAST_RISE):
            yield cause(kind, after.plain[name] - expected, before.plain[name], after.plain[name])
    batch, batch_after = before.share(before.batch_tokens), after.share(after.batch_tokens)
    if batch - batch_after >= LEAST_FALL:
        lost = sum(after.plain.values(), ZERO) * (batch - batch_after) * (1 - card.batch_factor)
        yield cause(CauseKind.BATCH_FELL, lost, batch, batch_after)


def _costlier_input(fell: Decimal, before: _Sums, after: _Sums) -> Decimal:
    """Extra cost of the input that is no longer read from the cache."""
    tokens = sum((after.tokens[kind] for kind in WRITTEN_OR_UNCACHED), ZERO)
    usd = sum((after.plain[kind] for kind in WRITTEN_OR_UNCACHED), ZERO)
    if not tokens:
        # Only output.
        return ZERO
    read = before.plain["cache_read"] / before.tokens["cache_read"]
    return fell * (tokens + after.tokens["cache_read"]) * (usd / tokens - read)


def _by_caller(rows: Iterable[RecentUsage], scope: Scope, card: RateCard) -> dict[Caller, _Sums]:
    callers: dict[Caller, _Sums] = {}
    for row in rows:
        usage = row.priced.usage
        if not in_scope(scope, usage, card):
            continue
        sums = callers.setdefault((usage.model, usage.workspace_id, usage.api_key_id), _Sums())
        sums.usd += row.usd
        plain = cost_of(card, usage.model, usage.counts, STANDARD, usage.day, prompt_tokens=usage.prompt_tokens)
        tokens = ZERO
        for line in plain.lines:
            if line.kind in sums.tokens:
                sums.tokens[line.kind] += line.tokens * row.share
                sums.plain[line.kind] += line.usd * row.share
                tokens += line.tokens * row.share
        terms = usage.terms
        if terms.service_tier == "batch":
            sums.batch_tokens += tokens
        elif terms.speed == "fast":
            # Batches never run fast.
            sums.fast_tokens += tokens
            sums.fast_usd += row.usd - plain.usd * row.share
        if terms.inference_geo == "us":
            sums.us_tokens += tokens
            sums.us_usd += row.usd * (1 - 1 / card.us_factor)
    return callers
