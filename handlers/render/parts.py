"""Parts of messages, each with text and blocks, within Slack's limits; external text is escaped.

Names of workspaces, keys and models, reasons and error sentences may contain anything: they are escaped, put on one
line and shortened. In mrkdwn exactly three characters are escaped (docs.slack.dev, formatting message text); plain_text
has no markup and no escapes.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.amounts import in_skeleton, span
from bot.language import ENGLISH, language, spoken, tr, tr_noop
from bot.listed import comma_list
from bot.messages import CHILDREN, FOLD, TIME_FORMAT, Block, Message, Part, in_utc
from bot.pricing.card import load_rate_card
from bot.usage.model import DataState, is_stale

SECTION_LIMIT = 3000
"""Characters of a section's text (docs.slack.dev, section block)."""

CONFIRM_LIMIT = 300
"""Characters of a confirm dialog's text (docs.slack.dev, confirmation dialog object)."""

HEADER_LIMIT = 150
"""Characters of a header (docs.slack.dev, header block)."""

LABEL_LIMIT = 75
"""Characters of a button's text (docs.slack.dev, button element), and of an option's."""

TYPED_LIMIT = 400
"""Characters of a reason, also in the text beside the blocks."""

CELL_LIMIT = 60

MOST_CHILDREN = 10
"""Blocks in a container (docs.slack.dev, container block)."""

ACTION_ID_LIMIT = BLOCK_ID_LIMIT = 255
VALUE_LIMIT = 2000
"""Characters of a button's ids (docs.slack.dev, button element)."""

NAME_LIMIT = 60
SENTENCE_LIMIT = 400
"""Characters as sent, escapes included. Edits take 4,000 in all (docs.slack.dev, chat.update)."""

MOST_NAMES = 5

ELLIPSIS = "…"
UNNAMED = tr_noop("(no name)")

_PLAIN = str.maketrans("<>", "‹›")
_HALF_MARKUP = re.compile(r"(?:&[a-z]{0,3}|<[^<>]*)$")
_JOINER = "\u200d"
"""Joins an emoji that consists of several."""

_MARKUP = re.compile(r"(?<!\w)[*_~`]|[*_~`](?!\w)|:[a-z][a-z0-9_+'-]*:")

_DATED = re.compile(r"\d{8}")
"""Release date in a model's id."""

_USER_ID = re.compile(r"[UW][A-Z0-9]+")
_GROUP_ID = re.compile(r"S[A-Z0-9]+")
_CHANNEL_ID = re.compile(r"[CG][A-Z0-9]+")

