"""An estimate in words, the number first: the same lines for the terminal and for Slack's text."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from bot.money import CENT, usd
from bot.pricing.alternatives import Alternative
from bot.pricing.estimate import Estimate
from bot.pricing.model_words import short_name
from bot.pricing.monthly_cost import Line, caches
from bot.pricing.text_tokens import RULES
from bot.pricing.throughput_text import fit_lines
from bot.pricing.words import words_of
from bot.pricing.workload import Workload

KIND_NAMES = {
    "input": "input",
    "cache_write_5m": "cache writes, 5 min",
    "cache_write_1h": "cache writes, 1 h",
    "cache_read": "cache reads",
    "output": "output",
}

MOST_ALTERNATIVES = 9


def headline(estimate: Estimate) -> str:
    """`$1,350.00 a month: Sonnet 4.6, 100,000 requests a month of 2,000 tokens in and 500 out`."""
    return f"{usd(estimate.monthly_usd)} a month: {workload_line(estimate.workload)}"


def workload_line(work: Workload) -> str:
    """The workload in one line, for a reader who did not type it."""
    one = work.requests == 1
    what = ("request" if one else "requests") if work.turns == 1 else f"conversations of {work.turns} turns"
    line = (
        f"{_models(work)}, {work.requests:,} {what} {'an' if work.per == 'hour' else 'a'} {work.per}, {_input(work)} in"
    )
    if any(caches(work, route.model) for route in work.routes):
        rate = Decimal(1) if work.hit_rate is None else work.hit_rate
        kept = "1 hour" if work.ttl == "1h" else "5 minutes"
        line += f" ({work.cached_tokens:,} cached for {kept}, hit rate {f'{(rate * 100).normalize():f}'}%"
        line += " assumed)" if work.hit_rate is None else ")"
    line += f" and {work.output_tokens:,} out"
    if work.turns > 1:
        line += " for each turn"
    return f"{line}, batch" if work.batch else line


def line_words(line: Line, estimate: Estimate) -> tuple[str, str, str, str]:
    """One line of the bill: kind, tokens, price for a million tokens, dollars."""
    kind = KIND_NAMES[line.kind]
    if line.resent:
        kind = f"{kind}, turns sent again"
    if estimate.workload.model is None:
        kind = f"{line.model.name}: {kind}"
    return kind, f"{line.tokens:,}", _price(line.usd_per_mtok), usd(line.usd)


def alternative_words(alternative: Alternative, estimate: Estimate) -> str:
    """`Haiku 5.5: $45.00 (-97%), in batches $22.50; about $58.50 for the same text`."""
    words = f"{alternative.label}: {usd(alternative.monthly_usd)}"
    if estimate.monthly_usd:
        share = (alternative.monthly_usd / estimate.monthly_usd - 1) * 100
        words += f" ({share.quantize(Decimal(1), ROUND_HALF_UP):+}%)"
    if alternative.batch_usd is not None:
        words += f", in batches {usd(alternative.batch_usd)}"
    if alternative.same_text_usd is not None:
        words += f"; about {usd(alternative.same_text_usd)} for the same text"
    return words


def routing_words(estimate: Estimate) -> str | None:
    """`72.2% of the requests must move to Haiku 4.5 for $700.00 a month.`"""
    routing = estimate.routing
    if routing is None:
        return None
    goal = usd(routing.target_usd)
    if routing.usd_if_all_move >= estimate.monthly_usd > routing.target_usd:
        return (
            f"{routing.to.name} costs no less for this workload ({usd(routing.usd_if_all_move)}): name a cheaper model "
            f"to come down to {goal} a month."
        )
    if routing.share is None:
        return (
            f"{goal} a month is out of reach this way: with every request on {routing.to.name} it is still "
            f"{usd(routing.usd_if_all_move)}."
        )
    if routing.share == 0:
        return f"Nothing has to move: {usd(estimate.monthly_usd)} is within {goal} a month."
    # Rounded up, so that the goal is met.
    share = (routing.share * 100).quantize(CENT, ROUND_CEILING)
    return f"{share}% of the requests must move to {routing.to.name} for {goal} a month."


def estimate_text(estimate: Estimate) -> str:
    """All of it as plain lines."""
    rows = [("", "tokens a month", "per million", "USD"), *(line_words(line, estimate) for line in estimate.lines)]
    routing = routing_words(estimate)
    parts: list[Sequence[str]] = [
        [headline(estimate), *([] if routing is None else [routing]), estimate.recommendation],
        _table(rows),
        ["Otherwise:", *(f"  {alternative_words(other, estimate)}" for other in shown_alternatives(estimate))],
        fit_lines(estimate.fit),
        [f"- {note}" for note in (*estimate.notes, f"In words: {words_of(estimate.workload)}")],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def shown_alternatives(estimate: Estimate) -> tuple[Alternative, ...]:
    """The cheapest ones, and those on the models that were named; the JSON object has all."""
    work = estimate.workload
    named = {route.model.id for route in work.routes} | ({work.compared_with.id} if work.compared_with else set())
    ways = estimate.alternatives
    return tuple(way for i, way in enumerate(ways) if i < MOST_ALTERNATIVES or named.issuperset(way.models))


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """The object of `estimate --json`; dollars are strings, `monthly_usd` with two decimals, half-up."""
    work, routing = estimate.workload, estimate.routing
    alternatives = [way for other in estimate.alternatives for way in _ways(other)]
    return {
        "monthly_usd": _cents(estimate.monthly_usd),
        "model": None if work.model is None else work.model.id,
        "lines": [
            {
                "model": line.model.id,
                "kind": line.kind,
                "tokens": line.tokens,
                "usd_per_mtok": f"{line.usd_per_mtok.normalize():f}",
                "usd": f"{line.usd:f}",
                "resent": line.resent,
            }
            for line in estimate.lines
        ],
        "alternatives": sorted(alternatives, key=lambda way: Decimal(way["monthly_usd"])),
        "routing": None
        if routing is None
        else {
            "to": short_name(routing.to),
            "target_usd": _cents(routing.target_usd),
            "share": None if routing.share is None else f"{routing.share:.6f}",
        },
        "recommendation": estimate.recommendation,
        "throughput": fit_lines(estimate.fit),
        "notes": list(estimate.notes),
        "rates_checked": estimate.rates_checked.isoformat(),
    }


def _ways(other: Alternative) -> list[dict[str, Any]]:
    same_text = None if other.same_text_usd is None else _cents(other.same_text_usd)
    ways = [{"label": other.label, "monthly_usd": _cents(other.monthly_usd), "same_text_monthly_usd": same_text}]
    if other.batch_usd is not None:
        same_text = None if other.same_text_usd is None else _cents(other.same_text_usd / 2)
        batch = f"{other.label}, batch"
        ways.append({"label": batch, "monthly_usd": _cents(other.batch_usd), "same_text_monthly_usd": same_text})
    return [{**way, "models": list(other.models)} for way in ways]


def _table(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 4))]) for row in rows]


def _models(work: Workload) -> str:
    if work.model is not None:
        return work.model.name
    return " and ".join(f"{_percent(route.share)} {route.model.name}" for route in work.routes)


def _input(work: Workload) -> str:
    if work.text is not None:
        return f"{work.text.chars:,} {RULES[work.text.lang].name} characters"
    return f"{work.input_tokens:,} tokens"


def _percent(share: Decimal | Fraction) -> str:
    exact = Fraction(share) * 100
    per_cent = Decimal(exact.numerator) / Decimal(exact.denominator)
    return f"{per_cent.quantize(Decimal('0.1'), ROUND_HALF_UP).normalize():f}%"


def _price(usd_per_mtok: Decimal) -> str:
    exact = usd_per_mtok.normalize()
    return f"${exact if exact < CENT or exact != exact.quantize(CENT) else exact.quantize(CENT):f}"


def _cents(amount: Decimal) -> str:
    return f"{amount.quantize(CENT, ROUND_HALF_UP):f}"
