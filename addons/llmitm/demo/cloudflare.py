"""Cloudflare AI Gateway in front of the demonstration provider: its paths, its token, its errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from llmitm.demo.answers import Fields, Reply, whole


class Form(StrEnum):
    """How a request names its gateway."""

    NATIVE = "native"
    """`/v1/{account}/{gateway}/{slug}/{native path}`"""
    COMPAT = "compat"
    """`/v1/{account}/{gateway}/compat/{path}`: the model is `{slug}/{model}`."""
    REST = "rest"
    """`/client/v4/accounts/{account}/ai/v1/{path}`: the only credential is Cloudflare's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """The part of a path that is Cloudflare's."""

    form: Form
    account: str
    gateway: str
    rest: str
    """The remaining path, `/`-first."""


_COMPAT_PATHS = ("/chat/completions", "/completions", "/embeddings", "/responses")
_REST_PATHS = ("/chat/completions", "/responses", "/messages")
_GATEWAY = re.compile(r"/v1/(?P<account>[^/]+)/(?P<gateway>[^/]+)/(?P<slug>[^/]+)(?P<rest>/.*)")
_REST = re.compile(r"/client/v4/accounts/(?P<account>[^/]+)/ai/v1(?P<rest>/.*)")
_NOT_ACCOUNTS = frozenset(
    [
        "audio",
        "batches",
        "chat",
        "completions",
        "embeddings",
        "files",
        "images",
        "messages",
        "models",
        "moderations",
        "projects",
        "realtime",
        "responses",
        "uploads",
    ]
)
"""First segments of the APIs' own paths below /v1."""

ERRORS: dict[int, tuple[int, str]] = {
    2001: (400, "Please configure AI Gateway in the Cloudflare dashboard"),
    2002: (502, "Failed to parse model output"),
    2003: (429, "Rate limited"),
    2005: (400, "Failed to get response from provider"),
    2008: (400, "Invalid provider"),
    2009: (401, "Unauthorized"),
    2016: (424, "Prompt blocked due to security configurations"),
    2017: (424, "Response blocked due to security configurations"),
    2019: (400, "Chat completion bad format"),
    2021: (402, "Insufficient AI Gateway credits"),
    2029: (424, "Request blocked by DLP"),
    2030: (424, "Response blocked by DLP"),
    2040: (400, "No BYOK credential of that name"),
    2041: (429, "Spend limit exceeded"),
    2047: (400, "Invalid User Credentials"),
    2049: (402, "Insufficient balance; add money to your gateway"),
    7003: (400, "User Input Error"),
    7013: (503, "Guardrails service unavailable"),
    10000: (401, "Authentication error"),
}
"""Code to status and message. The status of 2002, 2029, 2030 and 2047 is not published."""


def find(path: str) -> Hop | None:
    """The hop that a path goes through, or None where it is no path of Cloudflare's."""
    if found := _REST.fullmatch(path):
        return Hop(form=Form.REST, account=found["account"], gateway="default", rest=found["rest"])
    found = _GATEWAY.fullmatch(path)
    if not found or found["account"] in _NOT_ACCOUNTS:
        return None
    form = Form.COMPAT if found["slug"] == "compat" else Form.NATIVE
    return Hop(form=form, account=found["account"], gateway=found["gateway"], rest=found["rest"])


def refuse_path(hop: Hop) -> Reply | None:
    """The error for a path that this form does not serve."""
    if hop.form is Form.COMPAT and hop.rest not in _COMPAT_PATHS:
        return error(2008)
    if hop.form is Form.REST and hop.rest not in _REST_PATHS:
        return error(7003)
    return None


def refuse_model(hop: Hop, model: object) -> Reply | None:
    """The error for a model without the vendor that these forms want before it."""
    if hop.form is Form.NATIVE or (isinstance(model, str) and "/" in model):
        return None
    return error(2019 if hop.form is Form.COMPAT else 7003)


def error(code: int, *, headers: Fields = ()) -> Reply:
    """An error that Cloudflare makes, by its own code; an unknown code is a 400."""
    status, message = ERRORS.get(code, (400, "Unknown error"))
    problem = [{"code": code, "message": message}]
    body: dict[str, Any] = {"success": False, "result": [], "messages": []}
    if code == 10000:
        # made by the management API in front of the gateway: another envelope
        body = {**body, "result": None, "errors": problem}
    else:
        body |= {
            "error": problem,
            "name": "AiGatewayError",
            "httpCode": status,
            "internalCode": code,
            "message": message,
            "description": "",
        }
    return whole(body, status=status, headers=(("cf-ray", "demo0000000000000-FRA"), *headers))


def headers(hop: Hop) -> Fields:
    """What Cloudflare adds to an answer that came through."""
    log_id = "019c0000-0000-7000-8000-000000000000"
    return (
        ("cf-aig-cache-status", "MISS"),
        ("cf-aig-step", "0"),
        ("cf-aig-log-id", log_id),
        ("cf-aig-event-id", log_id),
        ("cf-aig-request-id", log_id),
        ("cf-ray", "demo0000000000000-FRA"),
    )
