"""Messages: each fits into Slack, has all of it as text too, and escapes external text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.decide import LimitReason
from bot.alerts.incident import AlertKind, Identity, Status
from bot.alerts.lifecycle import Life, OpenAlert
from bot.alerts.limit import LimitAlert
from bot.alerts.model import redrawn
from bot.alerts.notice_contents import dumped, loaded
from bot.amounts import percent, usd
from bot.budgets.budget import LIMITS, Limit, LimitKind
from bot.budgets.budget_spend import BudgetSpend, ModeShare, NamedCause, NamedMover
from bot.budgets.savings import Saving, savings_of
from bot.budgets.trend import CauseKind
from bot.fallback.impact import ModeImpact, Overview
from bot.fallback.service import Auto, ModeState
from bot.fallback.targets.base import TargetView
from bot.fallback.targets.env_file import EnvFile
from bot.language import LANGUAGES, in_language
from bot.messages import Block, Message, in_utc
from bot.mode import Mode
from bot.modes.model import ModeAnnouncement
from bot.pricing.card import load_rate_card
from bot.pricing.estimate import estimate
from bot.pricing.words import parse_workload
from bot.sandbox.block_limits import problems, text_length
from bot.usage.model import DataState
from handlers.render.estimate import Besides, estimate_message
from handlers.render.fallback import already, announcement, mode_status, switched
from handlers.render.help import help_message, not_known_message
from handlers.render.layout import switch_button
from handlers.render.limit_alert import limit_message
from handlers.render.parts import (
    NO_DATA,
    age_line,
    code,
    cut,
    escape,
    mention,
    names,
    paragraph,
    plain,
    sentence,
    shown,
    with_age,
)
from handlers.render.spend import NOTHING_STOPPED, SWITCH_ACTION, parts_line
from handlers.render.status import status_message

CARD = load_rate_card()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AS_OF = NOW - timedelta(minutes=5)
LINK = "https://team.slack.com/archives/C0ALERTS/p1794398400000000"

LONGEST_EDIT = 4_000
"""Characters of `text` that an edit may have (docs.slack.dev, chat.update)."""

MOST_TEXT = 13_200
"""Characters of all blocks together at which Slack was seen to refuse a message."""

HOSTILE = [
    "<!channel>",
    "<@U0ADMIN> <#C0ALERTS> <!here|here>",
    "<https://example.com|click>",
    "&lt;!channel&gt;",
    "`code` *bold* _italic_ ~struck~",
    "line one\nline two\r\n\tline three",
    "right\u202eto\u202cleft\x00\x07",
    "👩\u200d💻🎉" * 40,
    "x" * 2_000,
    "<" * 2_000,
    "&" * 2_000,
    "<!channel>" * 200,
    "\u200b \n",
    "",
]
hostile = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=200))
modes = hostile.filter(bool)
"""Settings let no mode be without a name."""


def mover(model: str = "claude-opus-4-8", workspace: str = "Search", key: str | None = "ingest") -> NamedMover:
    return NamedMover(model=model, workspace=workspace, key=key, usd=Decimal("41.27"), before_usd=Decimal("9.13"))


def cause(
    kind: CauseKind = CauseKind.CACHE_READ_FELL,
    model: str = "claude-opus-4-8",
    workspace: str = "Search",
    key: str | None = "ingest",
) -> NamedCause:
    return NamedCause(
        kind=kind,
        model=model,
        workspace=workspace,
        key=key,
        usd=Decimal("1312.77"),
        before=Decimal("0.92"),
        after=Decimal("0.31"),
    )


def share(mode: str = "degraded", model: str = "claude-sonnet-5-5", part: str = "0.55") -> ModeShare:
    return ModeShare(mode=mode, model=model, share=Decimal(part))


def saving(mode: str = "degraded", model: str = "claude-sonnet-5-5", amount: str = "128.45") -> Saving:
    return Saving(mode=mode, model=model, usd=Decimal(amount))


SPEND = BudgetSpend(
    budget="default",
    scope="organization",
    soft_usd=Decimal(400),
    hard_usd=Decimal(600),
    period="2026-11",
    ends_at=datetime(2026, 12, 1, tzinfo=UTC),
    spent_usd=Decimal("412.50"),
    billed_usd=Decimal("300.25"),
    billed_days=17,
    computed_usd=Decimal("111.75"),
    report_only_usd=Decimal("0.50"),
    at_least=False,
    assumed=(),
    expected_usd=Decimal("700.11"),
    low_usd=Decimal("650.01"),
    high_usd=Decimal("750.21"),
    movers=(mover(), mover("claude-haiku-5-5", "default", None)),
    shares=(share(), share("minimal", "claude-haiku-5-5", "0.3")),
    as_of=AS_OF,
)
SAVINGS = savings_of(SPEND, "normal")


def with_spend(**changes: Any) -> BudgetSpend:
    return replace(SPEND, **changes)


def alert(
    level: LimitKind = LimitKind.SOFT,
    status: Status = Status.OPEN,
    reason: LimitReason = LimitReason.CROSSED,
    spend: BudgetSpend = SPEND,
    mode: str = "normal",
    decided_at: datetime = NOW,
) -> LimitAlert:
    limit = spend.soft_usd if level is LimitKind.SOFT else spend.hard_usd
    return LimitAlert(
        limit=Limit(level, limit or Decimal(1)),
        status=status,
        reason=reason,
        decided_at=decided_at,
        mode=mode,
        spend=spend,
    )


TARGETS = [EnvFile(Path("/srv/services.env"))]
IMPACT = ModeImpact(SAVINGS, AS_OF, None, None, SPEND)


def state(mode: str = "degraded", **changes: Any) -> ModeState:
    variables = {"CLAUDE_FALLBACK_MODE": mode, "CLAUDE_MODEL": "claude-sonnet-5-5"}
    known = ModeState(Mode(mode, variables), NOW, "U0ADMIN", "too dear", NOW, None, ())
    return replace(known, **changes)


def mode_facts(**changes: Any) -> ModeAnnouncement:
    facts = ModeAnnouncement(
        mode="degraded",
        previous="normal",
        by="U0ADMIN",
        reason="too dear",
        changed_at=NOW,
        savings=SAVINGS,
        as_of=AS_OF,
    )
    return replace(facts, **changes)


def texts(value: Any, kind: str) -> Iterator[str]:
    """Every text of this kind, dialogs included."""
    if isinstance(value, list):
        for item in value:
            yield from texts(item, kind)
    elif isinstance(value, dict):
        if value.get("type") == kind and isinstance(value.get("text"), str):
            yield value["text"]
        for item in value.values():
            yield from texts(item, kind)


def buttons(message: Message) -> list[Block]:
    return [element for block in message.blocks if block["type"] == "actions" for element in block["elements"]]


DATE = re.compile(r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|((?:\d+ \w+|\d+月\d+日) \d\d:\d\d UTC)>")
OURS = re.compile(rf"<@U0ADMIN>|<{re.escape(LINK)}\|(?:its message|(?:その)?メッセージ)>")
ESCAPED = re.compile(r"&(amp|lt|gt);")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?%?")


def numbers(text: str) -> set[str]:
    """Every figure; where Slack shows a date in the reader's zone, that of UTC."""
    return set(NUMBER.findall(DATE.sub(r"\1", text)))


