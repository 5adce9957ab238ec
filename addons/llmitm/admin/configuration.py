"""Operations on the configuration as a whole: look, check, compare, apply, go back."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import Field

from llmitm.admin.changing import CHANGE_ERRORS, IF_MATCH, Changed, Taken, changed, editor, etag
from llmitm.admin.editing import MOST_BYTES
from llmitm.admin.route import BASE, Answer, Asked, Role, Route
from llmitm.admin.shown import Shown
from llmitm.config.history import Version as Kept
from llmitm.config.schema import Config
from llmitm.errors import Problem, Refused
from llmitm.secret import Secret


class Wrong(Shown):
    path: str
    message: str


class Current(Shown):
    path: str
    text: str
    """With a mark in the place of each secret; sent back, it stands for the same secret."""
    etag: str
    read_only: str | None
    """Why it cannot be changed from here; null: it can."""
    problems: list[Wrong]
    """Why what the file says now cannot be used; the gateway runs with what it read before."""
    warnings: list[str]
    config: dict[str, Any]
    """What the gateway runs with, defaults included."""


class Text(Taken):
    text: str = Field(max_length=MOST_BYTES)


class Compared(Taken):
    text: str | None = Field(default=None, max_length=MOST_BYTES)
    number: int | None = Field(default=None, ge=1)
    """A version to compare with, in the place of a text."""


class Applied(Text):
    message: str | None = Field(default=None, max_length=200)
    """What is said of it in the history."""


class Back(Taken):
    number: int = Field(ge=1)


class Validated(Shown):
    valid: bool
    problems: list[Wrong]
    warnings: list[str]


class Difference(Shown):
    difference: str
    """As `diff -u` tells it, with secrets masked; empty where there is none."""


class Version(Shown):
    number: int
    at: str
    who: str
    what: str
    etag: str
    size_bytes: int
    is_current: bool


class Versions(Shown):
    versions: list[Version]
    """The newest first."""


class Whole(Version):
    text: str
    difference: str
    """From what the file says now to this version."""


class Reloaded(Shown):
    message: str


async def current(asked: Asked) -> Answer:
    stands, config = await editor(asked).stands(), asked.world.config
    found = Current(
        path=stands.path,
        text=stands.text,
        etag=stands.etag,
        read_only=stands.read_only,
        problems=_wrong(stands.problems, asked),
        warnings=list(config.warnings),
        config=parsed(config),
    )
    return Answer(body=found, headers={"ETag": f'"{stands.etag}"'})


def parsed(config: Config) -> dict[str, Any]:
    """As data, without secrets."""
    found = _plain(config)
    assert isinstance(found, dict)
    return found


def _plain(value: Any) -> Any:
    match value:
        case Secret():
            return value.reference or "***"
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case tuple() | list():
            return [_plain(one) for one in value]
        case None | bool() | int() | float() | str():
            return value
        case _ if hasattr(type(value), "model_fields"):
            hidden = ("source", "warnings")
            return {
                name: _plain(getattr(value, name)) for name in type(value).model_fields if name not in hidden
            }
        case _ if hasattr(value, "items"):
            return {str(name): _plain(one) for name, one in value.items()}
        case _:
            return str(value)


async def validate(asked: Asked) -> Validated:
    problems, warnings = await editor(asked).check(asked.body.text)
    return Validated(valid=not problems, problems=_wrong(problems, asked), warnings=list(warnings))


async def diff(asked: Asked) -> Difference:
    if (asked.body.text is None) == (asked.body.number is None):
        raise Refused(422, "validation_failed", "Either a text or the number of a version is needed.")
    return Difference(difference=await editor(asked).difference(asked.body.text or "", asked.body.number))


async def apply(asked: Asked) -> Changed:
    told = etag(asked)
    if told is None:
        raise Refused(428, "etag_needed", "Say with If-Match which text was edited: its etag.")
    written = await editor(asked).apply(
        asked.body.text, who=asked.by, what=asked.body.message or "the text was edited", etag=told
    )
    return changed(written, "The configuration is in force.")


async def history(asked: Asked) -> Versions:
    found, stands = await editor(asked).versions(), await editor(asked).stands()
    return Versions(versions=[_version(one, stands.etag, number == 0) for number, one in enumerate(found)])


def _version(one: Kept, now: str, is_newest: bool) -> Version:
    return Version(
        number=one.number,
        at=one.at,
        who=one.who,
        what=one.what,
        etag=one.etag,
        size_bytes=one.size_bytes,
        is_current=is_newest and one.etag == now,
    )


async def version(asked: Asked) -> Whole:
    number = _number(asked.path["number"])
    found, text = await editor(asked).version(number)
    stands = await editor(asked).stands()
    return Whole(
        **_version(found, stands.etag, True).model_dump(),
        text=text,
        difference=await editor(asked).difference("", number),
    )


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise LookupError(f"there is no version {text[:20]} of the configuration")
    return int(text)


async def roll_back(asked: Asked) -> Changed:
    written = await editor(asked).roll_back(asked.body.number, who=asked.by, etag=etag(asked))
    return changed(written, f"The configuration is that of version {asked.body.number} again.")


async def reload(asked: Asked) -> Reloaded:
    try:
        await asked.control.reload()
    except LookupError as error:
        raise Refused(409, "config_no_file", f"{error}.") from None
    return Reloaded(message="The configuration was read anew and is in force.")


async def admin_config(asked: Asked) -> Answer:
    return Answer(body=json.dumps(parsed(asked.world.config)).encode())  # numbers may be of any size


def _wrong(problems: tuple[Problem, ...], asked: Asked) -> list[Wrong]:
    return [Wrong(path=one.path, message=asked.world.redact(one.message)) for one in problems]


_AT: Final = f"{BASE}/config"
ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", f"{_AT}/current", current, Role.VIEWER, gives=Current, errors=(409,)),
    # a text may name files to read and modules to load, which checking it does
    Route("POST", f"{_AT}/validate", validate, Role.ADMIN, Text, Validated, (409, 422)),
    Route("POST", f"{_AT}/diff", diff, Role.VIEWER, Compared, Difference, (404, 409, 422)),
    Route(
        "POST", f"{_AT}/apply", apply, Role.ADMIN, Applied, Changed, (*CHANGE_ERRORS, 428), headers=IF_MATCH
    ),
    Route("GET", f"{_AT}/history", history, Role.VIEWER, gives=Versions, errors=(409,)),
    Route("GET", f"{_AT}/history/{{number}}", version, Role.VIEWER, gives=Whole, errors=(404, 409)),
    Route("POST", f"{_AT}/rollback", roll_back, Role.ADMIN, Back, Changed, CHANGE_ERRORS, headers=IF_MATCH),
    Route("POST", f"{_AT}/reload", reload, Role.OPERATOR, gives=Reloaded, errors=(409, 422)),
    Route("GET", "/admin/config", admin_config, Role.VIEWER),
)
