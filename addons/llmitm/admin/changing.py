"""What all operations share that change the configuration."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from llmitm.admin.editing import Editor, Make, Written
from llmitm.admin.route import Asked
from llmitm.admin.shown import Shown
from llmitm.config.masked import mark, shown_url
from llmitm.secret import Secret

IF_MATCH: Final = {"If-Match": "The etag that the change was made from; a stale one is refused with 409."}
CHANGE_ERRORS: Final = (404, 409, 422)


class Taken(BaseModel):
    """A body. What is not named stays as it is; null takes a field out of the file. 0 is no false."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), strict=True)

    def named(self) -> dict[str, Any]:
        """What is named, by its name in the configuration."""
        return self.model_dump(exclude_unset=True)


class Changed(Shown):
    message: str
    id: str | None = None
    """Of what was made or changed, where it has one."""
    etag: str
    """Of the configuration as it is now."""
    changed: list[str]
    """Names of what is different in the running gateway."""
    needs_restart: list[str]
    """Names of what was changed and stays as it was until a restart."""
    warnings: list[str]


def editor(asked: Asked) -> Editor:
    return Editor(asked.world, asked.control)


def etag(asked: Asked) -> str | None:
    """What If-Match says; None: nothing."""
    told = asked.http.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    return told if told not in ("", "*") else None


async def change(asked: Asked, make: Make, what: str, *, message: str, id: str | None = None) -> Changed:
    """Raises as `Editor.edit`."""
    written = await editor(asked).edit(make, who=asked.by, what=what, etag=etag(asked))
    return changed(written, message, id)


def changed(written: Written, message: str, id: str | None = None) -> Changed:
    return Changed(
        message=message,
        id=id,
        etag=written.etag,
        changed=list(written.changed),
        needs_restart=list(written.needs_restart),
        warnings=list(written.warnings),
    )


def shown_secret(value: Secret | None, *, is_url: bool = False) -> str | None:
    """Its reference, or a mark that may be sent back to say that it stays; of a URL all but the password."""
    if value is None:
        return None
    if value.reference is not None:
        return value.reference
    text = value.reveal()
    return shown_url(text) if is_url else mark(text) if text else ""
