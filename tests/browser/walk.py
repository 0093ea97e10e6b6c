"""A user who tries everything on the demo's page, and waits for an answer each time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.browser.chromium import Page

SEEN = """() => ["messages", "home", "modal-title", "modal-body", "notice"].map((id) => {
  const part = document.getElementById(id);
  return id.startsWith("modal") && !document.getElementById("modal").open ? "" : part.textContent;
}).join("\\n")"""
"""The app's answers as a reader sees them."""

NOTICES = """["notice", "modal-notice", "directions-notice", "lost"].map((id) => document.getElementById(id))
  .filter((one) => !one.hidden && one.textContent).map((one) => one.textContent)"""

PLACEHOLDERS = "document.body.textContent.match(/\\\\[(?:a block|an element) of type [^\\\\]]*\\\\]/g)"

OFFERED = """(place) => [...document.querySelectorAll(`#${place} button.element`)]
  .map((one) => ({ id: one.id, action: one.dataset.action, text: one.textContent, within: one.closest("li")?.id }))"""

FILL = """() => {
  const prompted = Boolean(document.querySelector("#modal-body textarea")?.value);
  // An estimate needs input tokens or a prompt, a budget one of its limits; none of them is required by itself.
  for (const block of document.querySelectorAll("#modal-body .input")) {
    const needed = !block.querySelector(".optional");
    const choices = block.querySelector(".choices");
    if (choices && needed && !choices.querySelector(":checked")) choices.querySelector("input").click();
    const entry = block.querySelector(".entry");
    const one = /-hard-[^-]*$/.test(entry?.id) || (!prompted && /-in-[^-]*$/.test(entry?.id));
    if (!entry || entry.value || !(needed || one)) continue;
    if (entry.tagName === "SELECT") entry.selectedIndex = entry.options.length - 1;
    else entry.value = entry.type === "date" ? "2026-12-01" : entry.placeholder.split(",")[0] || "100";
    entry.dispatchEvent(new Event("change", { bubbles: true }));
  }
}"""

FAULTS = "[...document.querySelectorAll('#modal-body .fault')].map((one) => one.textContent).filter(Boolean)"

MOST_STEPS = 8
"""Views of one form, one after the other."""

MOST_CLICKS = 100

GONE = "there is nothing to click with the action id"
"""Error of the page for a button that was removed between look and click."""


CLICK = "(id) => { const found = document.getElementById(id); found?.click(); return Boolean(found); }"
"""Clicks an element by its id; whether it was there."""


