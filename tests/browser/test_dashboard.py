"""The first steps with a dashboard: the link that the terminal shows, and why a request went as it did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.backstage import Backstage
from support.browsing import MOST_WAIT_MS, PASSWORD, ControlRoom
from support.gateway import Gateway

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


@pytest.fixture
def room(browser: Browser, tmp_path: Path) -> Iterator[ControlRoom]:
    """Of one who came by the link that the terminal shows, and chose a password."""
    with Backstage() as provider, Gateway(CONFIG.format(url=provider.url), tmp_path, host="serve") as gateway:
        link = gateway.wait_for(r"http://127\.0\.0\.1:\d+/welcome#[^\s\"]+")[0]
        base = re.sub(r"/welcome.*", "", link)
        context = browser.new_context(base_url=base, viewport={"width": 1280, "height": 800})
        context.set_default_timeout(MOST_WAIT_MS)
        page = context.new_page()
        page.goto(link)
        page.get_by_label("New password").fill(PASSWORD)
        page.get_by_label("Once more").fill(PASSWORD)
        page.get_by_role("button", name="Set password").click()
        page.get_by_role("heading", name="Overview").wait_for()
        page.close()
        yield ControlRoom(gateway, provider, context, base)
        context.close()


def test_a_rescued_request_is_seen_as_it_happens_and_tells_why(room: ControlRoom) -> None:
    page = room.context.new_page()
    page.goto("/live")
    page.get_by_role("status").filter(has_text="Connected").first.wait_for()
    room.provider.script(["status:429"])
    assert room.ask("What is a weir?").status_code == 200

    row = page.get_by_role("row").filter(has_text="2 attempts")
    row.first.wait_for()
    row.first.get_by_role("link").click()
    page.get_by_text("Rescued: attempt 1 at openai failed (rate limit), attempt 2 answered.").wait_for()
    page.get_by_text("The provider's rate limit was hit.").wait_for()
    page.get_by_label("What the client asked").get_by_text("What is a weir?", exact=True).wait_for()
    page.get_by_role("button", name="Attempt 1", exact=True).click()
    said = page.get_by_label("What the provider said")
    said.get_by_text("The demo provider is asked too often.", exact=True).wait_for()
    page.get_by_label("What the client got").get_by_text("the client never saw this one").wait_for()
    page.get_by_role("tab", name="Tokens and cost").click()
    page.get_by_role("row", name=re.compile("input")).wait_for()
    assert re.search(r"/requests/[^/]+\?(.*&)?tab=costs$", page.url)
