"""Renders notices as messages: one renderer for each kind, whatever the destination."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bot.alerts.incident import AlertKind, Status
from bot.alerts.lifecycle import AdminRequest
from bot.alerts.limit import LimitAlert
from bot.alerts.model import AlertPayload, SyntheticAlert, not_extrapolated
from bot.alerts.notice_contents import Content, LifecycleEvent, Payload, payload_type
from bot.alerts.rules import LATE
from bot.amounts import span
from bot.budgets.change_store import BudgetChange
from bot.budgets.greeting_store import Greeting
from bot.budgets.raises import Raise
from bot.digests.model import Digest, DigestChange
from bot.display import USD, Display
from bot.fallback.targets.base import Target
from bot.language import in_language, tr, tr_noop
from bot.listed import all_of, comma_list
from bot.messages import Message, PlainMessage, Tone, in_utc
from bot.modes.model import ModeAnnouncement, ModeEnding, Proposal, VerificationReport
from bot.notify.languages import Spoken
from bot.notify.model import Notice
from bot.notify.slack_connection import Workspace
from handlers.render.asking import ask_message
from handlers.render.budget_changes import change_message
from handlers.render.digest import digest_message
from handlers.render.digest_settings import change_message as digest_change_message
from handlers.render.expected import with_expected
from handlers.render.fallback import announcement, end_warning
from handlers.render.help import greeting_message
from handlers.render.lifecycle import life_message, renderer, synthetic_alert_message, with_life
from handlers.render.limit_alert import limit_message, limit_step_message
from handlers.render.parts import channel_mention, context, mention, moment, paragraph, plain_text, said
from handlers.render.proposal import proposal_message
from handlers.render.raises import raise_message, with_raise_button
from handlers.render.verification import proof_message

POSTS_IN_ENGLISH = Spoken()

REPORTED_ONCE = tr_noop("If this limit is crossed again in the same period, only Slack shows it.")


@dataclass(frozen=True, slots=True)
class Situation:
    """What only delivery knows. `related_link`: the message of the budget's other limit. `is_stale`: whether data is
    stale.

    `display`: second currency for a limit's sum. `targets`: where the fallback mode is written.
    """

    now: datetime
    content: Content
    related_link: str | None = None
    display: Display = USD
    targets: Sequence[Target] = ()
    is_stale: bool = False


def _life_message(payload: LifecycleEvent, at: Situation) -> Message:
    # No forecast from stale data.
    return life_message(payload, headline(not_extrapolated(payload.about, at.now) if at.is_stale else payload.about))


def _announcement(payload: ModeAnnouncement, at: Situation) -> Message:
    return announcement(payload, at.targets, at.content.written_at, at.content.write_error)


def _alert_renderer(kind: AlertKind) -> Callable[[Any, Situation], Message]:
    draw = renderer(kind)
    return lambda payload, at: draw(payload)


RENDERERS: Mapping[type[Payload], Callable[[Any, Situation], Message]] = {
    **{payload_type(kind): _alert_renderer(kind) for kind in AlertKind},
    LimitAlert: lambda payload, at: limit_message(payload, at.related_link, at.display),
    AdminRequest: lambda payload, at: ask_message(payload),
    LifecycleEvent: _life_message,
    SyntheticAlert: lambda facts, at: synthetic_alert_message(facts),
    ModeAnnouncement: _announcement,
    ModeEnding: lambda payload, at: end_warning(payload),
    VerificationReport: lambda payload, at: proof_message(payload),
    Proposal: lambda payload, at: proposal_message(payload),
    Raise: lambda payload, at: raise_message(payload),
    BudgetChange: lambda payload, at: change_message(payload),
    Digest: lambda payload, at: digest_message(payload, at.display),
    DigestChange: lambda payload, at: digest_change_message(payload),
    Greeting: lambda payload, at: greeting_message(payload),
}
"""Renderer of every kind of notice."""


class Rendering:
    """Renders notices at the time of sending.

    Reads the database: called in a thread. `targets`, `display`: see `Situation`. `late_after`: notices sent later than
    this after the decision say so. `spoken`: languages of channels. `channel`: the main one.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        workspace: Workspace,
        display: Display = USD,
        late_after: timedelta = LATE,
        is_stale: Callable[[datetime], bool] = lambda now: False,
        spoken: Spoken = POSTS_IN_ENGLISH,
        channel: str = "",
    ) -> None:
        self._targets = targets
        self._workspace = workspace
        self._display = display
        self._late_after = late_after
        self._is_stale = is_stale
        self._spoken = spoken
        self._channel = channel

    def blocks(self, notice: Notice, now: datetime) -> Message:
        """The message for Slack, in the language of the channel."""
        arrived = notice.channel if notice.address is None else notice.address.channel
        payload = notice.content.payload
        chosen = payload.language if isinstance(payload, Digest) else None
        with in_language(chosen or self._spoken.in_channel(arrived or self._channel)):
            return self._drawn(notice, now)

    def _drawn(self, notice: Notice, now: datetime) -> Message:
        content: Content = notice.content
        payload = content.payload
        if isinstance(payload, AlertPayload) and notice.action == "reply":
            message = _step(payload)
        elif notice.action == "details":
            message = self._details(content, now)
        else:
            link = None if content.related is None else self._workspace.permalink(content.related)
            at = Situation(now, content, link, self._display, self._targets, self._is_stale(now))
            message = RENDERERS[type(payload)](payload, at)
            if isinstance(payload, AlertPayload) and payload.can_be_acknowledged and content.alert_id is not None:
                expected = content.expected
                life = content.life if expected is None else replace(content.life, snoozed_by=None, snoozed_until=None)
                message = with_raise_button(with_life(message, content.alert_id, payload.status, life), payload)
                message = with_expected(message, payload, content.alert_id, expected, now)
        message = _for_its_channel(message, notice)
        late = None if notice.action in ("update", "details") else _late_line(notice.created_at, now, self._late_after)
        return message if late is None else message.below_first_line(context(late))

    def _details(self, content: Content, now: datetime) -> Message:
        """What its message would fold, if Slack rejected folds."""
        link = None if content.related is None else self._workspace.permalink(content.related)
        at = Situation(now, content, link, self._display, self._targets, self._is_stale(now))
        whole = RENDERERS[type(content.payload)](content.payload, at)
        return whole.details or whole

    def plain(self, notice: Notice, now: datetime) -> PlainMessage:
        """The message for plain-text destinations, in the language of posts."""
        payload = notice.content.payload
        with in_language(self._spoken.default):
            message = plain_message(payload, notice.created_at, now, display=self._display, late_after=self._late_after)
            if not notice.mention:
                return message
            named = tr("Owners: {owners}", owners=comma_list(notice.mention))
        return replace(message, body=f"{message.body}\n{named}")


