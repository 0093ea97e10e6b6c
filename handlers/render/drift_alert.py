"""A settled day on which computed and billed differ, as a message."""

from bot.alerts.day_drift import ModelDrift
from bot.alerts.drift import DriftAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.budgets.period import period_name
from bot.messages import Message
from bot.money import usd
from bot.phrases import day_name
from handlers.render.drift import cause_line, differences, is_nothing, unexplained
from handlers.render.parts import context, heading, lead, moment, paragraph, shown

MOST_MODELS = 10

BILLED_MORE = "calls that the usage read here does not know, or a price above the rate card's"
COMPUTED_MORE = "usage that is not billed, or a price below the rate card's"
NO_LIST_PRICES = (
    "This cost report has no list prices: a discount of your contract would look like this. "
    "The analytics API reports both."
)
WHAT_TO_DO = (
    "Budgets count what is billed for this day. The last two days are computed, and may be off in the same way: "
    "compare the day with the cost page of Anthropic's Console. Later days with about the same share are not reported."
)

CLOSED = (
    "The day is not compared any more, and its budgets keep what is billed. The same share on later days is not "
    "reported again; `status` and `report` show it."
)


def drift_message(alert: DriftAlert) -> Message:
    """A settled day on which the two sums differ, or do not any more."""
    resolved, closed = alert.status is Status.RESOLVED, alert.status is Status.CLOSED
    over, drift = resolved or closed, alert.drift
    how = "resolved" if resolved else "closed, unresolved"
    day = day_name(drift.day, alert.as_of)
    what = f"Drift of {day} {how}" if over else f"Drift on {day}"
    sums = f"{usd(drift.billed_usd)} billed, {usd(drift.computed_usd)} computed"
    causes, models = drift.causes, drift.models if drift.by_model else ()
    rest, *amounts = differences(drift.computed_usd, drift.billed_usd, [drift.unexplained_usd, *causes.values()])
    first = f"{what}: {sums}, {unexplained(rest, drift.billed_usd)}"
    lines = [cause_line(cause, amount) for cause, amount in zip(causes, amounts, strict=True)]
    lines += [_model_line(model) for model in models[:MOST_MODELS]]
    if len(models) > MOST_MODELS:
        lines.append(f"and {len(models) - MOST_MODELS} more models")
    if not over:
        lines += [NO_LIST_PRICES] if drift.list_usd is None and drift.unexplained_usd < 0 else []
        lines.append(WHAT_TO_DO)
    if closed:
        lines.append(CLOSED)
    ages = f"usage as of {moment(alert.as_of)} · cost report read {moment(alert.report_read_at)}"
    return Message(
        [
            heading(f"Drift {how}" if over else "Computed and billed differ"),
            lead(first),
            paragraph(*lines),
            context(f"Incident {shown(alert.incident)} · {ages}"),
        ]
    )


def drift_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    return f"computed and billed differ for {shown(period_name(alert.identity.key, alert.since))}"


def _model_line(model: ModelDrift) -> str:
    name = "no model" if model.model is None else shown(model.model)
    sums = f"{usd(model.computed_usd)} computed of {usd(model.billed_usd)} billed"
    if is_nothing(model.billed_usd - model.computed_usd):
        return f"• {name}: {sums}, equal to the cent"
    if is_nothing(model.unexplained_usd):
        return f"• {name}: {sums}, explained"
    why = BILLED_MORE if model.unexplained_usd > 0 else COMPUTED_MORE
    return f"• {name}: {sums}, {usd(model.unexplained_usd)} unexplained: {why}"
