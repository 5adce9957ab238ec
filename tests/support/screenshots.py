"""`just screenshots`: every page of the dashboard in light and dark, small, into docs/screenshots.

Taken from a gateway that serves requests of every dialect to the demonstration provider, some of which fail.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from support.browsing import ControlRoom, chromium, control_room, settled

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
MOST_BYTES: Final = 80_000
SETTLED_MS: Final = 1_200
"""Charts draw themselves, and numbers are pushed each second."""
KEY: Final = "sk-proxy-of-the-tests"
MORE: Final = """
[providers.anthropic]
base_url = "{url}"
format = "anthropic"
models = ["claude-*"]
api_keys = ["sk-canary-of-anthropic"]
[providers.gemini]
base_url = "{url}"
format = "gemini"
models = ["gemini-*"]
api_keys = ["sk-canary-of-gemini"]
[routing]
fallbacks = { gpt-5 = ["claude-sonnet-4-5", "gemini-2.5-pro"] }
[routing.aliases]
fast = "gpt-5-mini"
[[auth_keys]]
name = "search"
key = "{key}"
rpm = 600
budget_usd = 25
[[auth_keys]]
name = "support desk"
key_hash = "sha256:{nobody}"
allowed_models = ["claude-*"]
concurrency = 4
"""
ASKED: Final[tuple[tuple[str, str, bool, tuple[str, ...]], ...]] = (
    ("gpt-5-mini", "Name three rivers of Europe", True, ()),
    ("claude-sonnet-4-5", "How does a lock raise a boat?", True, ()),
    ("gemini-2.5-flash", "Which birds nest on cliffs?", True, ()),
    ("gpt-5", "Sum up the minutes of the meeting", False, ()),
    ("gpt-4.1", "Translate this letter into French", True, ("status:400",)),
    ("claude-haiku-4-5", "Sort these tickets by urgency", False, ("status:529",)),
    ("fast", "What is a weir?", True, ()),
    ("gpt-4o", "Explain tides to a child", True, ("status:429;retry-after=40",)),
)
"""Model, prompt, whether it is streamed, what goes wrong."""


def places(room: ControlRoom) -> Mapping[str, str]:
    items = room.get("logs?limit=200")["items"]
    rescued = next(one["id"] for one in items if one["attempts"] > 1 and one["outcome"] == "ok")
    translated = next(one["id"] for one in items if one["dialect"] != one["upstream_dialect"])
    return {
        "overview": "/",
        "live": "/live",
        "requests": "/requests",
        "request": f"/requests/{rescued}",
        "request-differences": f"/requests/{translated}?view=differences",
        "usage": "/usage?since=24h",
        "providers": "/providers/openai",
        "routing": "/routing?model=gpt-5",
        "keys": "/keys",
        "config": "/config",
        "playground": "/playground",
        "system": "/system",
    }


def ask(room: ControlRoom, rounds: int) -> None:
    for turn in range(rounds):
        for model, text, is_stream, faults in ASKED:
            if faults and turn == rounds - 1:
                room.provider.script(faults)
            elif faults:
                continue
            room.ask(text, model=model, key=KEY, stream=is_stream)
    body: dict[str, Any] = {"model": "gpt-5-mini", "max_tokens": 200, "system": "Be brief."}
    body["messages"] = [{"role": "user", "content": "What is a delta?"}]
    sent = httpx.post(f"{room.gateway.url}/v1/messages", json=body, headers={"x-api-key": KEY}, timeout=20)
    assert sent.status_code == 200, sent.text


def fill(page: Page) -> None:
    """The playground, asked."""
    page.get_by_label("Prompt *").fill("Tell me of otters")
    page.get_by_label("Two side by side").check()
    for at, (dialect, model) in enumerate(
        (("openai-chat", "gpt-5-mini"), ("anthropic-messages", "gpt-5-mini"))
    ):
        page.get_by_label("Dialect").nth(at).select_option(dialect)
        page.get_by_label("Model *").nth(at).fill(model)
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("done ·").nth(1).wait_for()


def shoot(page: Page, path: Path) -> None:
    """As WebP, no larger than it may be."""
    session = page.context.new_cdp_session(page)
    for quality in (82, 70, 55, 40):
        asked = {"format": "webp", "quality": quality}
        data = base64.b64decode(session.send("Page.captureScreenshot", asked)["data"])
        if len(data) <= MOST_BYTES:
            break
    session.detach()
    path.write_bytes(data)
    print(f"{path.name:32} {len(data) / 1000:5.1f} kB")


def take(room: ControlRoom, shades: Iterable[str] = ("light", "dark")) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    page = room.context.new_page()
    page.set_viewport_size({"width": 1280, "height": 860})
    for name, place in places(room).items():
        settled(page, place)
        if name == "playground":
            fill(page)
        page.wait_for_timeout(SETTLED_MS)
        for shade in shades:
            page.evaluate("shade => { document.documentElement.dataset.theme = shade }", shade)
            page.emulate_media(color_scheme="dark" if shade == "dark" else "light")
            page.wait_for_timeout(300)
            shoot(page, FOLDER / f"{name}-{shade}.webp")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        more = MORE.replace("{key}", KEY).replace("{nobody}", "0" * 64)
        with control_room(browser, Path(folder), more=more, prices="", pace_s=0.05) as room:
            ask(room, rounds=3)
            take(room)


if __name__ == "__main__":
    main()