def _for_its_channel(message: Message, notice: Notice) -> Message:
    """Mention owners in new messages only, so that edits and replies do not notify them again."""
    more = []
    if notice.meant_for and notice.action in ("post", "update"):
        meant = all_of(list(map(channel_mention, notice.meant_for)))
        more.append(paragraph(tr("Meant for {channel}, which I cannot reach: invite me there.", channel=meant)))
    if notice.action == "post" and notice.mention:
        more.append(paragraph(tr("Owners: {owners}", owners=" ".join(map(mention, notice.mention)))))
    return message.below_first_line(*more) if more else message


def incident_message(payload: AlertPayload, related_link: str | None = None, display: Display = USD) -> Message:
    """An incident at one step, without its lifecycle."""
    at = Situation(payload.decided_at, Content(payload), related_link, display)
    return RENDERERS[type(payload)](payload, at)


def headline(payload: AlertPayload) -> str:
    """First line of the incident's message."""
    return incident_message(payload).mrkdwn.partition("\n")[0]


def plain_message(
    payload: Payload,
    decided_at: datetime,
    now: datetime,
    *,
    display: Display = USD,
    late_after: timedelta = LATE,
) -> PlainMessage:
    """The message without Slack's markup, its first line as title. `now`: when it is sent."""
    message = RENDERERS[type(payload)](payload, Situation(now, Content(payload), display=display))
    title, _, body = plain_text(message.text).partition("\n")
    lines = [body]
    if isinstance(payload, LimitAlert) and payload.status is Status.RESOLVED:
        lines.insert(0, tr(REPORTED_ONCE))
    late = _late_line(decided_at, now, late_after)
    if late is not None:
        lines.insert(0, in_utc(late))
    return PlainMessage(title, "\n".join(lines), _tone(payload))


def _tone(payload: Payload) -> Tone:
    if not isinstance(payload, AlertPayload):
        return "soft"
    if payload.status is Status.RESOLVED:
        return "resolved"
    return "hard" if payload.is_urgent else "soft"


def _step(payload: AlertPayload) -> Message:
    """The reply about a step caused by figures."""
    if isinstance(payload, LimitAlert):
        return limit_step_message(payload)
    return said(headline(payload))


def _late_line(decided_at: datetime, now: datetime, late_after: timedelta) -> str | None:
    """The line for a notice sent later than `late_after`, and how to read it."""
    delay = now - decided_at
    if delay <= late_after:
        return None
    return tr("Late by {delay}: this is how it stood at {time}.", delay=span(delay), time=moment(decided_at))
