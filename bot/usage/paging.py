"""All pages of one range, or an error: a part of the answer is never taken for the whole."""

from collections.abc import Sequence

from bot.usage.answers import Page, parsed
from bot.usage.source import MalformedError
from bot.usage.transport import ExpiredCursorError, Query, Transport

MOST_PAGES = 1000


async def all_pages(transport: Transport, path: str, query: Query, betas: Sequence[str] = ()) -> list[Page]:
    """Every page, asked for with the same parameters. A page token that has expired begins the range anew, once."""
    try:
        return await _pages(transport, path, query, betas)
    except ExpiredCursorError:
        return await _pages(transport, path, query, betas)


async def _pages(transport: Transport, path: str, query: Query, betas: Sequence[str]) -> list[Page]:
    pages: list[Page] = []
    seen: set[str] = set()
    token: str | None = None
    while len(pages) < MOST_PAGES:
        asked = query if token is None else [*query, ("page", token)]
        page = parsed(Page, await transport.get(path, asked, betas), path)
        pages.append(page)
        if not page.has_more:
            return pages
        token = page.next_page
        if not token or token in seen:
            raise MalformedError(f"Anthropic's pages from {path} do not come to an end; nothing was counted.")
        seen.add(token)
    raise MalformedError(f"Anthropic's answer from {path} has more than {MOST_PAGES} pages; nothing was counted.")