def check(message: Message, *, most_text: int = LONGEST_EDIT) -> None:
    """Assert what holds for every message."""
    assert problems(message.blocks, "message") == []
    assert text_length(message.blocks) < MOST_TEXT
    assert 0 < len(message.text) <= most_text
    for text in [message.text, *texts(message.blocks, "mrkdwn")]:
        rest = OURS.sub("", DATE.sub("", text))
        assert "<" not in rest, rest
        assert ">" not in rest, rest
        assert "&" not in ESCAPED.sub("", rest), rest
    for text in texts(message.blocks, "plain_text"):
        assert not {"<", ">", "\n"} & set(text), text
    for block in message.blocks:
        assert all(text.get("verbatim") for text in _mrkdwn(block))


def _mrkdwn(block: Block) -> list[dict[str, Any]]:
    found = [block["text"]] if "text" in block else block.get("elements", [])
    return [text for text in found if text["type"] == "mrkdwn"]


def check_twin(message: Message) -> None:
    """Assert that the text has every figure of the blocks, their buttons and dialogs."""
    shown_texts = [*texts(message.blocks, "mrkdwn"), *texts(message.blocks, "plain_text")]
    figures = (numbers(text) for text in shown_texts if not text.startswith("Snooze "))
    assert set().union(*figures) <= numbers(message.text)


# ---- values from outside


@given(hostile, st.integers(10, 100))
def test_a_value_from_outside_is_one_short_harmless_line(value: str, limit: int) -> None:
    for line in (shown(value, limit), code(value, limit)):
        assert "\n" not in line
        assert not {"<", ">"} & set(line)
        assert "&" not in ESCAPED.sub("", line)
    assert 0 < len(shown(value, limit)) <= limit
    assert code(value).count("`") == 2
    assert 0 < len(plain(value, limit)) <= limit
    assert not {"<", ">", "\n"} & set(plain(value, limit))


@given(st.text(alphabet="abc &<>`*_-.é日🎉", min_size=1, max_size=8))
def test_a_short_name_is_shown_as_it_is_but_for_the_escapes(value: str) -> None:
    name = " ".join(value.split()) or "(no name)"
    assert shown(value) == name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_an_escape_is_kept_whole_where_a_value_is_cut() -> None:
    assert shown("ab&&&&", 12) == "ab&amp;…"
    assert cut("ab&amp;cd", 6) == "ab…"
    assert cut("ab&amp;cd", 9) == "ab&amp;cd"
    assert escape("a & b < c > d") == "a &amp; b &lt; c &gt; d"


def test_emoji_made_of_several_stay_in_one_piece() -> None:
    assert shown("👩\u200d💻 team") == "👩\u200d💻 team"


def test_only_an_id_becomes_a_mention() -> None:
    assert mention("U0ADMIN") == "<@U0ADMIN>"
    assert mention("U1> <!channel") == "U1&gt; &lt;!channel"
    assert mention("auto") == "auto"


def test_of_many_names_the_first_are_shown_and_the_rest_are_counted() -> None:
    assert names(["a", "b"]) == "a, b"
    assert names([str(index) for index in range(9)]) == "0, 1, 2, 3, 4 and 4 more"


@given(st.lists(st.text("ab", min_size=1, max_size=1500), min_size=1, max_size=20))
def test_lines_are_packed_into_sections_without_cutting_any(lines: list[str]) -> None:
    blocks = paragraph(*lines).blocks
    assert "\n".join(block["text"]["text"] for block in blocks) == "\n".join(lines)
    assert problems(blocks, "message") == []


# ---- alerts

