"""A page of another origin calls the gateway from a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.backstage import Backstage
from support.gateway import Gateway

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_CALL = """async ([url, key, type]) => {
    const headers = {"content-type": type};
    if (key) headers.authorization = `Bearer ${key}`;
    const messages = [{role: "user", content: "one two"}];
    const body = JSON.stringify({model: "gpt-demo", stream: true, messages});
    try {
        const answer = await fetch(url, {method: "POST", headers, body});
        return [answer.status, answer.headers.get("x-llmitm-id") || "", await answer.text()];
    } catch (error) { return [0, "", String(error)]; }
}"""


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of a server of pages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def called(browser: Browser, page_url: str, *arguments: str) -> tuple[int, str, str]:
    page = browser.new_page()
    page.goto(page_url)
    status, named, text = page.evaluate(_CALL, list(arguments))
    page.close()
    return status, named, text


def test_pages_that_are_named_call_and_others_do_not(browser: Browser, site: int, tmp_path: Path) -> None:
    mine, other = f"http://127.0.0.1:{site}", f"http://localhost:{site}"
    with Backstage(keys={"sk-good"}) as provider:
        behind = f'[providers.openai]\nbase_url = "{provider.url}/v1"\napi_keys = ["sk-good"]\n'
        keyed = '[server]\nport = 0\ncors_origins = ["http://127.0.0.1:*"]\n'
        keyed += '[[auth_keys]]\nname = "page"\nkey = "sk-of-a-page"\n'
        with Gateway(keyed + behind, tmp_path, host="serve") as gateway:
            url = gateway.url + "/v1/chat/completions"
            status, named, answer = called(browser, mine, url, "sk-of-a-page", "application/json")
            assert status == 200 and named.startswith("llmitm-") and "[DONE]" in answer
            status, _, answer = called(browser, mine, url, "sk-wrong", "application/json")
            assert status == 401 and "error" in answer
            assert called(browser, other, url, "sk-of-a-page", "application/json")[0] == 0
            assert provider.new == 1
        with Gateway("[server]\nport = 0\n" + behind, tmp_path, host="serve") as gateway:
            # no preflight comes before it: what would be paid for is refused all the same
            url = gateway.url + "/v1/chat/completions"
            assert called(browser, other, url, "", "text/plain")[0] == 0
            assert provider.new == 1
