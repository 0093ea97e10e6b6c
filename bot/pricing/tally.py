"""Calls of one file, or a part of it, in a form that can be stored and added up; and which files are copies.

Nothing shows that a record without an id is a repeat, so it counts in each file, and the file is named.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, tzinfo

import msgspec

from bot.pricing.card import RateCard
from bot.pricing.model_names import Kind, kind_of
from bot.pricing.responses import NO_TIME, STATE, Call, Names, Numbers, Part, Parts, Responses
from bot.pricing.running_totals import RunningTotals
from bot.pricing.tokens import TokenCounts
from bot.pricing.totals import LONGEST_PROMPT, Pile, Place, Prompt, Steps, Sums, Totals, priced

COMPARED = 16
"""Calls without an id that are compared, from the start of a file."""


class Beginnings:
    """How files begin: each call is known by a number that depends on all calls before it."""

    def __init__(self) -> None:
        self._known: dict[int, list[Sequence[int]]] = {}
        self._alike: list[str] = []

    def add(self, name: str, numbers: Sequence[int]) -> None:
        """The first calls of a file, by 8 bytes of a digest each."""
        if not numbers:
            return
        known = self._known.setdefault(numbers[0], [])
        if any(numbers[last] == one[last] for one in known if (last := min(len(numbers), len(one)) - 1) >= 0):
            self._alike.append(name)
        known.append(numbers)

    def alike(self, besides: Collection[str]) -> tuple[str, ...]:
        """Files that begin like an earlier one, without those in `besides`."""
        return tuple(name for name in self._alike if name not in besides)


class Kept(msgspec.Struct, array_like=True):
    """The stored form of a file's calls: tokens and ids, no dollars."""

    names: dict[int, Names]
    states: dict[str, bytes]
    parts: dict[str, Parts]
    repeats: int
    nameless: list[Call]
    places: tuple[int, ...]
    sessions: list[str]
    not_claude: dict[str, int]
    skipped: dict[str, int]


_decoded = msgspec.msgpack.Decoder(Kept).decode


