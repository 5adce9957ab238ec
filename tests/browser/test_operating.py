"""What an operator does in the dashboard, in a real browser, on a running gateway: each page once, whole."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.browsing import ControlRoom, control_room, violations
from support.postgres_server import PostgresServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


@pytest.fixture(scope="module")
def room(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRoom]:
    with control_room(browser, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def room_with_postgres(
    browser: Browser, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlRoom]:
    with ThreadPoolExecutor() as beside:  # Playwright's own loop runs in this thread
        url = beside.submit(lambda: asyncio.run(postgres.database())).result()
    ledger = f'url = "{url}"'
    with control_room(browser, tmp_path_factory.mktemp("gateway"), ledger=ledger) as running:
        yield running


@pytest.fixture
def page(room: ControlRoom) -> Iterator[Page]:
    opened = room.context.new_page()
    yield opened
    opened.close()


def button(place: Page | Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("ledger", ["room", "room_with_postgres"])
def test_a_provider_is_added_asked_looked_at_and_taken_back(
    ledger: str, request: pytest.FixtureRequest
) -> None:
    room: ControlRoom = request.getfixturevalue(ledger)
    page = room.context.new_page()
    page.goto("/providers")
    page.get_by_role("button", name="Add provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name *").fill("meadow")
    dialog.get_by_label("Key", exact=True).fill("sk-canary-of-the-meadow")
    dialog.get_by_label("Base URL").fill("no address")
    button(dialog, "Add provider").click()
    dialog.get_by_text("absolute URL").wait_for()
    dialog.get_by_label("Base URL").fill(room.provider.url)
    dialog.get_by_label("Models", exact=True).fill("llama-*")
    button(dialog, "Add provider").click()
    page.get_by_role("heading", name="meadow").wait_for()

    live = room.context.new_page()
    live.goto("/live")
    live.get_by_role("status").filter(has_text="Connected").first.wait_for()
    assert room.ask("How deep is a pond?", model="llama-3", stream=True).status_code == 200
    row = live.get_by_role("row").filter(has_text="llama-3").filter(has_text="200")
    row.get_by_role("link").click()
    live.get_by_label("What the client asked").get_by_text("How deep is a pond?", exact=True).wait_for()
    answer = live.get_by_label("What the client got")
    answer.get_by_text("The demo provider heard you say: How deep is a pond?").wait_for()
    button(live, "Events").click()
    answer.get_by_text("[DONE]").wait_for()
    live.close()

    page.goto("/config?view=history")
    page.get_by_role("button", name=re.compile("Compare version")).first.click()
    page.get_by_role("dialog").get_by_text("[providers.meadow]").wait_for()
    button(page, "Go back to it").click()
    page.get_by_text("Back at version").wait_for()
    page.goto("/providers")
    page.get_by_role("row", name=re.compile("openai")).wait_for()
    assert page.get_by_text("meadow").count() == 0
    assert room.ask("Who is left?", model="llama-3").status_code == 404
    page.close()


def test_a_request_is_edited_and_played_again_here_and_by_curl(page: Page, room: ControlRoom) -> None:
    room.ask("Sing of the Rhine, it's long")
    first = room.get("logs?limit=1")["items"][0]["id"]
    page.goto(f"/requests/{first}")
    button(page, "Play again").click()
    body = page.get_by_role("dialog").get_by_label("Body")
    assert button(page, "Play as it was").is_enabled()
    body.fill(body.input_value().replace("Rhine", "Danube"))
    button(page, "Play as edited").click()
    page.get_by_text("Played again from").wait_for()
    page.get_by_label("What was sent").get_by_text("Sing of the Danube, it's long", exact=True).wait_for()
    again = page.url.rpartition("/")[2]
    assert again != first and room.get(f"logs/{again}")["replay_of"] == first
    button(page, "Differences").click()
    page.get_by_label("The request, compared").get_by_text("byte for byte").wait_for()

    room.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(page, "Copy as curl").click()
    button(page, "Copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    environment = {**os.environ, "LLMITM_URL": room.gateway.url, "LLMITM_KEY": ""}
    sent = subprocess.run(["sh", "-c", f"{command} -s"], env=environment, capture_output=True, text=True)
    assert "Sing of the Danube, it's long" in sent.stdout, sent.stderr


def test_the_id_that_a_client_was_told_leads_to_its_exchange(page: Page, room: ControlRoom) -> None:
    told = room.ask("Which fish climb falls?").headers["x-llmitm-id"]
    room.ask("And which do not?")
    page.goto("/requests")
    page.get_by_label("Words").fill(f" {told} ")
    rows = page.get_by_role("table", name=re.compile("Requests")).get_by_role("row")
    page.wait_for_function("() => document.querySelectorAll('.table tbody tr.opens').length === 1")
    assert rows.count() == 2
    rows.nth(1).get_by_role("link").click()
    page.get_by_label("What the client asked").get_by_text("Which fish climb falls?", exact=True).wait_for()
    assert page.url.endswith(f"/requests/{told}")


def test_a_credential_is_tested_let_rest_and_revived(page: Page) -> None:
    page.goto("/providers/openai")
    button(page, "Test second").click()
    page.get_by_role("dialog").get_by_label("Model").fill("gpt-4o-mini")
    button(page, "Test now").click()
    page.get_by_role("dialog").get_by_text("It works").wait_for()
    button(page, "Close").click()
    button(page, "Rest second").click()
    button(page, "Let it rest").click()
    page.get_by_role("row", name=re.compile("second")).get_by_text("stopped").wait_for()
    page.goto("/routing?model=gpt-4o")
    page.get_by_role("listitem").filter(has_text="openai / second").get_by_text("rests").wait_for()
    page.goto("/providers/openai")
    button(page, "Revive second").click()
    button(page, "Rest second").wait_for()


def key_shown(page: Page) -> str:
    shown = page.locator(".shown-once")
    shown.wait_for()
    key = shown.inner_text().strip()
    button(page, "Done").click()
    assert page.get_by_text(key).count() == 0
    return key


def test_a_key_is_shown_once_limits_its_client_and_is_rotated(page: Page, room: ControlRoom) -> None:
    def asked(key: str) -> int:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
        url = f"{room.gateway.url}/v1/chat/completions"
        return httpx.post(url, json=body, headers={"x-llmitm-key": key}).status_code

    page.goto("/keys")
    button(page, "New key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name *").fill("heron")
    dialog.get_by_label("Requests a minute").fill("many")
    button(dialog, "Create key").click()
    dialog.get_by_text("a number is expected").wait_for()
    dialog.get_by_label("Requests a minute").fill("2")
    button(dialog, "Create key").click()
    first = key_shown(page)
    assert [asked(first), asked(first), asked(first)] == [200, 200, 429]

    button(page, "Edit heron").click()
    page.get_by_role("dialog").get_by_label("Requests a minute").fill("")
    button(page.get_by_role("dialog"), "Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    button(page, "Rotate heron").click()
    page.get_by_role("dialog").get_by_label("Hours that the old key stays good").fill("0")
    button(page, "Rotate key").click()
    second = key_shown(page)
    assert [asked(first), asked(second)] == [401, 200]

    while (rows := page.get_by_role("button", name=re.compile("Delete heron"))).count():
        many = rows.count()
        rows.first.click()
        button(page, "Delete key").click()
        page.get_by_role("dialog").wait_for(state="detached")
        page.wait_for_function(
            "many => document.querySelectorAll('[aria-label^=\"Delete heron\"]').length < many", arg=many
        )
    page.goto("/config?view=history")
    while room.ask("May I?").status_code == 401:  # deleting the last key admits nobody: back to before
        page.get_by_role("button", name=re.compile("Compare version")).last.click()
        button(page, "Go back to it").click()
        page.get_by_role("dialog").wait_for(state="detached")


def test_limits_of_all_clients_are_set_and_taken_off(page: Page, room: ControlRoom) -> None:
    field = page.get_by_label("Requests at once, all clients")
    for typed, kept in (("7", 7), ("", None)):
        page.goto("/keys")
        field.fill(typed)
        with page.expect_response(lambda one: one.request.method == "PATCH") as saved:
            button(page, "Save limits").click()
        assert saved.value.ok
        assert room.get("limits")["concurrency"] == kept


def test_a_door_and_a_gateway_of_cloudflares_are_opened_changed_and_closed(
    page: Page, room: ControlRoom
) -> None:
    def status() -> int:
        return httpx.get(f"{room.gateway.url}/meadow/v1/models", trust_env=False).status_code

    page.goto("/routing")
    dialog = page.get_by_role("dialog")
    button(page, "Add endpoint").click()
    dialog.get_by_label("Name *").fill("meadow")
    dialog.get_by_label("Goes to").fill("no address")
    button(dialog, "Add endpoint").click()
    dialog.get_by_text("absolute URL").wait_for()
    dialog.get_by_label("Goes to").fill(room.provider.url)
    button(dialog, "Add endpoint").click()
    row = page.get_by_role("table", name="Endpoints").get_by_role("row", name=re.compile("meadow"))
    row.get_by_text("the client's").wait_for()
    assert status() == 200
    button(page, "Edit meadow").click()
    dialog.get_by_label("Provider").fill("openai")
    button(dialog, "Save").click()
    row.get_by_text("ours").wait_for()
    button(page, "Delete meadow").click()
    button(page, "Delete endpoint").click()
    page.get_by_text("/meadow/ is gone.").wait_for()
    row.wait_for(state="detached")
    assert status() == 404

    button(page, "Add gateway").click()
    for label, typed in (("Account *", "heron"), ("Gateway *", "pond"), ("Token", "cf-canary-of-the-pond")):
        dialog.get_by_label(label).fill(typed)
    button(dialog, "Add gateway").click()
    row = page.get_by_role("table", name="Cloudflare AI Gateways").get_by_role(
        "row", name=re.compile("heron")
    )
    row.wait_for()
    assert "cf-canary-of-the-pond" not in page.content()
    button(page, "Edit heron/pond").click()
    dialog.get_by_label("Weight").fill("3")
    button(dialog, "Save").click()
    row.get_by_role("cell", name="3", exact=True).wait_for()
    assert 'token = "cf-canary-of-the-pond"' in room.gateway.config_path.read_text()
    page.goto("/routing?model=gpt-4o&endpoint=pond")
    page.get_by_text("there is no endpoint pond").wait_for()
    button(page, "Edit heron/pond").click()
    dialog.get_by_label("No token: take it out").check()
    assert dialog.get_by_label("Token", exact=True).is_disabled()
    button(dialog, "Save").click()
    row.get_by_text("none", exact=True).wait_for()
    assert "cf-canary-of-the-pond" not in room.gateway.config_path.read_text()
    button(page, "Delete heron/pond").click()
    button(page, "Delete gateway").click()
    page.get_by_text("The gateway heron/pond is gone.").wait_for()
    row.wait_for(state="detached")
    assert room.get("gateways") == {"gateways": []}


def test_an_endpoint_that_stands_in_no_file_is_written_down(page: Page, room: ControlRoom) -> None:
    page.goto("/routing")
    row = page.get_by_role("table", name="Endpoints").get_by_role("row", name=re.compile("default"))
    row.get_by_text("implied: add it to the file to change it").wait_for()
    assert button(page, "Edit default").count() == button(page, "Delete default").count() == 0
    button(page, "Add default to the file").click()
    button(page.get_by_role("dialog"), "Add endpoint").click()
    button(page, "Edit default").wait_for()
    assert "[endpoints.default]" in room.gateway.config_path.read_text()
    button(page, "Delete default").click()
    button(page, "Delete endpoint").click()
    button(page, "Add default to the file").wait_for()


def test_every_kind_of_endpoint_is_explained(page: Page, room: ControlRoom) -> None:
    def change(method: str, path: str, **body: str) -> None:
        options = {"data": body} if body else {}
        sent = room.context.request.fetch(
            f"{room.base}/api/dashboard/{path}", method=method, headers=trusted, **options
        )
        assert sent.ok, sent.text()

    trusted = {"Origin": room.base, "X-Requested-With": "llmitm"}
    change("POST", "endpoints", name="plain", target_base=room.provider.url)
    change("POST", "endpoints", name="one", provider="openai")
    change("POST", "gateways", account_id="otter", gateway_id="brook")
    change("POST", "endpoints", name="away", kind="cloudflare")
    for endpoint, said in (
        ("plain", "passes all on as it is"),
        ("one", "openai / first"),
        ("away", "by Cloudflare's gateway otter/brook, form compat"),
    ):
        page.goto(f"/routing?model=openai/gpt-4o&endpoint={endpoint}")
        page.locator(".explained").get_by_text(said).first.wait_for()
        assert violations(page) == []
    for path in ("endpoints/away", "endpoints/one", "endpoints/plain", "gateways/otter/brook"):
        change("DELETE", path)


def test_what_is_spent_of_budgets_is_seen(page: Page, room: ControlRoom) -> None:
    before = room.gateway.config_path.read_text()
    page.goto("/keys")
    page.get_by_text("No budget is set").wait_for()
    page.get_by_label("USD, all clients").fill("daily 0.001")
    button(page, "Save budget").click()
    spent = page.get_by_role("list", name="What is spent").get_by_role("listitem")
    spent.get_by_text(re.compile(r"of \$0\.0010 \(")).wait_for()
    spent.get_by_text(re.compile("renews in .* h|renews in .* min")).wait_for()
    room.ask("What is left?", max_tokens=20)
    page.goto("/keys")
    bar = page.get_by_role("meter", name="Spent by all clients, daily, in US dollars")
    bar.wait_for()
    assert int(bar.get_attribute("aria-valuenow") or 0) > 0
    assert violations(page) == []
    room.gateway.config_path.write_text(before)
    page.goto("/system")
    button(page, "Read config anew").click()
    page.get_by_text("The configuration was read anew.").wait_for()


def test_limits_by_model_and_a_budget_are_set_and_taken_off(page: Page, room: ControlRoom) -> None:
    def asked() -> int:
        return room.ask("How wide is a river?", model="gpt-limited").status_code

    def save(action: str) -> None:
        with page.expect_response(lambda one: one.request.method == "PATCH") as given:
            button(page, action).click()
        assert given.value.ok, given.value.text()

    page.goto("/keys")
    page.get_by_label("Limits by model").fill("gpt-limited* = rpm many")
    button(page, "Save limits by model").click()
    page.get_by_text("a line such as").wait_for()
    page.get_by_label("Limits by model").fill("gpt-limited* = rpm 1, concurrency 4")
    page.get_by_label("USD, all clients").fill("daily 5, monthly 100")
    save("Save limits by model")
    assert [asked(), asked()] == [200, 429]
    assert room.get("limits")["models"] == {"gpt-limited*": {"rpm": 1, "tpm": None, "concurrency": 4}}
    assert page.get_by_label("USD, all clients").input_value() == "daily 5, monthly 100"
    page.get_by_label("Time zone").fill("Moon")
    button(page, "Save budget").click()
    page.get_by_text("a time zone is expected").wait_for()
    page.get_by_label("Time zone").fill("Europe/Berlin")
    save("Save budget")
    kept = room.get("limits")["budget"]
    assert (kept["usd"], kept["timezone"]) == ({"daily": 5, "monthly": 100}, "Europe/Berlin")

    page.goto("/keys")
    for label in ("Limits by model", "USD, all clients", "Time zone"):
        page.get_by_label(label).fill("")
    save("Save limits by model")
    save("Save budget")
    page.wait_for_function(
        "() => [...document.querySelectorAll('form [type=submit]')].every(one => one.disabled)"
    )
    told = room.get("limits")
    assert (told["models"], told["budget"]["usd"], told["budget"]["timezone"]) == ({}, None, "UTC")
    text = room.gateway.config_path.read_text()
    assert "limited" not in text and "daily" not in text and asked() == 200


def test_costs_add_up_by_model_and_lead_to_their_prices(page: Page, room: ControlRoom) -> None:
    room.ask("What does it cost?", model="gpt-5-mini")
    page.goto("/usage?since=24h")
    row = page.get_by_role("table", name="Usage by Model").get_by_role("row", name=re.compile("gpt-5-mini"))
    row.get_by_text("$0.000").wait_for()
    button(page, "Provider").click()
    page.get_by_role("table", name="Usage by Provider").get_by_text("openai").wait_for()
    with page.expect_download() as given:
        button(page, "CSV").click()
    assert given.value.suggested_filename == "usage-by-provider-24h.csv"
    prices = page.get_by_role("table", name="Prices").get_by_role("row", name=re.compile("gpt-5-mini"))
    assert prices.get_by_role("cell").all_inner_texts()[2:] == ["$2", "–", "–", "$8", "your config"]


def test_the_config_is_checked_while_it_is_typed_and_a_stale_edit_is_told(
    page: Page, room: ControlRoom
) -> None:
    page.goto("/config")
    area = page.get_by_label("Text of the configuration")
    area.wait_for()
    text = area.input_value()
    assert "sk-canary" not in text
    area.fill(text.replace("bodies = true", "bodys = true"))
    page.get_by_text("did you mean bodies").or_(page.get_by_text("bodys")).first.wait_for()
    page.get_by_role("button", name=re.compile("Line ")).first.click()
    assert page.evaluate("document.activeElement.id") == "config-text"
    assert button(page, "Review and save").is_disabled()

    area.fill(text.replace("[ledger]", "[timeouts]\nidle_s = 90\n[ledger]"))
    page.get_by_text("could be used").wait_for()
    path = room.gateway.config_path
    path.write_text(path.read_text() + "# somebody else was here\n")
    button(page, "Review and save").click()
    page.get_by_role("dialog").get_by_text("idle_s = 90").wait_for()
    button(page, "Save").click()
    page.get_by_role("heading", name="Somebody else changed the file").wait_for()
    page.get_by_role("dialog").get_by_text("# somebody else was here").wait_for()
    button(page, "Overwrite with mine").click()
    page.get_by_text("as saved").wait_for()
    kept = path.read_text()
    assert "idle_s = 90" in kept and "somebody else" not in kept and "sk-canary-of-the-first" in kept


def test_what_is_not_saved_is_not_left_by_mistake(page: Page) -> None:
    page.goto("/config")
    area = page.get_by_label("Text of the configuration")
    area.wait_for()
    area.fill(area.input_value() + "\n# a thought\n")
    page.get_by_role("link", name="System", exact=True).click()
    page.get_by_role("dialog").get_by_text("Leave without saving?").wait_for()
    button(page, "Stay").click()
    assert "# a thought" in area.input_value()


def test_two_models_answer_side_by_side_as_they_speak(page: Page, room: ControlRoom) -> None:
    page.goto("/playground")
    page.get_by_label("Prompt *").fill("Tell me of otters")
    page.get_by_label("Two side by side").check()
    for at, dialect in enumerate(("openai-chat", "anthropic-messages")):
        page.get_by_label("Dialect").nth(at).select_option(dialect)
        page.get_by_label("Model *").nth(at).fill("gpt-4o")
    page.keyboard.press("Control+Enter")
    for name in ("Left", "Right"):
        said = page.get_by_role("region", name=f"{name}: answer")
        said.get_by_text("The demo provider heard you say: Tell me of otters").wait_for()
    page.get_by_text("done ·").nth(1).wait_for()
    page.get_by_role("link", name="Open this request").nth(1).click()
    page.get_by_role("heading", name="/v1/messages").wait_for()
    asked = room.get(f"logs/{page.url.rpartition('/')[2]}")
    assert (asked["dialect"], asked["upstream_dialect"]) == ("anthropic-messages", "openai-chat")


def test_the_system_page_tells_how_it_is_and_reads_the_file_anew(page: Page, room: ControlRoom) -> None:
    page.goto("/system")
    page.get_by_text("each provider has a credential in service").wait_for()
    page.get_by_role("list", name="Log, the newest first").get_by_text("dashboard on").wait_for()
    path = room.gateway.config_path
    kept = path.read_text()
    path.write_text(kept + "\n[nonsense]\n")
    button(page, "Read config anew").click()
    page.get_by_role("alert").filter(has_text="nonsense").wait_for()
    path.write_text(kept)
    button(page, "Read config anew").click()
    page.get_by_text("The configuration was read anew.").wait_for()
    button(page, "Examine").click()
    findings = page.get_by_role("list", name="Findings")
    findings.get_by_role("listitem").filter(has_text="config").first.wait_for()
    assert violations(page) == []


def test_a_session_that_is_over_is_renewed_once_for_all_that_ask(page: Page, room: ControlRoom) -> None:
    page.goto("/system")
    page.get_by_role("heading", name="System", exact=True).wait_for()
    renewed: list[Any] = []
    page.on("request", lambda one: renewed.append(one.url) if one.url.endswith("auth/refresh") else None)
    cookies = room.context.cookies()
    access = next(one for one in cookies if not one["name"].endswith("_refresh"))
    room.context.clear_cookies(name=access["name"])
    page.goto("/providers")
    page.get_by_role("row", name=re.compile("openai")).wait_for()
    assert len(renewed) == 1
    assert any(one["name"] == access["name"] for one in room.context.cookies())
