"""Computed against billed: a drift as a message, and lines about it in reports and status."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from bot.alerts.day_drift import DayDrift, DriftCause, ModelDrift, summed, total_of
from bot.alerts.drift import DriftAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.amounts import CENT, cents_of, day_name, in_cents, percent, usd
from bot.budgets.budget import period_name
from bot.language import ntr, tr, tr_noop
from bot.messages import Message
from handlers.render.layout import age_part, incident_part, layout
from handlers.render.parts import model_label, moment, paragraph, shown

CAUSES: Mapping[DriftCause, str] = {
    DriftCause.PRIORITY_TIER: tr_noop("{usd} for Priority Tier, which is in the usage and not in the bill"),
    DriftCause.REPORT_ONLY: tr_noop("{usd} for code execution and session runtime, which only the bill knows"),
    DriftCause.DISCOUNT: tr_noop("{usd} for discounts"),
    DriftCause.ASSUMED: tr_noop("{usd} for models whose price is assumed"),
    DriftCause.LONG_PROMPTS: tr_noop("{usd} for long prompts at a higher price, which sums do not show"),
}


def truth_lines(days: Sequence[DayDrift], report_read_at: datetime | None) -> list[str]:
    """Both sums of the settled days, why they differ, and when the bill was read."""
    read = tr("not read yet") if report_read_at is None else tr("read {time}", time=moment(report_read_at))
    if not days:
        return [tr("Computed against billed: no settled day to compare yet; cost report {read}.", read=read)]
    computed, billed, whole = total_of(days)
    causes = summed(day.causes for day in days)
    rest, *amounts = differences(computed, billed, [whole, *causes.values()])
    until = _day(days[-1].day, report_read_at)
    lines = [
        ntr(
            "Computed against billed, {number} settled day to {until}: {computed} computed, {billed} billed, {rest}; "
            "cost report {read}.",
            "Computed against billed, {number} settled days to {until}: {computed} computed, {billed} billed, {rest}; "
            "cost report {read}.",
            len(days),
            until=until,
            computed=usd(computed),
            billed=usd(billed),
            rest=unexplained(rest, billed),
            read=read,
        )
    ]
    lines += [cause_line(cause, amount) for cause, amount in zip(causes, amounts, strict=True)]
    worst = max(days, key=lambda day: abs(day.unexplained_usd))
    if len(days) > 1 and not is_nothing(worst.unexplained_usd):
        most = unexplained(worst.unexplained_usd, worst.billed_usd)
        lines.append(f"• {tr('most of all on {day}: {rest}', day=_day(worst.day, report_read_at), rest=most)}")
    return lines


def _day(day: date, now: datetime | None) -> str:
    return day.isoformat() if now is None else day_name(day, now)


def unexplained(rest: Decimal, billed: Decimal) -> str:
    """The part of a difference that known causes leave unexplained."""
    if is_nothing(rest):
        return tr("nothing unexplained")
    if billed <= 0:
        return tr("{usd} unexplained", usd=usd(rest))
    return tr("{usd} unexplained ({share} of the bill)", usd=usd(rest), share=percent(abs(rest), billed))


def differences(computed: Decimal, billed: Decimal, parts: Sequence[Decimal]) -> list[Decimal]:
    """The parts of the difference, rounded so that they add up from the computed to the billed sum as shown."""
    cents, whole = cents_of(billed) - cents_of(computed), sum(parts, Decimal(0))
    # Both sums are rounded, so their difference may be a cent off.
    return in_cents(cents if abs(cents - cents_of(whole)) <= 1 else cents_of(whole), parts)


def cause_line(cause: DriftCause, amount: Decimal) -> str:
    """The effect of one cause."""
    return f"• {tr(CAUSES[cause], usd=usd(amount))}"


def is_nothing(amount: Decimal) -> bool:
    """Whether it is less than half a cent."""
    return amount.quantize(CENT, ROUND_HALF_UP) == 0


MOST_MODELS = 10

BILLED_MORE = tr_noop("calls that the usage read here does not know, or a price above the rate card's")
COMPUTED_MORE = tr_noop("usage that is not billed, or a price below the rate card's")
NO_LIST_PRICES = tr_noop(
    "This cost report has no list prices: a discount of your contract would look like this. "
    "The analytics API reports both."
)
WHAT_TO_DO = tr_noop(
    "Budgets count what is billed for this day. The last two days are computed, and may be off in the same way: "
    "compare the day with the cost page of Anthropic's Console. Later days with about the same share are not reported."
)

CLOSED = tr_noop(
    "The day is not compared any more, and its budgets keep what is billed. The same share on later days is not "
    "reported again; `status` and `report` show it."
)


def drift_message(alert: DriftAlert) -> Message:
    """A settled day on which the two sums differ, or no longer do."""
    resolved, closed = alert.status is Status.RESOLVED, alert.status is Status.CLOSED
    over, drift = resolved or closed, alert.drift
    causes, models = drift.causes, drift.models if drift.by_model else ()
    rest, *amounts = differences(drift.computed_usd, drift.billed_usd, [drift.unexplained_usd, *causes.values()])
    listed = [cause_line(cause, amount) for cause, amount in zip(causes, amounts, strict=True)]
    listed += [f"• {_model_line(model)}" for model in models[:MOST_MODELS]]
    if len(models) > MOST_MODELS:
        listed.append(tr("and {number} more models", number=len(models) - MOST_MODELS))
    advice = []
    if not over:
        advice += [tr(NO_LIST_PRICES)] if drift.list_usd is None and drift.unexplained_usd < 0 else []
        advice.append(tr(WHAT_TO_DO))
    if closed:
        advice.append(tr(CLOSED))
    read = tr("Cost report read {time}.", time=moment(alert.report_read_at))
    return layout(
        _first(alert, unexplained(rest, drift.billed_usd)),
        [] if over else _mostly(models),
        details=[paragraph(*listed), paragraph(*advice, read), incident_part(alert)],
        small_print=[age_part(alert.as_of)],
    )


def _first(alert: DriftAlert, rest: str) -> str:
    drift = alert.drift
    values = {
        "day": day_name(drift.day, alert.as_of),
        "billed": usd(drift.billed_usd),
        "computed": usd(drift.computed_usd),
        "rest": rest,
    }
    if alert.status is Status.RESOLVED:
        return tr("Bill and usage agree again for {day}: {billed} billed, {computed} computed, {rest}", **values)
    if alert.status is Status.CLOSED:
        return tr("Bill and usage differed for {day}: {billed} billed, {computed} computed, {rest}", **values)
    return tr("Bill and usage differ for {day}: {billed} billed, {computed} computed, {rest}", **values)


def _mostly(models: Sequence[ModelDrift]) -> list[str]:
    """The model with the largest unexplained part."""
    worst = max(models, key=lambda model: abs(model.unexplained_usd), default=None)
    if worst is None or is_nothing(worst.unexplained_usd):
        return []
    return [tr("Mostly {model}.", model=_model_line(worst))]


def drift_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    return tr("computed and billed differ for {day}", day=shown(period_name(alert.identity.key, alert.since)))


def _model_line(model: ModelDrift) -> str:
    values = {
        "model": tr("no model") if model.model is None else shown(model_label(model.model)),
        "computed": usd(model.computed_usd),
        "billed": usd(model.billed_usd),
    }
    if is_nothing(model.billed_usd - model.computed_usd):
        return tr("{model}: {computed} computed of {billed} billed, equal to the cent", **values)
    if is_nothing(model.unexplained_usd):
        return tr("{model}: {computed} computed of {billed} billed, explained", **values)
    why = tr(BILLED_MORE) if model.unexplained_usd > 0 else tr(COMPUTED_MORE)
    return tr(
        "{model}: {computed} computed of {billed} billed, {rest} unexplained: {why}",
        rest=usd(model.unexplained_usd),
        why=why,
        **values,
    )
