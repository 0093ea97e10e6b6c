"""The calls of one file, or of a part of it, in a form that can be kept and added to those of other files."""

from collections import Counter
from collections.abc import Callable

import msgspec

from bot.pricing.call import Call
from bot.pricing.responses import Names, Numbers, Parts, Responses


class Kept(msgspec.Struct, array_like=True):
    """All that the calls of a file come to, as it is written down: tokens and ids, no dollars."""

    names: dict[int, Names]
    states: dict[str, bytes]
    parts: dict[str, Parts]
    repeats: int
    nameless: list[Call]
    sessions: list[str]
    not_claude: dict[str, int]
    skipped: dict[str, int]


_decoded = msgspec.msgpack.Decoder(Kept).decode


def kept_in(body: bytes) -> Kept | None:
    """What was written down; None where it has another form."""
    try:
        return _decoded(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class FileCalls:
    """Calls by what has to be known of them: responses by their ids, each call without an id in its order, other
    vendors' calls and skipped lines by number. `name`: that of the file; `is_claude`: whether a model counts;
    `numbers`: shared with other files, they make adding up quick."""

    def __init__(self, name: str, is_claude: Callable[[str], bool], numbers: Numbers | None = None) -> None:
        self.name = name
        self.is_claude = is_claude
        self.responses = Responses(numbers)
        self.nameless: list[Call] = []
        self.sessions: set[str] = set()
        self.not_claude: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def add(self, call: Call) -> None:
        """Take one call."""
        if not self.is_claude(call.model):
            self.not_claude[call.model] += 1
            return
        if call.session is not None and not call.sums_session:
            self.sessions.add(call.session)
        if call.response is None or call.sums_session:
            self.nameless.append(call)
        else:
            self.responses.add(call, self.name)

    def kept(self) -> bytes:
        """What can be written down of them."""
        its = self.responses
        kept = Kept(
            *(its.used_names(), its.states, its.parts, its.repeats, self.nameless),
            *(list(self.sessions), dict(self.not_claude), dict(self.skipped)),
        )
        return msgspec.msgpack.encode(kept)

    def recall(self, kept: Kept) -> None:
        """Take what was written down instead of calls."""
        its = self.responses
        its.recall(kept.states, kept.names)
        its.parts, its.repeats = kept.parts, kept.repeats
        self.nameless = kept.nameless
        self.sessions.update(kept.sessions)
        self.not_claude.update(kept.not_claude)
        self.skipped.update(kept.skipped)
