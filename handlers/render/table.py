"""A table block: a row of headings and rows of text, the first column to the left and all others to the right."""

from collections.abc import Sequence

from bot.messages import Block
from handlers.render.escape import plain

CELL_LIMIT = 60


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Block:
    """Plain cells, none of them empty. Slack shows at most one table in a message (docs.slack.dev, table block)."""
    cells = [[{"type": "raw_text", "text": plain(text, CELL_LIMIT)} for text in row] for row in (headings, *rows)]
    columns = [{"align": "left", "is_wrapped": True}, *({"align": "right"} for _ in headings[1:])]
    return {"type": "table", "rows": cells, "column_settings": columns}
