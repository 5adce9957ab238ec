"""What a provider can be asked beside an answer: to go on with a text, to embed texts, to count tokens. Pure.

What is known of a provider's name counts, and over that what the operator says. Of a host that nobody knows
it is taken that it has what usually goes with its format.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from llmitm.exchange import Dialect
from llmitm.route.providers import Candidate

OPENAI: Final = frozenset({Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES})
_COUNTING: Final = (Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI, Dialect.OPENAI_RESPONSES)


def is_openai_like(chosen: Candidate) -> bool:
    return not OPENAI.isdisjoint(chosen.dialects)


def completes(chosen: Candidate) -> bool:
    """Whether it completes plain prompts with this model; those that do not are asked as chat."""
    if not is_openai_like(chosen):
        return False
    globs = chosen.options.completions
    if globs is None:
        known = chosen.options.known(chosen.provider)
        if known is None:
            return True
        globs = known.completes
    return any(fnmatchcase(chosen.model, glob) for glob in globs)


def embeds_in(chosen: Candidate, client: Dialect) -> Dialect | None:
    """The dialect in which it is asked for vectors; None: Anthropic's API has none."""
    if Dialect.GEMINI in chosen.dialects and (client is Dialect.GEMINI or not is_openai_like(chosen)):
        return Dialect.GEMINI
    return Dialect.OPENAI_CHAT if is_openai_like(chosen) else None


def most_embedded(chosen: Candidate) -> int | None:
    """Texts that it embeds at once; None: as many as anybody sends."""
    known = chosen.options.known(chosen.provider)
    if known is not None:
        return known.most_embedded
    return 100 if Dialect.GEMINI in chosen.dialects else None


def counts_in(chosen: Candidate, client: Dialect) -> Dialect | None:
    """The dialect in which it is asked for a count, the client's own if it can be; None: in none."""
    able = [one for one in _COUNTING if _may_count(chosen, one)]
    if client in able:
        return client
    return able[0] if able else None


def _may_count(chosen: Candidate, dialect: Dialect) -> bool:
    if dialect not in chosen.dialects:
        return False
    known = chosen.options.known(chosen.provider)
    if known is None:
        return True
    if known.counts_nothing:
        return False
    return dialect in known.counts or dialect is not Dialect.OPENAI_RESPONSES


def is_sure_to_count(chosen: Candidate) -> bool:
    """False: a path that is not found there may be one that it has not."""
    known = chosen.options.known(chosen.provider)
    return known is not None and bool(known.counts)
