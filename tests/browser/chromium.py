"""A headless Chromium, driven over the Chrome DevTools Protocol, and a page in it (chromedevtools.github.io)."""

import asyncio
import base64
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--remote-debugging-port=0", "about:blank"),
)
LAPTOP, PHONE = (1280, 800), (390, 844)
EVERY_SECONDS = 0.05


class PageError(AssertionError):
    """The page threw, or did not come to what it was waited for."""


def installed() -> str | None:
    """The path of a Chromium on this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """`errors`: what the page's scripts have thrown, and what its console says as an error."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._last = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Read what the browser says, until it ends."""
        async for frame in self._socket:
            said = json.loads(frame.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.errors.append(_words(said["params"]["exceptionDetails"]))
            elif said["method"] == "Runtime.consoleAPICalled" and said["params"]["type"] == "error":
                self.errors.append(str(said["params"]["args"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol. Raises `PageError` where the browser refuses it."""
        self._last += 1
        self._waiting[self._last] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last, "method": method, "params": params})
        said = await self._waiting[self._last]
        if "error" in said:
            raise PageError(f"{method}: {said['error']['message']}")
        return dict(said["result"])

    async def js(self, expression: str, *values: Any) -> Any:
        """The value of a JavaScript expression, or of a function of `values`. Raises `PageError` where it throws."""
        if values:
            expression = f"({expression})({', '.join(map(json.dumps, values))})"
        said = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            raise PageError(f"{expression[:200]}: {_words(said['exceptionDetails'])}")
        return said["result"].get("value")

    async def until(self, expression: str, *values: Any, seconds: float = 10) -> Any:
        """The value of the expression once it is true. Raises `PageError` after `seconds`."""
        ends = time.monotonic() + seconds
        while not (value := await self.js(expression, *values)):
            if time.monotonic() > ends:
                raise PageError(f"not within {seconds} s: {expression[:300]} {values}")
            await asyncio.sleep(EVERY_SECONDS)
        return value

    async def size(self, width: int, height: int) -> None:
        """Set the screen size in CSS pixels; the narrow one is a phone's."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width == PHONE[0],
        )

    async def shot(self, path: Path) -> None:
        """Save the screen as PNG."""
        said = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(said["data"]))


@asynccontextmanager
async def page_at(url: str, chromium: str, profile: Path) -> AsyncIterator[Page]:
    """A new browser with this page. `profile`: a folder of its own."""
    async with AsyncExitStack() as stack:
        browser = await asyncio.create_subprocess_exec(
            chromium,
            f"--user-data-dir={profile}",
            *FLAGS,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        stack.push_async_callback(_ended, browser)
        origin = await _debugger(browser)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with session.put(f"{origin}/json/new?{url}") as answer:
            target = await answer.json()
        socket = await stack.enter_async_context(session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0))
        page = Page(socket)
        listening = asyncio.create_task(page.listen())
        stack.callback(listening.cancel)
        await page.call("Page.enable")
        await page.call("Runtime.enable")
        await page.size(*LAPTOP)
        yield page


async def _debugger(browser: asyncio.subprocess.Process) -> str:
    """The address where it listens for commands."""
    assert browser.stderr is not None
    async with asyncio.timeout(30):
        async for line in browser.stderr:
            if b"DevTools listening" in line:
                return "http://" + line.decode().split("ws://")[1].split("/")[0]
    raise PageError("Chromium ended before it listened")


async def _ended(browser: asyncio.subprocess.Process) -> None:
    if browser.returncode is None:
        browser.kill()
    await browser.communicate()


def _words(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details.get("text"))