@dataclass(slots=True)
class Walker:
    """`clicked`: the ids of all actions that were tried. `forms`: titles of the forms that were sent."""

    page: Page
    clicked: set[str] = field(default_factory=set)
    forms: list[str] = field(default_factory=list)

    async def become(self, name: str) -> None:
        """Look with another person's eyes, at the alert channel."""
        await self._press("#people button", name)
        await self.visit("# alerts")

    async def visit(self, name: str) -> None:
        """Go to a channel, the Home tab or the direct messages."""
        await self.page.until("document.querySelectorAll('#places button').length > 3")
        await self._press("#places button", name)
        if name.startswith("#"):
            await self.page.until("document.querySelectorAll('#messages > li').length")

    async def sees(self, words: str) -> None:
        """Wait until a message shows these words."""
        await self.page.until("(words) => document.getElementById('messages').textContent.includes(words)", words)

    async def click_one(self, action: str) -> None:
        """Wait until a message offers this, and click it there, the newest first."""
        await self.page.until("(id) => Boolean(document.querySelector(`#messages [data-action^='${id}']`))", action)
        await self.click_all("messages", set(), only=[action])

    async def write(self, words: str, how: str = "command") -> str:
        """Type it as a person does, and wait for what the app says."""
        before = await self.page.js(f"({SEEN})()")
        await self.page.js("(how) => { document.getElementById('how').value = how; }", how)
        await self.page.js("document.getElementById('text').focus()")
        await self.page.call("Input.insertText", text=words)
        for kind in ("rawKeyDown", "char", "keyUp"):
            await self.page.call("Input.dispatchKeyEvent", type=kind, key="Enter", text="\r", windowsVirtualKeyCode=13)
        return await self._answered(before, words) or ""

    async def click(self, place: str, button: dict[str, Any]) -> str | None:
        """Click a button, agree to its dialog, and wait for the result; then finish any form that opened.

        None if it no longer exists, on the page or at the server, which redraws messages meanwhile.
        """
        before = await self.page.js(f"({SEEN})()")
        if not await self.page.js(CLICK, button["id"]):
            return None
        await self._agree()
        answer = await self._answered(before, f"{button['action']} “{button['text']}”", or_gone=True)
        if answer is None:
            return None
        self.clicked.add(button["action"])
        if place != "modal-body":
            await self.finish()
        return answer

    async def click_all(self, place: str, known: set[str], only: Sequence[str] = ()) -> None:
        """Click each button there that is not in `known`, until there is no other. `only`: prefixes of ids."""
        for _ in range(MOST_CLICKS):
            offered = await self.page.js(OFFERED, place)
            new = [one for one in offered if one["action"] not in known and one["action"].startswith(tuple(only) or "")]
            if not new:
                return
            # Newest first: earlier ones may be over.
            if await self.click(place, new[-1]) is not None:
                known.add(new[-1]["action"])
        raise AssertionError(f"after {MOST_CLICKS} clicks there is still something new in {place}: {new[-1]}")

    async def shortcut(self, press: str, *values: Any) -> None:
        """Use a shortcut, which opens a form, and send that. `press`: a function that clicks it."""
        await self.page.js(press, *values)
        await self.page.until("document.getElementById('modal').open")
        await self.finish()

    async def finish(self) -> None:
        """Fill and send the forms that are open, click the buttons of their answers, and close them."""
        known: set[str] = set()
        for _ in range(MOST_STEPS):
            if not await self.page.js("document.getElementById('modal').open"):
                return
            await self.click_all("modal-body", known)
            if await self.page.js("document.getElementById('modal-submit').hidden"):
                await self.page.js("document.getElementById('modal-close').click()")
                await self.page.until("!document.getElementById('modal').open")
                continue
            await self._send()
        raise AssertionError(f"after {MOST_STEPS} steps a form is still open")

    async def check(self, step: str) -> None:
        """Assert that nothing on the page is wrong."""
        assert self.page.errors == [], step
        notices = await self.page.js(NOTICES)
        assert notices == [], f"{step}: {notices}"
        assert await self.page.js(PLACEHOLDERS) is None, step

    async def _send(self) -> None:
        title = await self.page.js("document.getElementById('modal-title').textContent")
        self.forms.append(title)
        await self.page.js(f"({FILL})()")
        before = await self.page.js(f"({SEEN})()")
        await self.page.js("document.getElementById('modal-submit').click()")
        gone = "!document.getElementById('modal').open"
        changed = f"({SEEN})() !== {_literal(before)}"
        await self.page.until(f"{gone} || ({FAULTS}).length || {changed}")
        faults = await self.page.js(FAULTS)
        assert faults == [], f"{title}: {faults}"
        await self.check(title)

    async def _agree(self) -> None:
        if await self.page.js("document.getElementById('confirm').open"):
            await self.page.js("document.getElementById('confirm-confirm').click()")

    async def _answered(self, before: str, step: str, *, or_gone: bool = False) -> str | None:
        """The newest message's text. None if the page says that the button is gone, and `or_gone` allows it."""
        try:
            await self.page.until(f"({SEEN})() !== {_literal(before)}")
        except AssertionError:
            raise AssertionError(f"no answer to {step}") from None
        if or_gone and any(GONE in notice for notice in await self.page.js(NOTICES)):
            await self.page.js(
                "for (const id of ['notice', 'modal-notice']) document.getElementById(id).textContent = ''"
            )
            return None
        await self.check(step)
        return str(await self.page.js("[...document.querySelectorAll('#messages > li')].at(-1)?.textContent ?? ''"))

    async def _press(self, where: str, name: str) -> None:
        press = """(where, name) => {
          const found = [...document.querySelectorAll(where)].find((one) => one.textContent.startsWith(name));
          found.click();
        }"""
        await self.page.js(press, where, name)
        pressed = (
            "(where) => [...document.querySelectorAll(where)].find((one) => one.ariaPressed === 'true').textContent"
        )
        await self.page.until(f"(where, name) => ({pressed})(where).startsWith(name)", where, name)


def _literal(text: str) -> str:
    return json.dumps(text)
