"""What an admin changes of a running gateway over HTTP: in the file, in the history, and in force at once."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import tomli

from support.backstage import Backstage
from support.gateway import Gateway

PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
PLAIN = "sk-plain-canary-of-the-file"
CONFIG = """# the gateway of the lighthouse
[server]
port = 0   # any

[endpoints.all]
kind = "gateway"

# who is asked
[providers.main]
base_url = "{url}/v1"
format = "openai-chat"
models = ["gpt-demo"]
test_model = "gpt-demo"
api_keys = ["env:MAIN_KEY", "{plain}"]

# at night
[providers.spare]
base_url = "{url}/v1"
format = "openai"
api_keys = ["sk-spare-canary-000001"]

# who looks on
[dashboard]
enabled = true
port = 0
password_hash = "{hash}"
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture
def gateway(upstream: Backstage, whole: Gateway) -> Gateway:
    whole.config_path.write_text(CONFIG.format(url=upstream.url, hash=HASH, plain=PLAIN))
    return whole


@pytest.fixture(scope="module")
def whole(upstream: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(url=upstream.url, hash=HASH, plain=PLAIN)
    folder = tmp_path_factory.mktemp("gateway")
    with Gateway(config, folder, host="serve", env={"MAIN_KEY": "sk-main-canary-000001"}) as running:
        running.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")
        yield running


@pytest.fixture(scope="module")
def token(whole: Gateway) -> str:
    login = {"username": "admin", "password": PASSWORD}
    answer = httpx.post(f"{api_url(whole)}/auth/login", json=login)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def api_url(gateway: Gateway) -> str:
    return gateway.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")[1] + "/api/dashboard"


@pytest.fixture
def api(gateway: Gateway, token: str) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=api_url(gateway), headers=headers, timeout=20) as client:
        client.post("/config/reload").raise_for_status()
        yield client


def said(gateway: Gateway) -> dict[str, Any]:
    return tomli.loads(gateway.config_path.read_text())


def ask(gateway: Gateway, model: str = "gpt-demo", key: str = "") -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Where is the lighthouse?"}]}
    headers = {"x-llmitm-key": key} if key else {}
    url = f"{gateway.url}/all/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=20)


def test_a_provider_is_added_edited_and_deleted_and_asked_at_once(
    gateway: Gateway, api: httpx.Client, upstream: Backstage
) -> None:
    before = gateway.config_path.read_text()
    made = api.post(
        "/providers",
        json={"name": "new", "format": "openai", "base_url": f"{upstream.url}/v1", "models": ["only-new"]},
    )
    assert (made.status_code, made.json()["id"]) == (201, "new")
    added = api.post("/providers/new/credentials", json={"api_key": "sk-new-canary-00001", "name": "k"})
    assert (added.status_code, added.json()["id"]) == (201, "k")
    assert ask(gateway, "only-new").status_code == 200
    edited = api.patch("/providers/new", json={"weight": 3, "models": None, "test_model": "m"})
    assert edited.status_code == 200, edited.text
    assert said(gateway)["providers"]["new"].keys() == {
        "format", "base_url", "weight", "test_model", "credentials",
    }  # fmt: skip
    assert api.delete("/providers/new").status_code == 200
    assert gateway.config_path.read_text().strip() == before.strip()
    assert "new" not in {one["id"] for one in api.get("/providers").json()["providers"]}


def test_a_provider_that_is_named_is_not_deleted(api: httpx.Client) -> None:
    assert api.patch("/routing", json={"aliases": {"night": "spare/gpt-demo"}}).status_code == 200
    refused = api.delete("/providers/spare")
    assert refused.status_code == 409
    assert "routing.aliases.night" in refused.json()["message"]


def test_credentials_have_stable_names_and_keys_are_never_told(gateway: Gateway, api: httpx.Client) -> None:
    told = api.get("/providers/main").json()
    first, second = told["credentials"]
    assert (first["key_reference"], second["key_reference"]) == ("env:MAIN_KEY", None)
    assert (
        api.patch(f"/providers/main/credentials/{second['id']}", json={"disabled": True}).status_code == 200
    )
    again = api.get("/providers/main").json()["credentials"]
    assert [(one["id"], one["state"]) for one in again] == [(first["id"], "ok"), (second["id"], "disabled")]
    assert said(gateway)["providers"]["main"]["credentials"] == [{"api_key": PLAIN, "disabled": True}]
    assert api.delete(f"/providers/main/credentials/{second['id']}").status_code == 200
    assert said(gateway)["providers"]["main"]["api_keys"] == ["env:MAIN_KEY"]
    every = [api.get(path).text for path in ("/providers", "/config/current", "/config/history")]
    every.append(
        httpx.get(str(api.base_url).replace("/api/dashboard/", "/admin/config"), headers=api.headers).text
    )
    assert not any("canary" in text for text in every)


