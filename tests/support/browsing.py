"""A control room for tests: a gateway with a dashboard, a provider behind it, a real browser before it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from support.backstage import Backstage
from support.gateway import Gateway

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "there is no Chromium on this machine (Debian: apt-get install chromium)"
PASSWORD = "a long password of tests"
_HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
_CONFIG = """
[server]
port = 0
[dashboard]
enabled = true
port = 0
password_hash = "{hash}"
[ledger]
bodies = true
flush_ms = 20
{ledger}
{prices}
[providers.openai]
base_url = "{url}"
format = "openai"
models = ["gpt-*"]
[[providers.openai.credentials]]
name = "first"
api_key = "sk-canary-of-the-first"
[[providers.openai.credentials]]
name = "second"
api_key = "sk-canary-of-the-second"
{more}
"""
PRICES = '[model_prices]\n"gpt-*" = { input = 2.0, output = 8.0 }'
MOST_WAIT_MS = 30_000
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class ControlRoom:
    """`gateway` and `provider` run; `context` is a browser's that is logged in as admin."""

    def __init__(self, gateway: Gateway, provider: Backstage, context: BrowserContext, base: str) -> None:
        self.gateway = gateway
        self.provider = provider
        self.context = context
        self.base = base

    def ask(
        self, text: str, model: str = "gpt-4o", *, key: str | None = None, **beside: Any
    ) -> httpx.Response:
        """A client's request; `beside` stands in its body, too."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **beside}
        headers = {} if key is None else {"x-llmitm-key": key}
        return httpx.post(f"{self.gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=20)

    def get(self, path: str) -> Any:
        """What the admin API says to the one who is logged in."""
        answer = self.context.request.get(f"{self.base}/api/dashboard/{path}")
        assert answer.ok, answer.text()
        return answer.json()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def control_room(
    browser: Browser,
    folder: Path,
    *,
    ledger: str = "",
    more: str = "",
    prices: str = PRICES,
    pace_s: float = 0,
) -> Iterator[ControlRoom]:
    """`ledger` goes below [ledger], `more`, in which {url} is the provider's, stands at the end.

    `pace_s` is what the provider waits before each piece of a stream.
    """
    with Backstage(pace_s=pace_s) as provider:
        more = more.replace("{url}", provider.url)
        config = _CONFIG.format(hash=_HASH, url=provider.url, ledger=ledger, more=more, prices=prices)
        with Gateway(config, folder, host="serve") as gateway:
            base = gateway.wait_for(r"dashboard on (http://[^\s\"]+)")[1]
            context = logged_in(browser, base)
            yield ControlRoom(gateway, provider, context, base)
            context.close()


def logged_in(
    browser: Browser, base: str, place: str = "/login", heading: str = "Overview"
) -> BrowserContext:
    """One who came in by `place`, which leads to the page of that heading."""
    context = browser.new_context(
        base_url=base, viewport={"width": 1280, "height": 860}, reduced_motion="reduce"
    )
    context.set_default_timeout(MOST_WAIT_MS)
    page = context.new_page()
    page.goto(place)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name=heading).wait_for()
    page.close()
    return context


def settled(page: Page, place: str) -> None:
    """Goes there, and waits until what the page asked for is there."""
    page.goto(place)
    page.get_by_role("heading", level=1).first.wait_for()
    page.wait_for_function("() => !document.querySelector('.waiting')")


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds on a page as it is now, by all `AXE_RULES` or only these."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())
    found = page.evaluate(
        "async ([type, values]) => (await axe.run(document, {runOnly: {type, values}})).violations.map("
        "one => [one.id, ...one.nodes.slice(0, 2).map(node => node.html.slice(0, 200))].join(' '))",
        ["tag", AXE_RULES] if rules is None else ["rule", rules],
    )
    return [str(one) for one in found]


@cache
def _axe() -> str:
    found = find_spec("axe_playwright_python")
    assert found is not None and found.origin is not None, "axe-playwright-python is not installed"
    return (Path(found.origin).parent / "axe.min.js").read_text()
