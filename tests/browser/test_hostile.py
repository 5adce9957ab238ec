"""Texts of others that would be scripts: prompts, names of models and keys, errors of providers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from support.browsing import MOST_WAIT_MS, ControlRoom, control_room, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog

KEY = "sk-proxy-of-the-tests"
RUNS = "window.ran=1;parent.ran=1;top.ran=1"
PAYLOADS = (
    f"<script>{RUNS}</script>",
    f"<img src=x onerror={RUNS}>",
    f'"><svg onload={RUNS}>',
    f"'><img src=x onerror={RUNS}>",
    f"javascript:{RUNS}",
    f"<iframe src=javascript:{RUNS}></iframe>",
    f'<iframe srcdoc="<script>{RUNS}</script>"></iframe>',
    f"<body onload={RUNS}>",
    f'<a href="javascript:{RUNS}">x</a>',
    f"<details open ontoggle={RUNS}>x</details>",
    f"<math><mtext></p><img src onerror={RUNS}>",
    f"{{{{constructor.constructor('{RUNS}')()}}}}",
    f"${{{RUNS}}}",
    f"</textarea><script>{RUNS}</script>",
    f"</title><script>{RUNS}</script>",
    f"</style><script>{RUNS}</script>",
    f"</pre><script>{RUNS}</script>",
    f"<svg><script>{RUNS}</script></svg>",
    f"<svg><animate onbegin={RUNS} attributeName=x dur=1s>",
    f"<input autofocus onfocus={RUNS}>",
    f"<marquee onstart={RUNS}>x</marquee>",
    f"<video><source onerror={RUNS}></video>",
    f'<object data="javascript:{RUNS}"></object>',
    f'<embed src="javascript:{RUNS}">',
    f'<form action="javascript:{RUNS}"><button>x',
    f"<x onclick={RUNS}>x</x>",
    f"&lt;script&gt;{RUNS}&lt;/script&gt;",
    f"<scr<script>ipt>{RUNS}</scr</script>ipt>",
    f"\\u003cscript\\u003e{RUNS}\\u003c/script\\u003e",
    f'<meta http-equiv=refresh content="0;url=javascript:{RUNS}">',
    f'<base href="//127.0.0.1:1/"><link rel=stylesheet href="javascript:{RUNS}">',
    f"[x](javascript:{RUNS}) ![x](x 'onerror={RUNS}')",
)
INJECTED = (
    "script:not([src]), iframe, object, embed, base, meta[http-equiv], marquee, math, video, form[action], x"
    ", [onerror], [onload], [onclick], [onfocus], [ontoggle], [onbegin], [onstart], [href^=javascript]"
)


SHOWS = """count => document.body.textContent.split("ran=1").length > count
    || [...document.querySelectorAll("textarea, input")].some(one => one.value.includes("ran=1"))"""


class Grumbler(BaseHTTPRequestHandler):
    """A provider that refuses every request with the prompt's own words."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = asked["messages"][-1]["content"]
        told = json.dumps({"error": {"message": text, "type": text, "code": text, "param": text}}).encode()
        self.send_response(400, "Bad Request")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture(scope="module")
def grumbler() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Grumbler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def room(browser: Browser, grumbler: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRoom]:
    more = [
        f'[providers.grumbler]\nbase_url = "{grumbler}"\nformat = "openai"\napi_keys = ["sk-canary-of-it"]'
    ]
    for number, name in enumerate(map(json.dumps, PAYLOADS)):
        more.append(
            f'[[auth_keys]]\nname = {name}\nkey_hash = "sha256:{number:064x}"\nallowed_models = [{name}]'
        )
    more.append(f'[[auth_keys]]\nname = "all"\nkey = "{KEY}"')
    with control_room(browser, tmp_path_factory.mktemp("gateway"), more="\n".join(more)) as running:
        yield running


def test_no_text_of_a_prompt_model_key_or_provider_runs(browser: Browser, room: ControlRoom) -> None:
    """Without the policy that would stop it: texts are texts."""
    for payload in PAYLOADS:
        assert room.ask(payload, model=payload, key=KEY).status_code == 400
    for model in ("gpt-4o", "grumbler/x"):
        room.ask("\n".join(PAYLOADS), model=model, key=KEY)
    refused, answered = (one["id"] for one in room.get("logs?limit=2")["items"])
    context = browser.new_context(
        base_url=room.base, storage_state=room.context.storage_state(), bypass_csp=True
    )
    context.set_default_timeout(MOST_WAIT_MS)
    page = context.new_page()
    ran: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        ran.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    for place, shown in (
        ("/live", len(PAYLOADS)),
        ("/requests", len(PAYLOADS)),
        ("/usage?since=24h", len(PAYLOADS)),
        ("/keys", len(PAYLOADS)),
        ("/config", 1),
        ("/system", 1),
        (f"/routing?model={PAYLOADS[1]}", 1),
        (f"/requests/{refused}", 1),
        (f"/requests/{answered}", 1),
        (f"/requests/{answered}?view=raw", 1),
    ):
        settled(page, place)
        page.wait_for_function(SHOWS, arg=shown)
        assert page.evaluate("window.ran") is None, place
        assert page.locator(INJECTED).count() == 0, place
    assert ran == []
    context.close()
