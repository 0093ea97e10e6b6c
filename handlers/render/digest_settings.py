"""Settings of digests: the list in force, the form's button, announcements of changes, and answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.alerts.asks import Ask
from bot.budgets.budget import PeriodKind, ScopeKind
from bot.digests.model import DigestChange
from bot.digests.schedule import DigestRule, Scheduled
from bot.digests.settings_store import MOST_KEPT, Changed
from bot.digests.words import DigestWordsError, rule_from
from bot.language import LANGUAGES, tr, tr_noop
from bot.messages import Block, Message, Part
from handlers.render.asking import ask_row
from handlers.render.budget import WEEKDAYS
from handlers.render.parts import (
    button,
    buttons,
    channel_mention,
    code,
    confirmation,
    context,
    fitting,
    lead,
    mention,
    moment,
    paragraph,
    said,
    sentence,
    shown,
)

SETTINGS_ACTION = "digest_settings"
STOP_ACTION = "digest_stop"
UNDO_ACTION = "digest_undo"

NEW = "new"
"""Value of a button that opens the empty form."""


ROOM = 5_000
"""Characters of the digests that a message lists."""

MOST_ROWS = 10
"""Most digests of a list with their own buttons."""

LONGEST_BUTTON = 2_000
"""Longest value of a button, in characters (docs.slack.dev, button element)."""

NONE: Mapping[str, str] = {}

OF_FILE = tr_noop(
    "The configuration file has this digest (`[[digest]]`), so it cannot be changed in Slack: change it there and "
    "restart the bot."
)


WHERE = {
    PeriodKind.DAY: tr_noop("Every day at {at} ({zone}) in {channel}, about {about}"),
    PeriodKind.WEEK: tr_noop("Every {day} at {at} ({zone}) in {channel}, about {about}"),
    PeriodKind.MONTH: tr_noop("On the 1st of every month at {at} ({zone}) in {channel}, about {about}"),
}
HERE = {
    PeriodKind.DAY: tr_noop("Every day at {at} ({zone}), about {about}"),
    PeriodKind.WEEK: tr_noop("Every {day} at {at} ({zone}), about {about}"),
    PeriodKind.MONTH: tr_noop("On the 1st of every month at {at} ({zone}), about {about}"),
}
"""Sentences shown in the digest's own channel."""


def described(rule: DigestRule, main: str | None) -> str:
    """`Every Monday at 09:00 (Asia/Tokyo) in #search, about team search`.

    `main`: id of the alert channel; None if shown in the digest's channel.
    """
    values = {
        "day": tr(WEEKDAYS[rule.on]),
        "at": f"{rule.at:%H:%M}",
        "zone": rule.zone.key,
        "channel": channel_mention(rule.channel or main or ""),
        "about": about_name(rule),
    }
    line = tr((HERE if main is None else WHERE)[rule.every], **values)
    if rule.language is None:
        return line
    return tr("{digest}, in {language}", digest=line, language=LANGUAGES.get(rule.language, rule.language))


def about_name(rule: DigestRule) -> str:
    """Display name of a digest's subject."""
    if rule.budget is not None:
        return tr("budget {name}", name=shown(rule.budget))
    if rule.scope is None:
        return tr("the whole organization")
    if rule.scope.kind is ScopeKind.TEAM:
        return tr("team {name}", name=shown(rule.scope.value or ""))
    return shown(str(rule.scope))


def digests_message(
    found: Sequence[Scheduled], nexts: Mapping[str, datetime], main: str, nothing: Mapping[str, str] = NONE
) -> Message:
    """Every digest in force. `nexts`: next time by key. `nothing`: why the subject of some matches nothing."""
    add = buttons([button(tr("Add a digest"), SETTINGS_ACTION, NEW)], "digests:add")
    if not found:
        text = tr("No digest is posted yet. For one here, type {example}.", example="`/claude-cost digest on weekly`")
        return Message([paragraph(text), add])
    mine = [each for each in found if each.since is not None]
    parts: list[Part] = [lead(tr("Digests"))]
    for index, each in enumerate(mine[:MOST_ROWS]):
        row = [button(tr("Change"), SETTINGS_ACTION, each.rule.key[:LONGEST_BUTTON]), _stop(each)]
        parts += [paragraph(_line(each, nexts, main, nothing)), buttons(row, f"digest:{index}")]
    rest = fitting(([_line(each, nexts, main, nothing)] for each in mine[MOST_ROWS:]), ROOM)
    parts += [paragraph(*(line for [line] in rest))] if rest else []
    of_file = [each for each in found if each.since is None]
    if of_file:
        title = tr("From the configuration file, where they are changed (`[[digest]]`); not in Slack:")
        parts.append(paragraph(title, *(line for [line] in fitting(_lines(of_file, nexts, main, nothing), ROOM))))
    left_out = len(found) - min(len(mine), MOST_ROWS) - len(rest) - len(of_file)
    if left_out > 0:
        parts.append(context(tr("and {number} more", number=left_out)))
    return Message([*parts, add])


def _lines(
    found: Sequence[Scheduled], nexts: Mapping[str, datetime], main: str, nothing: Mapping[str, str]
) -> list[list[str]]:
    return [[_line(each, nexts, main, nothing)] for each in found]


