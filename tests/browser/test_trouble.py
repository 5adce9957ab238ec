"""What a person sees when something is the matter that is not the gateway's doing, or that is."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.browsing import PASSWORD, ControlRoom, control_room, logged_in, settled, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def room(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRoom]:
    with control_room(browser, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def page(room: ControlRoom) -> Iterator[Page]:
    opened = room.context.new_page()
    yield opened
    opened.close()


def test_what_clients_do_wrong_is_told_and_does_not_make_the_gateway_unwell(
    page: Page, room: ControlRoom
) -> None:
    assert room.ask("What is a weir?").status_code == 200
    for _ in range(3):
        assert room.ask("Who knows?", model="no-such-model").status_code == 404
    settled(page, "/")
    verdict = page.locator(".verdict").filter(has_text="refused for what clients asked")
    verdict.wait_for()
    assert not re.search("Not well|failed", verdict.inner_text())
    page.get_by_role("row", name="model not found").get_by_text("3", exact=True).wait_for()
    assert violations(page) == []
    verdict.get_by_role("link", name="3 requests").click()
    page.get_by_role("row").filter(has_text="404 model not found").nth(2).wait_for()
    page.goto("/requests?outcome=fault")
    page.get_by_text("Nothing was found").wait_for()


def test_a_session_that_ends_in_the_middle_of_an_edit_loses_nothing(
    browser: Browser, room: ControlRoom
) -> None:
    context = logged_in(browser, room.base)
    page = context.new_page()
    settled(page, "/providers/openai")
    page.get_by_role("button", name="Edit first").click()
    page.get_by_role("dialog").get_by_label("Weight").fill("3")
    context.clear_cookies()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Sign in again").wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("The credential first was changed.").wait_for()
    context.close()


def test_two_who_change_the_same_provider_are_told_of_each_other(
    browser: Browser, page: Page, room: ControlRoom
) -> None:
    context = logged_in(browser, room.base)
    other = context.new_page()
    for one in (page, other):
        settled(one, "/providers/openai")
    page.get_by_label("Weight").fill("7")
    other.get_by_label("Weight").fill("5")
    other.get_by_label("Model for tests").fill("gpt-4o-mini")
    other.get_by_role("button", name="Save options").click()
    other.get_by_text("The provider openai was changed.").wait_for()
    page.get_by_text("Weight (now 5)").wait_for()
    assert page.get_by_label("Model for tests").input_value() == "gpt-4o-mini", "it was not touched here"
    page.get_by_role("button", name="Save options").click()
    page.get_by_text("The provider openai was changed.").wait_for()
    shown = room.get("providers/openai")
    assert (shown["weight"], shown["test_model"]) == (7, "gpt-4o-mini")
    context.close()


def test_a_gateway_that_is_gone_is_not_called_well(page: Page, room: ControlRoom) -> None:
    settled(page, "/")
    page.locator(".verdict").filter(has_not_text="No answer").wait_for()
    room.gateway.process.send_signal(signal.SIGTERM)
    page.get_by_role("alert").filter(has_text="the gateway is not heard").wait_for()
    assert page.locator(".verdict").count() == 1
