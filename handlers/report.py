"""`/claude-cost report`: what was spent today, this week or this month, by whom or on what."""

import asyncio
import difflib

from bot.budgets.history import SpendHistory
from bot.budgets.period import PeriodKind
from bot.budgets.report import GroupBy, Report
from bot.budgets.settled_days import SettledDays
from bot.clock import DAY
from bot.message import Message
from bot.services import Services
from handlers.blocks.age import with_age
from handlers.blocks.drift import truth_lines
from handlers.blocks.elements import section
from handlers.blocks.outside import code
from handlers.blocks.report import report_message
from handlers.fallback import age_of_data

PERIODS = {"today": PeriodKind.DAY, "week": PeriodKind.WEEK, "month": PeriodKind.MONTH}
BY = "by"
USE = "use `report [today | week | month] [by model | workspace | key]`"


class _WordsError(Exception):
    """Words that are not understood; the text is one sentence of mrkdwn with the remedy."""


async def report_command(services: Services, words: str) -> Message:
    """`report [today|week|month] [by model|workspace|key]`: the month by model when left out. Days are UTC days."""
    try:
        period, by = _parsed(words)
    except _WordsError as error:
        return await _sentence(services, str(error))
    message = await asyncio.to_thread(_report, services, period, by)
    return with_age(message, await age_of_data(services))


def _report(services: Services, word: str, by: GroupBy) -> Message:
    history = SpendHistory(services.usage, services.card)
    report = history.report(PERIODS[word], by, services.clock())
    if report is not None:
        return report_message(report, services.usage.names(), services.display, _truth(services, report))
    text = "Nothing is known of today yet: the data ends before it began."
    if word != "today":
        text = f"Nothing is known of this {word} yet: the data ends before it began."
    return Message(text, [section(text)])


def _truth(services: Services, report: Report) -> list[str]:
    first, after = report.period.starts_at.date(), report.period.ends_at.date()
    if after - first <= DAY:
        # Today has not settled.
        return []
    days = SettledDays(services.usage, services.card).between(first, after - DAY)
    return truth_lines(days, services.usage.data_state().billed_read_at)


def _parsed(words: str) -> tuple[str, GroupBy]:
    rest = words.lower().split()
    period = rest.pop(0) if rest and rest[0] in PERIODS else "month"
    if not rest:
        return period, GroupBy.MODEL
    first, *others = rest
    if first != BY:
        raise _WordsError(f"{code(first)} is not known here: {USE}.{_hint(first)}")
    if len(others) == 1 and others[0] in list(GroupBy):
        return period, GroupBy(others[0])
    if not others:
        raise _WordsError(f"`by` needs a word after it: {USE}.")
    unknown = next((word for word in others if word not in list(GroupBy)), None)
    if unknown is None:
        raise _WordsError(f"{code(others[1])} is one too many after `by`: {USE}.")
    raise _WordsError(f"{code(unknown)} is not known after `by`: {USE}.{_hint(unknown)}")


def _hint(word: str) -> str:
    typed = {**{period: period for period in PERIODS}, **{by.value: f"{BY} {by}" for by in GroupBy}, "day": "today"}
    nearest = difflib.get_close_matches(word, typed, n=1)
    return f" Did you mean `report {typed[nearest[0]]}`?" if nearest else ""


async def _sentence(services: Services, text: str) -> Message:
    return with_age(Message(text, [section(text)]), await age_of_data(services))
