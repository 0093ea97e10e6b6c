"""The list of levels in docs/settings.md, made from the kinds of alerts.

    python -m tests.contract.level_list

writes it anew between its two markers.
"""

from bot.alerts.incident import LEVELS
from tests.contract.test_rooms import ROOT

PAGE = ROOT / "docs" / "settings.md"
BEGIN, END = "<!-- levels: begin -->\n", "<!-- levels: end -->\n"


def listed(page: str) -> str:
    """The page with the list as it has to be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    *first, last = (f"`{level}`" for level in LEVELS)
    return f"{before}{BEGIN}The levels are {', '.join(first)} and {last}.\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(listed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
