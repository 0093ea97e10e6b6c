"""What usage shows of a change of the fallback mode: a reply in the announcement's thread."""

from datetime import timedelta
from decimal import Decimal

from bot.messages import Block, Message
from bot.modes.model import MixRates, NamedCaller, ProofReport
from bot.modes.verification import ProofState
from bot.modes.verification_reports import WATCHED_FOR
from bot.money import share, usd
from bot.phrases import span
from handlers.render.elements import actions, button, context, local_moment, moment, section
from handlers.render.escape import code, mention, shown

PROOF_DISMISS = "proof_dismiss"

MOST_NAMES = 3
MINUTE = timedelta(minutes=1)

LOOK = (
    "A service that reads the env file follows when it restarts or reloads its environment. One that names its model "
    "itself does not follow at all."
)


def proof_message(facts: ProofReport, dismissed_by: str | None = None) -> Message:
    """The figures first, then who still calls what. `dismissed_by`: the Slack user who wants to hear no more of it."""
    first, *rest = _lines(facts)
    wrong = facts.state in (ProofState.PARTIAL, ProofState.NO_EFFECT)
    if dismissed_by is not None:
        rest.append(f"Dismissed by {mention(dismissed_by)}: nothing more is said about this change.")
    elif facts.last and facts.state is not ProofState.CONFIRMED:
        rest.append(f"It is {WATCHED_FOR // timedelta(hours=1)} h since the change, which is not watched any more.")
    elif wrong:
        rest.append(LOOK)
    age = f"{_basis(facts)}. Usage as of"
    blocks: list[Block] = [section(f"*{first}*")]
    if rest:
        blocks.append(section("\n".join(rest)))
    if wrong and not facts.last and dismissed_by is None:
        blocks.append(actions([button("Dismiss", PROOF_DISMISS, str(facts.change_id))]))
    blocks.append(context(f"{age} {local_moment(facts.as_of)}"))
    return Message("\n".join([first, *rest, f"{age} {moment(facts.as_of)}"]), blocks)


def proof_line(facts: ProofReport | None) -> str:
    """For `fallback status`: what usage showed last of the mode in force; None before anything was told."""
    if facts is None:
        return "Written, not switched: usage does not show it yet."
    if facts.state is ProofState.CONFIRMED:
        return f"Switched: {_course(facts)}."
    first = _lines(facts)[0].removesuffix(".")
    return f"Written, not switched. {first}, as of {moment(facts.as_of)}."


def _lines(facts: ProofReport) -> list[str]:
    mode, ceiling = shown(facts.mode), code(facts.ceiling)
    if facts.state is ProofState.CONFIRMED:
        return [
            f"{_course(facts)}.",
            f"Fallback mode {mode} has taken effect: services use at most {ceiling}.",
        ]
    if facts.state is ProofState.IDLE:
        return [f"No usage since the switch to fallback mode {mode}, so nothing can be said about its effect."]
    if facts.state is ProofState.WAITING:
        return [f"Whether fallback mode {mode} has taken effect is not known: there is not enough usage to tell."]
    others = [f"• {_calling(calling)}" for calling in facts.callers[1:]]
    if facts.more_callers:
        others.append(f"and {facts.more_callers} more.")
    label = "No effect" if facts.state is ProofState.NO_EFFECT else "In part"
    who = _still(facts.callers[0]) if facts.callers else f"models above {ceiling} are still called"
    return [
        f"{label}: {who}",
        *others,
        f"{_course(facts)}. Fallback mode {mode} asks for {ceiling} at most.",
    ]


def _course(facts: ProofReport) -> str:
    """`Opus share 71% → 3% in 6 min, $4.10 → $1.80 a million tokens`; without dollars where no tokens are known."""
    names = [shown(name) for name in facts.above[:MOST_NAMES]]
    if len(facts.above) > MOST_NAMES:
        names.append(f"{len(facts.above) - MOST_NAMES} more")
    label = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    course = f"{label} share" if label else f"Share above {code(facts.ceiling)}"
    course += f" {_share(facts.before)} → {_share(facts.after)}"
    if facts.took is not None:
        course += f" in {_minutes(facts.took)}"
    if _has_rates(facts):
        course += f", {_rate(facts.before)} → {_rate(facts.after)} a million tokens"
    return course


def _has_rates(facts: ProofReport) -> bool:
    return any(mix is not None and mix.usd_per_mtok is not None for mix in (facts.before, facts.after))


def _basis(facts: ProofReport) -> str:
    tokens = "; tokens of all kinds" if _has_rates(facts) else ""
    return f"Shares of the dollars of all usage, by list prices{tokens}"


def _share(mix: MixRates | None) -> str:
    if mix is None:
        return "unknown"
    if mix.usd_per_hour == 0:
        return "no usage"
    return share(mix.above_usd_per_hour, mix.usd_per_hour)


def _rate(mix: MixRates | None) -> str:
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