LEVELS_AND_STATUSES = [(level, status) for level in LIMITS for status in Status if status is not Status.WATCHED]
named_spends = st.builds(
    with_spend,
    spent_usd=st.decimals(-100, 10**9, places=2),
    billed_days=st.integers(0, 31),
    report_only_usd=st.sampled_from([Decimal(0), Decimal("0.003"), Decimal(7)]),
    at_least=st.booleans(),
    expected_usd=st.one_of(st.none(), st.decimals(0, 10**9, places=2)),
    low_usd=st.decimals(0, 10**9, places=2),
    high_usd=st.decimals(0, 10**9, places=2),
    movers=st.lists(st.builds(mover, hostile, hostile, st.one_of(st.none(), hostile)), max_size=3).map(tuple),
    causes=st.lists(
        st.builds(cause, st.sampled_from(CauseKind), hostile, hostile, st.one_of(st.none(), hostile)), max_size=3
    ).map(tuple),
    shares=st.lists(
        st.builds(share, modes, hostile, st.sampled_from(["0", "0.4", "1", "1.7", "0.999999999"])),
        max_size=9,
        unique_by=lambda found: found.mode,
    ).map(tuple),
    assumed=st.lists(hostile, max_size=8).map(tuple),
    soft_usd=st.sampled_from([Decimal(400), Decimal("0.01")]),
    hard_usd=st.sampled_from([None, Decimal(600), Decimal("99999999.99")]),
)
hostile_spends = st.builds(
    lambda spend, budget, scope, period: replace(spend, budget=budget, scope=scope, period=period),
    named_spends,
    hostile,
    hostile,
    hostile,
)
alerts = st.builds(
    lambda which, reason, spend, mode, over: alert(
        which[0], which[1], reason, spend, mode, spend.ends_at + timedelta(hours=1) if over else NOW
    ),
    st.sampled_from(LEVELS_AND_STATUSES),
    st.sampled_from(LimitReason),
    hostile_spends,
    st.one_of(st.just("normal"), hostile),
    st.booleans(),
)
links = st.sampled_from([None, LINK])


@given(alerts, links)
def test_every_alert_fits_into_slack_and_lets_nothing_in_whatever_the_names(
    facts: LimitAlert, link: str | None
) -> None:
    message = limit_message(facts, link)
    check(message)
    first = message.text.partition("\n")[0]
    assert f"{facts.level.value} limit" in first
    for figure in (
        usd(facts.spend.spent_usd),
        usd(facts.limit.usd),
        percent(facts.spend.spent_usd, facts.limit.usd),
    ):
        assert figure in first


plain_names = st.sampled_from(["claude-opus-4-8", "search", "ingest-2", "Team A"])


@given(
    st.sampled_from(LEVELS_AND_STATUSES),
    st.sampled_from(LimitReason),
    named_spends,
    st.lists(plain_names, max_size=3).map(tuple),
    links,
    st.booleans(),
)
def test_the_text_of_an_alert_has_every_figure_of_its_blocks(
    level_status: tuple[LimitKind, Status],
    reason: LimitReason,
    spend: BudgetSpend,
    assumed: tuple[str, ...],
    link: str | None,
    over: bool,
) -> None:
    spend = replace(
        spend,
        assumed=assumed,
        movers=tuple(mover("claude-opus-4-8", "Search", None) for _ in spend.movers),
        causes=tuple(cause(found.kind) for found in spend.causes),
        shares=tuple(share(f"mode-{index}", part=str(s.share)) for index, s in enumerate(spend.shares)),
    )
    decided_at = spend.ends_at if over else NOW
    message = limit_message(alert(*level_status, reason, spend, "mode-1", decided_at), link)
    check(message)
    check_twin(message)


@pytest.mark.parametrize(("level", "status"), LEVELS_AND_STATUSES)
@pytest.mark.parametrize("reason", LimitReason)
def test_a_soft_alert_never_says_hard_and_an_open_hard_one_ends_with_what_stops_requests(
    level: LimitKind, status: Status, reason: LimitReason
) -> None:
    for spend in (SPEND, with_spend(hard_usd=None), with_spend(at_least=True, assumed=("x-1",), expected_usd=None)):
        message = limit_message(alert(level, status, reason, spend), LINK)
        every = "\n".join([message.text, *texts(message.blocks, "mrkdwn"), *texts(message.blocks, "plain_text")])
        if level is LimitKind.SOFT:
            assert "hard" not in every.lower()
        if level is not LimitKind.HARD or status is not Status.OPEN:
            # Nothing is left to stop once it is over.
            assert NOTHING_STOPPED not in every
        else:
            assert message.text.endswith(NOTHING_STOPPED)
            assert NOTHING_STOPPED in message.blocks[-1]["elements"][-1]["text"]
        assert "Data as of 20 Nov 11:55 UTC" in message.text


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        (alert(), "$412.50 of $400.00 (103%): soft limit crossed, November"),
        (alert(LimitKind.HARD), "$412.50 of $600.00 (68%): hard limit crossed, November"),
        (
            alert(status=Status.SUPERSEDED),
            "$412.50 of $400.00 (103%): soft limit crossed, and the next one too, November",
        ),
        (
            alert(status=Status.RESOLVED),
            "$412.50 of $400.00 (103%): soft limit resolved, spend is below it again, November",
        ),
        (
            alert(status=Status.WITHDRAWN),
            "$412.50 of $400.00 (103%): soft limit changed, this one is not in force any more, November",
        ),
        (
            alert(reason=LimitReason.CROSSED_AGAIN),
            "$412.50 of $400.00 (103%): soft limit crossed again, November",
        ),
        (
            alert(spend=with_spend(at_least=True)),
            "At least $412.50 of $400.00 (103%): soft limit crossed, November",
        ),
        (
            alert(decided_at=SPEND.ends_at),
            "$412.50 of $400.00 (103%): soft limit crossed, November, which is over",
        ),
    ],
)
def test_the_first_line_of_an_alert_says_it_all(facts: LimitAlert, first: str) -> None:
    assert limit_message(facts, None).text.splitlines()[0] == first


