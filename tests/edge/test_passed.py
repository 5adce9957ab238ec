"""Files, batches, images, sound and the like through a running gateway, with the official clients."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from support.accounts import SOUND, Accounts
from support.gateway import Gateway, times_over

CONFIG = """
retry = {{cooldowns = false}}
[server]
port = 0
body_limit_mb = 1
[endpoints.all]
kind = "gateway"
[endpoints.openai]
kind = "gateway"
provider = "openai"
allowed_paths = ["/v1/skills*"]
[endpoints.cf]
kind = "cloudflare"
[[gateways]]
account_id = "account"
gateway_id = "one"
token = "cf-token"
form = "native"
[cloudflare]
base_url = "{url}"
[providers.other]
base_url = "{url}/v1"
api_keys = ["sk-other"]
models = ["m/*"]
[providers.openai]
base_url = "{url}/v1"
api_keys = ["sk-one", "sk-two"]
models = ["gpt-*", "tts-1", "omni-*", {{id = "whisper-1", alias = "ears"}}]
[providers.anthropic]
base_url = "{url}"
api_keys = ["sk-ant-one", "sk-ant-two"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-one", "AIza-two"]
[[auth_keys]]
name = "laptop"
key = "sk-proxy-laptop"
[[auth_keys]]
name = "narrow"
key = "sk-proxy-narrow"
allowed_models = ["whisper-*", "ears"]
allowed_paths = ["/v1/files*"]
"""
KEY = "sk-proxy-laptop"


@pytest.fixture(scope="module")
def provider() -> Iterator[Accounts]:
    with Accounts() as running:
        yield running


@pytest.fixture(scope="module")
def running(provider: Accounts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(CONFIG.format(url=provider.url), tmp_path_factory.mktemp("passed"), host="serve") as one:
        yield one


@pytest.fixture
def sdk(running: Gateway, provider: Accounts) -> Iterator[openai.OpenAI]:
    provider.asked.clear()
    with openai.OpenAI(base_url=f"{running.url}/openai/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def client(running: Gateway, provider: Accounts) -> Iterator[httpx.Client]:
    provider.asked.clear()
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=20) as made:
        yield made


def cost_of(running: Gateway, path: str, times: int = 1) -> list[str]:
    """In the log, of the exchanges for this path, so far."""
    running.wait_for(times_over(f'"path":"{path}"', times))
    return re.findall(rf'"path":"{path}".*?"cost_usd":([^,]*)', running.output())


def test_images_and_moderations(sdk: openai.OpenAI, provider: Accounts, running: Gateway) -> None:
    made = sdk.images.generate(model="gpt-image-2", prompt="a harbour")
    assert made.data is not None and made.data[0].b64_json == "QUJD" * 50_000
    sdk.images.edit(model="gpt-image-2", image=("a.png", b"\x89PNG" * 300, "image/png"), prompt="at night")
    assert b'name="model"' in provider.asked[-1].body
    sdk.moderations.create(input="hello", model="omni-moderation-latest")
    assert [one.path for one in provider.asked] == [
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/moderations",
    ]
    assert {one.account for one in provider.asked} <= {"sk-one", "sk-two"}
    assert cost_of(running, "/openai/v1/images/generations") == ["0.1254"]


def test_sound(sdk: openai.OpenAI, provider: Accounts) -> None:
    with sdk.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="hello"
    ) as spoken:
        assert spoken.headers["content-type"] == "audio/mpeg"
        assert b"".join(spoken.iter_bytes()) == SOUND
    heard = sdk.audio.transcriptions.create(model="ears", file=("a.wav", b"RIFF" * 5_000))
    assert heard.text == "spoken"
    sent = provider.asked[-1]
    assert b"\r\n\r\nwhisper-1\r\n" in sent.body and b"ears" not in sent.body  # as the provider spells it
    assert int(sent.headers["content-length"]) == sent.body_bytes


def test_files_and_batches_stay_with_their_account(
    sdk: openai.OpenAI, provider: Accounts, running: Gateway
) -> None:
    asked = b'{"custom_id":"1","body":{"model":"MODEL","file":1.50}}\n'
    file = sdk.files.create(file=("in.jsonl", asked.replace(b"MODEL", b"ears")), purpose="batch")
    account = provider.asked[-1].account
    assert asked.replace(b"MODEL", b"whisper-1") in provider.asked[-1].body  # as the provider spells it
    batch = sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert sdk.batches.retrieve(batch.id).status == "completed"
    assert sdk.batches.retrieve(batch.id).status == "completed"
    assert cost_of(running, f"/openai/v1/batches/{batch.id}", 2) == ["0.015", "null"]  # counted once
    assert batch.output_file_id is not None
    assert sdk.files.content(batch.output_file_id).read() == SOUND
    assert file.id in [one.id for one in sdk.files.list()]
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(file.id)
    assert {one.account for one in provider.asked} == {account}
    assert all(KEY not in str(one.headers) for one in provider.asked)


def test_anthropics_batches(running: Gateway, provider: Accounts) -> None:
    provider.asked.clear()
    asked: Any = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
    }
    with anthropic.Anthropic(base_url=f"{running.url}/all", api_key=KEY, max_retries=0) as sdk:
        batch = sdk.messages.batches.create(requests=[{"custom_id": "c1", "params": asked}])
        assert [one.custom_id for one in sdk.messages.batches.results(batch.id)] == ["c1", "c2"]
        assert cost_of(running, f"/all/v1/messages/batches/{batch.id}/results") == ["0.125"]
        assert sdk.messages.batches.delete(batch.id).id == batch.id
        with pytest.raises(anthropic.NotFoundError):
            sdk.messages.batches.retrieve(batch.id)
    assert len({one.account for one in provider.asked}) == 1
    assert all("anthropic-version" in one.headers for one in provider.asked)


def test_anthropics_files_and_openais_uploads(
    running: Gateway, sdk: openai.OpenAI, provider: Accounts
) -> None:
    with anthropic.Anthropic(base_url=f"{running.url}/all", api_key=KEY, max_retries=0) as other:
        file = other.files.upload(file=("notes.txt", b"x" * 1_500_000, "text/plain"))
        assert file.id in [one.id for one in other.files.list()]
        assert other.files.delete(file.id).id == file.id
    assert {one.account[:6] for one in provider.asked} == {"sk-ant"}
    assert len({one.account for one in provider.asked}) == 1
    provider.asked.clear()
    upload = sdk.uploads.create(bytes=3, filename="a", mime_type="text/plain", purpose="assistants")
    part = sdk.uploads.parts.create(upload.id, data=b"abc")
    sdk.uploads.complete(upload.id, part_ids=[part.id])
    assert [one.path for one in provider.asked][1:] == [
        f"/v1/uploads/{upload.id}/parts",
        f"/v1/uploads/{upload.id}/complete",
    ]
    assert len({one.account for one in provider.asked}) == 1


def test_geminis_uploads(running: Gateway, provider: Accounts) -> None:
    genai = pytest.importorskip("google.genai")
    provider.asked.clear()
    options = genai.types.HttpOptions(base_url=f"{running.url}/all")
    sdk = genai.Client(api_key=KEY, http_options=options)
    content = b"0123456789" * 900_000
    file = sdk.files.upload(file=io.BytesIO(content), config={"mime_type": "text/plain"})
    assert sum(one.body_bytes for one in provider.asked[1:]) == len(content)
    assert sdk.files.get(name=file.name).state == "ACTIVE"
    sdk.files.delete(name=file.name)
    assert len({one.account for one in provider.asked}) == 1
    assert "llmitm" not in str([one.query for one in provider.asked])
    sdk.close()


def form(pieces: int, *, end: bytes = b"\r\n--b--\r\n", model: str = "whisper-1") -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + model.encode()
    yield b'\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    for _ in range(pieces):
        yield b"\r\n--" * 262_144
    yield end


FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_a_form_of_50_mb_is_not_held(
    running: Gateway, client: httpx.Client, provider: Accounts, tmp_path: Path
) -> None:
    path = "/openai/v1/audio/transcriptions"
    assert client.post(path, content=form(3), headers=FORM).status_code == 200  # in pieces of any length
    file, process = tmp_path / "long.wav", Path(f"/proc/{running.process.pid}")
    with file.open("wb") as made:
        made.truncate(50_000_000)
    (process / "clear_refs").write_text("5")  # the peak begins anew
    before = running.rss_bytes()
    asked = ["curl", "-sS", "-F", "model=ears", "-F", f"file=@{file}", f"{running.url}{path}"]
    answer = subprocess.run(
        [*asked, "-H", f"authorization: Bearer {KEY}"], capture_output=True, text=True, timeout=60
    )
    assert '"text":"spoken"' in answer.stdout, answer
    sent = provider.asked[-1]
    assert sent.body_bytes > 50_000_000
    assert int(sent.headers["content-length"]) == sent.body_bytes
    assert b"\r\n\r\nwhisper-1\r\n" in sent.body
    peak_kb = re.search(r"VmHWM:\s*(\d+) kB", (process / "status").read_text())
    assert peak_kb is not None
    assert int(peak_kb[1]) * 1024 - before < 16_000_000


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        (FORM, b"".join(form(0, end=b"")), "last boundary"),
        (FORM, b"".join(form(3, end=b"")), "last boundary"),
        ({"content-type": "multipart/form-data"}, b"".join(form(0)), "no boundary"),
        ({"content-type": "application/json"}, b"{}", "multipart/form-data"),
    ],
)
def test_a_broken_form_is_refused_and_arrives_nowhere(
    client: httpx.Client, provider: Accounts, headers: dict[str, str], body: bytes, words: str
) -> None:
    answer = client.post("/openai/v1/audio/transcriptions", content=body, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert provider.asked == []


@pytest.mark.parametrize(
    "path", ["/openai/v1/images/generations", "/all/v1/messages/batches", "/all/v1/rerank"]
)
def test_binary_where_json_was_due_is_refused(client: httpx.Client, provider: Accounts, path: str) -> None:
    answer = client.post(path, content=b"\x00\x01\x02" * 99, headers={"content-type": "application/json"})
    assert (answer.status_code, "JSON object" in answer.text) == (400, True)
    assert provider.asked == []


def test_who_may_ask_for_some_models_only(client: httpx.Client, provider: Accounts) -> None:
    narrow = {"authorization": "Bearer sk-proxy-narrow"}
    path = "/all/v1/audio/transcriptions"
    assert client.post(path, content=b"".join(form(0)), headers=FORM | narrow).status_code == 200
    other = b"".join(form(0, model="gpt-4o-transcribe"))
    assert client.post(path, content=other, headers=FORM | narrow).status_code == 403
    late = b"".join(form(2))[: -len(b"--b--\r\n")] + other  # the model comes after a long file
    late = late.replace(b'name="model"', b'name="x"', 1)
    assert client.post("/openai/v1/files", content=late, headers=FORM | narrow).status_code == 403
    assert client.get("/openai/v1/files", headers=narrow).status_code == 200  # as its key says
    refused = client.get("/openai/v1/batches", headers=narrow)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "path_not_allowed")


def test_who_is_meant_where_no_model_says(client: httpx.Client, provider: Accounts) -> None:
    asked = client.get("/all/v1/files")
    assert asked.status_code == 400
    assert "other, openai" in asked.json()["error"]["message"]
    assert provider.asked == []
    assert client.get("/all/v1/files?provider=other&limit=2").status_code == 200
    assert client.get("/all/v1/files", headers={"x-llmitm-provider": "other"}).status_code == 200
    assert {one.account for one in provider.asked} == {"sk-other"}
    assert [one.query for one in provider.asked] == ["limit=2", ""]
    assert all("x-llmitm-provider" not in one.headers for one in provider.asked)


def test_further_paths_only_where_they_are_allowed(client: httpx.Client, provider: Accounts) -> None:
    assert client.get("/all/v1/skills").status_code == 404
    assert client.get("/openai/v1/organization/users").status_code == 404
    assert provider.asked == []
    assert client.put("/openai/v1/skills", content=b"\x00any").status_code == 200
    assert (provider.asked[-1].method, provider.asked[-1].body) == ("PUT", b"\x00any")


@pytest.mark.parametrize(("path", "tries"), [("/v1/moderations", 2), ("/v1/vector_stores", 2)])
def test_another_key_is_tried_where_one_is_refused(
    client: httpx.Client, provider: Accounts, path: str, tries: int
) -> None:
    provider.fails = lambda asked: 429 if len(provider.asked) == 1 else None
    try:
        assert client.post(f"/openai{path}", json={"input": "x"}).status_code == 200
    finally:
        provider.fails = lambda asked: None
    assert len({one.account for one in provider.asked}) == tries


def test_what_may_have_been_made_is_not_made_again(client: httpx.Client, provider: Accounts) -> None:
    provider.fails = lambda asked: 504
    try:
        made = client.post("/openai/v1/batches", json={"input_file_id": "file-unknown"})
        assert (made.status_code, made.headers["x-should-retry"]) == (504, "false")
        assert len(provider.asked) == 1
        client.post("/openai/v1/moderations", json={"input": "x"})
        assert len(provider.asked) == 3
    finally:
        provider.fails = lambda asked: None


def test_forms_through_cloudflare(client: httpx.Client, provider: Accounts) -> None:
    body = b"".join(form(3, model="openai/whisper-1"))
    answer = client.post("/cf/v1/audio/transcriptions", content=body, headers=FORM)
    assert answer.status_code == 200
    sent = provider.asked[-1]
    assert sent.path == "/v1/account/one/openai/audio/transcriptions"
    assert sent.body_sha256 == hashlib.sha256(b"".join(form(3))).hexdigest()
    assert sent.headers["cf-aig-authorization"] == "Bearer cf-token"
    assert sent.account in ("sk-one", "sk-two")
    broken = client.post("/cf/v1/audio/transcriptions", content=body[:-9], headers=FORM)
    assert broken.status_code == 400
