"""The OpenAPI document, made of the operations themselves. Pure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from llmitm import __version__
from llmitm.admin.guard import CSRF_HEADER, CSRF_VALUE
from llmitm.admin.route import Route

_SCHEMAS: Final = "#/components/schemas/{model}"
_WORDS: Final = {
    400: "Not HTTP, or not JSON, as it should be.",
    401: "Nobody is logged in, or no longer.",
    403: "The role is too small, or a page of another site asks.",
    404: "There is no such thing.",
    409: "Things are not as the request takes them to be.",
    412: "The configuration has changed meanwhile.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The dashboard is not known by this name.",
    422: "Fields are missing or wrong; `problems` says which.",
    428: "If-Match is missing.",
    429: "Too often; Retry-After says when again.",
    500: "The gateway failed; its log says how.",
    502: "The provider could not be reached.",
    503: "What this needs is not there at the moment.",
}
_ERROR: Final = {
    "type": "object",
    "required": ["error", "message"],
    "properties": {
        "error": {"type": "string", "description": "Stable, for programs."},
        "message": {"type": "string", "description": "For people."},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    references, definitions = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, path, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llmitm dashboard",
            "version": __version__,
            "description": "What an operator sees and changes. Programs send `Authorization: Bearer`; "
            f"browsers have a cookie, and send `{CSRF_HEADER}: {CSRF_VALUE}` with what changes anything.",
        },
        "paths": paths,
        "components": {
            "schemas": {**definitions, "Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


type _References = dict[tuple[type[BaseModel], str], dict[str, Any]]


def _schemas(routes: Sequence[Route]) -> tuple[_References, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], Any], None] = {}
    for route in routes:
        if route.takes is not None:
            wanted[(route.takes, "validation")] = None
        if route.gives is not None:
            wanted[(route.gives, "serialization")] = None
    references, made = models_json_schema(list(wanted), ref_template=_SCHEMAS)
    return references, made.get("$defs", {})  # type: ignore[return-value]


def _operation(route: Route, path: str, references: _References) -> dict[str, Any]:
    told = inspect.getdoc(route.handler) or ""
    made: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', path)}".rstrip("_"),
        "summary": told.partition("\n\n")[0].replace("\n", " "),
        "description": f"Needs the role {route.role}." if route.role is not None else "Needs no login.",
        "parameters": [
            *(_in_path(name) for name in re.findall(r"\{(\w+)\}", path)),
            *_in_query(route.query),
            *(_in_header(name, text) for name, text in route.headers.items()),
        ],
        "responses": _responses(route, path, references),
        "security": [{"bearer": []}] if route.role is not None else [],
    }
    if route.takes is not None:
        made["requestBody"] = {
            "required": route.needs_body,
            "content": {"application/json": {"schema": references[(route.takes, "validation")]}},
        }
    return made


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_header(name: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": {"type": "string"},
    }


def _in_query(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema()
    needed = schema.get("required", ())
    defs = schema.get("$defs", {})
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": _plain(one, defs)}
        for name, one in schema.get("properties", {}).items()
    ]


def _plain(schema: Any, defs: dict[str, Any]) -> Any:
    """Without references to what only stands in the model, and without null: a URL has none."""
    match schema:
        case {"$ref": str(ref)}:
            return _plain(defs[ref.rpartition("/")[2]], defs)
        case {"anyOf": list(some), **rest}:
            left = [_plain(one, defs) for one in some if one != {"type": "null"}]
            kept = {name: one for name, one in rest.items() if not (name == "default" and one is None)}
            return {**kept, **left[0]} if len(left) == 1 else {**kept, "anyOf": left}
        case dict():
            return {name: _plain(one, defs) for name, one in schema.items()}
        case list():
            return [_plain(one, defs) for one in schema]
        case _:
            return schema


def _responses(route: Route, path: str, references: _References) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    if route.gives is not None:
        good["content"] = {"application/json": {"schema": references[(route.gives, "serialization")]}}
    statuses = {421, *route.errors}
    if route.role is not None:
        statuses |= {401, 403}
    if route.method not in ("GET", "HEAD"):
        statuses.add(403)
    if route.takes is not None:
        statuses |= {400, 413, 415, 422}
    if route.query is not None:
        statuses.add(422)
    if "{" in path:
        statuses.add(404)
    failed = {
        str(status): {
            "description": _WORDS.get(status, "Not done."),
            "content": {"application/json": {"schema": {"$ref": _SCHEMAS.format(model="Error")}}},
        }
        for status in sorted(statuses)
    }
    if route.is_free:
        failed["default"] = {"description": "As whoever was asked answers."}
    return {str(route.status): good, **failed}