def test_a_credential_rests_is_revived_and_tested(api: httpx.Client) -> None:
    place = f"/providers/main/credentials/{api.get('/providers/main').json()['credentials'][0]['id']}"
    assert api.post(f"{place}/rest", json={"duration_s": 60, "reason": "billing"}).status_code == 200
    rests = api.get("/providers/main").json()["credentials"][0]
    assert (rests["state"], rests["why"]) == ("stopped", "operator")
    assert api.post(f"{place}/revive").status_code == 200
    assert api.get("/providers/main").json()["credentials"][0]["state"] == "ok"
    tried = api.post(f"{place}/test", json={}).json()
    assert (tried["is_fine"], tried["status"], tried["model"]) == (True, 200, "gpt-demo")


def test_keys_of_clients_are_made_rotated_and_deleted(gateway: Gateway, api: httpx.Client) -> None:
    assert api.get("/auth-keys").json() == {"auth_keys": [], "is_open": True}
    made = api.post("/auth-keys", json={"name": "laptop", "allowed_models": ["gpt-*"], "expires_in_days": 9})
    assert made.status_code == 201
    key = made.json()["key"]
    assert key not in gateway.config_path.read_text()
    assert (ask(gateway).status_code, ask(gateway, key=key).status_code) == (401, 200)
    fresh = api.post("/auth-keys/laptop/rotate", json={"overlap_s": 600}).json()["key"]
    assert (ask(gateway, key=key).status_code, ask(gateway, key=fresh).status_code) == (200, 200)
    for one in api.get("/auth-keys").json()["auth_keys"]:
        assert api.delete(f"/auth-keys/{one['id']}").status_code == 200
    assert said(gateway)["auth_keys"] == []
    assert (ask(gateway, key=fresh).status_code, ask(gateway).status_code) == (401, 401)


def test_a_stale_text_is_refused_with_the_difference(gateway: Gateway, api: httpx.Client) -> None:
    told = api.get("/config/current").json()
    assert api.patch("/limits", json={"rpm": 100_000}).status_code == 200
    text = told["text"].replace('format = "openai"\n', 'format = "openai"\nweight = 7\n')
    match = {"If-Match": told["etag"]}
    refused = api.post("/config/apply", json={"text": text}, headers=match)
    assert (refused.status_code, refused.json()["error"]) == (409, "config_stale")
    assert "-rpm = 100000" in refused.json()["difference"] and "+weight = 7" in refused.json()["difference"]
    assert api.post("/config/apply", json={"text": text}).status_code == 428
    match = {"If-Match": f'"{refused.json()["etag"]}"'}
    assert api.post("/config/apply", json={"text": text}, headers=match).status_code == 200
    assert said(gateway)["providers"]["main"]["api_keys"] == ["env:MAIN_KEY", PLAIN]
    assert said(gateway)["providers"]["spare"]["weight"] == 7
    assert "# who looks on" in gateway.config_path.read_text()


def test_a_wrong_change_is_refused_with_every_problem_and_nothing_is_written(
    gateway: Gateway, api: httpx.Client
) -> None:
    before = gateway.config_path.read_text()
    refused = api.patch("/providers/main", json={"base_url": "nonsense", "proxy_url": "gopher://x"})
    assert refused.status_code == 422
    places = {one["path"] for one in refused.json()["problems"]}
    assert places == {"providers.main.base_url", "providers.main.proxy_url"}
    told = api.post("/config/validate", json={"text": "[server]\nprot = 1\n[log]\nlevel = 3\n"}).json()
    assert not told["valid"] and {one["path"] for one in told["problems"]} >= {"server.prot", "log.level"}
    assert gateway.config_path.read_text() == before


def test_history_says_who_and_what_and_goes_back_in_one_step(gateway: Gateway, api: httpx.Client) -> None:
    before = gateway.config_path.read_text()
    assert api.patch("/routing", json={"strategy": "fill-first"}).status_code == 200
    newest, found = api.get("/config/history").json()["versions"][:2]
    assert (newest["who"], newest["what"], newest["is_current"]) == ("admin", "routing: strategy", True)
    whole = api.get(f"/config/history/{found['number']}").json()
    assert '-strategy = "fill-first"' in whole["difference"]
    assert api.post("/config/rollback", json={"number": found["number"]}).status_code == 200
    assert gateway.config_path.read_text() == before
    assert api.get("/routing").json()["strategy"] == "round-robin"
    kept = gateway.folder / ".llmitm-history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_edits_at_once_lose_nothing(gateway: Gateway, api: httpx.Client) -> None:
    names = [f"key-{at}" for at in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda name: api.post("/auth-keys", json={"name": name}).status_code, names))
    assert made == [201] * 6
    assert {one["name"] for one in said(gateway)["auth_keys"]} == set(names)


def test_a_file_that_is_read_only_says_so_first(gateway: Gateway, api: httpx.Client) -> None:
    gateway.config_path.chmod(0o444)
    try:
        assert "read-only" in api.get("/config/current").json()["read_only"]
        refused = api.patch("/routing", json={"strategy": "cost"})
        assert (refused.status_code, refused.json()["error"]) == (409, "config_read_only")
    finally:
        gateway.config_path.chmod(0o600)


