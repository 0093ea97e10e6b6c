"""The drawing of the rooms in docs/architecture.md, made from the imports.

    python -m tests.contract.rooms_drawing

writes it anew between its two markers.
"""

from tests.contract.test_rooms import ORDER, PATHS, ROOT, imports, room

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: begin -->\n", "<!-- rooms: end -->\n"

SHARED = {"base", "db"}
"""Imported by nearly every room, so left out of the arrows."""


def drawing() -> str:
    """Mermaid: an arrow from each room to those that it imports and that no other arrow of it leads to."""
    direct = {
        one: {room(other) for path in PATHS if room(path) == one for other in imports(path) & PATHS.keys()}
        for one in ORDER
    }
    reached: dict[str, set[str]] = {}
    lines = []
    for one in ORDER:
        others = direct[one] - {one} - SHARED
        beyond: set[str] = set().union(*(reached.get(other, set()) for other in others))
        reached[one] = others | beyond
        lines += [f"    {one} --> {other}" for other in ORDER if other in others - beyond]
    return "```mermaid\nflowchart BT\n" + "\n".join(lines) + "\n```\n"


def drawn(page: str) -> str:
    """The page with the drawing as it has to be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{drawing()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
