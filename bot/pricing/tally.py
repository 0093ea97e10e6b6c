"""Sums over single calls: tokens are added up by everything that changes their price, dollars derived at the end.

The order of calls does not matter, except where a log holds running totals; every sum is exact.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from decimal import Decimal

from bot.pricing.call import Call, Part
from bot.pricing.card import RateCard
from bot.pricing.cost import Cost, cost_of
from bot.pricing.file_calls import FileCalls
from bot.pricing.model_ids import Kind, kind_of
from bot.pricing.responses import NO_TIME, STATE, Responses
from bot.pricing.running_totals import LONGEST_PROMPT, RunningTotals
from bot.pricing.sums import NOTHING, Place, Prompt, Sum, Sums
from bot.pricing.tokens import TokenCounts

UNKNOWN = "unknown"
"""The name of the day, feature or user of calls that do not say theirs."""

DAY = 24 * 60 * 60 * 1_000_000
"""Microseconds."""

KNOWN_TIERS = frozenset({None, "standard", "priority", "batch"})
"""Service tiers with a published price; Priority Tier is billed as standard beyond what was committed."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Calls of a model that is in no price table. `how` is one clause, `usd` is contained in the total."""

    calls: int
    usd: Decimal
    how: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything that a pile of calls comes to.

    `by_day`, `by_feature` and `by_user` have the key `unknown` for calls that do not say. `at_least`: model → calls
    whose true price may be higher. `outside`: responses that were billed for tokens besides their own counts, and
    what those come to; `odd_iterations` of them could not be read. `tiers`: unknown service tier → calls, priced as
    standard. `beyond`: model → calls whose prompt is longer than any model reads. `sums`: records that sum up several
    requests. `not_claude`: other vendors' model → calls, in no sum. `repeats`: records of a response already counted.
    `running_totals`: records left out, since later ones contain them, and the files they are in. `session_sums`:
    records left out, since the calls of their session are counted one by one.
    """

    total: Sum
    by_model: Mapping[str, Sum]
    by_day: Mapping[str, Sum]
    by_feature: Mapping[str, Sum]
    by_user: Mapping[str, Sum]
    assumed: Mapping[str, Assumption]
    at_least: Mapping[str, int]
    outside: Sum
    odd_iterations: int
    tiers: Mapping[str, int]
    beyond: Mapping[str, int]
    sums: int
    not_claude: Mapping[str, int]
    repeats: int
    running_totals: int
    running_totals_in: tuple[str, ...]
    session_sums: int

    @property
    def assumed_usd(self) -> Decimal:
        return sum((one.usd for one in self.assumed.values()), Decimal(0))


@dataclass(frozen=True, slots=True)
class Pile:
    """What a pile of calls comes to before it is priced: tokens, and no dollars. See `Totals` for the names."""

    sums: list[tuple[Place, int, TokenCounts]]
    outside: list[tuple[Place, int, TokenCounts]]
    odd_iterations: int
    sum_records: int
    not_claude: dict[str, int]
    repeats: int
    running_totals: int
    running_totals_in: tuple[str, ...]
    session_sums: int


class Tally:
    """Adds calls up. `today`: the UTC day at whose rates calls without a time are priced. `zone`: that of `by_day`.

    Memory grows with the different models, days, features, users and sessions, and by some 200 bytes with each
    response that has an id, since its repeats may still come; not with the number of calls.
    """

    def __init__(self, card: RateCard, today: date, zone: tzinfo = UTC) -> None:
        self._card = card
        self._today = today
        self._zone = zone
        self._counted = _Counted(self._place)
        self._responses = Responses()
        self._running = RunningTotals(self._place)
        self._steps: dict[tuple[str, date], int | None] = {}
        self._sum_records = 0
        self._not_claude: Counter[str] = Counter()
        self._sessions: set[str] = set()
        self._session_sums: list[Call] = []
        self._claude: dict[str, bool] = {}

    def file(self, name: str) -> FileCalls:
        """A place for the calls of a file, which count once they are included."""
        return FileCalls(name, self._is_claude, self._responses.numbers)

    def add(self, call: Call, source: str = "") -> None:
        """Count a call of a file, or correct what was counted where it says more of the same response."""
        one = self.file(source)
        one.add(call)
        self.include(one)

    def include(self, calls: FileCalls) -> None:
        """Count the calls of a file, or of its next part."""
        self._not_claude.update(calls.not_claude)
        self._sessions |= calls.sessions
        self._responses.include(calls.responses)
        for call in calls.nameless:
            self._sum_records += call.is_sum and not call.sums_session
            if call.sums_session:
                self._session_sums.append(call)
                continue
            is_plain = not (call.is_sum or call.inside or call.outside or call.odd)
            if not is_plain or not self._running.holds(call, calls.name):
                self._counted.add(call)

    def totals(self) -> Totals:
        """The sums so far."""
        return self.priced(self.pile())

    def pile(self) -> Pile:
        """The sums so far, not yet priced."""
        held = self._running.settled()
        counted = _Counted(self._place)
        counted.include(self._counted)
        counted.sums.include(held.sums)
        self._count_responses(counted)
        left_out = 0
        for call in self._session_sums:
            if call.session is not None and call.session in self._sessions:
                left_out += 1
            else:
                counted.sums.add(self._place(call, True), 1, call.counts)
        return Pile(
            sums=list(counted.sums.places()),
            outside=list(counted.outside.places()),
            odd_iterations=counted.odd,
            sum_records=self._sum_records + len(self._session_sums) - left_out,
            not_claude=dict(self._not_claude),
            repeats=self._responses.repeats,
            running_totals=held.left_out,
            running_totals_in=held.files,
            session_sums=left_out,
        )

    def priced(self, pile: Pile) -> Totals:
        """A pile at the prices of this card."""
        found = _Totals(self, pile.sums)
        return Totals(
            total=_sum(found.by_model.values()),
            by_model=found.by_model,
            by_day=found.by_day,
            by_feature=found.by_feature,
            by_user=found.by_user,
            assumed={model: _together(parts) for model, parts in found.assumed.items()},
            at_least=found.at_least,
            outside=_sum(Sum(calls, counts, self.cost(place, counts).usd) for place, calls, counts in pile.outside),
            odd_iterations=pile.odd_iterations,
            tiers=found.tiers,
            beyond=found.beyond,
            sums=pile.sum_records,
            not_claude=pile.not_claude,
            repeats=pile.repeats,
            running_totals=pile.running_totals,
            running_totals_in=pile.running_totals_in,
            session_sums=pile.session_sums,
        )

    def cost(self, place: Place, counts: TokenCounts) -> Cost:
        """What the tokens of a place cost."""
        on = self._today if place.day is None else place.day
        prompt_tokens: int | None = 0
        if place.prompt is Prompt.LONG:
            # Any prompt on the same side of the step stands for all of this place.
            prompt_tokens = (self._step(place.model, on) or 0) + 1
        elif place.prompt is not Prompt.SHORT:
            prompt_tokens = None
        return cost_of(self._card, place.model, counts, place.terms, on, prompt_tokens=prompt_tokens)

    def _count_responses(self, counted: "_Counted") -> None:
        """Each response once. Those of one day under the same names differ in their numbers alone."""
        responses, sums = self._responses, counted.sums
        in_utc = self._zone is UTC
        places: dict[tuple[int, int], tuple[int, list[list[int]]]] = {}
        for key, state in responses.states.items():
            number, uncached, split, one_hour, read, output, searches, writes, first, _ = STATE.unpack(state)
            if key in responses.parts or first == NO_TIME or not in_utc or responses.names[number][-1]:
                counted.add(responses.whole(key, state))
                continue
            day = first // DAY
            found = places.get((number, day))
            if found is None:
                found = places[number, day] = self._of_day(responses.whole(key, state), sums)
            step, by_prompt = found
            five_minutes = max(split, writes - one_hour)
            prompt = uncached + five_minutes + one_hour + read
            kind = Prompt.SHORT if prompt <= step else Prompt.BEYOND if prompt > LONGEST_PROMPT else Prompt.LONG
            numbers = by_prompt[kind]
            numbers[0] += 1
            numbers[1] += uncached
            numbers[2] += five_minutes
            numbers[3] += one_hour
            numbers[4] += read
            numbers[5] += output
            numbers[6] += searches

    def _of_day(self, call: Call, sums: Sums) -> tuple[int, list[list[int]]]:
        """The step of the price of such calls, and their numbers in the sums by the kind of prompt."""
        place = self._place(call, False)
        step = self._step(call.model, place.day or self._today)
        return (
            LONGEST_PROMPT if step is None else min(step, LONGEST_PROMPT),
            [sums.numbers(place._replace(prompt=prompt)) for prompt in Prompt],
        )

    def _is_claude(self, model: str) -> bool:
        known = self._claude.get(model)
        if known is None:
            known = self._claude[model] = kind_of(model, self._card) is not Kind.NOT_CLAUDE
        return known

    def _place(self, call: Call, is_sum: bool, part: Part | None = None) -> Place:
        model, counts = (call.model, call.counts) if part is None else (part.model, part.counts)
        day = shown = None
        if call.at is not None:
            day = call.at.date()
            shown = day if self._zone is UTC else call.at.astimezone(self._zone).date()
        step = self._step(model, day or self._today)
        if is_sum:
            prompt = Prompt.SEVERAL
            if step is not None and (call.prompts_above >= step or (call.prompts_to or step + 1) <= step):
                prompt = Prompt.LONG if call.prompts_above >= step else Prompt.SHORT
        elif counts.prompt_tokens > LONGEST_PROMPT:
            prompt = Prompt.BEYOND
        else:
            prompt = Prompt.LONG if step is not None and counts.prompt_tokens > step else Prompt.SHORT
        return Place(model, day, shown, prompt, call.terms, call.feature, call.user)

    def _step(self, model: str, on: date) -> int | None:
        key = model, on
        if key not in self._steps:
            step = self._card.resolve(model, on).rates.step
            self._steps[key] = None if step is None else step.above_prompt_tokens
        return self._steps[key]


class _Counted:
    """Calls by place, and what they were billed for outside of their own counts."""

    def __init__(self, place_of: Callable[[Call, bool, Part | None], Place]) -> None:
        self.sums = Sums()
        self.outside = Sums()
        self.odd = 0
        self._place_of = place_of

    def include(self, other: "_Counted") -> None:
        """Add all of another one."""
        self.sums.include(other.sums)
        self.outside.include(other.outside)
        self.odd += other.odd

    def add(self, call: Call) -> None:
        """Count a call."""
        if not (call.inside or call.outside or call.odd):
            self.sums.add(self._place_of(call, call.is_sum, None), 1, call.counts)
            return
        calls = 1
        for part in _requests(call):
            self.sums.add(self._place_of(call, call.is_sum, part), calls, part.counts)
            calls = 0
        self.odd += call.odd
        calls = 1
        for part in call.outside:
            place = self._place_of(call, call.is_sum, part)
            self.sums.add(place, 0, part.counts)
            # The responses are counted, not the parts of one.
            self.outside.add(place, calls, part.counts)
            calls = 0


class _Totals:
    """One pass over all places."""

    def __init__(self, tally: Tally, sums: Iterable[tuple[Place, int, TokenCounts]]) -> None:
        self.by_model: dict[str, Sum] = {}
        self.by_day: dict[str, Sum] = {}
        self.by_feature: dict[str, Sum] = {}
        self.by_user: dict[str, Sum] = {}
        self.assumed: dict[str, list[Assumption]] = {}
        self.at_least: Counter[str] = Counter()
        self.tiers: Counter[str] = Counter()
        self.beyond: Counter[str] = Counter()
        for place, calls, counts in sums:
            cost = tally.cost(place, counts)
            part = Sum(calls, counts, cost.usd)
            _add(self.by_model, place.model, part)
            _add(self.by_day, UNKNOWN if place.shown is None else place.shown.isoformat(), part)
            _add(self.by_feature, place.feature or UNKNOWN, part)
            _add(self.by_user, place.user or UNKNOWN, part)
            if cost.assumed is not None:
                self.assumed.setdefault(place.model, []).append(Assumption(calls, cost.usd, cost.assumed))
            if cost.at_least:
                self.at_least[place.model] += calls
            if place.terms.service_tier not in KNOWN_TIERS:
                self.tiers[str(place.terms.service_tier)] += calls
            if place.prompt is Prompt.BEYOND:
                self.beyond[place.model] += calls


def _requests(call: Call) -> tuple[Part, ...]:
    """The requests that a response's own counts are of; the first is one to the response's own model if any is.

    What the parts lack in the first states of a stream belongs to the last of them.
    """
    parts = call.inside
    if not parts:
        return (Part(call.model, call.counts),)
    whole = sum((part.counts for part in parts), TokenCounts())
    counts = call.counts
    same_prompt = (whole.uncached_input_tokens, whole.cache_read_input_tokens, whole.prompt_tokens) == (
        counts.uncached_input_tokens,
        counts.cache_read_input_tokens,
        counts.prompt_tokens,
    )
    if len(parts) == 1 and same_prompt:
        return (Part(parts[0].model, counts),)
    lacking = counts.output_tokens - whole.output_tokens
    if not same_prompt or lacking < 0 or whole.cache_creation_1h_input_tokens != counts.cache_creation_1h_input_tokens:
        return (Part(call.model, counts),)
    last = parts[-1].counts._replace(
        output_tokens=parts[-1].counts.output_tokens + lacking,
        web_search_requests=parts[-1].counts.web_search_requests
        + max(0, counts.web_search_requests - whole.web_search_requests),
    )
    divided = [*parts[:-1], Part(parts[-1].model, last)]
    return tuple(sorted(divided, key=lambda part: part.model != call.model))


def _add(sums: dict[str, Sum], name: str, part: Sum) -> None:
    before = sums.get(name, NOTHING)
    sums[name] = Sum(before.calls + part.calls, before.counts + part.counts, before.usd + part.usd)


def _sum(parts: Iterable[Sum]) -> Sum:
    calls, counts, usd = 0, TokenCounts(), Decimal(0)
    for part in parts:
        calls, counts, usd = calls + part.calls, counts + part.counts, usd + part.usd
    return Sum(calls, counts, usd)


def _together(parts: list[Assumption]) -> Assumption:
    """One assumption for a model; it was made in several ways where the dearest rate changed in the meantime."""
    return Assumption(
        calls=sum(part.calls for part in parts),
        usd=sum((part.usd for part in parts), Decimal(0)),
        how="; ".join(sorted({part.how for part in parts})),
    )
