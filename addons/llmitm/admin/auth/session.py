"""Logging in and out, and the cookies that browsers keep."""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from llmitm.admin.auth.doorman import Login
from llmitm.admin.guard import CSRF_HEADER, CSRF_VALUE, check_intent
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.errors import Refused

_AUTH: Final = f"{BASE}/auth"


class Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]


class Renewal(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    refresh_token: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """null: the cookie has it."""


class First(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: Annotated[str, Field(min_length=1, max_length=200)]
    """Of the link that the terminal showed."""
    password: Annotated[str, Field(min_length=1, max_length=1024)]


class Session(BaseModel):
    """A login. Browsers that send X-Requested-With get the tokens as cookies, which no script can read."""

    name: str
    role: str
    token: str | None
    """null: it is in the cookie."""
    refresh_token: str | None
    token_type: str
    expires_in: int
    """Seconds."""


class Me(BaseModel):
    name: str
    role: str
    expires_in: int


class State(BaseModel):
    """What the page of the login needs to know before anybody is in."""

    needs_setup: bool
    """Nobody has a password: the terminal shows a link to set one."""
    min_password_length: int


class Cookies:
    """Two of them: one for each request, one for renewing. `port` keeps those of two gateways apart."""

    def __init__(self, port: int, *, is_secure: bool) -> None:
        self._is_secure = is_secure
        self.access = f"{'__Host-' if is_secure else ''}llmitm_{port}"
        self.refresh = f"{'__Secure-' if is_secure else ''}llmitm_{port}_refresh"

    def set(self, response: web.StreamResponse, login: Login, now_s: float) -> None:
        self._put(response, self.access, login.access, "/", login.who.expires_s - now_s)
        self._put(response, self.refresh, login.refresh, _AUTH, login.refresh_expires_s - now_s)

    def clear(self, response: web.StreamResponse) -> None:
        self._put(response, self.access, "", "/", 0)
        self._put(response, self.refresh, "", _AUTH, 0)

    def _put(self, response: web.StreamResponse, name: str, value: str, path: str, left_s: float) -> None:
        response.set_cookie(
            name,
            value,
            path=path,
            max_age=max(0, int(left_s)),
            httponly=True,
            secure=self._is_secure,
            samesite="Strict",
        )


def cookies_of(request: web.Request, *, is_secure: bool) -> Cookies:
    transport = request.transport
    place = transport.get_extra_info("sockname") if transport is not None else None
    return Cookies(place[1] if isinstance(place, tuple) else 0, is_secure=is_secure)


def _answer(asked: Asked, login: Login) -> web.Response:
    now_s = asked.world.clock.now_s()
    is_browser = asked.http.headers.get(CSRF_HEADER) == CSRF_VALUE
    told = Session(
        name=login.who.name,
        role=str(login.who.role),
        token=None if is_browser else login.access,
        refresh_token=None if is_browser else login.refresh,
        token_type="Bearer",
        expires_in=int(login.who.expires_s - now_s),
    )
    response = web.json_response(text=told.model_dump_json())
    if is_browser:
        asked.desk.cookies(asked.http).set(response, login, now_s)
    return response


async def log_in(asked: Asked) -> web.Response:
    """Exchanges a password for a session."""
    body: Credentials = asked.body
    address = asked.desk.address(asked.http)
    return _answer(asked, await asked.desk.doorman.log_in(body.username, body.password, address))


async def renew(asked: Asked) -> web.Response:
    """New tokens for a refresh token, from the body or the cookie; it can be used once."""
    body: Renewal = asked.body
    text = body.refresh_token or asked.http.cookies.get(asked.desk.cookies(asked.http).refresh)
    if body.refresh_token is None:
        check_intent(asked.http.headers)
    if text is None:
        raise Refused(401, "missing_token", "No refresh token was sent.")
    return _answer(asked, await asked.desk.doorman.renew(text))


async def log_out(asked: Asked) -> web.Response:
    """Ends the session: none of its tokens counts any more, here or elsewhere."""
    assert asked.who is not None
    await asked.desk.doorman.show_out(asked.who.session)
    response = web.Response(status=204)
    asked.desk.cookies(asked.http).clear(response)
    return response


async def me(asked: Asked) -> Me:
    """Who is logged in."""
    who = asked.who
    assert who is not None
    return Me(name=who.name, role=str(who.role), expires_in=int(who.expires_s - asked.world.clock.now_s()))


async def state(asked: Asked) -> State:
    """Whether anybody can log in at all."""
    from llmitm.admin.auth.passwords import LEAST_SIGNS

    return State(needs_setup=not asked.world.config.dashboard.accounts, min_password_length=LEAST_SIGNS)


async def set_first(asked: Asked) -> web.Response:
    """Sets the first password, with the link that the terminal showed; and logs in."""
    body: First = asked.body
    name = await asked.desk.first_link.use(body.token, body.password)
    return _answer(asked, asked.desk.doorman.login(name))


ROUTES: Final = (
    Route("POST", f"{_AUTH}/login", log_in, None, Credentials, Session, (401, 409, 429)),
    Route("POST", f"{_AUTH}/refresh", renew, None, Renewal, Session, (401,)),
    Route("POST", f"{_AUTH}/logout", log_out, Role.VIEWER, status=204),
    Route("GET", f"{_AUTH}/me", me, Role.VIEWER, None, Me),
    Route("GET", f"{_AUTH}/state", state, None, None, State),
    Route("POST", f"{_AUTH}/first", set_first, None, First, Session, (401, 409, 429)),
)
