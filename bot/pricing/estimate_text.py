"""An estimate in words, the number first: the same lines for the terminal and for Slack's text."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from bot.money import CENT, usd
from bot.pricing.cost import CostLine
from bot.pricing.estimate import Alternative, Estimate, caches

KIND_NAMES = {
    "input": "input",
    "cache_write_5m": "cache writes, 5 min",
    "cache_write_1h": "cache writes, 1 h",
    "cache_read": "cache reads",
    "output": "output",
}


def headline(estimate: Estimate) -> str:
    """`$1,350.00 a month: Sonnet 4.6, 100,000 requests a month of 2,000 tokens in and 500 out`."""
    return f"{usd(estimate.monthly_usd)} a month: {workload_line(estimate)}"


def workload_line(estimate: Estimate) -> str:
    """The workload in one line, for a reader who did not type it."""
    work = estimate.workload
    line = f"{work.model.name}, {work.requests:,} requests a {work.per} of {work.input_tokens:,} tokens in"
    if caches(work):
        rate = Decimal(1) if work.hit_rate is None else work.hit_rate
        kept = "1 hour" if work.ttl == "1h" else "5 minutes"
        line += f" ({work.cached_tokens:,} cached for {kept}, hit rate {f'{(rate * 100).normalize():f}'}%)"
    line += f" and {work.output_tokens:,} out"
    return f"{line}, batch" if work.batch else line


def line_words(line: CostLine) -> tuple[str, str, str, str]:
    """One line of the bill: kind, tokens, price for a million tokens, dollars."""
    return KIND_NAMES[line.kind], f"{line.tokens:,}", _price(line.usd_per_mtok), usd(line.usd)


def alternative_words(alternative: Alternative, estimate: Estimate) -> str:
    """`Haiku 5.5: $45.00 (-96%); the same text about $58.50`."""
    words = f"{alternative.label}: {usd(alternative.monthly_usd)}"
    if estimate.monthly_usd:
        share = (alternative.monthly_usd / estimate.monthly_usd - 1) * 100
        words += f" ({share.quantize(Decimal(1), ROUND_HALF_UP):+}%)"
    if alternative.same_text_usd is not None:
        words += f"; the same text about {usd(alternative.same_text_usd)}"
    return words


def estimate_text(estimate: Estimate) -> str:
    """All of it as plain lines."""
    rows = [("", "tokens a month", "per million", "USD"), *(line_words(line) for line in estimate.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 4))]).rstrip() for row in rows
    ]
    parts = [
        [headline(estimate)],
        table,
        ["Otherwise:", *(f"  {alternative_words(other, estimate)}" for other in estimate.alternatives)],
        [f"- {note}" for note in estimate.notes],
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """The object of `estimate --json`; dollars are strings, `monthly_usd` with two decimals, half-up."""
    return {
        "monthly_usd": _cents(estimate.monthly_usd),
        "model": estimate.workload.model.id,
        "lines": [
            {
                "model": estimate.workload.model.id,
                "kind": line.kind,
                "tokens": line.tokens,
                "usd_per_mtok": f"{line.usd_per_mtok.normalize():f}",
                "usd": f"{line.usd:f}",
            }
            for line in estimate.lines
        ],
        "alternatives": [
            {
                "label": other.label,
                "model": other.model,
                "monthly_usd": _cents(other.monthly_usd),
                "same_text_monthly_usd": None if other.same_text_usd is None else _cents(other.same_text_usd),
            }
            for other in estimate.alternatives
        ],
        "notes": list(estimate.notes),
        "rates_checked": estimate.rates_checked.isoformat(),
    }


def _price(usd_per_mtok: Decimal) -> str:
    exact = usd_per_mtok.normalize()
    return f"${exact if exact < CENT or exact != exact.quantize(CENT) else exact.quantize(CENT):f}"


def _cents(amount: Decimal) -> str:
    return f"{amount.quantize(CENT, ROUND_HALF_UP):f}"
