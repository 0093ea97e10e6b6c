"""`/claude-cost digest`: a digest of any days on request; scheduled digests are posted automatically."""

from bot.budgets.budget import PeriodKind
from bot.budgets.report_words import PERIODS, ReportWords, ReportWordsError, report_words
from bot.budgets.scopes import NoMatchError
from bot.digests.content import digest_of
from bot.digests.schedule import DigestRule
from bot.digests.words import DigestWordsError
from bot.language import tr
from bot.listed import comma_list
from bot.messages import Message
from bot.services import Services
from handlers.digest_settings import about_words, hides, settings_action, settings_command
from handlers.render.digest import digest_message
from handlers.render.parts import code, said, sentence, shown
from handlers.requests import Request, dated

KINDS = {
    "today": PeriodKind.DAY,
    "yesterday": PeriodKind.DAY,
    "this week": PeriodKind.WEEK,
    "last week": PeriodKind.WEEK,
    "this month": PeriodKind.MONTH,
    "last month": PeriodKind.MONTH,
}
"""Kind of period by its name in reports."""


async def digest_command(services: Services, request: Request) -> Message:
    """`digest [today | yesterday | week | month | last week | last month] [for=SCOPE]`; also its settings."""
    settings = settings_action(request.typed)
    if settings is not None:
        return await settings_command(services, request, *settings)
    typed, _, subject = request.words.partition("for=")
    words = typed.strip() or "today"
    try:
        asked = report_words(words, services.clock())
    except ReportWordsError as error:
        return await dated(services, _refused(error.word or words))
    if asked.by_given or asked.name not in KINDS:
        return await dated(services, _refused(words))
    rule = DigestRule(KINDS[asked.name])
    try:
        rule = await services.threads.commands(about_words, services, rule, subject.strip())
    except DigestWordsError as error:
        return said(sentence(str(error)))
    hidden = await hides(services, request.person, rule, services.user_spend)
    if hidden is not None:
        services.fallback.refused(request.person.id, "digest", "what single users spend is for admins")
        return said(hidden)
    return await services.threads.commands(_digest, services, asked, rule)


def _refused(word: str) -> Message:
    known = comma_list([f"`{name}`" for name in PERIODS])
    return said(
        tr(
            "{word} is not known here: `digest` takes one of {known}; `digest settings` is about the posted ones.",
            word=code(word),
            known=known,
        )
    )


def _digest(services: Services, asked: ReportWords, rule: DigestRule) -> Message:
    try:
        found = digest_of(services.digests, rule, asked.period, asked.before, services.clock(), asked=True)
    except NoMatchError as error:
        return said(str(error))
    if found is None:
        return said(tr("Nothing is known of {period} yet.", period=shown(tr(asked.name))))
    return digest_message(found, services.display)
