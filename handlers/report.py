"""`/claude-cost report`: what was spent in a stretch of days, by whom or on what."""

from bot.alerts.day_drift import settled_days
from bot.budgets.report import Report, report_of
from bot.budgets.report_words import ReportWords, ReportWordsError, report_words
from bot.budgets.snapshot import Snapshot
from bot.clock import DAY
from bot.messages import Message
from bot.services import Services
from handlers.fallback import age_of_data
from handlers.render.age import with_age
from handlers.render.drift import truth_lines
from handlers.render.elements import section
from handlers.render.escape import code
from handlers.render.report import report_message


async def report_command(services: Services, words: str) -> Message:
    """`report [today|…|FROM..TO] [by model|workspace|key]`: the month by model when left out. Days are UTC days."""
    try:
        asked = report_words(words, services.clock())
    except ReportWordsError as error:
        text = f"{code(error.word)} {error.why}" if error.word else error.why
        return with_age(Message(text, [section(text)]), await age_of_data(services))
    message = await services.threads.commands(_report, services, asked)
    return with_age(message, await age_of_data(services))


def _report(services: Services, asked: ReportWords) -> Message:
    snapshot = services.snapshots.current()
    report = report_of(snapshot, asked.period, asked.before, asked.by)
    if report is not None:
        return report_message(report, snapshot.names, services.display, _truth(services, snapshot, report))
    text = f"Nothing is known of {asked.name} yet: the data ends before it began."
    if snapshot.as_of is not None and snapshot.as_of > asked.period.starts_at:
        text = f"Nothing is known of {asked.name}: no usage of those days is stored here."
    return Message(text, [section(text)])


def _truth(services: Services, snapshot: Snapshot, report: Report) -> list[str]:
    first, after = report.period.starts_at.date(), report.period.ends_at.date()
    if after > services.clock().date() >= after - DAY and after - first <= DAY:
        # Today has not settled.
        return []
    return truth_lines(settled_days(snapshot, first, after - DAY), snapshot.data.billed_read_at)