_ANGLES = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_CALL_TO_ALL = re.compile(r"@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_UNESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def said(text: str) -> Message:
    """A message of one paragraph (mrkdwn)."""
    return Message([paragraph(text)])


def heading(title: str) -> Part:
    """A title above the message, only in blocks: the line below it says what it is about."""
    return Part(blocks=[{"type": "header", "text": {"type": "plain_text", "text": plain(title, HEADER_LIMIT)}}])


def headline(first: str) -> Part:
    """The line that says what happened, in Slack's largest font."""
    title = plain(plain_text(first), len(first) + HEADER_LIMIT)
    if len(title) > HEADER_LIMIT:
        return lead(first)
    return Part(first, [{"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}])


def lead(first: str, *rest: str) -> Part:
    """The most important line, bold, and lines below it."""
    return Part("\n".join([first, *rest]), _sections([f"*{first}*", *rest]))


def figure(line: str, *rest: str) -> Part:
    """A number and, after a colon, what it is: shown on two lines, the number bold."""
    number, _, meaning = line.partition(": ")
    return Part("\n".join([line, *rest]), _sections([f"*{number}*", meaning, *rest]))


def paragraph(*lines: str) -> Part:
    """Lines in as few sections as possible, none split."""
    return Part("\n".join(lines), _sections(lines))


def bullets(title: str, lines: Sequence[str]) -> Part:
    """Lines below a title, which is only in blocks; empty without lines."""
    listed = [f"• {line}" for line in lines]
    return Part("\n".join(listed), _sections([f"*{title}*", *listed]) if listed else [])


def warning(*lines: str) -> Part:
    """Bold lines that must not be overlooked."""
    return Part("\n".join(lines), _sections([f"*{line}*" for line in lines]))


def with_reason(line: str, reason: str, *, bold: bool = True) -> Part:
    """A line that ends in a reason; if mrkdwn would format marks in the reason, it is shown verbatim below."""
    reason = spoken(reason)
    if not has_markup(reason):
        return lead(line) if bold else paragraph(line)
    before = line.removesuffix(sentence(reason)).rstrip()
    return Part(line, [*_sections([f"*{before}*" if bold else before]), typed(reason)])


def context(*lines: str, bold: bool = False) -> Part:
    """Small print."""
    drawn = "\n".join(f"*{line}*" if bold else line for line in lines)
    element = {"type": "mrkdwn", "text": cut(drawn, SECTION_LIMIT), "verbatim": True}
    return Part("\n".join(lines), [{"type": "context", "elements": [element]}] if drawn else [])


def fold(title: str, parts: Sequence[Part]) -> Part:
    """Parts behind a click; empty if there are none."""
    children = _packed([block for part in parts for block in part.blocks])
    if not children:
        return Part()
    drawn: Block = {
        "type": FOLD,
        "title": {"type": "plain_text", "text": plain(title, HEADER_LIMIT)},
        "is_collapsible": True,
        "default_collapsed": True,
        CHILDREN: children,
    }
    older = [block for part in parts for block in part.in_older_blocks.blocks]
    return Part("\n".join(part.text for part in parts if part.text), [drawn], older=older)


def _packed(blocks: Sequence[Block]) -> list[Block]:
    """The blocks in as few sections as possible, since a container takes few."""
    found: list[Block] = []
    for block in blocks:
        last = found[-1] if found else None
        if last is not None and _is_text(last) and _is_text(block):
            joined = f"{last['text']['text']}\n{block['text']['text']}"
            if len(joined) <= SECTION_LIMIT:
                found[-1] = {**last, "text": {**last["text"], "text": joined}}
                continue
        found.append(block)
    return found if len(found) <= MOST_CHILDREN else [*found[: MOST_CHILDREN - 1], found[-1]]


def _is_text(block: Block) -> bool:
    return bool(block["type"] == "section" and block["text"]["type"] == "mrkdwn")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], line: Callable[[Sequence[str]], str]) -> Part:
    """A table, first column left-aligned, the others right-aligned. `line`: a row as text, from its escaped cells.

    Slack shows at most one table in a message (docs.slack.dev, table block), and no cell may be empty. Cells are plain
    text, so times in them are UTC.
    """
    rows = [[in_utc(cell) for cell in row] for row in rows]
    cells = [[{"type": "raw_text", "text": plain(text, CELL_LIMIT)} for text in row] for row in (headings, *rows)]
    columns = [{"align": "left", "is_wrapped": True}, *({"align": "right"} for _ in headings[1:])]
    drawn = {"type": "table", "rows": cells, "column_settings": columns}
    return Part("\n".join(line([shown(cell) for cell in row]) for row in rows), [drawn] if rows else [])


def narrow_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    line: Callable[[Sequence[str]], str],
    columns: Sequence[int],
) -> list[Part]:
    """A table of these columns, as many as a phone shows, and all cells as text behind a click. See `table`."""
    whole = table(headings, rows, line)
    drawn = table([headings[at] for at in columns], [[row[at] for at in columns] for row in rows], lambda row: "")
    behind = fold(tr("Details"), [paragraph(*whole.text.splitlines())])
    return [Part(whole.text, drawn.blocks), Part("", behind.blocks, behind.older)]


def buttons(elements: Sequence[Block], row: str | None = None) -> Part:
    """A row of buttons. `row`: its id, unique among the blocks of the message."""
    block: Block = {"type": "actions", "elements": list(elements)}
    if row is not None:
        block["block_id"] = cut(row, BLOCK_ID_LIMIT)
    return Part(blocks=[block] if elements else [])


def button(
    label: str, action_id: str, value: str, *, confirm: dict[str, Any] | None = None, style: str | None = None
) -> Block:
    """`value`: sent with the click; `action_id`: unique among the buttons of the row."""
    element: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": plain(label, LABEL_LIMIT)},
        "action_id": cut(action_id, ACTION_ID_LIMIT),
        "value": cut(value, VALUE_LIMIT),
    }
    if confirm is not None:
        element["confirm"] = confirm
    if style is not None:
        element["style"] = style
    return element


def confirmation(title: str, text: str, confirm: str, *, danger: bool = False) -> dict[str, Any]:
    """A dialog before a button acts. Put what must not be cut first in `text`."""
    dialog: dict[str, Any] = {
        "title": {"type": "plain_text", "text": plain(title, 100)},
        "text": {"type": "plain_text", "text": plain(text, CONFIRM_LIMIT)},
        "confirm": {"type": "plain_text", "text": plain(confirm, 30)},
        "deny": {"type": "plain_text", "text": tr("Cancel")},
    }
    if danger:
        dialog["style"] = "danger"
    return dialog


def moment(at: datetime) -> str:
    """A time that Slack shows in the reader's zone; `23 Nov 14:05 UTC` in plain text."""
    at = at.astimezone(UTC)
    day = f"{at.day} {at:%b}" if language() == ENGLISH else in_skeleton(at.date(), "MMMd")
    return f"<!date^{int(at.timestamp())}^{TIME_FORMAT}|{day} {at:%H:%M} UTC>"


def fitting(groups: Iterable[Sequence[str]], room: int, most: int | None = None) -> list[Sequence[str]]:
    """As many groups of lines as fit into `room` characters, at most `most`; the rest is not consumed."""
    found: list[Sequence[str]] = []
    for lines in groups:
        room -= sum(len(line) + 1 for line in lines)
        if room < 0 or len(found) == most:
            break
        found.append(lines)
    return found


def section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION_LIMIT), "verbatim": True}}


def typed(text: str) -> Block:
    """Typed text, shown verbatim whatever marks of mrkdwn it has."""
    drawn = plain(text, TYPED_LIMIT)
    return {"type": "section", "text": {"type": "plain_text", "text": drawn, "emoji": False}}