def _line(each: Scheduled, nexts: Mapping[str, datetime], main: str, nothing: Mapping[str, str]) -> str:
    values = {"digest": described(each.rule, main), "who": mention(each.by or "")}
    if each.rule.key in nothing:
        return tr("• {digest}. Not posted: {why}", **values, why=sentence(nothing[each.rule.key]))
    next_at = nexts.get(each.rule.key)
    if next_at is None:
        return tr("• {digest}", **values)
    values["next"] = moment(next_at)
    if each.by is None:
        return tr("• {digest}. Next: {next}", **values)
    return tr("• {digest}. Next: {next}. Set by {who}", **values)


def _stop(each: Scheduled) -> Block:
    dialog = confirmation(
        tr("Stop this digest?"), tr("It is not posted any more. It can be set again at any time."), tr("Stop")
    )
    return button(tr("Stop"), STOP_ACTION, each.rule.key[:LONGEST_BUTTON], confirm=dialog)


def changed_answer(changed: Changed, main: str, next_at: datetime | None, notes: Sequence[str] = ()) -> Message:
    """The answer to the person who has set, changed, stopped or undone a digest."""
    digest = "" if changed.rule is None else described(changed.rule, main)
    undo = [] if not changed.change_id else [buttons([_undo(changed.change_id)])]
    next_one = [] if next_at is None else [tr("The next one comes {next}.", next=moment(next_at))]
    match changed.outcome:
        case "set":
            first = tr("The digest is set: {digest}.", digest=digest)
        case "changed":
            first = tr("The digest is changed: {digest}.", digest=digest)
        case "removed":
            first = tr("The digest is stopped: {digest}.", digest=digest)
        case "undone" if changed.rule is None:
            first = tr("The change is undone: this digest is not posted any more.")
        case "undone":
            first = tr("The change is undone: {digest}.", digest=digest)
        case "same":
            return Message([paragraph(tr("Nothing was changed: this digest is set already: {digest}.", digest=digest))])
        case "configured":
            return said(tr("Nothing was changed. {why}", why=tr(OF_FILE)))
        case "full":
            text = tr("Nothing was changed: {number} digests are set already. Stop one first.", number=MOST_KEPT)
            return said(text)
        case "missing":
            return said(tr("Nothing was changed: there is no such digest any more. `digest list` shows them all."))
        case "since":
            return said(tr("Nothing was changed: this digest was changed since. `digest list` shows how it is now."))
        case _:
            return said(tr("Nothing was changed: the bot does not know this change."))
    shows_next = next_one if changed.outcome != "removed" else []
    return Message([paragraph(first, *shows_next, *notes), *undo])


def stopped_answer(
    stopped: Sequence[Changed], refused: Sequence[tuple[DigestRule, str]], main: str, ask: Ask | None = None
) -> Message:
    """The answer to `digest off`. `refused`: what was not stopped, and why. `ask`: for what only admins may stop."""
    parts = [part for each in stopped for part in changed_answer(each, main, None).parts]
    lines = [
        tr("Not stopped: {digest}. {why}", digest=described(rule, main), why=sentence(why)) for rule, why in refused
    ]
    return Message([*parts, *([paragraph(*lines)] if lines else []), ask_row(ask)])


def nothing_to_stop(channel: str) -> Message:
    """The answer if there is no such digest."""
    text = tr("No such digest is set for {channel}. `digest list` shows them all.", channel=channel_mention(channel))
    return said(text)


def not_in_channel_note(channel: str) -> str:
    """What to do if the bot cannot post."""
    return tr(
        "The bot is not in {channel}: type `/invite @claude-cost` there. Until then the digest goes to the alert "
        "channel.",
        channel=channel_mention(channel),
    )


def which_channel() -> Message:
    """The answer if a digest has no channel."""
    example = code("digest on weekly channel=#search")
    return said(tr("Type it in the channel that the digest is for, or name one, as in {example}.", example=example))


def change_message(change: DigestChange) -> Message:
    """Who changed what, for the digest's channel."""
    who = mention(change.by)
    before, after = _rule(change.before), _rule(change.after)
    if change.before is None:
        first = tr("A digest was set by {who}", who=who)
    elif change.after is None:
        first = tr("A digest was stopped by {who}", who=who)
    else:
        first = tr("A digest was changed by {who}", who=who)
    if before is not None and after is not None:
        lines = [
            tr("Before: {digest}", digest=described(before, None)),
            tr("Now: {digest}", digest=described(after, None)),
        ]
    else:
        lines = [described(rule, None) for rule in (before, after) if rule is not None]
    small = context(tr("Changed {at}", at=moment(change.at)))
    if change.undone_by is not None:
        undone = tr("{who} has undone this.", who=mention(change.undone_by))
        return Message([lead(first, *lines), paragraph(undone), small])
    return Message([lead(first, *lines), buttons([_undo(change.change_id)]), small])


def _undo(change_id: int) -> Block:
    dialog = confirmation(tr("Undo this change?"), tr("The digest becomes what it was before."), tr("Undo"))
    return button(tr("Undo"), UNDO_ACTION, str(change_id), confirm=dialog)


def _rule(words: str | None) -> DigestRule | None:
    try:
        return None if words is None else rule_from(words)
    except DigestWordsError:
        # Written by another version.
        return None


def settings_button(value: str) -> Block:
    """Button that opens the form: filled in with a digest by its key, or empty."""
    return button(tr("Digest settings"), SETTINGS_ACTION, value[:LONGEST_BUTTON] or NEW)