def test_an_open_alert_says_how_it_is_made_up_where_it_leads_and_what_the_ways_out_are() -> None:
    message = limit_message(alert(LimitKind.HARD), LINK)
    assert message.text.splitlines()[1:] == [
        "Mostly Opus 4.8 · Search · key ingest: $41.27 in 24 h, the 24 h before $9.13.",
        "Recommended: Switch to degraded · saves about $129.",
        "organization: $300.25 billed for 17 settled days + $111.75 computed from tokens and list "
        "prices + $0.50 that only the cost report knows.",
        f"The soft limit of $400.00 is passed too: <{LINK}|its message>.",
        "Expected end: $700.11 (range $650.01 to $750.21) by 1 Dec 00:00 UTC.",
        "• Opus 4.8 · Search · key ingest: $41.27 in 24 h, the 24 h before $9.13",
        "• Haiku 5.5 · default · no key: $41.27 in 24 h, the 24 h before $9.13",
        "• Fallback mode degraded (at most Sonnet 5.5) saves about $129.42 by the end of the period, 1 Dec 00:00 UTC.",
        "• Fallback mode minimal (at most Haiku 5.5) saves about $201.33 by the end of the period, 1 Dec 00:00 UTC.",
        "Incident default/2026-11/hard/600 · open",
        "Data as of 20 Nov 11:55 UTC.",
        NOTHING_STOPPED,
    ]


def test_a_phone_shows_the_number_the_reason_and_the_buttons_first_and_the_rest_is_folded() -> None:
    message = limit_message(alert(LimitKind.HARD), LINK)
    kinds = [block["type"] for block in message.blocks]
    assert kinds == ["header", "section", "actions", "container", "context", "context"]
    title, why, row, details, *_ = message.blocks
    assert title["text"]["text"] == "$412.50 of $600.00 (68%): hard limit crossed, November"
    assert why["text"]["text"].count("\n") == 0
    assert (details["is_collapsible"], details["default_collapsed"]) == (True, True)
    assert "Incident" in str(details)
    assert "Incident" not in str([title, why, row, *message.blocks[4:]])


def test_one_button_is_the_primary_one_with_its_saving_and_none_is_red() -> None:
    first, second = buttons(limit_message(alert(LimitKind.HARD), None))
    assert (first["text"]["text"], first["style"]) == ("Switch to degraded · saves about $129", "primary")
    assert second["text"]["text"] == "Switch to minimal"
    assert "style" not in second
    assert first["confirm"]["style"] == second["confirm"]["style"] == "danger"


@pytest.mark.parametrize(
    ("spent", "hard", "primary"),
    [
        # $287.61 are left: degraded saves $129.42, minimal $201.33.
        ("412.50", 600, "degraded"),
        ("412.50", 550, "minimal"),
        ("412.50", 420, "minimal"),
        ("412.50", 400, "minimal"),
    ],
)
def test_the_mildest_mode_that_keeps_the_limit_is_recommended_or_else_the_one_that_saves_most(
    spent: str, hard: int, primary: str
) -> None:
    spend = with_spend(spent_usd=Decimal(spent), soft_usd=None, hard_usd=Decimal(hard))
    assert buttons(limit_message(alert(LimitKind.HARD, spend=spend), None))[0]["value"] == primary


def test_a_budget_is_named_unless_it_is_the_one_that_counts_everything() -> None:
    def first(**changes: Any) -> str:
        return limit_message(alert(spend=with_spend(**changes)), None).text.splitlines()[0]

    assert first().endswith("soft limit crossed, November")
    assert first(budget="search").endswith("soft limit crossed, November, budget search")
    assert first(scope="workspace:wrkspc_1").endswith("soft limit crossed, November, budget default")


@pytest.mark.parametrize(
    ("billed", "computed", "only", "written"),
    [
        ("434.8256", "282.6871", "0", ["$434.83", "$282.68"]),
        ("119.186", "282.6871", "0", ["$119.19", "$282.68"]),
        ("434.8256", "282.6871", "0.006", ["$434.83", "$282.69", "under $0.01"]),
        ("10.005", "0.001", "0", ["$10.01", "under $0.01"]),
        ("10.004", "0.004", "0", ["$10.00", "$0.01"]),
        ("10", "0", "0", ["$10.00", "$0.00"]),
    ],
)
def test_what_is_billed_is_the_same_beside_every_other_part(
    billed: str, computed: str, only: str, written: list[str]
) -> None:
    parts = {"billed_usd": Decimal(billed), "computed_usd": Decimal(computed), "report_only_usd": Decimal(only)}
    line = parts_line(with_spend(billed_days=10, **parts))
    assert re.findall(r"(?:under )?\$[\d.]+", line) == written


def test_an_open_alert_of_a_period_that_is_over_is_redrawn_without_a_way_out() -> None:
    facts = alert(LimitKind.HARD)
    redrawn_facts = loaded(dumped(redrawn(facts, "degraded", None, SPEND.ends_at)))
    assert isinstance(redrawn_facts, LimitAlert)
    message_of_limit = limit_message(redrawn_facts, None)
    assert "over" in message_of_limit.text.splitlines()[0]
    assert not any(block["type"] == "actions" for block in message_of_limit.blocks)
    assert "Expected end" not in message_of_limit.text


def test_the_mode_in_force_is_named_and_no_way_out_any_more() -> None:
    message = limit_message(alert(mode="degraded"), None)
    assert "Fallback mode degraded is on." in message.text
    assert "degraded (at most" not in message.text
    assert [button["value"] for button in buttons(message)] == ["minimal"]


