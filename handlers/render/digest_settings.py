"""Settings of digests: what is in force, the form, the announcement of a change, and answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from bot.budgets.budget import PeriodKind, ScopeKind, Weekday
from bot.digests.model import DigestChange
from bot.digests.schedule import NINE, OF_BUDGET, DigestRule, Scheduled
from bot.digests.settings_store import MOST_KEPT, Changed
from bot.digests.words import DigestWordsError, rule_from, time_of, weekday_of, zone_of
from bot.language import LANGUAGES, tr, tr_noop
from bot.messages import Block, Message, Part
from handlers.render.budget import WEEKDAYS
from handlers.render.fields import FIELD, VALUE_LIMIT, input_block, option, plain_label, select_field, text_field
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
FORM = "digest_form"
EVERY, ON, AT, ZONE, ABOUT, CHANNEL, LANGUAGE = "every", "on", "at", "zone", "about", "channel", "lang"

NEW = "new"
"""The value of a button that opens the empty form."""

EVERYTHING = "organization"
AS_THE_CHANNEL = "channel"

ROOM = 5_000
"""Characters of the digests that a message lists."""

FORM_ROOM = 2_000
MOST_ROWS = 10
"""Digests that a list shows with buttons of their own."""

MOST_CHOICES = 100
"""Options of a select (docs.slack.dev, select menu element)."""

LONGEST_BUTTON = 2_000
"""Characters of a button's value (docs.slack.dev, button element)."""

FREQUENCIES = {
    PeriodKind.DAY: tr_noop("Every day"),
    PeriodKind.WEEK: tr_noop("Every week"),
    PeriodKind.MONTH: tr_noop("Every month, after its end"),
}

NONE: Mapping[str, str] = {}

OF_FILE = tr_noop(
    "The configuration file has this digest (`[[digest]]`), so it cannot be changed in Slack: change it there and "
    "restart the bot."
)


@dataclass(frozen=True, slots=True)
class Abouts:
    """What somebody may set digests about: the organization, and names of teams and budgets."""

    everything: bool
    teams: Sequence[str]
    budgets: Sequence[str]

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return self.everything or bool(self.teams) or bool(self.budgets)


@dataclass(frozen=True, slots=True)
class Carried:
    """What the form carries: where its answer goes, and the key of the digest that it changes; empty for a new one."""

    response_url: str
    key: str = ""

    def packed(self) -> str:
        """As private metadata."""
        return json.dumps({"response_url": self.response_url, "key": self.key})


def carried(view: Mapping[str, Any]) -> Carried:
    """Of a submitted form; empty where it is made up."""
    try:
        packed = json.loads(str(view.get("private_metadata") or ""))
        return Carried(str(packed.get("response_url") or ""), str(packed.get("key") or ""))
    except (ValueError, AttributeError, RecursionError):
        return Carried("")


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
"""In the channel where that is said."""


