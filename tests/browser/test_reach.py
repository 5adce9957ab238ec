"""Every page for everybody: by axe-core in light and dark, on a phone, by keyboard, and quickly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.browsing import ControlRoom, control_room, logged_in, settled, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PLACES = (
    *(
        "/",
        "/live",
        "/requests",
        "/usage",
        "/providers",
        "/providers/openai",
        "/routing?model=gpt-4o",
        "/keys",
    ),
    *("/config", "/config?view=history", "/playground", "/system", "/no-such-page"),
)
FIRST_LOAD_BYTES = 400_000


@pytest.fixture(scope="module")
def room(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRoom]:
    with control_room(browser, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def exchange(room: ControlRoom) -> str:
    """The id of one that was rescued, and streamed."""
    room.provider.script(["status:429"])
    assert room.ask("Rescue me, please", stream=True).status_code == 200
    return str(room.get("logs?limit=1")["items"][0]["id"])


@pytest.fixture
def page(room: ControlRoom) -> Iterator[Page]:
    opened = room.context.new_page()
    yield opened
    opened.close()


def test_axe_finds_nothing_on_any_page_in_light_and_dark(page: Page, exchange: str) -> None:
    wrong: list[str] = []
    one = f"/requests/{exchange}"
    for place in (
        *PLACES,
        one,
        f"{one}?view=events",
        f"{one}?view=raw",
        f"{one}?tab=costs",
        f"{one}?tab=facts",
    ):
        page.emulate_media(color_scheme="light")
        settled(page, place)
        wrong += [f"{place}: {one}" for one in violations(page)]
        page.emulate_media(color_scheme="dark")
        wrong += [f"{place}, dark: {one}" for one in violations(page, ["color-contrast"])]
    assert wrong == []


def test_axe_finds_nothing_in_dialogs(page: Page) -> None:
    for place, name in (
        ("/providers", "Add provider"),
        ("/keys", "New key"),
        ("/providers/openai", "Test first"),
    ):
        settled(page, place)
        page.get_by_role("button", name=name).click()
        page.get_by_role("dialog").wait_for()
        assert violations(page) == [], place


def test_every_page_fits_a_phone_and_keeps_to_the_policy(page: Page, exchange: str) -> None:
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_viewport_size({"width": 360, "height": 740})
    for place in (*PLACES, f"/requests/{exchange}"):
        settled(page, place)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{place} is {width} wide"
    assert wrong == []


def test_the_first_page_needs_few_bytes(browser: Browser, room: ControlRoom) -> None:
    context = browser.new_context(base_url=room.base, storage_state=room.context.storage_state())
    page = context.new_page()
    page.goto("/", wait_until="networkidle")
    page.get_by_role("heading", name="Overview").wait_for()
    loaded = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(one => one.encodedBodySize).reduce((sum, size) => sum + size, 0)"
    )
    context.close()
    assert 50_000 < loaded < FIRST_LOAD_BYTES


def test_all_pages_are_reached_by_keyboard(page: Page) -> None:
    settled(page, "/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for name in ("Live", "Requests", "Providers", "Config", "Playground", "System"):
        page.get_by_role("link", name=name, exact=True).focus()
        page.keyboard.press("Enter")
        page.get_by_role("heading", level=1, name=re.compile(name)).wait_for()


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


def test_who_is_not_logged_in_is_asked_for_a_password_and_comes_back(
    browser: Browser, room: ControlRoom
) -> None:
    stranger = browser.new_context(base_url=room.base).new_page()
    stranger.goto("/requests?outcome=failed")
    stranger.get_by_label("Password").fill("not the password at all")
    stranger.get_by_role("button", name="Sign in").click()
    stranger.get_by_role("alert").filter(has_text="wrong").wait_for()
    assert violations(stranger) == []
    stranger.context.close()
    back = logged_in(browser, room.base, "/login?to=%2Frequests%3Foutcome%3Dfailed", "Requests")
    back.close()