def kept_in(body: bytes) -> Kept | None:
    """The stored calls; None if they have another form."""
    try:
        return _decoded(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class FileCalls:
    """Responses by id, calls without an id in their order, and counts of other vendors' calls and skipped lines.

    `name`: that of the file. `is_claude`: whether a model counts. `numbers`: shared by files, to add up quickly."""

    def __init__(self, name: str, is_claude: Callable[[str], bool], numbers: Numbers | None = None) -> None:
        self.name = name
        self.is_claude = is_claude
        self.responses = Responses(numbers)
        self.nameless: list[Call] = []
        self.places: tuple[int, ...] = ()
        self.sessions: set[str] = set()
        self.not_claude: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def add(self, call: Call, place: int = 0) -> None:
        """Take one call. `place`: number of one of the first without an id, the same in every copy of the file; 0 for
        all others.
        """
        if not self.is_claude(call.model):
            self.not_claude[call.model] += 1
            return
        if call.session is not None and not call.sums_session:
            self.sessions.add(call.session)
        if call.response is None or call.sums_session:
            self.nameless.append(call)
            if place:
                self.places += (place,)
        else:
            self.responses.add(call, self.name)

    def kept(self) -> bytes:
        """Their stored form."""
        its = self.responses
        kept = Kept(
            *(its.used_names(), its.states, its.parts, its.repeats, self.nameless, self.places),
            *(list(self.sessions), dict(self.not_claude), dict(self.skipped)),
        )
        return msgspec.msgpack.encode(kept)

    def recall(self, kept: Kept) -> None:
        """Restore the stored form."""
        its = self.responses
        its.recall(kept.states, kept.names)
        its.parts, its.repeats = kept.parts, kept.repeats
        self.nameless = kept.nameless
        self.places = kept.places
        self.sessions.update(kept.sessions)
        self.not_claude.update(kept.not_claude)
        self.skipped.update(kept.skipped)


DAY = 24 * 60 * 60 * 1_000_000
"""A day in microseconds."""


class Tally:
    """Adds up calls. `today`: UTC day of the prices for calls without a time. `zone`: of `by_day`.

    Memory grows with the different models, days, features, users and sessions, and by some 200 bytes with each response
    that has an id, since repeats may still come; not with the number of calls.
    """

    def __init__(self, card: RateCard, today: date, zone: tzinfo = UTC) -> None:
        self._card = card
        self._today = today
        self._zone = zone
        self._counted = _Counted(self._place)
        self._responses = Responses()
        self._running = RunningTotals(self._place)
        self._beginnings = Beginnings()
        self._step = Steps(card)
        self._sum_records = 0
        self._not_claude: Counter[str] = Counter()
        self._sessions: set[str] = set()
        self._session_sums: list[Call] = []
        self._claude: dict[str, bool] = {}

    def file(self, name: str) -> FileCalls:
        """Collector for the calls of a file; they count once included."""
        return FileCalls(name, self._is_claude, self._responses.numbers)

    def add(self, call: Call, source: str = "") -> None:
        """Count a call of a file, or correct an earlier state of the same response."""
        one = self.file(source)
        one.add(call)
        self.include(one)

    def include(self, calls: FileCalls) -> None:
        """Count the calls of a file, or of its next part."""
        self._not_claude.update(calls.not_claude)
        self._sessions |= calls.sessions
        self._responses.include(calls.responses)
        self._beginnings.add(calls.name, calls.places)
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
        return priced(self.pile(), self._card, self._today)

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
            begin_alike=self._beginnings.alike(held.files),
        )

    def _count_responses(self, counted: "_Counted") -> None:
        """Count each response once. Responses of one day with the same names differ only in numbers."""
        responses, sums = self._responses, counted.sums
        in_utc = self._zone is UTC
        places: dict[tuple[int, int], tuple[int, list[list[int]]]] = {}
        unpack, parts = STATE.unpack, responses.parts
        is_sum = [names[-1] for names in responses.names]
        for key, state in responses.states.items():
            number, uncached, split, one_hour, read, output, searches, writes, first, _ = unpack(state)
            if first == NO_TIME or not in_utc or is_sum[number] or (parts and key in parts):
                counted.add(responses.whole(key, state))
                continue
            day = first // DAY
            found = places.get((number, day))
            if found is None:
                found = places[number, day] = self._of_day(responses.whole(key, state), sums)
            step, by_prompt = found
            five_minutes = writes - one_hour
            if five_minutes < split:
                five_minutes = split
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
        """The price step of such calls, and their counts in the sums by kind of prompt."""
        place = self._place(call, False)
        step = self._step.of(call.model, place.day or self._today)
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
        step = self._step.of(model, day or self._today)
        if is_sum:
            prompt = Prompt.SEVERAL
            if step is not None and (call.prompts_above >= step or (call.prompts_to or step + 1) <= step):
                prompt = Prompt.LONG if call.prompts_above >= step else Prompt.SHORT
        elif counts.prompt_tokens > LONGEST_PROMPT:
            prompt = Prompt.BEYOND
        else:
            prompt = Prompt.LONG if step is not None and counts.prompt_tokens > step else Prompt.SHORT
        return Place(model, day, shown, prompt, call.terms, call.feature, call.user)


class _Counted:
    """Calls by place, and what was billed on top of their own counts."""

    def __init__(self, place_of: Callable[[Call, bool, Part | None], Place]) -> None:
        self.sums = Sums()
        self.outside = Sums()
        self.odd = 0
        self._place_of = place_of

    def include(self, other: "_Counted") -> None:
        """Add everything of another tally."""
        self.sums.include(other.sums)
        self.outside.include(other.outside)
        self.odd += other.odd

    def add(self, call: Call) -> None:
        """Count a call."""
        if not (call.inside or call.outside or call.odd):
            self.sums.add(self._place_of(call, call.is_sum, None), 1, call.counts)
            return
        calls = 1
        for part in requests_of(call):
            self.sums.add(self._place_of(call, call.is_sum, part), calls, part.counts)
            calls = 0
        self.odd += call.odd
        calls = 1
        for part in call.outside:
            place = self._place_of(call, call.is_sum, part)
            self.sums.add(place, 0, part.counts)
            # Count responses, not their parts.
            self.outside.add(place, calls, part.counts)
            calls = 0


def requests_of(call: Call) -> tuple[Part, ...]:
    """The requests behind a response's own counts; a request to the response's own model comes first.

    In early states of a stream, the last part gets what the parts lack.
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
