"""The port of the dashboard: who may ask, what is read, how errors look. Handlers stand elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from llmitm.admin import guard, pages
from llmitm.admin.auth.doorman import Doorman
from llmitm.admin.auth.first_link import FirstLink
from llmitm.admin.desk import Desk
from llmitm.admin.document import document
from llmitm.admin.route import BASE, Answer, Asked, Role, Route, Who
from llmitm.admin.routes import ROUTES
from llmitm.admin.watching import Watching
from llmitm.control import Control
from llmitm.errors import ConfigError, Refused
from llmitm.world import World

log = logging.getLogger("llmitm")

BODY_LIMIT_BYTES: Final = 4 * 1_048_576
_DESK: Final = web.AppKey("desk", Desk)
_STOP_S: Final = 2.0
_OPENAPI: Final = f"{BASE}/openapi.json"

type _Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Starts and stops it. Belongs to the event loop of the gateway."""

    def __init__(
        self,
        world: World,
        control: Control,
        *,
        env: Mapping[str, str] | None = None,
        static: Path = pages.FOLDER,
        routes: tuple[Route, ...] = ROUTES,
        folder: Path | None = None,
    ) -> None:
        """`folder` is where keys of logins are kept; None: beside the configuration."""
        self._world = world
        if folder is None:
            folder = world.source.path.parent if world.source is not None else Path.cwd()
        self.folder = folder
        doorman = Doorman(world, folder)
        self.desk = Desk(
            world=world,
            control=control,
            doorman=doorman,
            first_link=FirstLink(world, control, doorman.comparer, os.environ if env is None else env),
            watching=Watching(world),
        )
        self._app = _application(self.desk, routes, static)
        self._runner: web.AppRunner | None = None
        self.url: str | None = None
        """Where it listens, without path; None: it does not."""

    async def start(self) -> str:
        """Returns where it listens.

        Raises:
            OSError: it cannot.
        """
        settings, server = self._world.config.dashboard, self._world.config.server
        context = None
        if server.tls_cert is not None and server.tls_key is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(server.tls_cert, server.tls_key)
        runner = web.AppRunner(
            self._app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S, keepalive_timeout=75
        )
        await runner.setup()
        site = web.TCPSite(runner, settings.host.strip("[]"), settings.port, ssl_context=context)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.desk.watching.start()
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host.strip("[]") else settings.host
        self.url = f"{'https' if context is not None else 'http'}://{host}:{port}"
        if not settings.accounts:
            self._show_first_link()
        return self.url

    def _show_first_link(self) -> None:
        # past the log: it is a key, and logs are kept
        link = f"{self.url}/welcome#{self.desk.first_link.make()}"
        print(
            "llmitm: the dashboard has no password yet; this link sets one, once, within 10 minutes:\n"
            f"  {link}",
            file=sys.stderr,
            flush=True,
        )

    async def close(self) -> None:
        """Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self.desk.replays.close()
            self.desk.watching.close()
            self.desk.doorman.close()
            await runner.cleanup()


def _application(desk: Desk, routes: tuple[Route, ...], static: Path) -> web.Application:
    app = web.Application(middlewares=[_guarded], client_max_size=BODY_LIMIT_BYTES)
    app[_DESK] = desk
    app.on_response_prepare.append(_told_to_browsers)

    async def openapi(asked: Asked) -> Answer:
        """This document."""
        return Answer(body=await asyncio.to_thread(described))

    routes = (*routes, Route("GET", _OPENAPI, openapi, Role.VIEWER))

    @cache
    def described() -> bytes:  # a tenth of a second, which no start is to wait for
        return orjson.dumps(document(routes))

    for route in routes:
        app.router.add_route(route.method, route.path, _carried(route))
    site = pages.Pages(static)
    for method in ("GET", "HEAD"):
        app.router.add_route(method, pages.PATH, site.serve)
    return app


# -- around every request


@web.middleware
async def _guarded(request: web.Request, handler: _Next) -> web.StreamResponse:
    desk = request.app[_DESK]
    try:
        guard.check_host(request.headers.get("Host"), desk.world.config.dashboard.names)
        is_upgrade = request.headers.get("Upgrade") is not None
        if request.method not in guard.SAFE or is_upgrade:
            guard.check_origin(request.headers, request.headers["Host"], desk.scheme(request))
        return await handler(request)
    except Exception as error:
        return _failed(error, request)


async def _told_to_browsers(request: web.Request, response: web.StreamResponse) -> None:
    """Of every answer, streamed ones as well."""
    for name, value in guard.HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", guard.POLICY)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    response.headers["Server"] = "llmitm"


def _failed(error: Exception, request: web.Request) -> web.Response:
    redact = request.app[_DESK].world.redact
    match error:
        case Refused():
            beside = {name.decode(): value.decode() for name, value in error.headers}
            return _error(error.status, error.code, redact(error.message), beside, **_details(error))
        case _Unreadable():
            return _error(error.status, error.code, redact(str(error)), problems=error.problems)
        case ConfigError():
            problems = [{"path": one.path, "message": redact(one.message)} for one in error.problems]
            return _error(422, "validation_failed", "The configuration cannot be used so.", problems=problems)
        case web.HTTPException():
            code = re.sub(r"\W+", "_", error.reason.lower())
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _error(error.status, code, f"{error.reason}.", allow)
        case LookupError() if type(error) is LookupError:
            return _error(404, "not_found", redact(f"{error}."))
        case _:
            log.error("%s %s broke", request.method, request.path, exc_info=error)
            return _error(500, "internal_error", "The gateway failed; its log says how.")


def _details(error: Refused) -> dict[str, Any]:
    """What a handler wants told beside, such as the difference of a stale edit."""
    details = getattr(error, "details", None)
    return details if isinstance(details, dict) else {}


def _error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **beside: Any
) -> web.Response:
    body = orjson.dumps({"error": code, "message": message, **beside}, default=str)
    made = {**(headers or {})}
    if status == 401:
        made["WWW-Authenticate"] = "Bearer"
    return web.Response(status=status, body=body, content_type="application/json", headers=made)


# -- one operation


class _Unreadable(Exception):
    """A body or query that is not what the operation takes."""

    def __init__(self, status: int, code: str, message: str, problems: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problems = problems


def _carried(route: Route) -> _Next:
    async def carry(request: web.Request) -> web.StreamResponse:
        who = await _known(request) if route.role is not None else None
        if who is not None and route.role is not None and who.role < route.role:
            raise Refused(403, "forbidden", f"This takes the role {route.role}; yours is {who.role}.")
        if route.takes is not None and request.method not in guard.SAFE:
            body: Any = await _body(request, route.takes, is_needed=route.needs_body)
        else:
            body = None
        asked = Asked(
            desk=request.app[_DESK],
            who=who,
            body=body,
            query=_query(request, route.query),
            path=request.match_info,
            http=request,
        )
        return _made(await route.handler(asked), route)

    return carry


async def _known(request: web.Request) -> Who:
    """Who asks. A token in a header wins over a cookie."""
    desk = request.app[_DESK]
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await desk.doorman.know(shown.strip(), is_by_cookie=False)
    kept = request.cookies.get(desk.cookies(request).access)
    if not kept:
        raise Refused(401, "missing_token", "Log in first.")
    if request.method not in guard.SAFE:
        guard.check_intent(request.headers)
    if request.headers.get("Upgrade") is not None and "Origin" not in request.headers:
        raise Refused(403, "foreign_origin", "A WebSocket with a cookie says which page it comes from.")
    return await desk.doorman.know(kept, is_by_cookie=True)


async def _body(request: web.Request, model: type[BaseModel], *, is_needed: bool) -> BaseModel:
    if request.body_exists and request.content_type != "application/json":
        # forms of other sites cannot send this one
        raise Refused(415, "unsupported_media_type", "The body must be JSON: Content-Type: application/json.")
    data = await request.read()
    if is_needed and not data:
        raise Refused(400, "missing_body", "The body is missing; {} changes nothing.")
    try:
        return model.model_validate_json(data or b"{}")
    except ValidationError as error:
        raise _told(error, "The body") from None


def _query(request: web.Request, model: type[BaseModel] | None) -> Any:
    if model is None:
        return request.query
    # forms send what was left empty, too
    given = [(name, value) for name, value in request.query.items() if value]
    found = dict(given)
    if len(found) != len(given):
        raise _Unreadable(422, "validation_failed", "A parameter is there twice.", [])
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise _told(error, "The query") from None


def _told(error: ValidationError, what: str) -> _Unreadable:
    problems = [
        {"path": ".".join(str(part) for part in one["loc"]), "message": _lowered(one["msg"])}
        for one in error.errors(include_url=False, include_input=False)
    ]
    if any(one["type"] == "json_invalid" for one in error.errors(include_url=False, include_input=False)):
        return _Unreadable(400, "invalid_json", f"{what} is not valid JSON.", problems)
    return _Unreadable(422, "validation_failed", f"{what} is not as expected.", problems)


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _made(found: BaseModel | Answer | web.StreamResponse, route: Route) -> web.StreamResponse:
    if isinstance(found, web.StreamResponse):
        return found
    if isinstance(found, BaseModel):
        found = Answer(status=route.status, body=found)
    body, media = found.body, found.media
    if isinstance(body, BaseModel):
        body, media = body.model_dump_json().encode(), "application/json"
    response = web.Response(status=found.status, body=body, headers=dict(found.headers))
    if body is not None:
        response.content_type = media
    return response


async def started(world: World, control: Control) -> Server | None:
    """Starts it; None where it cannot, which the log tells: requests are served all the same."""
    server: Server | None = None
    try:
        server = Server(world, control)
        url = await server.start()
    except asyncio.CancelledError:
        raise
    except Exception as error:
        settings = world.config.dashboard
        why = (
            (os.strerror(error.errno) if error.errno else str(error)) if isinstance(error, OSError) else None
        )
        log.error(
            "the dashboard cannot listen on %s:%s: %s", settings.host, settings.port, why or repr(error)
        )
        if server is not None:
            await server.close()
        return None
    log.info("dashboard on %s", url)
    return server