def test_of_very_many_modes_an_alert_offers_the_first_ones() -> None:
    shares = tuple(share(f"mode-{index}", "m" * 60) for index in range(40))
    message = limit_message(alert(spend=with_spend(shares=shares)), None)
    check(message)
    check_twin(message)
    assert [button["value"] for button in buttons(message)] == ["mode-0", "mode-1", "mode-2"]
    assert [f"Fallback mode mode-{index} " in message.text for index in range(7)] == [True] * 6 + [False]


def test_a_mode_that_would_not_save_is_no_way_out() -> None:
    spend = with_spend(shares=(share(part="1.2"), share("minimal", part="1")))
    message = limit_message(alert(spend=spend), None)
    assert "Fallback mode" not in message.text
    assert buttons(message) == []


def test_beside_a_cheaper_mode_in_force_a_dearer_one_is_no_way_out() -> None:
    message = limit_message(alert(mode="minimal"), None)
    assert "degraded" not in message.text
    assert buttons(message) == []


def test_an_alert_drawn_for_another_mode_shows_the_savings_against_that() -> None:
    message = limit_message(alert(mode="degraded"), None)
    # $287.61 are left, of which degraded costs 0.55 and minimal 0.30.
    assert "minimal (at most Haiku 5.5) saves about $130.73 by the end of the period" in message.text
    (button,) = buttons(message)
    assert (
        "saves about $130.73 by the end of the period, 1 Dec 00:00 UTC, as of 20 Nov 11:55 UTC"
        in button["confirm"]["text"]["text"]
    )


@pytest.mark.parametrize("level", [LimitKind.SOFT, LimitKind.HARD])
def test_an_alert_drawn_from_stale_data_says_so_first_and_extrapolates_nothing(level: LimitKind) -> None:
    stale = SPEND.not_extrapolated(AS_OF + timedelta(hours=12))
    message = limit_message(alert(level, spend=stale), None)
    first = message.text.splitlines()[0]
    assert first.startswith("STALE, data is 12 h old: $412.50 of $")
    assert f"{level} limit crossed" in first
    assert "Expected end: not extrapolated, since the data is 12 h old." in message.text
    assert "saves" not in message.text
    assert buttons(message) == []
    assert message.blocks[0]["text"]["text"].startswith("STALE, data is 12 h old")


def test_an_alert_of_a_period_that_is_over_says_so_at_once_and_offers_nothing() -> None:
    message = limit_message(alert(decided_at=SPEND.ends_at), None)
    assert "which is over" in message.text.splitlines()[0]
    assert "which is over" in message.blocks[0]["text"]["text"]
    assert "Expected end" not in message.text
    assert buttons(message) == []


def test_unknown_is_said_in_words_and_never_as_zero() -> None:
    spend = with_spend(expected_usd=None, shares=(), movers=(replace(mover(), before_usd=None),))
    message = limit_message(alert(spend=spend), None)
    assert (
        "Expected end: not known yet, since there are less than 6 hours of data. The period ends 1 Dec" in message.text
    )
    assert "$41.27 in 24 h, nothing in the 24 h before" in message.text
    every = [message.text, *texts(message.blocks, "mrkdwn")]
    assert not any("$0.00" in text for text in every)


def test_models_without_a_price_are_named_loudly() -> None:
    message = limit_message(alert(spend=with_spend(assumed=("claude-opus-9", "x-1"))), None)
    line = next(line for line in message.text.splitlines() if line.startswith("Unknown price"))
    assert "claude-opus-9, x-1 are not in the rate card" in line
    assert any(f"*{line}*" in text for text in texts(message.blocks, "mrkdwn"))


# ---- dialogs


@given(modes, hostile, st.sampled_from(["0.001", "128.45", "99999999999.99"]))
def test_the_dialog_of_a_switch_has_room_for_the_saving_whatever_the_names(mode: str, model: str, amount: str) -> None:
    button = switch_button(saving(mode, model, amount), AS_OF)
    assert problems([{"type": "actions", "elements": [button]}], "message") == []
    text = button["confirm"]["text"]["text"]
    assert len(text) <= 300
    assert f"saves about {usd(Decimal(amount))} by the end of the period" in text
    assert "restart or reload" in text


def test_a_switch_button_says_the_mode_it_switches_to() -> None:
    button = switch_button(saving(), None)
    assert (button["action_id"], button["value"]) == (f"{SWITCH_ACTION}:degraded", "degraded")
    assert button["confirm"]["title"]["text"] == "Switch to fallback mode degraded?"


# ---- fallback mode


@pytest.mark.parametrize("previous", ["normal", "degraded", "a-mode-of-our-own"])
def test_the_answer_to_a_switch_offers_to_undo_it(previous: str) -> None:
    (button,) = buttons(switched(state("minimal"), previous, None, IMPACT))
    assert button["text"]["text"] == f"Undo: back to {previous}"
    assert (button["action_id"], button["value"]) == (f"{SWITCH_ACTION}:{previous}", previous)
    assert previous in button["confirm"]["text"]["text"]
    (button,) = buttons(
        announcement(mode_facts(mode="minimal", previous=previous), [EnvFile(Path("/srv/a.env"))], NOW, None)
    )
    assert button["text"]["text"] == f"Undo: back to {previous}"


def test_the_answer_to_a_switch_says_the_saving_and_what_did_not_work() -> None:
    message = switched(state(write_error="/srv/a.env cannot be written."), "normal", None, IMPACT)
    check(message)
    check_twin(message)
    assert "Fallback mode normal → degraded." in message.text
    assert (
        "saves about $129.42 by the end of the period, 1 Dec 00:00 UTC (usage as of 20 Nov 11:55 UTC)" in message.text
    )
    assert "NOT written yet, the bot keeps trying: /srv/a.env cannot be written." in message.text