def test_routing_is_explained(api: httpx.Client) -> None:
    asked = {"model": "gpt-demo", "endpoint": "all", "dialect": "anthropic-messages"}
    told = api.post("/routing/explain", json=asked).json()
    assert (told["endpoint"], told["problem"]) == ("all", None)
    (stage,) = told["stages"]
    assert {one["provider"] for one in stage["able"]} == {"main"}


def test_routing_is_explained_on_every_kind_of_endpoint(api: httpx.Client, upstream: Backstage) -> None:
    assert api.post("/endpoints", json={"name": "raw", "target_base": upstream.url}).status_code == 201
    assert api.post("/endpoints", json={"name": "mine", "provider": "main"}).status_code == 201
    gateway = {"account_id": "acc", "gateway_id": "gw", "form": "native"}
    assert api.post("/gateways", json=gateway).status_code == 201
    assert api.post("/endpoints", json={"name": "cf", "kind": "cloudflare"}).status_code == 201

    def explained(endpoint: str, **asked: str) -> Any:
        return api.post("/routing/explain", json={"model": "gpt-x", "endpoint": endpoint, **asked}).json()

    assert (explained("raw")["passed_to"], explained("raw")["stages"]) == (upstream.url, [])
    (stage,) = explained("mine")["stages"]
    assert [(one["provider"], one["base_url"], one["dialect"]) for one in stage["able"]] == [
        ("main", f"{upstream.url}/v1", None)
    ] * 2
    (stage,) = explained("cf", dialect="anthropic-messages")["stages"]
    (way,) = stage["able"]
    assert (way["provider"], way["gateway"], way["form"]) == ("anthropic", "acc/gw", "native")
    assert (way["is_with_our_key"], way["dialect"]) == (False, "anthropic-messages")


def test_an_endpoint_that_stands_in_no_file_says_so_and_can_be_written_down(api: httpx.Client) -> None:
    def implied() -> dict[str, bool]:
        return {one["name"]: one["is_implied"] for one in api.get("/endpoints").json()["endpoints"]}

    assert implied() == {"all": False, "default": True}
    assert api.patch("/endpoints/default", json={"strict": True}).status_code == 404
    assert api.post("/endpoints", json={"name": "default", "kind": "gateway"}).status_code == 201
    assert implied() == {"all": False, "default": False}
    assert api.delete("/endpoints/default").status_code == 200
    assert implied() == {"all": False, "default": True}


def test_limits_of_models_and_budgets_are_set_and_taken_back(gateway: Gateway, api: httpx.Client) -> None:
    sent = {"models": {"gpt-*": {"rpm": 60, "tpm": None}}, "budget": {"usd": {"daily": 5}, "per_key_usd": 1}}
    assert api.patch("/limits", json=sent).status_code == 200
    told = api.get("/limits").json()
    assert told["models"]["gpt-*"] == {"rpm": 60, "tpm": None, "concurrency": None}
    assert (told["budget"]["usd"], told["budget"]["per_key_usd"]) == ({"daily": 5}, 1)
    told = api.get("/budgets").json()
    (whole,) = told["budgets"]
    assert (whole["budget"], whole["limit"], whole["spent"], whole["share"]) == ("all", 5_000_000_000, 0, 0)
    assert whole["renews_at"].endswith("T00:00:00Z") and not told["is_shared"]
    assert said(gateway)["rate_limit"]["models"] == {"gpt-*": {"rpm": 60}}
    assert api.patch("/limits", json={"budget": {"usd": None}}).status_code == 200
    assert said(gateway)["budget"] == {"per_key_usd": 1}
    assert api.patch("/limits", json={"budget": None, "models": None}).status_code == 200
    assert not said(gateway).get("budget") and "models" not in said(gateway).get("rate_limit", {})
    for wrong in ({"budget": {"usd": -1}}, {"models": {"*": {"rpm": 0}}}, {"budget": {"timezone": "Moon"}}):
        assert api.patch("/limits", json=wrong).status_code == 422


def test_a_door_is_opened_and_closed(gateway: Gateway, api: httpx.Client, upstream: Backstage) -> None:
    new = {"name": "raw", "target_base": upstream.url}
    assert api.post("/endpoints", json=new).status_code == 201
    url = f"{gateway.url}/raw/v1/models"
    assert httpx.get(url).status_code == 200
    assert api.delete("/endpoints/raw").status_code == 200
    assert httpx.get(url).status_code == 404
    made = api.post("/gateways", json={"account_id": "acc", "gateway_id": "one", "token": "a plain token"})
    assert made.json()["id"] == "acc/one"
    (shown,) = api.get("/gateways").json()["gateways"]
    assert "plain" not in str(shown)
    assert api.patch("/gateways/acc/one", json={"weight": 2, "token": shown["token"]}).status_code == 200
    assert said(gateway)["gateways"] == [
        {"account_id": "acc", "gateway_id": "one", "token": "a plain token", "weight": 2}
    ]
    assert api.patch("/gateways/acc/one", json={"token": None}).status_code == 200
    assert "token" not in said(gateway)["gateways"][0]
    assert api.get("/gateways").json()["gateways"][0]["token"] is None
    assert api.delete("/gateways/acc/one").status_code == 200
    assert "gateways" not in said(gateway)
