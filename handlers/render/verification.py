"""What usage shows of a change of the fallback mode: a reply in the announcement's thread."""

from datetime import timedelta
from decimal import Decimal

from bot.amounts import share, span, usd
from bot.messages import Message
from bot.modes.model import NamedCaller, VerificationReport
from bot.modes.verification import WATCHED_FOR, UsageSum, VerificationState
from handlers.render.parts import button, buttons, code, context, lead, mention, moment, paragraph, shown

PROOF_DISMISS = "proof_dismiss"

MOST_NAMES = 3
MINUTE = timedelta(minutes=1)

LOOK = (
    "A service that reads the env file follows when it restarts or reloads its environment. One that names its model "
    "itself does not follow at all."
)


def proof_message(report: VerificationReport, dismissed_by: str | None = None) -> Message:
    """The figures first, then who still calls what. `dismissed_by`: the Slack user who wants no more reports."""
    first, *rest = _lines(report)
    wrong = report.state in (VerificationState.PARTIAL, VerificationState.NO_EFFECT)
    if dismissed_by is not None:
        rest.append(f"Dismissed by {mention(dismissed_by)}: nothing more is reported about this change.")
    elif report.last and report.state is not VerificationState.CONFIRMED:
        rest.append(f"It is {WATCHED_FOR // timedelta(hours=1)} h since the change, which is not watched any more.")
    elif wrong:
        rest.append(LOOK)
    dismissible = wrong and not report.last and dismissed_by is None
    return Message(
        [
            lead(first),
            paragraph(*rest),
            buttons([button("Dismiss", PROOF_DISMISS, str(report.change_id))] if dismissible else []),
            context(f"{_basis(report)}. Usage as of {moment(report.as_of)}"),
        ]
    )


def proof_line(report: VerificationReport | None) -> str:
    """For `fallback status`: what usage showed last of the mode in force; None before the first report."""
    if report is None:
        return "Written, not switched: usage does not show it yet."
    if report.state is VerificationState.CONFIRMED:
        return f"Switched: {_course(report)}."
    first = _lines(report)[0].removesuffix(".")
    return f"Written, not switched. {first}, as of {moment(report.as_of)}."


def _lines(report: VerificationReport) -> list[str]:
    mode, ceiling = shown(report.mode), code(report.ceiling)
    if report.state is VerificationState.CONFIRMED:
        return [
            f"{_course(report)}.",
            f"Fallback mode {mode} has taken effect: services use at most {ceiling}.",
        ]
    if report.state is VerificationState.IDLE:
        return [f"No usage since the switch to fallback mode {mode}, so nothing can be said about its effect."]
    if report.state is VerificationState.WAITING:
        return [f"Whether fallback mode {mode} has taken effect is not known: there is not enough usage."]
    others = [f"• {_calling(calling)}" for calling in report.callers[1:]]
    if report.more_callers:
        others.append(f"and {report.more_callers} more.")
    label = "No effect" if report.state is VerificationState.NO_EFFECT else "In part"
    who = _still(report.callers[0]) if report.callers else f"models above {ceiling} are still called"
    return [
        f"{label}: {who}",
        *others,
        f"{_course(report)}. Fallback mode {mode} asks for {ceiling} at most.",
    ]


def _course(report: VerificationReport) -> str:
    """`Opus share 71% → 3% in 6 min, $4.10 → $1.80 a million tokens`; without dollars where no tokens are known."""
    names = [shown(name) for name in report.above[:MOST_NAMES]]
    if len(report.above) > MOST_NAMES:
        names.append(f"{len(report.above) - MOST_NAMES} more")
    label = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    course = f"{label} share" if label else f"Share above {code(report.ceiling)}"
    course += f" {_share(report.before)} → {_share(report.after)}"
    if report.took is not None:
        course += f" in {_minutes(report.took)}"
    if _has_rates(report):
        course += f", {_rate(report.before)} → {_rate(report.after)} a million tokens"
    return course


def _has_rates(report: VerificationReport) -> bool:
    return any(mix is not None and mix.usd_per_mtok is not None for mix in (report.before, report.after))


def _basis(report: VerificationReport) -> str:
    tokens = "; tokens of all kinds" if _has_rates(report) else ""
    return f"Shares of the dollars of all usage, by list prices{tokens}"


def _share(mix: UsageSum | None) -> str:
    if mix is None:
        return "unknown"
    if mix.usd_per_hour == 0:
        return "no usage"
    return share(mix.above_usd_per_hour, mix.usd_per_hour)


def _rate(mix: UsageSum | None) -> str:
    return "unknown" if mix is None or mix.usd_per_mtok is None else usd(mix.usd_per_mtok)


def _minutes(took: timedelta) -> str:
    # A minute that has begun counts as one.
    return span(-(-took // MINUTE) * MINUTE)


def _still(calling: NamedCaller) -> str:
    key = "without a key" if calling.key is None else f"with key {shown(calling.key)}"
    return (
        f"workspace {shown(calling.workspace)} still calls {shown(calling.model)} {key} "
        f"({_per_hour(calling.usd_per_hour)})"
    )


def _calling(calling: NamedCaller) -> str:
    key = "no key" if calling.key is None else f"key {shown(calling.key)}"
    return f"{shown(calling.model)} · {shown(calling.workspace)} · {key}: {_per_hour(calling.usd_per_hour)}"


def _per_hour(amount: Decimal) -> str:
    return f"{usd(amount)} an hour"