@pytest.mark.parametrize(
    ("savings", "as_of", "words"),
    [
        ((), None, "what it saves is not known yet, since there is no budget with data"),
        ((saving("minimal"),), AS_OF, "what it saves is not known, since it names no model"),
    ],
)
def test_a_saving_that_is_not_known_is_no_zero(savings: Sequence[Saving], as_of: datetime | None, words: str) -> None:
    message = switched(state(), "normal", None, ModeImpact(tuple(savings), as_of, None, None))
    assert words in message.text
    assert "$" not in message.text


def test_an_announcement_says_who_why_what_it_saves_and_when_services_follow() -> None:
    message = announcement(mode_facts(), TARGETS, NOW, None)
    check(message)
    check_twin(message)
    assert message.text.splitlines()[0] == "Fallback mode normal → degraded, by <@U0ADMIN>: too dear"
    assert "Written at 20 Nov 12:00 UTC, not switched until usage shows it." in message.text
    assert "a service that reads it follows when it restarts or reloads" in message.text
    failed = announcement(mode_facts(), TARGETS, None, "/srv/services.env: no space is left.")
    assert "NOT written yet, the bot keeps trying; `/claude-cost doctor` says where and why." in failed.text
    for message_of_limit in (message, failed):
        assert "/srv" not in message_of_limit.text + str(message_of_limit.blocks)


def test_an_announcement_shows_what_changed_and_folds_what_is_the_same_each_time() -> None:
    message = announcement(mode_facts(until=NOW + timedelta(hours=2)), TARGETS, NOW, None)
    kinds = [block["type"] for block in message.blocks]
    assert kinds == ["section", "section", "actions", "container", "context"]
    assert len(message.blocks[1]["text"]["text"].splitlines()) == 2
    assert "A file switches nothing by itself" in str(message.blocks[3])


def test_a_target_that_follows_late_is_announced_without_a_button() -> None:
    message = announcement(mode_facts(written=True), TARGETS, NOW, None)
    check(message)
    assert "could not be written before; now it is" in message.text
    assert buttons(message) == []


@given(
    mode=modes,
    previous=modes,
    by=st.one_of(st.just("U0ADMIN"), hostile),
    reason=hostile,
    path=hostile,
    error=st.one_of(st.none(), hostile),
    model=hostile,
    written=st.booleans(),
)
def test_every_announcement_fits_into_slack_and_lets_nothing_in(
    mode: str, previous: str, by: str, reason: str, path: str, error: str | None, model: str, written: bool
) -> None:
    facts = mode_facts(
        mode=mode, previous=previous, by=by, reason=reason, savings=(saving(mode, model),), written=written
    )
    for written_at in (NOW, None):
        check(announcement(facts, [EnvFile(Path(path))], written_at, error))


@given(
    mode=modes,
    variables=st.dictionaries(hostile, hostile, max_size=14),
    overridden=st.lists(hostile, max_size=9).map(tuple),
    savings=st.lists(st.builds(saving, modes, hostile), max_size=9, unique_by=lambda saving: saving.mode),
    path=hostile,
    error=st.one_of(st.none(), hostile),
    who=st.one_of(st.none(), hostile),
)
def test_every_answer_about_the_mode_fits_into_slack_and_lets_nothing_in(
    mode: str,
    variables: dict[str, str],
    overridden: tuple[str, ...],
    savings: list[Saving],
    path: str,
    error: str | None,
    who: str | None,
) -> None:
    many = {**variables, **{f"VARIABLE_{index}": "x" * 300 for index in range(100)}}
    for held in (variables, many):
        view = TargetView(path, path, None, error, NOW, overridden)
        known = ModeState(Mode(mode, held), NOW if who else None, who, who, None, error, (view, view))
        impact = ModeImpact(tuple(savings), None, None, None)
        age = age_line(DataState(as_of=AS_OF, source="admin"), NOW, 60)
        for message in (
            mode_status(known, Auto(False, None), Overview(tuple(savings), {}, AS_OF)),
            switched(known, mode, None, impact),
            already(known),
        ):
            check(with_age(message, age), most_text=MOST_TEXT)


def test_the_status_of_the_mode_says_where_it_is_written_and_what_the_others_would_save() -> None:
    message = mode_status(
        state(targets=(TargetView("/srv/services.env", "", NOW, None, None, ("Careful: two lines.",)),)),
        Auto(False, None),
        Overview(SAVINGS, {}, AS_OF, SPEND),
    )
    check(message)
    check_twin(message)
    assert message.text.splitlines() == [
        "Fallback mode: degraded.",
        "Since 20 Nov 12:00 UTC, by <@U0ADMIN>: too dear",
        "Written to `/srv/services.env` at 20 Nov 12:00 UTC.",
        "Written, not switched: usage does not show it yet.",
        "`CLAUDE_FALLBACK_MODE=degraded`",
        "`CLAUDE_MODEL=claude-sonnet-5-5`",
        "Careful: two lines.",
        "Stepping down by itself: off, as in the settings.",
        "minimal: at most Haiku 5.5; saves about $201.33 by the end of the period, 1 Dec 00:00 UTC "
        "(usage as of 20 Nov 11:55 UTC).",
    ]
    assert [button["text"]["text"] for button in buttons(message)] == ["Back to normal", "Change…"]


# ---- status


def status(
    spends: Sequence[BudgetSpend],
    data: DataState | None = None,
    mode: ModeState | None = None,
    error: str | None = None,
    now: datetime = NOW,
    open_alerts: Sequence[OpenAlert] = (),
) -> Message:
    known = data or DataState(as_of=AS_OF, source="admin", polled_at=NOW)
    return status_message(spends, known, mode or state("normal"), error, now, 60, open_alerts=open_alerts)


