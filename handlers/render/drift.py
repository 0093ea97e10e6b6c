"""Computed against billed, in words: the lines that reports, status and a drift's alert have of it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from bot.alerts.day_drift import DayDrift, DriftCause, summed, total_of
from bot.money import CENT, cents_of, in_cents, percent, usd
from bot.phrases import count, day_name
from handlers.render.parts import moment

CAUSES: Mapping[DriftCause, str] = {
    DriftCause.PRIORITY_TIER: "Priority Tier, which is in the usage and not in the bill",
    DriftCause.REPORT_ONLY: "code execution and session runtime, which only the bill knows",
    DriftCause.DISCOUNT: "discounts",
    DriftCause.ASSUMED: "models whose price is assumed",
    DriftCause.LONG_PROMPTS: "long prompts at a higher price, which sums do not show",
}


def truth_lines(days: Sequence[DayDrift], report_read_at: datetime | None) -> list[str]:
    """Both sums of the settled days, what makes them differ, and when the bill was read."""
    read = "not read yet" if report_read_at is None else f"read {moment(report_read_at)}"
    if not days:
        return [f"Computed against billed: no settled day to compare yet; cost report {read}."]
    computed, billed, whole = total_of(days)
    causes = summed(day.causes for day in days)
    rest, *amounts = differences(computed, billed, [whole, *causes.values()])
    until = _day(days[-1].day, report_read_at)
    lines = [
        f"Computed against billed, {count(len(days), 'settled day')} to {until}: {usd(computed)} computed, "
        f"{usd(billed)} billed, {unexplained(rest, billed)}; cost report {read}."
    ]
    lines += [cause_line(cause, amount) for cause, amount in zip(causes, amounts, strict=True)]
    worst = max(days, key=lambda day: abs(day.unexplained_usd))
    if len(days) > 1 and not is_nothing(worst.unexplained_usd):
        most = unexplained(worst.unexplained_usd, worst.billed_usd)
        lines.append(f"• most of all on {_day(worst.day, report_read_at)}: {most}")
    return lines


def _day(day: date, now: datetime | None) -> str:
    return day.isoformat() if now is None else day_name(day, now)


def unexplained(rest: Decimal, billed: Decimal) -> str:
    """What known causes leave of a difference."""
    if is_nothing(rest):
        return "nothing unexplained"
    part = f" ({percent(abs(rest), billed)} of the bill)" if billed > 0 else ""
    return f"{usd(rest)} unexplained{part}"


def differences(computed: Decimal, billed: Decimal, parts: Sequence[Decimal]) -> list[Decimal]:
    """The parts of the difference as shown: with the computed sum they add up to the billed one."""
    cents, whole = cents_of(billed) - cents_of(computed), sum(parts, Decimal(0))
    # Both sums are rounded, so that their difference may be a cent off.
    return in_cents(cents if abs(cents - cents_of(whole)) <= 1 else cents_of(whole), parts)


def cause_line(cause: DriftCause, amount: Decimal) -> str:
    """What one cause makes."""
    return f"• {usd(amount)} for {CAUSES[cause]}"


def is_nothing(amount: Decimal) -> bool:
    """Whether it is less than half a cent."""
    return amount.quantize(CENT, ROUND_HALF_UP) == 0
