"""Requests to admins and refusals at their worst: Slack takes them in both languages, and nothing in them is markup."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bot.alerts.asks import LONGEST_WORDS, Ask, Place, Wanted
from bot.alerts.lifecycle import AdminRequest
from bot.budgets.savings import Saving
from bot.fallback.admins import NotAnOwner
from bot.language import in_language
from bot.sandbox.block_limits import problems
from handlers.render.asking import ASK_ACTION, ask_message, refusal_message
from handlers.render.raises import not_an_owner
from tests.databases import NOW

HOSTILE = "<!channel> *b* `c` & \u202ertl\u202c :tada: <@U0ADMIN> " + "x" * 300
ADMINS = ("U0ADMIN", "S0TEAM", *(f"U0ADMIN{number}" for number in range(58)))
SAVING = Saving(mode=HOSTILE, model=HOSTILE, usd=Decimal("1e12"), share=Decimal("0.5"), ends_at=NOW + timedelta(days=9))


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(
    "what",
    [
        {"mode": HOSTILE},
        {"mode": HOSTILE, "saving": SAVING, "as_of": NOW},
        {"mode": HOSTILE, "saving": SAVING, "as_of": NOW, "budget": HOSTILE},
        {"mode": HOSTILE, "saving": SAVING, "budget": HOSTILE},
        {"mode": ""},
        {"command": f"/claude-cost budget set {HOSTILE * 4}"},
        {"decides": True},
    ],
    ids=lambda what: " ".join(what),
)
def test_a_request_to_admins_is_taken_at_its_worst(language: str, what: dict[str, object]) -> None:
    known: dict[str, object] = {"incident": "x", "by": "U0DEV", "admins": ADMINS, "mode": "", "previous": HOSTILE}
    request = AdminRequest(**{**known, "saving": None, "as_of": None, **what})  # type: ignore[arg-type]
    with in_language(language):
        message = ask_message(request)
    assert problems(message.blocks, "message") == []
    assert "<!channel>" not in message.text
    assert "<@U0DEV>" in message.text
    assert "<!subteam^S0TEAM>" in message.text


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_refusal_is_taken_at_its_worst(language: str) -> None:
    owners = tuple(f"U0OWNER{number}" for number in range(10))
    unread = tuple(ValueError(f"the members of S0{number} could not be read") for number in range(10))
    with in_language(language):
        for why in (NotAnOwner(owners), NotAnOwner(owners, unread), NotAnOwner(owners, not_yet=True)):
            message = not_an_owner(HOSTILE, why)
            assert problems(message.blocks, "message") == []
            assert "<!channel>" not in message.text
        for words, buttons in (("y" * LONGEST_WORDS, 1), ("y" * (LONGEST_WORDS + 1), 0)):
            refusal = refusal_message("Nothing was changed.", Ask(Wanted.COMMAND, words))
            assert problems(refusal.blocks, "message") == []
            assert str(refusal.blocks).count(ASK_ACTION) == buttons
        assert ASK_ACTION not in str(refusal_message("Nothing was changed.", None).blocks)
        longest = Ask(Wanted.DECISION, "", Place.PROPOSAL, 10**18 - 1)
        assert longest.packed() in str(refusal_message("Nothing was changed.", longest).blocks)