def test_a_status_has_every_budget_the_mode_and_the_age() -> None:
    message = status([SPEND, with_spend(budget="search", scope="workspace:wrkspc_1", soft_usd=None)])
    check(message)
    check_twin(message)
    assert message.text.splitlines()[:9] == [
        "$412.50 of $600.00 (68%), November",
        "Mostly Opus 4.8 · Search · key ingest: $41.27 in 24 h, the 24 h before $9.13.",
        "Recommended: Switch to degraded · saves about $129.",
        "▰▰▰▰▰▰▱▱▱▱ 68% of the hard limit, $600.00; 103% of the soft limit, $400.00",
        "Expected end: $700.11 (range $650.01 to $750.21) by 1 Dec 00:00 UTC.",
        "$412.50 of $600.00 (68%), November, budget search",
        "▰▰▰▰▰▰▱▱▱▱ 68% of the hard limit, $600.00",
        "Expected end: $700.11 (range $650.01 to $750.21) by 1 Dec 00:00 UTC.",
        "Budget default, organization: $300.25 billed for 17 settled days + $111.75 computed from tokens and list "
        "prices + $0.50 that only the cost report knows.",
    ]
    assert message.text.count("• Opus 4.8") == 1
    assert message.text.splitlines()[-2:] == [
        "Fallback mode: normal since 20 Nov 12:00 UTC by <@U0ADMIN>, written",
        "Data as of 20 Nov 11:55 UTC (5 min old), from Anthropic's admin API.",
    ]


def test_before_the_first_poll_a_status_shows_no_number_at_all() -> None:
    message = status([], DataState(error="Anthropic cannot be reached.", error_since=NOW), state(changed_at=None))
    check(message)
    assert message.text.splitlines() == [
        NO_DATA,
        "Fallback mode: degraded, never changed",
        "Polling fails since 20 Nov 12:00 UTC: Anthropic cannot be reached.",
    ]
    assert "$" not in message.text


def test_what_is_wrong_is_said_below_the_numbers() -> None:
    data = DataState(
        as_of=NOW - timedelta(hours=3),
        source="analytics",
        error="Anthropic cannot be reached.",
        error_since=NOW - timedelta(hours=2),
        billed_error="The key may not read the cost report.",
    )
    message = status(
        [with_spend(as_of=data.as_of)],
        data,
        state(write_error="No space is left.", written_at=None),
        "The bot was removed.",
    )
    check(message)
    assert (
        message.text.splitlines()[0] == "STALE. Data as of 20 Nov 09:00 UTC (3 h old), from Anthropic's analytics API."
    )
    assert message.blocks[0]["text"]["text"].startswith("*STALE. ")
    assert "Expected end: not extrapolated, since the data is 3 h old." in message.text
    assert message.text.splitlines()[-5:] == [
        "Fallback mode: degraded since 20 Nov 12:00 UTC by <@U0ADMIN>, NOT written",
        "Polling fails since 20 Nov 10:00 UTC: Anthropic cannot be reached.",
        "The cost report cannot be read, so newer days are computed: The key may not read the cost report.",
        "No space is left.",
        "Alerts are waiting: The bot was removed.",
    ]


def test_a_mode_that_the_target_does_not_hold_yet_is_not_called_written() -> None:
    assert ", NOT written" in status([SPEND], mode=state(written_at=None)).text


def test_a_period_that_is_over_says_that_nothing_is_known_of_the_new_one() -> None:
    message = status([with_spend(expected_usd=None, movers=(), shares=())], now=SPEND.ends_at + timedelta(minutes=3))
    check_twin(message)
    over = "November is over: it ended 1 Dec 00:00 UTC. Of the new one nothing is known yet."
    assert over in message.text.splitlines()
    assert "Pace" not in message.text


@pytest.mark.parametrize(("spent", "full"), [("-12.50", 0), ("0", 0), ("59", 0), ("60", 1), ("599", 9), ("9999", 10)])
def test_the_bar_has_as_many_cells_as_always_whatever_was_spent(spent: str, full: int) -> None:
    message = status([with_spend(spent_usd=Decimal(spent))])
    assert f"\n{'▰' * full}{'▱' * (10 - full)} " in message.text
    assert "of the hard limit, $600.00" in message.text


@given(
    st.lists(hostile_spends, max_size=60),
    hostile,
    st.one_of(st.none(), hostile),
    st.sampled_from([NOW, SPEND.ends_at]),
)
def test_every_status_fits_into_slack_however_many_budgets_there_are(
    spends: list[BudgetSpend], words: str, error: str | None, now: datetime
) -> None:
    data = DataState(as_of=AS_OF, source="admin", error=words, error_since=NOW, billed_error=words)
    message = status(spends, data, state(words, changed_by=words, reason=words, write_error=error), error, now)
    check(message, most_text=MOST_TEXT)
    assert "ata as of 20 Nov 11:55 UTC" in message.text


def test_of_very_many_budgets_those_nearest_to_their_limits_are_shown() -> None:
    spends = [with_spend(budget=f"team-{index}", spent_usd=Decimal(index)) for index in range(200)]
    message = status(spends)
    check(message, most_text=MOST_TEXT)
    check_twin(message)
    assert message.text.splitlines()[0] == "$199.00 of $600.00 (33%), November, budget team-199"
    assert "• $170.00 in November: budget team-170, organization soft limit $400.00 (42%)" in message.text
    assert re.search(r"and \d+ more budgets, further from their limits\.", message.text)


