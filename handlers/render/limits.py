"""`/claude-cost limits`: Anthropic's rate limits, and the limits of every budget with their origin."""

from collections.abc import Mapping, Sequence

from bot.amounts import usd
from bot.budgets.budget import Budget
from bot.language import tr, tr_noop
from bot.listed import comma_list, labelled
from bot.messages import Message
from bot.pricing.throughput import UNITS, Limits, Pool, RateLimitTable
from handlers.render.budget import described, where
from handlers.render.logged_requests import Traffic, listed_apart, traffic_parts
from handlers.render.parts import context, lead, shown

MOST_POOLS = 30
MOST_BUDGETS = 30

STOPS_NOTHING = tr_noop("No limit of a budget stops a request; only the limit in Anthropic's Console does.")


def limits_message(
    budgets: Sequence[Budget],
    measured: Mapping[Pool, Limits] | None,
    table: RateLimitTable,
    traffic: Traffic | None = None,
) -> Message:
    """`measured`: the organization's own rate limits; None or empty if unknown, which shows the table instead.

    `traffic`: what applications logged in the last day; None if none logs.
    """
    of_budgets = [_budget_line(budget) for budget in budgets[:MOST_BUDGETS]] or [tr("• no budget is set")]
    if len(budgets) > MOST_BUDGETS:
        of_budgets.append(tr("and {number} more", number=len(budgets) - MOST_BUDGETS))
    title, rates, source = _standard(table) if not measured else _own(measured)
    return Message(
        [
            lead(tr("Budgets"), *of_budgets),
            lead(title, *rates),
            *traffic_parts(traffic),
            context(source, tr(STOPS_NOTHING)),
        ]
    )


def _budget_line(budget: Budget) -> str:
    return tr("• {name}: {what}. {where}", name=shown(budget.name), what=described(budget), where=where(budget))


def _own(measured: Mapping[Pool, Limits]) -> tuple[str, list[str], str]:
    pools = sorted(measured.items(), key=lambda item: (item[0].batch, item[0].name))
    lines = [f"• {labelled(shown(pool.name), _own_limits(limits))}" for pool, limits in pools[:MOST_POOLS]]
    if len(pools) > MOST_POOLS:
        lines.append(tr("and {number} more", number=len(pools) - MOST_POOLS))
    source = tr("Rate limits as Anthropic reported them within the last hour; cache reads do not count as input.")
    return tr("Your organization's own rate limits"), lines, source


def _own_limits(limits: Limits) -> str:
    found = [tr("{number} {unit}", number=f"{value:,}", unit=tr(UNITS[limiter])) for limiter, value in limits.items()]
    return comma_list(found) or tr("not reported")


def _standard(table: RateLimitTable) -> tuple[str, list[str], str]:
    """Standard limits; pools with the same limits share a line."""
    caps = [(tier.name, tier.monthly_cap_usd) for tier in table.tiers]
    none = tr("none")
    by_name = [f"{name} {none if cap is None else usd(cap).removesuffix('.00')}" for name, cap in caps]
    alike: dict[str, list[str]] = {}
    for pool, by_tier in table.limits.items():
        alike.setdefault(_by_tier(by_tier, table), []).append(pool.name)
    lines = [tr("• monthly cap by tier: {caps}", caps=" · ".join(by_name))]
    lines += [f"• {labelled(comma_list(pools), limits)}" for limits, pools in alike.items()]
    source = tr(
        "Standard limits of each tier as of {day}; cache reads do not count as input. Your organization's own ones are "
        "not known here: an Admin key may read them, and the Console shows them.",
        day=table.checked_on.isoformat(),
    )
    return tr("Anthropic's standard rate limits, by tier"), lines, source


def _by_tier(by_tier: Mapping[str, Limits], table: RateLimitTable) -> str:
    """`requests a minute Start 1,000 · Build 5,000; input tokens a minute Start …`."""
    limiters = dict.fromkeys(limiter for limits in by_tier.values() for limiter in limits)
    words = []
    for limiter in limiters:
        figures = [
            f"{tier.name} {by_tier[tier.name][limiter]:,}"
            for tier in table.tiers
            if limiter in by_tier.get(tier.name, {})
        ]
        words.append(labelled(tr(UNITS[limiter]), " · ".join(figures)))
    return listed_apart(words) or tr("not known here")
