"""Channels of an alert, whom it mentions there, and what destinations without mentions show."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.limit import LimitAlert
from bot.alerts.model import AlertPayload
from bot.alerts.notice_contents import Content
from bot.alerts.rules import Copy, Routes
from bot.budgets.budget import Budget, LimitKind
from bot.budgets.parsing import budget_of, split_budget_words
from bot.notify.model import Notice
from bot.notify.slack_connection import Workspace
from handlers.rendering import Rendering
from tests.databases import BUDGET, NOW, crossed, facts_of, spike_payload

MAIN = "C0MAIN"


def budget(name: str, words: str = "") -> Budget:
    return budget_of(*split_budget_words(f"{name} hard=10 {words}"))


def limit(kind: LimitKind) -> LimitAlert:
    return facts_of()(crossed(kind))


SOFT, HARD = limit(LimitKind.SOFT), limit(LimitKind.HARD)
SPIKE = replace(spike_payload(), within=("search", "care", "plain"))
SEARCH = budget("search", "channel=C0SEARCH owner=U0ADA mention=hard,spike")
CARE = budget("care", "channel=C0CARE owner=U0ADA,U0BEN mention=spike")


def owned(words: str) -> Budget:
    return budget(BUDGET, words)


@pytest.mark.parametrize(
    ("payload", "budgets", "copies"),
    [
        (SOFT, [], [Copy()]),
        (SOFT, [owned("")], [Copy()]),
        (SOFT, [owned("channel=C0OWN owner=U0ADA")], [Copy("C0OWN")]),
        (HARD, [owned("channel=C0OWN owner=U0ADA")], [Copy("C0OWN", ("U0ADA",)), Copy()]),
        (HARD, [owned("owner=U0ADA")], [Copy(None, ("U0ADA",))]),
        (HARD, [owned(f"channel={MAIN} owner=U0ADA")], [Copy(None, ("U0ADA",))]),
        (HARD, [owned("owner=U0ADA mention=none")], [Copy()]),
        (SPIKE, [owned(""), SEARCH, CARE], [Copy("C0SEARCH", ("U0ADA",)), Copy("C0CARE", ("U0BEN",)), Copy()]),
        (SPIKE, [SEARCH, CARE], [Copy("C0SEARCH", ("U0ADA",)), Copy("C0CARE", ("U0BEN",))]),
    ],
)
def test_an_alert_goes_where_its_budgets_are(payload: AlertPayload, budgets: list[Budget], copies: list[Copy]) -> None:
    assert Routes(MAIN, lambda: budgets).copies(payload) == copies


channels = st.sampled_from(["", "channel=C0A", "channel=C0B", f"channel={MAIN}"])
owners = st.sampled_from(["", "owner=U0ADA", "owner=U0ADA,S0TEAM", "owner=U0BEN mention=spike"])


@given(st.lists(st.tuples(channels, owners), min_size=1, max_size=4), st.booleans())
def test_no_channel_gets_it_twice_and_no_owner_is_called_twice(words: list[tuple[str, str]], hard: bool) -> None:
    names = [BUDGET, "search", "care", "plain"]
    found = [budget(name, " ".join(each)) for name, each in zip(names, words, strict=False)]
    copies = Routes(MAIN, lambda: found).copies(HARD if hard else SPIKE)
    places = [copy.channel for copy in copies]
    called = [owner for copy in copies for owner in copy.mention]
    assert len(places) == len(set(places)) > 0
    assert MAIN not in places
    assert len(called) == len(set(called))
    assert not hard or places[-1] is None


def notice(action: str, *mention: str, meant_for: tuple[str, ...] = ()) -> Notice:
    known = {"id": 1, "about": "x", "content": Content(HARD), "attempts": 0, "outcome_unknown": False}
    return Notice(**known, action=action, created_at=NOW, address=None, mention=mention, meant_for=meant_for)  # type: ignore[arg-type]


def test_a_new_message_calls_the_owners_and_no_edit_and_no_reply_does() -> None:
    rendering = Rendering([], Workspace())
    hostile = ("U0ADA", "!everyone", "<!channel>", "S0TEAM")
    drawn = rendering.blocks(notice("post", *hostile), NOW)
    assert "Owners: <@U0ADA> !everyone &lt;!channel&gt; <!subteam^S0TEAM>" in drawn.text
    assert all("U0ADA" not in rendering.blocks(notice(action, *hostile), NOW).text for action in ("update", "reply"))
    meant = rendering.blocks(notice("update", meant_for=("C0OWN",)), NOW)
    assert "Meant for <#C0OWN>, which I cannot reach: invite me there." in meant.text
    several = rendering.blocks(notice("post", meant_for=("<!here>", "C0OWN", "C0TOO")), NOW).text
    assert "Meant for &lt;!here&gt;, <#C0OWN> and <#C0TOO>, which I cannot reach: invite me there." in several


def test_destinations_that_mention_nobody_name_the_owners() -> None:
    mail = Rendering([], Workspace()).plain(notice("post", "U0ADA", "S0TEAM"), NOW)
    assert mail.body.endswith("\nOwners: U0ADA, S0TEAM")
    assert "<" not in mail.body