LONG_NAMES = [
    ("<!channel> & *bold* _it_ ~gone~ `code` " * 8)[:300],
    "👩\u200d💻🎉" * 75,
    "\u202egnp.ecaps\u202c" * 25,
    "検索チーム" * 60,
]


@pytest.mark.parametrize("name", LONG_NAMES)
@pytest.mark.parametrize("code", LANGUAGES)
def test_five_hundred_budgets_with_the_worst_names_fit_in_every_language(name: str, code: str) -> None:
    worst = replace(
        SPEND,
        scope=f"workspace:{name}",
        at_least=True,
        assumed=(name,) * 9,
        spent_usd=Decimal("99999999999.99"),
        movers=(mover(name, name, name),) * 3,
        causes=(cause(CauseKind.TOKENS_ROSE, name, name, name),) * 3,
        shares=tuple(share(f"{index}{name}", name) for index in range(9)),
    )
    standing = [
        OpenAlert(Identity(AlertKind.LIMIT, name, "2026-11", Limit(LimitKind.HARD, Decimal(600))), None, NOW, Life())
    ] * 500
    with in_language(code):
        spends = [replace(worst, budget=f"{index}{name}") for index in range(500)]
        check(status(spends, open_alerts=standing), most_text=MOST_TEXT)
        check(limit_message(alert(LimitKind.HARD, spend=worst), LINK))


# ---- help, estimate, age


@given(hostile)
def test_an_unknown_word_is_answered_in_one_line_that_fits_into_slack(unknown: str) -> None:
    message = not_known_message(unknown, "status")
    check(message)
    assert "\n" not in message.text
    assert message.text.endswith("did you mean `/claude-cost status`? `/claude-cost help` lists everything.")


def test_help_fits_into_slack() -> None:
    message = help_message([("status <now>", "spend & pace")])
    check(message)
    check_twin(message)
    assert "`/claude-cost status &lt;now&gt;`: spend &amp; pace" in message.text


@pytest.mark.parametrize(
    "words",
    [
        "sonnet-4.6 requests=100k in=2000 out=500 cached=1500 hit=90%",
        "haiku requests=1/day in=150000 out=1",
        "opus requests=1.5m in=100 out=0 batch",
        "opus requests=1 in=0 out=0",
        "fable requests=1000b in=1000b out=1000b",
    ],
)
def test_an_estimate_fits_into_slack_and_its_text_has_every_figure(words: str) -> None:
    message = estimate_message(estimate(parse_workload(words, CARD), CARD, NOW.date()))
    check(message, most_text=MOST_TEXT)
    check_twin(message)
    assert "checked on" in message.text
    headline = message.blocks[0]["text"]["text"].splitlines()[0].strip("*")
    assert message.text.startswith(headline)


@pytest.mark.parametrize(
    ("words", "ways"),
    [
        ("sonnet requests=100k in=2000 out=500", ["Haiku 5.5: $45.00", "Send in batches"]),
        ("opus-3 requests=1k in=2000 out=500", ["Haiku 5.5, same text: $0.59", "Sonnet 5.5, same text: $11.70"]),
        ("sonnet requests=1k in=2000000 out=500000", ["No other way that works is cheaper."]),
        ("haiku requests=1k in=2000 out=500 batch", ["Cache the prompt"]),
    ],
)
def test_an_estimate_shows_its_number_and_the_two_cheapest_ways_and_folds_the_rest(words: str, ways: list[str]) -> None:
    made = estimate(parse_workload(words, CARD), CARD, NOW.date())
    message = estimate_message(
        made, Besides(["Budget default: expected end $1.00 → $2.00."], ["Budget default: more."])
    )
    check(message)
    *shown, fold = message.blocks
    drawn = "\n".join(block["text"]["text"] for block in shown)
    lines = drawn.splitlines()
    assert fold["type"] == "container"
    assert fold["default_collapsed"] is True
    assert len(lines) <= 8
    found = [line.removeprefix("• ") for line in lines if line.startswith(("• ", "No other"))]
    assert [line.startswith(way) for line, way in zip(found, ways, strict=True)] == [True] * len(ways)
    assert lines[-1] == "Budget default: expected end $1.00 → $2.00."
    # What cannot work comes first.
    assert [line.strip("*") for line in lines[: len(made.problems)]] == list(made.problems)
    older = message.in_older_blocks
    assert older is not None
    check(older)
    assert "checked on" in str(older.blocks)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(minutes=5), "Data as of 20 Nov 11:55 UTC (5 min old), from Anthropic's admin API."),
        (timedelta(minutes=15), "Data as of 20 Nov 11:45 UTC (15 min old), from Anthropic's admin API."),
        (timedelta(minutes=16), "STALE. Data as of 20 Nov 11:44 UTC (16 min old), from Anthropic's admin API."),
        (timedelta(hours=47), "STALE. Data as of 18 Nov 13:00 UTC (47 h old), from Anthropic's admin API."),
        (timedelta(days=5), "STALE. Data as of 15 Nov 12:00 UTC (5 days old), from Anthropic's admin API."),
        (timedelta(minutes=-1), "Data as of 20 Nov 12:01 UTC (less than 1 min old), from Anthropic's admin API."),
    ],
)
def test_the_age_of_the_data_is_said_in_the_unit_that_fits(age: timedelta, words: str) -> None:
    assert in_utc(age_line(DataState(as_of=NOW - age, source="admin"), NOW, 60)) == words


def test_without_data_the_age_says_so() -> None:
    assert age_line(DataState(), NOW, 60) == "No data yet: the first poll has not succeeded."
    assert sentence("x" * 500).endswith("…")
