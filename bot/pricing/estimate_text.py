"""An estimate as text, the number first: the same lines for terminal and Slack."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Any

from bot.amounts import CENT, usd
from bot.pricing.alternatives import Alternative
from bot.pricing.estimate import Estimate
from bot.pricing.model_names import short_name
from bot.pricing.monthly_cost import RULES, Line, Workload, caches, hit_rate_of
from bot.pricing.throughput import fit_lines, verdict_lines
from bot.pricing.words import words_of

KIND_NAMES = {
    "input": "input",
    "cache_write_5m": "cache writes, 5 min",
    "cache_write_1h": "cache writes, 1 h",
    "cache_read": "cache reads",
    "output": "output",
    "web_search": "web searches",
}


def headline(estimate: Estimate) -> str:
    """`$1,350.00 a month: Sonnet 4.6, 100,000 requests a month of 2,000 tokens in and 500 out`."""
    return f"{usd(estimate.monthly_usd)} a month: {workload_line(estimate.workload)}"


def workload_line(work: Workload) -> str:
    """The workload in one line, for readers who did not type it."""
    one = work.requests == 1
    what = ("request" if one else "requests") if work.turns == 1 else f"conversations of {work.turns} turns"
    line = (
        f"{_models(work)}, {work.requests:,} {what} {'an' if work.per == 'hour' else 'a'} {work.per}, {_input(work)} in"
    )
    if work.prefix_tokens:
        line += f" after a prefix of {work.prefix_tokens:,}"
    rates = [hit_rate_of(work, route.share) for route in work.routes if caches(work, route.model)]
    if rates:
        kept = "1 hour" if work.ttl == "1h" else "5 minutes"
        shown = " and ".join(f"{(rate * 100).normalize():f}%" for rate in dict.fromkeys(rates))
        line += f" ({work.cached_tokens:,} cached for {kept}, hit rate {shown}"
        line += " assumed)" if work.hit_rate is None else ")"
    line += f" and {work.output_tokens:,} out"
    if work.turns > 1:
        line += " for each turn"
    if work.searches:
        line += f", {work.searches:f} web search{'' if work.searches == 1 else 'es'} each"
    line += ", fast mode" if work.fast else ""
    line += ", in the US only" if work.geo == "us" else ""
    return f"{line}, batch" if work.batch else line


def line_words(line: Line, estimate: Estimate) -> tuple[str, str, str, str]:
    """One line of the bill: kind, tokens (or searches), price for a million of them, dollars."""
    kind = KIND_NAMES[line.kind]
    if line.resent:
        kind = f"{kind}, turns sent again"
    if estimate.workload.model is None:
        kind = f"{line.model.name}: {kind}"
    return kind, f"{line.tokens:,}", _price(line.usd_per_mtok), usd(line.usd)


def advice_lines(estimate: Estimate) -> list[str]:
    """The ways to save, those that keep the models first; then the named comparison."""
    own = [advice.sentence for advice in estimate.advice if not advice.models]
    others = [advice.sentence for advice in estimate.advice if advice.models]
    models = "model" if estimate.workload.model is not None else "models"
    lines = [f"To save, on the same {models}:", *(f"  {line}" for line in own)] if own else []
    lines += ["To save, on another model:", *(f"  {line}" for line in others)] if others else []
    if not lines:
        lines.append(estimate.recommendation)
    return [*lines, *comparison_lines(estimate)]


def comparison_lines(estimate: Estimate) -> list[str]:
    """`Compared: Opus 4.7: $2,250.00 (+150%)`, where a model was named beside a mix."""
    model = estimate.workload.compared_with
    if model is None:
        return []
    way = next((w for w in estimate.alternatives if w.changes == {"model"} and w.models == (model.id,)), None)
    if way is None:
        return []
    line = f"  {way.label}: {usd(way.compared_usd)}"
    if estimate.monthly_usd:
        share = (way.compared_usd / estimate.monthly_usd - 1) * 100
        line += f" ({share.quantize(Decimal(1), ROUND_HALF_UP):+}%)"
    return ["In comparison:", line + ("" if way.works else ", but its requests fail")]


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
    # Rounded up, so that the target is met.
    share = (routing.share * 100).quantize(CENT, ROUND_CEILING)
    return f"{share}% of the requests must move to {routing.to.name} for {goal} a month."


def estimate_text(estimate: Estimate) -> str:
    """Problems, the number, ways to save, cost lines, rate limits and assumptions."""
    rows = [("", "tokens a month", "per million", "USD"), *(line_words(line, estimate) for line in estimate.lines)]
    routing = routing_words(estimate)
    parts: list[Sequence[str]] = [
        [*estimate.problems, headline(estimate), *([] if routing is None else [routing]), *advice_lines(estimate)],
        _table(rows) if estimate.lines else [],
        [*verdict_lines(estimate.fit), *(f"- {note}" for note in closing_lines(estimate))],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def closing_lines(estimate: Estimate) -> list[str]:
    """Assumptions, the date of the prices, and the workload as words; the JSON object has more notes."""
    return [*estimate.assumptions, estimate.details[-1], f"In words: {words_of(estimate.workload)}"]


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
        "advice": [
            {
                "what": advice.what,
                "monthly_usd": _cents(advice.monthly_usd),
                "saves_usd": _cents(advice.saves_usd),
                "models": list(advice.models),
            }
            for advice in estimate.advice
        ],
        "alternatives": [way for _, way in sorted(alternatives, key=itemgetter(0))],
        "routing": None
        if routing is None
        else {
            "to": short_name(routing.to),
            "target_usd": _cents(routing.target_usd),
            "share": None if routing.share is None else f"{routing.share:.6f}",
        },
        "recommendation": estimate.recommendation,
        "problems": list(estimate.problems),
        "throughput": fit_lines(estimate.fit),
        "notes": list(estimate.notes),
        "rates_checked": estimate.rates_checked.isoformat(),
    }


def _ways(other: Alternative) -> list[tuple[Decimal, dict[str, Any]]]:
    """An alternative and the same in batches, each with the dollars that it is sorted by."""
    ways = [_way(other.label, other, other.monthly_usd, other.same_text_usd)]
    if other.batch_usd is not None:
        ways.append(_way(f"{other.label}, batch", other, other.batch_usd, other.same_text_batch_usd))
    return ways


def _way(label: str, other: Alternative, amount: Decimal, same_text: Decimal | None) -> tuple[Decimal, dict[str, Any]]:
    compared = amount if same_text is None else same_text
    return compared, {
        "label": label,
        "monthly_usd": _cents(amount),
        "same_text_monthly_usd": None if same_text is None else _cents(same_text),
        "models": list(other.models),
    }


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
    return f"${exact if exact < CENT or exact != exact.quantize(CENT) else exact.quantize(CENT):,f}"


def _cents(amount: Decimal) -> str:
    return f"{amount.quantize(CENT, ROUND_HALF_UP):f}"