def described(rule: DigestRule, main: str | None) -> str:
    """`Every Monday at 09:00 (Asia/Tokyo) in #search, about team search`.

    `main`: the id of the alert channel; None where it is said in the digest's channel.
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
    """What a digest is about, as people say it."""
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
    """Every digest in force. `nexts`: when each comes next, by its key. `nothing`: why some are about nothing."""
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


def digest_form(start: DigestRule, carry: Carried, abouts: Abouts, found: Sequence[Scheduled], main: str) -> Block:
    """The form, filled in with `start`. `found`: the digests in force, which it lists."""
    changes = bool(carry.key)
    lines = [f"• {described(each.rule, main)}" for each in found if each.since is not None]
    of_file = [f"• {described(each.rule, main)}" for each in found if each.since is None]
    listed = []
    if lines and not changes:
        listed.append(
            _listed(tr("Set in Slack already (the same channel, frequency and subject changes that digest):"), lines)
        )
    if of_file:
        listed.append(_listed(tr("From the configuration file, which Slack cannot change:"), of_file))
    hours = [time(hour) for hour in range(24)]
    if start.at not in hours:
        hours = sorted([*hours, start.at])
    channel: Block = {
        "type": "conversations_select",
        "action_id": FIELD,
        "placeholder": plain_label(tr("The alert channel")),
        "filter": {"include": ["public", "private"], "exclude_bot_users": True},
    }
    if start.channel or main:
        channel["initial_conversation"] = start.channel or main
    languages = {AS_THE_CHANNEL: tr("That of the channel")} | dict(LANGUAGES)
    return {
        "type": "modal",
        "callback_id": FORM,
        "private_metadata": carry.packed(),
        "title": plain_label(tr("Change a digest") if changes else tr("Set a digest")),
        "submit": plain_label(tr("Save")),
        "close": plain_label(tr("Cancel")),
        "blocks": [
            select_field(EVERY, tr("How often"), {kind: tr(text) for kind, text in FREQUENCIES.items()}, start.every),
            select_field(
                ON,
                tr("Day of the week"),
                {day.value: tr(text) for day, text in WEEKDAYS.items()},
                start.on.value,
                hint=tr("Counts for a weekly digest."),
            ),
            select_field(AT, tr("At what time"), {f"{at:%H:%M}": f"{at:%H:%M}" for at in hours}, f"{start.at:%H:%M}"),
            text_field(
                ZONE,
                tr("Time zone"),
                "Asia/Tokyo",
                {ZONE: start.zone.key},
                hint=tr("Like Asia/Tokyo, Europe/Berlin or UTC; a city alone will do."),
            ),
            input_block(ABOUT, tr("What it is about"), _about_select(start, abouts)),
            input_block(
                CHANNEL,
                tr("Channel"),
                channel,
                hint=tr("Invite the bot to it. The alert channel, where none is chosen."),
                optional=True,
            ),
            select_field(LANGUAGE, tr("Language"), languages, start.language or AS_THE_CHANNEL),
            *(block for part in listed for block in part.blocks),
        ],
    }


def _listed(title: str, lines: Sequence[str]) -> Part:
    kept = [line for [line] in fitting(([line] for line in lines), FORM_ROOM)]
    more = len(lines) - len(kept)
    return paragraph(title, *kept, *([tr("and {number} more", number=more)] if more else []))


def _about_select(start: DigestRule, abouts: Abouts) -> Block:
    chosen = start.about or EVERYTHING
    groups: list[tuple[str, list[Block]]] = []
    if abouts.everything:
        groups.append((tr("Everything"), [option(EVERYTHING, tr("The whole organization"))]))
    room = MOST_CHOICES - 2
    teams = [option(f"team:{name}", name) for name in abouts.teams if len(name) < VALUE_LIMIT - 10][: room // 2]
    budgets = [option(f"{OF_BUDGET}{name}", name) for name in abouts.budgets][: room - len(teams)]
    groups += [(title, options) for title, options in ((tr("Teams"), teams), (tr("Budgets"), budgets)) if options]
    offered = {each["value"]: each for _, options in groups for each in options}
    if chosen not in offered and len(chosen) <= VALUE_LIMIT and start.about:
        offered[chosen] = option(chosen, about_name(start))
        groups.append((tr("As it is now"), [offered[chosen]]))
    select: Block = {
        "type": "static_select",
        "action_id": FIELD,
        "option_groups": [{"label": plain_label(title), "options": options} for title, options in groups],
    }
    if chosen in offered:
        select["initial_option"] = offered[chosen]
    return select


@dataclass(frozen=True, slots=True)
class Filled:
    """What a submitted form says: the rule but what it is about, what that is, and mistakes by field."""

    rule: DigestRule
    about: str
    mistakes: Mapping[str, str]


def filled_digest(values: Mapping[str, str]) -> Filled:
    """Every mistake at its field. `values`: of `filled_fields`."""
    mistakes: dict[str, str] = {}
    rule = DigestRule(PeriodKind.WEEK, at=NINE)
    every = next((kind for kind in PeriodKind if kind.value == values.get(EVERY)), None)
    if every is None:
        mistakes[EVERY] = tr("Choose how often the digest comes.")
    else:
        rule = replace(rule, every=every)
    on, at, zone = Weekday.MONDAY, NINE, ZoneInfo("UTC")
    try:
        on = weekday_of(values.get(ON) or Weekday.MONDAY.value)
    except DigestWordsError as error:
        mistakes[ON] = str(error)
    try:
        at = time_of(values.get(AT) or f"{NINE:%H:%M}")
    except DigestWordsError as error:
        mistakes[AT] = str(error)
    try:
        zone = zone_of(values.get(ZONE) or "UTC")
    except DigestWordsError as error:
        mistakes[ZONE] = str(error)
    language = values.get(LANGUAGE)
    rule = replace(
        rule,
        on=on,
        at=at,
        zone=zone,
        channel=values.get(CHANNEL) or None,
        language=language if language in LANGUAGES else None,
    )
    about = values.get(ABOUT, "")
    return Filled(rule, "" if about == EVERYTHING else about, mistakes)


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


def stopped_answer(stopped: Sequence[Changed], refused: Sequence[tuple[DigestRule, str]], main: str) -> Message:
    """The answer to `digest off`. `refused`: what was not stopped, and why."""
    parts = [part for each in stopped for part in changed_answer(each, main, None).parts]
    lines = [
        tr("Not stopped: {digest}. {why}", digest=described(rule, main), why=sentence(why)) for rule, why in refused
    ]
    return Message([*parts, *([paragraph(*lines)] if lines else [])])


def nothing_to_stop(channel: str) -> Message:
    """The answer where there is no such digest."""
    text = tr("No such digest is set for {channel}. `digest list` shows them all.", channel=channel_mention(channel))
    return said(text)


def not_in_channel_note(channel: str) -> str:
    """What to do where the bot cannot post."""
    return tr(
        "The bot is not in {channel}: type `/invite @claude-cost` there. Until then the digest goes to the alert "
        "channel.",
        channel=channel_mention(channel),
    )


def which_channel() -> Message:
    """The answer where a digest has no channel to go to."""
    example = code("digest on weekly channel=#search")
    return said(tr("Type it in the channel that the digest is for, or name one, as in {example}.", example=example))


def form_not_opened() -> Message:
    """The answer where Slack opens no form."""
    example = "`/claude-cost digest on weekly at=09:00 zone=Asia/Tokyo`"
    return said(tr("The form could not be opened. Type it instead, as in {example}.", example=example))


def change_message(change: DigestChange) -> Message:
    """What was changed and by whom, for the digest's channel."""
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
        # Another version has written it.
        return None


def settings_button(value: str) -> Block:
    """Opens the form: filled in with a digest by its key, or empty."""
    return button(tr("Digest settings"), SETTINGS_ACTION, value[:LONGEST_BUTTON] or NEW)
