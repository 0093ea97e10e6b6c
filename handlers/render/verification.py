"""What usage shows of a change of the fallback mode: a reply in the announcement's thread."""

from datetime import timedelta
from decimal import Decimal

from bot.amounts import share, span, usd
from bot.language import tr, tr_noop
from bot.listed import comma_list, labelled
from bot.messages import Message
from bot.modes.model import NamedCaller, VerificationReport
from bot.modes.verification import WATCHED_FOR, UsageSum, VerificationState
from handlers.render.parts import button, buttons, code, context, lead, mention, model_label, moment, paragraph, shown

PROOF_DISMISS = "proof_dismiss"

MOST_NAMES = 3
MINUTE = timedelta(minutes=1)

LOOK = tr_noop(
    "A service that reads the env file follows when it restarts or reloads its environment. One that names its model "
    "itself does not follow at all."
)


def proof_message(report: VerificationReport, dismissed_by: str | None = None) -> Message:
    """The figures first, then who still calls what. `dismissed_by`: the Slack user who dismissed further reports."""
    first, *rest = _lines(report)
    wrong = report.state in (VerificationState.PARTIAL, VerificationState.NO_EFFECT)
    if dismissed_by is not None:
        user = mention(dismissed_by)
        rest.append(tr("Dismissed by {user}: nothing more is reported about this change.", user=user))
    elif report.last and report.state is not VerificationState.CONFIRMED:
        hours = WATCHED_FOR // timedelta(hours=1)
        rest.append(tr("It is {hours} h since the change, which is not watched any more.", hours=hours))
    elif wrong:
        rest.append(tr(LOOK))
    dismissible = wrong and not report.last and dismissed_by is None
    return Message(
        [
            lead(first),
            paragraph(*rest),
            buttons([button(tr("Dismiss"), PROOF_DISMISS, str(report.change_id))] if dismissible else []),
            context(_basis(report)),
        ]
    )


def verification_line(report: VerificationReport | None) -> str:
    """Last result for the mode in force, for `fallback status`; None before the first report."""
    if report is None:
        return tr("Written, not switched: usage does not show it yet.")
    if report.state is VerificationState.CONFIRMED:
        return tr("Switched: {course}.", course=_course(report))
    return tr("Written, not switched. {shown}, as of {time}.", shown=_first(report), time=moment(report.as_of))


def _first(report: VerificationReport) -> str:
    """The result, without a full stop."""
    mode, ceiling = shown(report.mode), code(report.ceiling)
    if report.state is VerificationState.IDLE:
        return tr(
            "No usage since the switch to fallback mode {mode}, so nothing can be said about its effect", mode=mode
        )
    if report.state is VerificationState.WAITING:
        return tr("Whether fallback mode {mode} has taken effect is not known: there is not enough usage", mode=mode)
    if report.callers:
        who = _still(report.callers[0])
    else:
        who = tr("models above {ceiling} are still called", ceiling=ceiling)
    if report.state is VerificationState.NO_EFFECT:
        return tr("No effect: {who}", who=who)
    return tr("In part: {who}", who=who)


def _lines(report: VerificationReport) -> list[str]:
    mode, ceiling = shown(report.mode), code(report.ceiling)
    if report.state is VerificationState.CONFIRMED:
        return [
            tr("{course}.", course=_course(report)),
            tr("Fallback mode {mode} has taken effect: services use at most {model}.", mode=mode, model=ceiling),
        ]
    if report.state in (VerificationState.IDLE, VerificationState.WAITING):
        return [tr("{shown}.", shown=_first(report))]
    others = [f"• {_calling(calling)}" for calling in report.callers[1:]]
    if report.more_callers:
        others.append(tr("and {number} more.", number=report.more_callers))
    asks = tr(
        "{course}. Fallback mode {mode} asks for {model} at most.", course=_course(report), mode=mode, model=ceiling
    )
    return [_first(report), *others, asks]


def _course(report: VerificationReport) -> str:
    """`Opus share 71% → 3% in 6 min, $4.10 → $1.80 a million tokens`; without dollars if no tokens are known."""
    names = [shown(name) for name in report.above[:MOST_NAMES]]
    if len(report.above) > MOST_NAMES:
        names.append(tr("{number} more", number=len(report.above) - MOST_NAMES))
    if len(names) > 1:
        names = [tr("{first} and {last}", first=comma_list(names[:-1]), last=names[-1])]
    values = {
        "whose": tr("{models} share", models=names[0])
        if names
        else tr("Share above {model}", model=code(report.ceiling)),
        "before": _share(report.before),
        "after": _share(report.after),
    }
    if report.took is None:
        course = tr("{whose} {before} → {after}", **values)
    else:
        course = tr("{whose} {before} → {after} in {span}", span=_minutes(report.took), **values)
    if not _has_rates(report):
        return course
    before, after = _rate(report.before), _rate(report.after)
    return tr("{course}, {before} → {after} a million tokens", course=course, before=before, after=after)


def _has_rates(report: VerificationReport) -> bool:
    return any(mix is not None and mix.usd_per_mtok is not None for mix in (report.before, report.after))


def _basis(report: VerificationReport) -> str:
    time = moment(report.as_of)
    if _has_rates(report):
        return tr(
            "Shares of the dollars of all usage, by list prices; tokens of all kinds. Usage as of {time}", time=time
        )
    return tr("Shares of the dollars of all usage, by list prices. Usage as of {time}", time=time)


def _share(mix: UsageSum | None) -> str:
    if mix is None:
        return tr("unknown")
    if mix.usd_per_hour == 0:
        return tr("no usage")
    return share(mix.above_usd_per_hour, mix.usd_per_hour)


def _rate(mix: UsageSum | None) -> str:
    return tr("unknown") if mix is None or mix.usd_per_mtok is None else usd(mix.usd_per_mtok)


def _minutes(took: timedelta) -> str:
    # A started minute counts as one.
    return span(-(-took // MINUTE) * MINUTE)


def _still(calling: NamedCaller) -> str:
    values = {
        "workspace": shown(calling.workspace),
        "model": shown(model_label(calling.model)),
        "rate": _per_hour(calling.usd_per_hour),
    }
    if calling.key is None:
        return tr("workspace {workspace} still calls {model} without a key ({rate})", **values)
    return tr("workspace {workspace} still calls {model} with key {key} ({rate})", key=shown(calling.key), **values)


def _calling(calling: NamedCaller) -> str:
    key = tr("no key") if calling.key is None else tr("key {key}", key=shown(calling.key))
    model = shown(model_label(calling.model))
    return labelled(f"{model} · {shown(calling.workspace)} · {key}", _per_hour(calling.usd_per_hour))


def _per_hour(amount: Decimal) -> str:
    return tr("{usd} an hour", usd=usd(amount))
