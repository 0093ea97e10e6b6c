"""An estimate as text, the number first: the same lines for terminal and Slack."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Any

from bot.amounts import CENT, usd
from bot.language import ntr, tr, tr_noop
from bot.listed import comma_list, joined_by_and
from bot.pricing.alternatives import Alternative
from bot.pricing.assumptions import CHARACTERS
from bot.pricing.estimate import Estimate
from bot.pricing.model_names import short_name
from bot.pricing.monthly_cost import Line, Per, Ttl, Workload, caches, hit_rate_of
from bot.pricing.throughput import fit_lines, verdict_lines
from bot.pricing.words import words_of

KIND_NAMES = {
    "input": tr_noop("input"),
    "cache_write_5m": tr_noop("cache writes, 5 min"),
    "cache_write_1h": tr_noop("cache writes, 1 h"),
    "cache_read": tr_noop("cache reads"),
    "output": tr_noop("output"),
    "web_search": tr_noop("web searches"),
}

PER: dict[Per, str] = {
    "minute": tr_noop("{count} a minute"),
    "hour": tr_noop("{count} an hour"),
    "day": tr_noop("{count} a day"),
    "week": tr_noop("{count} a week"),
    "month": tr_noop("{count} a month"),
}

CACHED: dict[Ttl, str] = {
    "5m": tr_noop("{input} in ({cached} cached for 5 minutes, hit rate {rate})"),
    "1h": tr_noop("{input} in ({cached} cached for 1 hour, hit rate {rate})"),
}
CACHED_AS_ASSUMED: dict[Ttl, str] = {
    "5m": tr_noop("{input} in ({cached} cached for 5 minutes, hit rate {rate} assumed)"),
    "1h": tr_noop("{input} in ({cached} cached for 1 hour, hit rate {rate} assumed)"),
}
CACHED_PREFIX: dict[Ttl, str] = {
    "5m": tr_noop("{input} in after a prefix of {prefix} ({cached} cached for 5 minutes, hit rate {rate})"),
    "1h": tr_noop("{input} in after a prefix of {prefix} ({cached} cached for 1 hour, hit rate {rate})"),
}
CACHED_PREFIX_AS_ASSUMED: dict[Ttl, str] = {
    "5m": tr_noop("{input} in after a prefix of {prefix} ({cached} cached for 5 minutes, hit rate {rate} assumed)"),
    "1h": tr_noop("{input} in after a prefix of {prefix} ({cached} cached for 1 hour, hit rate {rate} assumed)"),
}


def headline(estimate: Estimate) -> str:
    """`$1,350.00 a month: Sonnet 4.6, 100,000 requests a month of 2,000 tokens in and 500 out`."""
    return tr("{usd} a month: {workload}", usd=usd(estimate.monthly_usd), workload=workload_line(estimate.workload))


def workload_line(work: Workload) -> str:
    """The workload in one line, for readers who did not type it."""
    tokens = tr("{input} and {output} out", input=_input(work), output=f"{work.output_tokens:,}")
    if work.turns > 1:
        tokens = tr("{tokens} for each turn", tokens=tokens)
    parts = [_models(work), _load(work), tokens]
    if work.searches:
        parts.append(_searches(work.searches))
    parts += [tr("fast mode")] if work.fast else []
    parts += [tr("in the US only")] if work.geo == "us" else []
    return comma_list([*parts, tr("batch")] if work.batch else parts)


def line_words(line: Line, estimate: Estimate) -> tuple[str, str, str, str]:
    """One line of the bill: kind, tokens (or searches), price for a million of them, dollars."""
    kind = tr(KIND_NAMES[line.kind])
    if line.resent:
        kind = tr("{kind}, turns sent again", kind=kind)
    if estimate.workload.model is None:
        kind = tr("{name}: {what}", name=line.model.name, what=kind)
    return kind, f"{line.tokens:,}", _price(line.usd_per_mtok), usd(line.usd)


def advice_lines(estimate: Estimate) -> list[str]:
    """The ways to save, those that keep the models first; then the named comparison."""
    own = [advice.sentence for advice in estimate.advice if not advice.models]
    others = [advice.sentence for advice in estimate.advice if advice.models]
    one = estimate.workload.model is not None
    same = tr("To save, on the same model:") if one else tr("To save, on the same models:")
    lines = [same, *(f"  {line}" for line in own)] if own else []
    lines += [tr("To save, on another model:"), *(f"  {line}" for line in others)] if others else []
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
    amount = usd(way.compared_usd)
    if estimate.monthly_usd:
        share = ((way.compared_usd / estimate.monthly_usd - 1) * 100).quantize(Decimal(1), ROUND_HALF_UP)
        line = tr("{what}: {usd} ({change})", what=way.label, usd=amount, change=f"{share:+}%")
    else:
        line = tr("{name}: {what}", name=way.label, what=amount)
    if not way.works:
        line = tr("{comparison}, but its requests fail", comparison=line)
    return [tr("In comparison:"), f"  {line}"]


def routing_words(estimate: Estimate) -> str | None:
    """`72.2% of the requests must move to Haiku 4.5 for $700.00 a month.`"""
    routing = estimate.routing
    if routing is None:
        return None
    goal, to, all_there = usd(routing.target_usd), routing.to.name, usd(routing.usd_if_all_move)
    if routing.usd_if_all_move >= estimate.monthly_usd > routing.target_usd:
        return tr(
            "{model} costs no less for this workload ({usd}): name a cheaper model to come down to {goal} a month.",
            model=to,
            usd=all_there,
            goal=goal,
        )
    if routing.share is None:
        return tr(
            "{goal} a month is out of reach this way: with every request on {model} it is still {usd}.",
            goal=goal,
            model=to,
            usd=all_there,
        )
    if routing.share == 0:
        return tr("Nothing has to move: {usd} is within {goal} a month.", usd=usd(estimate.monthly_usd), goal=goal)
    # Rounded up, so that the target is met.
    share = (routing.share * 100).quantize(CENT, ROUND_CEILING)
    return tr(
        "{share} of the requests must move to {model} for {goal} a month.", share=f"{share}%", model=to, goal=goal
    )


def estimate_text(estimate: Estimate) -> str:
    """Problems, the number, ways to save, cost lines, rate limits and assumptions."""
    rows = [
        ("", tr("tokens a month"), tr("per million"), "USD"),
        *(line_words(line, estimate) for line in estimate.lines),
    ]
    routing = routing_words(estimate)
    parts: list[Sequence[str]] = [
        [*estimate.problems, headline(estimate), *([] if routing is None else [routing]), *advice_lines(estimate)],
        _table(rows) if estimate.lines else [],
        [*verdict_lines(estimate.fit), *(f"- {note}" for note in closing_lines(estimate))],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def closing_lines(estimate: Estimate) -> list[str]:
    """Assumptions, the date of the prices, and the workload as words; the JSON object has more notes."""
    return [*estimate.assumptions, estimate.details[-1], tr("In words: {words}", words=words_of(estimate.workload))]


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
    return joined_by_and(
        [tr("{share} {model}", share=_percent(route.share), model=route.model.name) for route in work.routes]
    )


def _load(work: Workload) -> str:
    if work.turns == 1:
        count = ntr("{number} request", "{number} requests", work.requests)
    else:
        count = tr("{number} conversations of {turns} turns", number=f"{work.requests:,}", turns=work.turns)
    return tr(PER[work.per], count=count)


def _input(work: Workload) -> str:
    """`2,000 tokens in (1,500 cached for 5 minutes, hit rate 90%)`."""
    if work.text is None:
        size = tr("{number} tokens", number=f"{work.input_tokens:,}")
    else:
        size = tr(CHARACTERS[work.text.lang], number=f"{work.text.chars:,}")
    prefix = f"{work.prefix_tokens:,}"
    rates = [hit_rate_of(work, route.share) for route in work.routes if caches(work, route.model)]
    if rates:
        given = work.hit_rate is not None
        if work.prefix_tokens:
            text = CACHED_PREFIX[work.ttl] if given else CACHED_PREFIX_AS_ASSUMED[work.ttl]
        else:
            text = CACHED[work.ttl] if given else CACHED_AS_ASSUMED[work.ttl]
        shown = joined_by_and([f"{(rate * 100).normalize():f}%" for rate in dict.fromkeys(rates)])
        return tr(text, input=size, prefix=prefix, cached=f"{work.cached_tokens:,}", rate=shown)
    if work.prefix_tokens:
        return tr("{input} in after a prefix of {prefix}", input=size, prefix=prefix)
    return tr("{input} in", input=size)


def _searches(searches: Decimal) -> str:
    number = f"{searches:f}"
    if searches == 1:
        return tr("{number} web search each", number=number)
    return tr("{number} web searches each", number=number)


def _percent(share: Decimal | Fraction) -> str:
    exact = Fraction(share) * 100
    per_cent = Decimal(exact.numerator) / Decimal(exact.denominator)
    return f"{per_cent.quantize(Decimal('0.1'), ROUND_HALF_UP).normalize():f}%"


def _price(usd_per_mtok: Decimal) -> str:
    exact = usd_per_mtok.normalize()
    return f"${exact if exact < CENT or exact != exact.quantize(CENT) else exact.quantize(CENT):,f}"


def _cents(amount: Decimal) -> str:
    return f"{amount.quantize(CENT, ROUND_HALF_UP):f}"
