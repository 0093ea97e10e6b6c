"""The common layout of alerts and `status`: what happened, why, what to do about it; everything else is folded.

A phone shows the first three without scrolling. The text beside the blocks has all of it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from math import floor

from bot.alerts.incident import Status
from bot.alerts.model import AlertPayload
from bot.amounts import in_currency, usd
from bot.budgets.budget_spend import BudgetSpend, NamedCause, NamedMover
from bot.budgets.savings import Saving
from bot.language import tr, tr_noop
from bot.messages import Block, Message, Part
from bot.mode import NORMAL
from handlers.render.parts import (
    NAME_LIMIT,
    bullets,
    button,
    confirmation,
    context,
    fold,
    headline,
    model_label,
    moment,
    paragraph,
    plain,
    shown,
    warning,
)
from handlers.render.spend import (
    BRIEF,
    INCIDENT_LIMIT,
    SWITCH_ACTION,
    cause_line,
    mover_line,
    narrower,
    saving_clause,
    saving_line,
    switch_buttons,
    unknown_price_line,
    ways_out,
)

MOST_SWITCHES = 3
"""Most switch buttons; further modes are named in the details."""

WHOLE_DOLLARS = Decimal(10)
"""Savings from this amount on are shown in whole dollars on a button."""

DEFAULT, ORGANIZATION = "default", "organization"
"""The default budget, which needs no name: it counts everything."""


def layout(
    first: str,
    why: Sequence[str] = (),
    actions: Part | None = None,
    visible: Iterable[Part] = (),
    details: Sequence[Part] = (),
    small_print: Iterable[Part] = (),
) -> Message:
    """`first`: the number, and what happened. `why`: one clause. `visible`: parts that must not be folded."""
    row = [] if actions is None else [actions]
    return Message([headline(first), paragraph(*why), *row, *visible, fold(tr("Details"), details), *small_print])


def budget_clause(spend: BudgetSpend) -> str:
    """`, budget search`, for the end of a first line; empty for the budget that counts everything."""
    return named_clause(spend.budget, spend.scope)


def named_clause(budget: str, scope: str = ORGANIZATION) -> str:
    """`budget_clause` for a budget by name."""
    return "" if (budget, scope) == (DEFAULT, ORGANIZATION) else tr(", budget {budget}", budget=shown(budget))


def why_lines(causes: Sequence[NamedCause], movers: Sequence[NamedMover]) -> list[str]:
    """The largest change, or else the largest caller; empty if neither is known."""
    if causes:
        return [tr("Why: {cause}.", cause=cause_line(causes[0]))]
    return [tr("Mostly {caller}.", caller=mover_line(movers[0]))] if movers else []


def incident_part(alert: AlertPayload) -> Part:
    """The id that identifies a repeat of the message, and its step."""
    return context(
        tr("Incident {incident} · {step}", incident=shown(alert.incident, INCIDENT_LIMIT), step=tr(STEPS[alert.status]))
    )


STEPS = {
    Status.WATCHED: tr_noop("watched"),
    Status.OPEN: tr_noop("open"),
    Status.RESOLVED: tr_noop("resolved"),
    Status.SUPERSEDED: tr_noop("superseded"),
    Status.WITHDRAWN: tr_noop("withdrawn"),
    Status.CLOSED: tr_noop("closed"),
}


def age_part(as_of: datetime, mode: str = NORMAL) -> Part:
    """Age of the figures, and the fallback mode unless normal."""
    if mode == NORMAL:
        return context(tr("Data as of {time}.", time=moment(as_of)))
    return context(tr("Fallback mode {mode} is on. Data as of {time}.", mode=shown(mode), time=moment(as_of)))


def unknown_prices(spend: BudgetSpend) -> list[Part]:
    """Models without a price, placed where nobody overlooks them."""
    return [warning(unknown_price_line(spend.assumed))] if spend.assumed else []


# ---- ways out


def recommended(savings: Sequence[Saving], spend: BudgetSpend | None) -> Saving | None:
    """The mildest mode with which the period is expected to end within its limit; if none does, the one that saves
    most.

    `savings`: of modes that save something, mildest first.
    """
    limit = None if spend is None else spend.hard_usd or spend.soft_usd
    if spend is not None and limit is not None and spend.expected_usd is not None and spend.spent_usd < limit:
        for saving in savings:
            if spend.expected_usd - saving.usd <= limit:
                return saving
    return max(savings, key=lambda saving: saving.usd, default=None)


def switch_row(savings: Sequence[Saving], spend: BudgetSpend | None, as_of: datetime | None, mode: str) -> Part:
    """A button for each mode: first the recommended one, with its saving. `mode`: the one in force."""
    best = recommended(savings, spend)
    if best is None:
        return Part()
    quiet, budget = [saving for saving in savings if saving is not best][: MOST_SWITCHES - 1], narrower(spend)
    first = switch_button(best, as_of, recommended=True, budget=budget)
    elements = [first, *(switch_button(saving, as_of, budget=budget) for saving in quiet)]
    drawn = switch_buttons(elements, mode, budget)
    return Part(
        tr("Recommended: {button}.", button=_label(best, shown(best.mode, BRIEF), recommended=True)), drawn.blocks
    )


def ways_out_row(spend: BudgetSpend, mode: str) -> Part:
    """`switch_row` for the modes that save something for a budget."""
    return switch_row(ways_out(spend, mode), spend, spend.as_of, mode)


def ways_out_lines(spend: BudgetSpend, mode: str) -> Part:
    """The saving of each mode, in full."""
    lines = [tr("Fallback mode {saving}.", saving=saving_line(saving)) for saving in ways_out(spend, mode)]
    return bullets(tr("Ways out"), lines)


def switch_button(saving: Saving, as_of: datetime | None, *, recommended: bool = False, budget: str = "") -> Block:
    """A button that switches to a mode, with a dialog that states the saving and the age of its data.

    `budget`: the budget of the saving; empty for the organization.
    """
    dialog = confirmation(
        tr("Switch to fallback mode {mode}?", mode=plain(saving.mode, NAME_LIMIT)),
        _consequence(saving, as_of, budget),
        tr("Switch to {mode}", mode=saving.mode),
        danger=True,
    )
    label, action_id = (
        _label(saving, plain(saving.mode, BRIEF), recommended=recommended),
        f"{SWITCH_ACTION}:{saving.mode}",
    )
    return button(label, action_id, saving.mode, confirm=dialog, style="primary" if recommended else None)


def _consequence(saving: Saving, as_of: datetime | None, budget: str) -> str:
    values = {
        "saving": saving_clause(saving),
        "model": plain(model_label(saving.model), NAME_LIMIT),
        "budget": plain(budget, NAME_LIMIT),
        "time": "" if as_of is None else moment(as_of),
    }
    if budget and as_of is not None:
        return tr(
            "For budget {budget} this {saving}, as of {time}. Services may then use at most {model}. Running processes "
            "follow when they restart or reload their environment.",
            **values,
        )
    if budget:
        return tr(
            "For budget {budget} this {saving}. Services may then use at most {model}. Running processes follow when "
            "they restart or reload their environment.",
            **values,
        )
    if as_of is None:
        return tr(
            "This {saving}. Services may then use at most {model}. Running processes follow when they restart or "
            "reload their environment.",
            **values,
        )
    return tr(
        "This {saving}, as of {time}. Services may then use at most {model}. Running processes follow when they "
        "restart or reload their environment.",
        **values,
    )


def _label(saving: Saving, mode: str, *, recommended: bool) -> str:
    """`Switch to minimal · saves about $89`. `mode`: its name, escaped for the label."""
    if not recommended:
        return tr("Switch to {mode}", mode=mode)
    # Round down: no button promises more than is left to spend.
    about = in_currency(Decimal(floor(saving.usd)), "$", 0) if saving.usd >= WHOLE_DOLLARS else usd(saving.usd)
    return tr("Switch to {mode} · saves about {saving}", mode=mode, saving=about)
