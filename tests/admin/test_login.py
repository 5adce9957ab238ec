"""Who gets in, who is known again, and what pages of other sites cannot do; by a hand-driven clock."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from llmitm import world
from llmitm.admin.auth.doorman import ENDED_FILE
from llmitm.admin.auth.endings import Endings
from llmitm.admin.auth.tokens import Signer, Token
from llmitm.admin.route import BASE, Answer, Asked, Role, Route
from llmitm.admin.routes import ROUTES
from llmitm.admin.server import Server
from llmitm.config.schema import Config
from llmitm.control import LocalControl
from llmitm.world import World
from support.clocks import HandClock

PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
BCRYPT = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
OTHER = "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2E$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
SECRET = "a secret for tests, and long enough"
BROWSER = {"X-Requested-With": "llmitm"}
FILES = {"index.html": "<!doctype html><p>", "assets/main-abcdefgh.js": "let one = 1;" * 200}


def config(**beside: Any) -> Config:
    dashboard = {"enabled": True, "port": 0, "password_hash": HASH, "jwt_secret": SECRET, "jwt_ttl_secs": 600}
    users = [{"name": name, "password_hash": HASH, "role": name} for name in ("viewer", "operator")]
    return Config.model_validate(
        {"dashboard": {**dashboard, "users": users, **beside}, "ledger": {"enabled": False}}
    )


async def broken(asked: Asked) -> Answer:
    """Fails."""
    raise RuntimeError("the secret is sk-canary-1234567890")


async def changed(asked: Asked) -> Answer:
    """Changes something."""
    return Answer(status=204)


EXTRA = (
    Route("GET", f"{BASE}/broken", broken, None),
    *(Route("POST", f"{BASE}/for/{role}", changed, role, status=204) for role in Role),
)


class Pages:
    """The dashboard as a browser or a program finds it."""

    def __init__(self, server: Server, made: World, clock: HandClock, session: aiohttp.ClientSession) -> None:
        self.server, self.world, self.clock, self.session = server, made, clock, session
        self.url = server.url or ""

    async def ask(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        async with self.session.request(method, f"{self.url}{path}", json=body, **options) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json" and text
            return answer.status, json.loads(text) if is_json else text, answer

    async def log_in(self, user: str = "admin", password: str = PASSWORD, **options: Any) -> Any:
        asked = {"username": user, "password": password}
        return await self.ask("POST", f"{BASE}/auth/login", asked, **options)

    async def token(self, user: str = "admin") -> str:
        return str((await self.log_in(user))[1]["token"])


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Pages]:
    for name, text in FILES.items():
        (tmp_path / "static" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "static" / name).write_text(text)
    (tmp_path / "secret.txt").write_text("outside")
    clock = HandClock()
    made = world.build(config(), clock=clock)
    server = Server(
        made,
        LocalControl(made, stop=lambda: None),
        static=tmp_path / "static",
        routes=(*ROUTES, *EXTRA),
        folder=tmp_path,
    )
    await server.start()
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Pages(server, made, clock, session)
    await server.close()
    await made.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_password_opens_and_a_wrong_one_tells_nothing_of_the_user(pages: Pages) -> None:
    status, told, _ = await pages.log_in()
    assert (status, told["name"], told["role"], told["expires_in"]) == (200, "admin", "admin", 600)
    wrong = [await pages.log_in("admin", "no"), await pages.log_in("nobody", "no")]
    assert [(one[0], one[1]["error"], one[1]["message"]) for one in wrong] == [
        (401, "invalid_credentials", "The user or the password is wrong.")
    ] * 2
    assert (await pages.log_in("admin", HASH))[0] == 401


async def test_failures_cost_time_that_doubles_and_success_forgets_them(pages: Pages) -> None:
    for _ in range(5):
        assert (await pages.log_in(password="no"))[0] == 401
    status, told, answer = await pages.log_in()
    assert (status, told["error"], answer.headers["Retry-After"]) == (429, "too_many_attempts", "1")
    pages.clock.at_s += 1.01
    assert (await pages.log_in(password="no"))[0] == 401
    assert (await pages.log_in())[2].headers["Retry-After"] == "2"
    # others, from here, are not locked out by it
    assert (await pages.log_in("viewer"))[0] == 200
    pages.clock.at_s += 2.01
    assert (await pages.log_in())[0] == 200
    for _ in range(4):
        assert (await pages.log_in(password="no"))[0] == 401
    assert (await pages.log_in())[0] == 200


async def test_many_guesses_at_once_are_no_way_round(pages: Pages) -> None:
    found = await asyncio.gather(*(pages.log_in(password=f"guess {one}") for one in range(30)))
    compared = [status for status, _, _ in found if status == 401]
    assert len(compared) <= 6 and {status for status, _, _ in found} == {401, 429}


def forged(claims: dict[str, Any], key: str | bytes, algorithm: str) -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


async def test_tokens_that_we_did_not_sign_so_count_for_nothing(pages: Pages) -> None:
    good = await pages.token("viewer")
    claims = jwt.decode(good, options={"verify_signature": False})
    head, body, sign = good.split(".")
    key = Signer(SECRET)._key

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    refresh = (await pages.log_in("viewer"))[1]["refresh_token"]
    cases = {
        "none": forged(claims, "", "none"),
        "none, signed": f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.{sign}",
        "other key": forged(claims, "another key that is long enough!", "HS256"),
        "the plain secret": forged(claims, SECRET, "HS256"),
        "other algorithm": forged(claims, key * 2, "HS512"),
        "same key, other algorithm": forged(claims, key + bytes(64), "HS384"),
        "key in its head": jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "../../dev/null"}),
        "other user, same signature": f"{head}.{part({**claims, 'sub': 'admin'})}.{sign}",
        "nobody": forged({**claims, "sub": "nobody"}, key, "HS256"),
        "no end": forged({name: one for name, one in claims.items() if name != "exp"}, key, "HS256"),
        "for renewing": refresh,
        "of another issuer": forged({**claims, "iss": "x"}, key, "HS256"),
        "of another password": forged({**claims, "pwd": "0" * 16}, key, "HS256"),
        "not text": forged({**claims, "sid": 1}, key, "HS256"),
        "nothing": "",
        "noise": "ey.ey.ey",
    }
    assert (await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(good)))[0] == 200
    for name, token in cases.items():
        status, told, answer = await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(token))
        assert (status, told["error"]) == (401, "invalid_token"), name
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_ends_with_its_time_its_session_its_password_and_its_user(pages: Pages) -> None:
    token = await pages.token()
    pages.clock.at_s += 601
    assert (await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(token)))[1]["error"] == "token_expired"

    token = await pages.token()
    assert (await pages.ask("POST", f"{BASE}/auth/logout", headers=bearer(token)))[0] == 204
    assert (await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(token)))[0] == 401

    for after in (config(password_hash=OTHER), config(password_hash=None), config(jwt_secret="s" * 32)):
        pages.world.follow(config())
        token = await pages.token()
        assert (await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(token)))[0] == 200
        pages.world.follow(after)
        assert (await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(token)))[0] == 401


async def test_a_refresh_token_is_good_once_and_a_stolen_one_ends_the_session(pages: Pages) -> None:
    first = (await pages.log_in())[1]

    async def renew(text: str) -> Any:
        return await pages.ask("POST", f"{BASE}/auth/refresh", {"refresh_token": text})

    pages.clock.at_s += 3000  # the access token is long over
    status, second, _ = await renew(first["refresh_token"])
    assert status == 200
    assert (await renew(first["refresh_token"]))[0] == 200  # another page, at the same moment
    pages.clock.at_s += 60
    assert (await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(second["token"])))[0] == 200
    assert (await renew(first["refresh_token"]))[0] == 401
    assert (await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(second["token"])))[0] == 401
    assert (await renew(second["refresh_token"]))[0] == 401


async def test_renewing_ends_twelve_hours_after_the_password(pages: Pages) -> None:
    told = (await pages.log_in())[1]
    for _ in range(11):
        pages.clock.at_s += 3600
        status, told, _ = await pages.ask(
            "POST", f"{BASE}/auth/refresh", {"refresh_token": told["refresh_token"]}
        )
        assert status == 200
    pages.clock.at_s += 3601
    asked = {"refresh_token": told["refresh_token"]}
    assert (await pages.ask("POST", f"{BASE}/auth/refresh", asked))[0] == 401


@asynccontextmanager
async def started_anew(pages: Pages) -> AsyncIterator[None]:
    """Another process in the same place, which remembers nothing."""
    before = pages.server, pages.world, pages.url
    made = world.build(pages.world.config, clock=pages.clock)
    folder = before[0].folder
    pages.server = Server(made, LocalControl(made, stop=lambda: None), folder=folder)
    pages.world, pages.url = made, await pages.server.start()
    yield
    await pages.server.close()
    await made.close()
    pages.server, pages.world, pages.url = before


async def test_what_was_ended_stays_ended_when_the_gateway_starts_anew(pages: Pages) -> None:
    ended, lasting = (await pages.log_in())[1], (await pages.log_in())[1]
    renewing = {"refresh_token": lasting["refresh_token"]}
    renewed = (await pages.ask("POST", f"{BASE}/auth/refresh", renewing))[1]
    assert (await pages.ask("POST", f"{BASE}/auth/logout", headers=bearer(ended["token"])))[0] == 204
    async with started_anew(pages):
        me = f"{BASE}/auth/me"
        assert (await pages.ask("GET", me, headers=bearer(ended["token"])))[0] == 401
        refused = {"refresh_token": ended["refresh_token"]}
        assert (await pages.ask("POST", f"{BASE}/auth/refresh", refused))[0] == 401
        assert (await pages.ask("GET", me, headers=bearer(renewed["token"])))[0] == 200
        assert (await pages.ask("POST", f"{BASE}/auth/refresh", renewing))[0] == 401  # used up, so stolen
        assert (await pages.ask("GET", me, headers=bearer(renewed["token"])))[0] == 401


async def test_where_endings_cannot_be_kept_logins_end_with_the_process(
    pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    async with started_anew(pages):
        told = (await pages.log_in())[1]
        (pages.server.folder / ENDED_FILE).write_text("")
        (pages.server.folder / ENDED_FILE).chmod(0o644)
        async with started_anew(pages):
            me = await pages.ask("GET", f"{BASE}/auth/me", headers=bearer(told["token"]))
            assert me[0] == 401 and (await pages.log_in())[0] == 200
    assert "chmod 600" in caplog.text


def test_endings_are_forgotten_when_they_would_be_over_anyhow(tmp_path: Path) -> None:
    clock, path = HandClock(), tmp_path / "ended"
    endings = Endings(path, clock)
    endings.add("session:a", clock.now_s() + 10)
    endings.add("session:b", clock.now_s() + 100)
    with path.open("a") as file:
        file.write("17900")  # the disk was full
    clock.at_s += 50
    endings = Endings(path, clock)
    assert ("session:a" in endings, "session:b" in endings) == (False, True)
    assert path.read_text().count("\n") == 1 and path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("user", ["viewer", "operator", "admin"])
async def test_a_role_may_do_what_lesser_ones_may_and_no_more(pages: Pages, user: str) -> None:
    token = await pages.token(user)
    for role in Role:
        status, told, _ = await pages.ask("POST", f"{BASE}/for/{role}", headers=bearer(token))
        assert status == (204 if Role.of(user) >= role else 403), role
    assert (await pages.ask("POST", f"{BASE}/for/viewer"))[0] == 401


async def test_a_smaller_role_counts_at_once(pages: Pages) -> None:
    token = await pages.token("operator")
    users = [{"name": "operator", "password_hash": HASH, "role": "viewer"}]
    pages.world.follow(config(users=users))
    assert (await pages.ask("POST", f"{BASE}/for/operator", headers=bearer(token)))[0] == 403


async def test_browsers_get_cookies_that_no_script_and_no_other_site_has(pages: Pages) -> None:
    status, told, answer = await pages.log_in(headers=BROWSER)
    assert (status, told["token"], told["refresh_token"]) == (200, None, None)
    port = pages.url.rpartition(":")[2]
    cookies = {one.key: one for one in answer.cookies.values()}
    assert set(cookies) == {f"llmitm_{port}", f"llmitm_{port}_refresh"}
    for one in cookies.values():
        assert one["httponly"] and one["samesite"] == "Strict" and not one["domain"]
    assert cookies[f"llmitm_{port}_refresh"]["path"] == f"{BASE}/auth"
    assert (await pages.ask("GET", f"{BASE}/auth/me"))[0] == 200

    pages.world.follow(
        config().model_copy(
            update={"server": Config.model_validate({"server": {"trusted_proxies": ["127.0.0.1"]}}).server}
        )
    )
    over_tls = {**BROWSER, "X-Forwarded-Proto": "https"}
    answer = (await pages.log_in(headers=over_tls))[2]
    assert all(one["secure"] for one in answer.cookies.values())
    assert f"__Host-llmitm_{port}" in answer.cookies


FOREIGN = [
    {},
    {"X-Requested-With": "XMLHttpRequest"},
    {**BROWSER, "Origin": "http://evil.example"},
    {**BROWSER, "Origin": "null"},
    {**BROWSER, "Origin": "http://127.0.0.1:1"},
    {**BROWSER, "Sec-Fetch-Site": "cross-site"},
    {**BROWSER, "Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_another_site_changes_nothing_with_our_cookie(pages: Pages, headers: dict[str, str]) -> None:
    await pages.log_in(headers=BROWSER)
    for path in ("for/viewer", "auth/logout", "auth/refresh"):
        status, _, answer = await pages.ask("POST", f"{BASE}/{path}", headers=headers)
        assert status == 403, path
        assert not answer.cookies and "Access-Control-Allow-Origin" not in answer.headers
    fine = {**BROWSER, "Origin": pages.url, "Sec-Fetch-Site": "same-origin"}
    assert (await pages.ask("POST", f"{BASE}/for/viewer", headers=fine))[0] == 204


async def test_a_form_of_another_site_cannot_log_in(pages: Pages) -> None:
    text = json.dumps({"username": "admin", "password": PASSWORD})
    for media in ("text/plain", "application/x-www-form-urlencoded"):
        async with pages.session.post(
            f"{pages.url}{BASE}/auth/login", data=text, headers={"Content-Type": media}
        ) as answer:
            assert answer.status == 415


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("127.0.0.1:8812", True),
        ("localhost:9000", True),
        ("[::1]:8812", True),
        ("192.168.1.5", True),
        ("llm.example.com", True),
        ("LLM.example.com.:443", True),
        ("evil.example:8812", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("127.0.0.1#evil.example", False),
        ("2130706433", False),
    ],
)
async def test_a_name_that_is_not_ours_leads_nowhere(pages: Pages, host: str, is_known: bool) -> None:
    pages.world.follow(config(hosts=["llm.example.com"]))
    for path in ("/", f"{BASE}/auth/state", "/assets/main-abcdefgh.js"):
        status, _, _ = await pages.ask("GET", path, headers={"Host": host})
        assert status == (200 if is_known else 421), path


async def test_every_answer_tells_browsers_to_be_strict(pages: Pages) -> None:
    for path in ("/", f"{BASE}/auth/state", f"{BASE}/auth/me", "/no/such.file", f"{BASE}/broken"):
        _, _, answer = await pages.ask("GET", path)
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "script-src 'self';" in policy
        assert "unsafe" not in policy and "default-src 'none'" in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_what_breaks_tells_no_more_than_that(pages: Pages) -> None:
    status, told, _ = await pages.ask("GET", f"{BASE}/broken")
    assert (status, told["error"]) == (500, "internal_error") and "canary" not in str(told)


async def test_pages_are_found_whatever_the_address_and_named_files_never_change(pages: Pages) -> None:
    for path in ("/", "/logs/abc", "/providers"):
        status, text, answer = await pages.ask("GET", path)
        assert status == 200 and answer.headers["Cache-Control"] == "no-cache"
        assert text == FILES["index.html"]
    _, _, answer = await pages.ask("GET", "/assets/main-abcdefgh.js")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Encoding"] == "br"
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert (await pages.ask("GET", "/assets/main-abcdefgh.js", headers=tag))[0] == 304
    assert (await pages.ask("GET", f"{BASE}/no/such"))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..\\secret.txt",
        "//etc/passwd.txt",
        "/%00secret.txt",
    ],
)
async def test_nothing_beside_the_pages_is_served(pages: Pages, path: str) -> None:
    host, port = pages.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.split()[1] in (b"404", b"400") and b"outside" not in answer and b"root:" not in answer


async def test_the_document_names_every_operation_and_who_may(pages: Pages) -> None:
    token = await pages.token("viewer")
    assert (await pages.ask("GET", f"{BASE}/openapi.json"))[0] == 401
    _, told, _ = await pages.ask("GET", f"{BASE}/openapi.json", headers=bearer(token))
    named = {(method.upper(), path) for path, one in told["paths"].items() for method in one}
    wanted = {(one.method, one.path.replace(":.*}", "}")) for one in (*ROUTES, *EXTRA)}
    assert named == wanted | {("GET", f"{BASE}/openapi.json")}
    numbers = [one["operationId"] for path in told["paths"].values() for one in path.values()]
    assert len(numbers) == len(set(numbers))
    for route in (*ROUTES, *EXTRA):
        one = told["paths"][route.path.replace(":.*}", "}")][route.method.lower()]
        assert bool(one["security"]) == (route.role is not None)
        assert ("401" in one["responses"]) >= (route.role is not None)


async def test_every_operation_asks_who_it_is_but_those_that_let_in(pages: Pages) -> None:
    free = {route.path.removeprefix(BASE) for route in ROUTES if route.role is None}
    assert free == {"/auth/login", "/auth/refresh", "/auth/state", "/auth/first"}
    for route in ROUTES:
        if route.role is not None:
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            assert (await pages.ask(route.method, path))[0] == 401, route.path


async def test_what_is_asked_wrongly_is_told_field_by_field(pages: Pages) -> None:
    status, told, _ = await pages.ask("POST", f"{BASE}/auth/login", {"username": "", "x": 1})
    assert (status, told["error"]) == (422, "validation_failed")
    assert {one["path"] for one in told["problems"]} == {"username", "password", "x"}
    status, _, answer = await pages.ask("PUT", f"{BASE}/auth/login", headers=BROWSER)
    assert (status, answer.headers["Allow"]) == (405, "POST")
    json_type = {"Content-Type": "application/json"}
    async with pages.session.post(f"{pages.url}{BASE}/auth/login", data=b"{", headers=json_type) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_json")


async def test_what_changes_something_says_what(pages: Pages) -> None:
    token = bearer(await pages.token())
    for path in ("limits", "routing", "providers/main", "endpoints/all", "gateways/a/b"):
        status, told, _ = await pages.ask("PATCH", f"{BASE}/{path}", headers=token)
        assert (status, told["error"]) == (400, "missing_body")
    for path, wrong in (("routing", {"force_model_prefix": 0}), ("limits", {"rpm": "60"})):
        assert (await pages.ask("PATCH", f"{BASE}/{path}", wrong, headers=token))[0] == 422


def test_marks_of_passwords_say_nothing_and_differ() -> None:
    signer = Signer(SECRET)
    assert signer.mark(HASH) != signer.mark(OTHER) and Signer("s" * 32).mark(HASH) != signer.mark(HASH)
    assert signer.mark(HASH) not in HASH
    token = Token(name="a", session="b", number="c", began_s=1, expires_s=2, password_mark="d")
    assert signer.read(signer.sign(token, "access", 0), "access", 1) == token
