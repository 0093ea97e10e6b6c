"""A silence as a message: since when no data has come and why, then what is known, then what to do."""

from bot.alerts.decide import Status
from bot.alerts.model import NoDataAlert
from bot.budgets.budget_spend import KnownSum
from bot.messages import Message
from bot.money import percent, usd
from bot.phrases import count, span
from handlers.render.elements import context, header, local_moment, moment, section
from handlers.render.escape import code, sentence, shown

MOST_SUMS = 5

NOT_ZERO = "What has been spent since is not known here, and it is not zero: requests and their cost go on."
WHAT_TO_DO = (
    "The bot keeps trying and says here when data comes again; `/claude-cost doctor` says which link fails. Until then "
    "no limit can be seen crossed: only the limit in Anthropic's Console holds."
)


def stale_message(facts: NoDataAlert) -> Message:
    """No data, or data again."""
    over = facts.status is Status.RESOLVED
    first = _again(facts) if over else f"{_silent(facts)}: {sentence(facts.because)}"
    lines = _after(facts) if over else [NOT_ZERO, *_known(facts, "Last known"), WHAT_TO_DO]
    blocks = [
        header("Data again" if over else "No data"),
        section(f"*{first}*"),
        section("\n".join(lines)),
        context(f"Incident {code(facts.incident)}{_age(facts, local=True)}"),
    ]
    return Message("\n".join([first, *lines, f"Incident {shown(facts.incident)}{_age(facts)}"]), blocks)


def _silent(facts: NoDataAlert) -> str:
    yet = " yet," if facts.as_of is None else ""
    return f"No data{yet} since {moment(facts.since)} ({span(facts.decided_at - facts.since)})"


def _again(facts: NoDataAlert) -> str:
    away = span(facts.decided_at - facts.since)
    return f"Data again since {moment(facts.decided_at)}: it was missing from {moment(facts.since)} on ({away})"


def _after(facts: NoDataAlert) -> list[str]:
    if facts.missing_hours:
        hours = count(facts.missing_hours, "hour")
        lines = [f"INCOMPLETE: of {hours} since then no usage is known here, so the true sum may be higher."]
    else:
        lines = ["Nothing known is missing: the usage of every hour since then has been read."]
    return [*lines, *_known(facts, "Spend is now")]


def _known(facts: NoDataAlert, title: str) -> list[str]:
    if not facts.sums:
        return []
    told = "; ".join(_sum(known) for known in facts.sums[:MOST_SUMS])
    more = len(facts.sums) - MOST_SUMS
    return [f"{title}: {told}{f'; and {more} more budgets' if more > 0 else ''}."]


def _sum(known: KnownSum) -> str:
    limit = known.limit_usd
    of = "" if limit is None else f" of {usd(limit)} ({percent(known.spent_usd, limit)})"
    return f"{usd(known.spent_usd)}{of} in {shown(known.period)}, budget {shown(known.budget)}"


def _age(facts: NoDataAlert, *, local: bool = False) -> str:
    if facts.as_of is None:
        return ""
    return f" · data as of {local_moment(facts.as_of) if local else moment(facts.as_of)}"
