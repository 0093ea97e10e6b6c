"""What alerts about spend have in common: who and why, the ways out, and the small print."""

from collections.abc import Sequence

from bot.budgets.budget_spend import BudgetSpend, NamedCause
from bot.messages import Part
from bot.mode import NORMAL
from handlers.render.parts import bullets, context, moment, paragraph, shown
from handlers.render.spend import cause_line, mover_line, saving_line, switch_button, switch_buttons, ways_out

NOTHING_STOPPED = "Nothing has been stopped: only the limit in Anthropic's Console stops requests."

INCIDENT_LIMIT = 200
"""A visible incident id is only cut where a budget's name is longer than settings let it be."""


def callers(spend: BudgetSpend) -> list[Part]:
    """The largest callers of the last day, and what changed."""
    return [who_and_why("Largest in the last day", [mover_line(mover) for mover in spend.movers], spend.causes)]


def who_and_why(title: str, who: Sequence[str], causes: Sequence[NamedCause]) -> Part:
    """Callers under a title, then causes."""
    return bullets(title if who else "What changed", [*who, *(f"Why: {cause_line(cause)}" for cause in causes)])


def ways_out_parts(spend: BudgetSpend, mode: str) -> list[Part]:
    """What each cheaper mode saves, with its button."""
    savings = ways_out(spend, mode)
    return [
        bullets("Ways out", [f"Fallback mode {saving_line(saving)}." for saving in savings]),
        switch_buttons([switch_button(saving, spend.as_of) for saving in savings], mode),
    ]


def closing(incident: str, spend: BudgetSpend, mode: str) -> list[Part]:
    """The mode where one is on, the incident and the age of the data."""
    small_print = context(f"Incident {shown(incident, INCIDENT_LIMIT)} · data as of {moment(spend.as_of)}")
    return [small_print] if mode == NORMAL else [paragraph(f"Fallback mode {shown(mode)} is on."), small_print]
