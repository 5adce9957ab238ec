"""The dashboard in a real browser, before a real gateway. Skipped where there is no Chromium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

PASSWORD = "a long password of tests"
CONFIG = """
[server]
port = 0
[dashboard]
enabled = true
port = 0
[ledger]
bodies = true
flush_ms = 20
[providers.openai]
base_url = "{url}"
format = "openai"
models = ["*"]
[[providers.openai.credentials]]
name = "first"
api_key = "sk-canary-of-the-first"
[[providers.openai.credentials]]
name = "second"
api_key = "sk-canary-of-the-second"
"""
PAYLOADS = (
    "<img src=x onerror=window.ran=1>",
    "<script>window.ran=1</script>",
    "<svg/onload=window.ran=1>",
    '"><iframe srcdoc="<script>parent.ran=1</script>">',
    "javascript:window.ran=1",
    "{{constructor.constructor('window.ran=1')()}}",
    "</textarea><script>window.ran=1</script>",
    "<a href='javascript:window.ran=1'>x</a>",
)
PLACES = (
    *("/", "/live", "/requests", "/usage", "/providers", "/routing", "/keys", "/config", "/playground"),
    *("/system", "/no-such-page"),
)


@pytest.fixture(scope="module")
def provider() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(url=provider.url)
    with Gateway(config, tmp_path_factory.mktemp("gateway"), host="serve") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield running
        running.close()


@pytest.fixture(scope="module")
def signed_in(gateway: Gateway, browser: Browser) -> Iterator[BrowserContext]:
    """One who came by the link that the terminal shows, and chose a password."""
    link = gateway.wait_for(r"http://127\.0\.0\.1:\d+/welcome#[^\s\"]+")[0]
    base = re.sub(r"/welcome.*", "", link)
    context = browser.new_context(base_url=base, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto(link)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    page.get_by_role("button", name="Set password").click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    opened = signed_in.new_page()
    yield opened
    opened.close()


def ask(gateway: Gateway, text: str, model: str = "gpt-4o") -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=20)


def test_a_rescued_request_is_seen_as_it_happens_and_tells_why(
    page: Page, gateway: Gateway, provider: Backstage
) -> None:
    page.goto("/live")
    page.get_by_role("status").filter(has_text="Connected").first.wait_for()
    provider.script(["status:429"])
    assert ask(gateway, "What is a weir?").status_code == 200

    row = page.get_by_role("row").filter(has_text="2 attempts")
    row.first.wait_for()
    row.first.get_by_role("link").click()
    page.get_by_text("Rescued: attempt 1 at openai failed (rate limit), attempt 2 answered.").wait_for()
    page.get_by_text("The provider's rate limit was hit.").wait_for()
    page.get_by_label("What the client asked").get_by_text("What is a weir?", exact=True).wait_for()
    page.get_by_role("tab", name="Tokens and cost").click()
    page.get_by_role("row", name=re.compile("input")).wait_for()
    assert re.search(r"/requests/[^/]+\?tab=costs$", page.url)


def test_who_is_not_signed_in_is_asked_for_a_password_and_comes_back(
    browser: Browser, signed_in: BrowserContext, page: Page
) -> None:
    page.goto("/system")
    base = re.sub(r"/system$", "", page.url)
    stranger = browser.new_context(base_url=base).new_page()
    stranger.goto("/requests?outcome=failed")
    stranger.get_by_label("Password").fill("not the password at all")
    stranger.get_by_role("button", name="Sign in").click()
    stranger.get_by_role("alert").filter(has_text="wrong").wait_for()
    stranger.get_by_label("Password").fill(PASSWORD)
    stranger.get_by_role("button", name="Sign in").click()
    stranger.get_by_role("heading", name="Requests").wait_for()
    assert stranger.url == f"{base}/requests?outcome=failed"
    stranger.context.close()


def test_no_text_of_a_request_runs(page: Page, gateway: Gateway) -> None:
    for payload in PAYLOADS:
        ask(gateway, payload, model=payload)
    for place in ("/", "/live", "/requests"):
        page.goto(place)
        page.get_by_role("row").nth(1).wait_for()
        assert page.evaluate("window.ran") is None
    page.get_by_role("row").filter(has_text=PAYLOADS[1]).first.get_by_role("link").click()
    for view in ("Raw", "Read"):
        page.get_by_role("button", name=view, exact=True).click()
        page.get_by_label("What the client asked").get_by_text(PAYLOADS[1]).first.wait_for()
    assert page.evaluate("window.ran") is None


def test_every_page_fits_a_phone_and_keeps_to_the_policy(page: Page) -> None:
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_viewport_size({"width": 360, "height": 740})
    for place in PLACES:
        page.goto(place)
        page.get_by_role("heading", level=1).first.wait_for()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{place} is {width} wide"
    assert wrong == []


def test_the_menu_of_a_phone_leads_on_by_keyboard(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/")
    menu = page.get_by_role("button", name="Menu")
    menu.focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="System", exact=True).first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="System", exact=True).wait_for()
    assert menu.get_attribute("aria-expanded") == "false"
