"""Lines about spend that alerts, status and announcements have in common. Each line serves text and blocks alike."""

from decimal import Decimal

from bot.alerts.facts import MoverFacts, SavingFacts, SpendFacts
from bot.message import Block
from bot.money import usd
from handlers.blocks.elements import button, confirmation, escape, moment

SWITCH_ACTION = "fallback_switch"


def amount(spend: SpendFacts) -> str:
    """What was spent; with `at least` where a price step per request cannot be seen."""
    return f"at least {usd(spend.spent_usd)}" if spend.at_least else usd(spend.spent_usd)


def period_end(spend: SpendFacts) -> str:
    return moment(spend.ends_at)


def parts_line(spend: SpendFacts) -> str:
    """How much of the sum is billed and how much computed."""
    parts = []
    if spend.billed_days:
        days = "1 settled day" if spend.billed_days == 1 else f"{spend.billed_days} settled days"
        parts.append(f"{usd(spend.billed_usd)} billed for {days}")
    parts.append(f"{usd(spend.computed_usd)} computed from tokens and list prices")
    if spend.report_only_usd:
        parts.append(f"{usd(spend.report_only_usd)} that only the cost report knows")
    return " + ".join(parts)


def pace_line(spend: SpendFacts) -> str:
    """Where the last 24 hours lead."""
    if spend.pace_usd is None:
        return f"Pace: not known yet, since there are less than 6 hours of data. The period ends {period_end(spend)}."
    return f"Pace: {usd(spend.pace_usd)} by {period_end(spend)} if the last 24 hours go on."


def mover_line(mover: MoverFacts) -> str:
    """`claude-opus-4-8 · search · key ingest-2: $41.00 in 24 h, before $9.00`."""
    who = f"{escape(mover.model)} · {escape(mover.workspace)}"
    who += f" · key {escape(mover.key)}" if mover.key else " · no key"
    before = "new" if mover.before_usd is None else f"the 24 h before {usd(mover.before_usd)}"
    return f"{who}: {usd(mover.usd)} in 24 h, {before}"


def saving_clause(saving: SavingFacts) -> str:
    """What a mode would save, or that it would not."""
    if saving.usd > 0:
        return f"saves about {usd(saving.usd)} by the end of the period"
    if saving.usd == 0:
        return "saves nothing at the present mix"
    return f"costs about {usd(-saving.usd)} more by the end of the period"


def saving_line(saving: SavingFacts) -> str:
    return f"{saving.mode} (at most {escape(saving.model)}) {saving_clause(saving)}"


def assumed_line(spend: SpendFacts) -> str | None:
    """The loud word about models that no price is known for."""
    if not spend.assumed:
        return None
    models = ", ".join(escape(model) for model in spend.assumed)
    return f"Unknown price: {models} is not in the rate card and is counted at the dearest rate known for its family."


def at_least_line(spend: SpendFacts) -> str | None:
    if not spend.at_least:
        return None
    return "At least: Haiku 5.5 costs five times as much for prompts over 100,000 tokens, which sums do not show."


def switch_button(saving: SavingFacts) -> Block:
    """A button that switches to a mode, behind a dialog that states the saving."""
    dialog = confirmation(
        f"Switch to fallback mode {saving.mode}?",
        f"Services may then use at most {saving.model}. This {saving_clause(saving)}. "
        "Running processes follow when they restart or reload their environment.",
        f"Switch to {saving.mode}",
        danger=True,
    )
    return button(
        f"Switch to {saving.mode}", f"{SWITCH_ACTION}:{saving.mode}", saving.mode, confirm=dialog, style="danger"
    )


def worthwhile(savings: tuple[SavingFacts, ...]) -> list[SavingFacts]:
    """The modes that would save something."""
    return [saving for saving in savings if saving.usd > Decimal(0)]
