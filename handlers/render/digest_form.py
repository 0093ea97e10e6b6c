"""The form that sets a digest: its fields, their values, and mistakes by field."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from bot.budgets.budget import PeriodKind, Weekday
from bot.digests.schedule import NINE, OF_BUDGET, DigestRule, Scheduled
from bot.digests.words import DigestWordsError, time_of, weekday_of, zone_of
from bot.language import LANGUAGES, tr, tr_noop
from bot.messages import Block, Message, Part
from handlers.render.budget import WEEKDAYS
from handlers.render.digest_settings import about_name, described
from handlers.render.fields import FIELD, VALUE_LIMIT, input_block, option, plain_label, select_field, text_field
from handlers.render.parts import fitting, paragraph, said

FORM = "digest_form"
EVERY, ON, AT, ZONE, ABOUT, CHANNEL, LANGUAGE = "every", "on", "at", "zone", "about", "channel", "lang"

EVERYTHING = "organization"
AS_THE_CHANNEL = "channel"

FORM_ROOM = 2_000
"""Characters of a list in the form."""

MOST_CHOICES = 100
"""Most options of a select (docs.slack.dev, select menu element)."""

FREQUENCIES = {
    PeriodKind.DAY: tr_noop("Every day"),
    PeriodKind.WEEK: tr_noop("Every week"),
    PeriodKind.MONTH: tr_noop("Every month, after its end"),
}


@dataclass(frozen=True, slots=True)
class Abouts:
    """Possible subjects of digests for a person: the organization, and names of teams and budgets."""

    everything: bool
    teams: Sequence[str]
    budgets: Sequence[str]

    @property
    def any(self) -> bool:
        """Whether there is any subject."""
        return self.everything or bool(self.teams) or bool(self.budgets)


@dataclass(frozen=True, slots=True)
class Carried:
    """State carried by the form: where its answer goes, and the key of the digest to change; empty for a new one."""

    response_url: str
    key: str = ""

    def packed(self) -> str:
        """The state as private metadata."""
        return json.dumps({"response_url": self.response_url, "key": self.key})


def carried(view: Mapping[str, Any]) -> Carried:
    """State of a submitted form; empty if forged."""
    try:
        packed = json.loads(str(view.get("private_metadata") or ""))
        return Carried(str(packed.get("response_url") or ""), str(packed.get("key") or ""))
    except (ValueError, AttributeError, RecursionError):
        return Carried("")


def digest_form(start: DigestRule, carry: Carried, abouts: Abouts, found: Sequence[Scheduled], main: str) -> Block:
    """The form, filled in with `start`. `found`: digests in force, which it lists."""
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
    """Values of a submitted form: the rule without subject, the subject, and mistakes by field."""

    rule: DigestRule
    about: str
    mistakes: Mapping[str, str]


def filled_digest(values: Mapping[str, str]) -> Filled:
    """Parse the values, with all mistakes by field. `values`: from `filled_fields`."""
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


def form_not_opened() -> Message:
    """The answer if Slack opens no form."""
    example = "`/claude-cost digest on weekly at=09:00 zone=Asia/Tokyo`"
    return said(tr("The form could not be opened. Type it instead, as in {example}.", example=example))
