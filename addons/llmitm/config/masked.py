"""The configuration's text for eyes that must not see keys, and back again.

A secret that is written out stands as a mark, `***` with eight digits of its hash between: the same
secret always has the same mark, so that a text that was shown, edited and sent back says which was meant.
References (`env:NAME`, `file:PATH`) stay. In comments, what looks like a key is masked too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import tomli

from llmitm.config.raw import SECRETS, plain
from llmitm.errors import ConfigError, Problem
from llmitm.secret import MASK, Redactor

_MARK: Final = re.compile(r"\*\*\*[0-9a-f]{8}\*\*\*")
_COMMENT: Final = re.compile(r"(?:^\s*|\s)#[^\"']*$")
_LONG: Final = 8
"""From so many characters on a secret is looked for outside of quotes, too."""


def mark(secret: str) -> str:
    return f"{MASK}{hashlib.sha256(secret.encode()).hexdigest()[:8]}{MASK}"


def masked(text: str) -> str:
    """`text` as it is shown."""
    try:
        found = secrets_in(text)
    except tomli.TOMLDecodeError:
        return "# this file cannot be shown: it is no TOML, so what is secret in it is not known\n"
    made = "\n".join(_line(line) for line in _marked(text, found).split("\n"))
    try:
        is_safe = all(_MARK.fullmatch(one) for one in secrets_in(made))
    except tomli.TOMLDecodeError:
        is_safe = False
    return made if is_safe else "# this file cannot be shown: secrets are written in a way that hides them\n"


def unmasked(text: str, *known: str) -> str:
    """`text`, which was shown and may have been edited, with what its marks stand for.

    `known` are texts that the secrets may be found in, the first one first.

    Raises:
        ConfigError: with each place where a mark stands for nothing that is known, or where no secret may
            stand: it would be shown there.
    """
    there = {one for known_text in known for one in _misplaced(masked(known_text))}  # not a secret there
    if misplaced := [place for place, value in _misplaced(text) if (place, value) not in there]:
        what = "holds a masked value where no secret is kept; write the value itself"
        raise ConfigError("the text", [Problem(place, what) for place in misplaced])
    values: dict[str, str] = {}
    lines: dict[str, str] = {}
    for one in known:
        try:
            found = secrets_in(one)
        except tomli.TOMLDecodeError:
            continue
        for secret in found:
            values.setdefault(mark(secret), secret)
        for before, after in zip(one.split("\n"), masked(one).split("\n"), strict=False):
            if MASK in after:
                lines.setdefault(after.strip(), before.strip())
    made = []
    for line in text.split("\n"):
        if (whole := lines.get(line.strip())) is not None:
            line = line.replace(line.strip(), whole)
        made.append(_MARK.sub(lambda found: _escaped(values.get(found[0], found[0])), line))
    wrong = [
        Problem(f"line {number}", "holds a masked value that is not known any more; write the value itself")
        for number, line in enumerate(made, 1)
        if _MARK.search(line)
    ]
    if wrong:
        raise ConfigError("the text", wrong)
    return "\n".join(made)


def restored(value: str, text: str) -> str:
    """`value` with what its marks stand for in `text`.

    Raises:
        LookupError: one stands for nothing there.
    """
    if not _MARK.search(value):
        return value
    known = {mark(secret): secret for secret in secrets_in(text)}
    if any(found not in known for found in _MARK.findall(value)):
        raise LookupError(value)
    return _MARK.sub(lambda found: known[found[0]], value)


def shown_url(url: str) -> str:
    """A URL with its password masked."""
    password = _password(url)
    return url if password is None else url.replace(password, mark(password), 1)


def secrets_in(text: str) -> tuple[str, ...]:
    """Every secret that is written out, the longest first.

    Raises:
        tomli.TOMLDecodeError
    """
    raw = plain(text.replace("\r\n", "\n"))
    return tuple(sorted(set(_secrets(raw, "")), key=len, reverse=True))


def _secrets(value: Any, key: str) -> Iterator[str]:
    match value:
        case dict():
            for name, one in value.items():
                yield from _secrets(one, key if key == "headers" else name.replace("-", "_"))
        case list():
            for one in value:
                yield from _secrets(one, key)
        case str() if key in SECRETS and value and not value.startswith(("env:", "file:")):
            if "://" not in value:
                yield value
            elif password := _password(value):
                yield password


def is_in_place(value: str, key: str) -> bool:
    """Whether the marks in a value stand only where a secret is hidden when it is shown."""
    if not _MARK.search(value):
        return True
    if key not in SECRETS:
        return False
    return "://" not in value or not _MARK.search(shown_url(value).replace(mark(_password(value) or ""), ""))


def _misplaced(text: str) -> Iterator[tuple[str, str]]:
    """Each place, and what stands there."""
    try:
        raw = plain(text.replace("\r\n", "\n"))
    except tomli.TOMLDecodeError:
        return  # nothing comes of such a text
    yield from _misplaced_in(raw, "", "")


def _misplaced_in(value: Any, key: str, at: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for name, one in value.items():
                place = f"{at}.{name}" if at else name
                if _MARK.search(name):
                    yield at, name
                yield from _misplaced_in(one, key if key == "headers" else name.replace("-", "_"), place)
        case list():
            for number, one in enumerate(value):
                yield from _misplaced_in(one, key, f"{at}[{number}]")
        case str() if not is_in_place(value, key):
            yield at, value


def _password(url: str) -> str | None:
    """As it stands in the URL."""
    try:
        user = urlsplit(url).netloc.rpartition("@")[0]
    except ValueError:
        return url
    return user.partition(":")[2] or user or None


def _marked(text: str, found: tuple[str, ...]) -> str:
    for secret in found:
        written = {_escaped(secret), secret}
        for form in written:
            if len(secret) >= _LONG:
                text = text.replace(form, mark(secret))
            else:
                for start, end in (('"', '"'), ("'", "'"), (":", "@"), ("//", "@")):
                    text = text.replace(f"{start}{form}{end}", f"{start}{mark(secret)}{end}")
    return text


def _line(line: str) -> str:
    """With comments that hold no key."""
    found = _COMMENT.search(line) if "#" in line else None
    if line.lstrip().startswith("#"):
        return _redact(line)
    if found is None:
        return line
    return line[: found.start()] + _redact(line[found.start() :])


_redact: Final = Redactor()


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