def _sections(lines: Iterable[str]) -> list[Block]:
    texts: list[str] = []
    for line in lines:
        if texts and len(texts[-1]) + 1 + len(line) <= SECTION_LIMIT:
            texts[-1] += f"\n{line}"
        else:
            texts.append(line)
    return [section(text) for text in texts if text]


def escape(value: str) -> str:
    """Escape only what mrkdwn would read as markup of links and mentions."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shown(value: str, limit: int = NAME_LIMIT) -> str:
    """The value on one line of mrkdwn, cut to `limit` characters with an ellipsis."""
    line = _one_line(value)
    escaped = escape(line)
    if len(escaped) <= limit:
        return escaped
    kept, length = [], len(ELLIPSIS)
    for character in line:
        piece = escape(character)
        length += len(piece)
        if length > limit:
            break
        kept.append(piece)
    return "".join(kept).rstrip() + ELLIPSIS


def sentence(value: str) -> str:
    """`shown` for a whole sentence, such as an error's; a stored one is translated."""
    return shown(spoken(value), SENTENCE_LIMIT)


def has_markup(value: str) -> bool:
    """Whether mrkdwn would format some of it: bold, italic, struck out, code or an emoji.

    Slack has no escape for these; only plain_text shows such text verbatim.
    """
    return _MARKUP.search(value) is not None


def code(value: str, limit: int = NAME_LIMIT) -> str:
    """The value in code style, which its own backticks cannot end."""
    harmless = value.replace("`", "'")
    return f"`{shown(harmless, limit)}`"


def plain(value: str, limit: int) -> str:
    """The value on one line of plain_text, without anything that could be taken for markup."""
    return cut(in_utc(_one_line(value)).translate(_PLAIN), limit)


def cut(text: str, limit: int) -> str:
    """`text` cut to `limit` with an ellipsis. No escape, time, link or mention is split."""
    if len(text) <= limit:
        return text
    return _HALF_MARKUP.sub("", text[: limit - len(ELLIPSIS)]).rstrip() + ELLIPSIS


def names(values: Sequence[str]) -> str:
    """The values separated by commas; only the first few of many."""
    listed = comma_list([shown(value) for value in values[:MOST_NAMES]])
    more = len(values) - MOST_NAMES
    return listed if more <= 0 else tr("{names} and {number} more", names=listed, number=more)


def model_label(model_id: str) -> str:
    """`Opus 5.5` for the API's own id of a model in the rate card; a dated or an unknown id unchanged."""
    model = load_rate_card().models.get(model_id)
    return model_id if model is None or _DATED.search(model_id) else model.name


def mention(user: str) -> str:
    """The id of a Slack user or user group as a mention; any other text unchanged."""
    if _GROUP_ID.fullmatch(user):
        return f"<!subteam^{user}>"
    return f"<@{user}>" if _USER_ID.fullmatch(user) else shown(user)


def channel_mention(channel: str) -> str:
    """The id of a Slack channel as a link to it; any other text unchanged."""
    return f"<#{channel}>" if _CHANNEL_ID.fullmatch(channel) else shown(channel)


def _one_line(value: str) -> str:
    if not value.isprintable():
        value = "".join(character if character.isprintable() or character == _JOINER else " " for character in value)
    return " ".join(value.split()) or tr(UNNAMED)


def plain_text(mrkdwn: str) -> str:
    """Mentions, links and dates as plain text, without escapes.

    External names are escaped in mrkdwn, so angle brackets are ours. Some chat services would notify everybody on words
    such as @everyone: a zero-width space splits those.
    """
    text = _ANGLES.sub(_written_out, mrkdwn)
    for escaped, character in _UNESCAPED:
        text = text.replace(escaped, character)
    return _CALL_TO_ALL.sub("@\u200b", text)


def _written_out(match: re.Match[str]) -> str:
    target, label = match[1], match[2]
    if target.startswith("@"):
        return label or target
    if target.startswith("#"):
        return f"#{label}" if label else target
    if target.startswith("!subteam^"):
        return label or f"@{target.removeprefix('!subteam^')}"
    if target.startswith("!"):
        return label or f"@{target[1:]}"
    address = target.removeprefix("mailto:")
    return address if label is None or label == address else f"{label} ({target})"


STALE = tr_noop("STALE. ")

NO_DATA = tr_noop("No data yet: the first poll has not succeeded.")


def age_line(data: DataState, now: datetime, poll_seconds: int) -> str:
    """Age and source of the usage data, with a warning if it is stale."""
    if data.as_of is None:
        return tr(NO_DATA)
    age = tr(
        "Data as of {time} ({age} old), from Anthropic's {source} API.",
        time=moment(data.as_of),
        age=span(now - data.as_of),
        source=data.source,
    )
    return f"{tr(STALE)}{age}" if is_stale(data, now, poll_seconds) else age


def with_age(message: Message, line: str) -> Message:
    """The message with this line at its end, or at its beginning if the data is stale."""
    if line.startswith(tr(STALE)):
        return Message([lead(line), *message.parts])
    return Message([*message.parts, context(line)])
