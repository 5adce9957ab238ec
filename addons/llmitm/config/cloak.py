"""The words of a `cloak` table, as the operator says them, and what of it is possible but hardly meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from llmitm.config.table import Table
from llmitm.config.values import SecretText, wrong
from llmitm.secret import Secret
from llmitm.shape.cloak.words import Expression, Word, problem, repeated, stands_in_marks

if TYPE_CHECKING:
    from llmitm.config.schema import Config


class SensitiveWord(Table):
    """A word, or an expression of RE2's in a table of its own."""

    text: str | None = None
    regex: str | None = None

    @property
    def word(self) -> Word:
        return Expression(self.regex) if self.regex is not None else self.text or ""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.text is None) == (self.regex is None):
            why: str | None = 'a string or {regex = "..."} is expected'
        else:
            why = problem(self.word)
        if why is not None:
            raise wrong(why)
        return self


def as_words(value: Any) -> Any:
    """Strings as tables of one member."""
    if isinstance(value, list):
        return [{"text": one} if isinstance(one, str) else one for one in value]
    return value


def _long(value: Secret) -> Secret:
    if len(value.reveal()) < 16:
        raise wrong("at least 16 characters are expected")
    return value


class Cloak(Table):
    mode: Literal["always", "never", "auto"] = "always"
    strict_mode: bool = False
    system_prompt: str | None = None
    sensitive_words: Annotated[tuple[SensitiveWord, ...], BeforeValidator(as_words)] = ()
    cache_user_id: bool = False
    headers: Mapping[str, SecretText] = {}
    secret: Annotated[SecretText, AfterValidator(_long)] | None = None
    """That marks and pseudonyms are made with; None: one that is made and kept beside this file."""


def doubts(config: Config) -> Iterator[str]:
    """What the operator should know although it is possible."""
    for name, provider in config.providers.items():
        seen: set[int] = set()
        for one in (provider, *provider.credentials):
            if one.cloak is not None and id(one.cloak) not in seen:
                seen.add(id(one.cloak))
                yield from _doubts(f"providers.{name}.cloak", one.cloak)


def _doubts(place: str, cloak: Cloak) -> Iterator[str]:
    for at, first in repeated([one.word for one in cloak.sensitive_words]):
        yield (
            f"{place}.sensitive_words[{at}] is the same word as sensitive_words[{first}]: case makes no "
            "difference"
        )
    for at, one in enumerate(cloak.sensitive_words):
        if stands_in_marks(one.word):
            yield (
                f"{place}.sensitive_words[{at}] is found in the marks that stand for words: providers read "
                "it in them"
            )
    if cloak.strict_mode and not cloak.system_prompt:
        yield f"{place}.strict_mode replaces nothing: there is no system_prompt"
