"""Which providers serve a model, and how they spell it. Pure.

A model belongs to the first of these that some provider says or implies:

1. an entry of `models` with this very name or alias
2. an entry that is a glob
3. the provider's name, or its `prefix`, before a slash: `groq/llama-4`
4. the vendor whose model it is, by its name
5. providers without `models` that are not one vendor's alone
6. one vendor's alone, where the name says nothing of a vendor

Credentials may override what their provider says, so each is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from llmitm.config.providers import Credential, ProviderOptions
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route.known import KNOWN, Auth, family_of
from llmitm.secret import Secret

_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One credential of a provider that serves the model; or the provider, where it has none."""

    provider: str
    options: ProviderOptions
    credential: Credential | None
    model: str
    """As the upstream spells it."""

    @property
    def base(self) -> str:
        base = self.options.base(self.provider)
        assert base is not None, "those without one are no candidates"
        return base

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        return self.options.dialects(self.provider)

    def dialect_for(self, client: Dialect) -> Dialect:
        """The client's own where the provider speaks it."""
        return client if client in self.dialects else self.options.dialect(self.provider)

    @property
    def has_stream_options(self) -> bool:
        """Whether it takes `stream_options` in chat; whoever is not known is taken to."""
        known = self.options.known(self.provider)
        return known is None or known.has_stream_options

    def auth(self, dialect: Dialect) -> Auth:
        return auth_of(self.provider, self.options, dialect)


def auth_of(provider: str, options: ProviderOptions, dialect: Dialect) -> Auth:
    """Where a provider looks for its key."""
    known = options.known(provider)
    if known is not None and dialect in known.formats:
        return known.auth
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return "x-api-key"
        case Dialect.GEMINI:
            return "x-goog-api-key"
        case _:
            return "bearer"


def key_headers(auth: Auth, key: Secret) -> tuple[tuple[bytes, Secret], ...]:
    if auth in ("bearer", "optional"):
        return ((b"authorization", Secret(f"Bearer {key.reveal()}", key.reference)),)
    return ((auth.encode(), key),)


def find(model: str, config: Config, *, only: str | None = None) -> tuple[Candidate, ...]:
    """Those that serve the model, all of the best rank there is. `only` names the one provider to ask.

    Raises:
        Refused: 404 where no provider serves it, 503 where those that do are out of service.
    """
    best: list[Candidate] = []
    best_rank = _NONE
    has_disabled = False
    for name, options, credential in entries(config, only):
        found = _rank(model, name, options, force_prefix=config.routing.force_model_prefix)
        if found is None or options.base(name) is None:
            continue
        if options.disabled or config.providers[name].disabled:
            has_disabled = True
            continue
        rank, spelled = found
        if rank < best_rank:
            best, best_rank = [], rank
        if rank == best_rank:
            best.append(Candidate(provider=name, options=options, credential=credential, model=spelled))
    if best:
        return tuple(best)
    if has_disabled:
        raise Refused(503, "no_credential", f"No provider of the model {_shown(model)} is in service.")
    raise Refused(
        404, "model_not_found", f"No provider serves the model {_shown(model)}. {_configured(config, only)}"
    )


def entries(config: Config, only: str | None) -> Iterator[tuple[str, ProviderOptions, Credential | None]]:
    """Every credential with its options; a provider where it has none. `only` names the one provider."""
    for name, provider in config.providers.items():
        if only is not None and name != only:
            continue
        if not provider.credentials:
            yield name, provider, None
        for credential in provider.credentials:
            yield name, credential, credential


_EXACT, _GLOB, _PREFIX, _FAMILY, _ANY, _PERHAPS, _NONE = range(7)


def _rank(model: str, name: str, options: ProviderOptions, *, force_prefix: bool) -> tuple[int, str] | None:
    """How well this provider fits, and the model's name there."""
    own = f"{options.prefix.rstrip('/')}/" if options.prefix else ""
    bare = model.removeprefix(own) if own else model
    is_prefixed = bare != model
    found: tuple[int, str] | None = None
    if is_prefixed or not (force_prefix and own):
        found = _listed(bare, options)
        if is_prefixed and found is None and _takes_any(options):
            found = (_PREFIX, bare)
    if found is None and model.startswith(f"{name}/"):
        rest = model.removeprefix(f"{name}/")
        listed = _listed(rest, options)
        if listed is not None or _takes_any(options):
            found = (_PREFIX, listed[1] if listed else rest)
            bare = rest
    if found is None and _takes_any(options) and not (force_prefix and own):
        rank = _unlisted(model, name, options)
        found = None if rank is None else (rank, model)
    if found is None or not found[1] or _is_excluded((model, bare, found[1]), options):
        return None
    return found


def _takes_any(options: ProviderOptions) -> bool:
    return not options.models or any(one.id == "*" for one in options.models)


def _listed(model: str, options: ProviderOptions) -> tuple[int, str] | None:
    for one in options.models:
        if model == one.alias or (one.alias is None and model == one.id):
            return _EXACT, one.id
    for one in options.models:
        if model == one.id:
            return _EXACT, one.id
    for one in options.models:
        if one.id != "*" and one.alias is None and fnmatchcase(model, one.id):
            return _GLOB, model
    return None


def _unlisted(model: str, name: str, options: ProviderOptions) -> int | None:
    bare = model.removeprefix("models/")
    family = family_of(bare.rpartition("/")[2])
    named = KNOWN.get(name)
    if "/" not in bare and family is not None and named is not None and named.vendor == family:
        return _FAMILY
    known = options.known(name)
    if known is None or not known.vendor:
        return _ANY
    # a vendor's own API has no models of another; a name that says nothing may be new
    return None if family is not None else _PERHAPS


def _is_excluded(names: tuple[str, ...], options: ProviderOptions) -> bool:
    return any(fnmatchcase(name, glob) for name in names for glob in options.excluded_models)


def _shown(model: str) -> str:
    return model if len(model) <= 100 else model[:100] + "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One that is not asked for a model."""

    provider: str
    credential: str | None
    why: str


def passed_over(model: str, config: Config, *, only: str | None = None) -> list[Passed]:
    """Those that `find` leaves out, each with the reason."""
    ranks: list[tuple[str, ProviderOptions, str | None, int | None]] = []
    for name, options, credential in entries(config, only):
        found = _rank(model, name, options, force_prefix=config.routing.force_model_prefix)
        ranks.append((name, options, credential.name if credential else None, found[0] if found else None))

    def in_use(name: str, options: ProviderOptions) -> bool:
        return not (options.disabled or config.providers[name].disabled) and options.base(name) is not None

    best = min(
        (rank for name, one, _, rank in ranks if rank is not None and in_use(name, one)), default=_NONE
    )
    made: list[Passed] = []
    for name, options, credential_name, rank in ranks:
        if config.providers[name].disabled or options.disabled:
            why = "is disabled"
        elif options.base(name) is None:
            why = "has no base_url"
        elif rank is None:
            why = _why_not(model, options, force_prefix=config.routing.force_model_prefix)
        elif rank > best:
            why = f"{_RANKS[rank]}, and others come first: they {_OTHERS[best]}"
        else:
            continue
        made.append(Passed(provider=name, credential=credential_name, why=why))
    return made


_RANKS: Final = {
    _GLOB: "lists it by a glob",
    _PREFIX: "is named by a prefix",
    _FAMILY: "is the model's vendor",
    _ANY: "takes any model",
    _PERHAPS: "has its own vendor's models",
}
_OTHERS: Final = {
    _ANY: "take any model",
    _EXACT: "list it by name",
    _GLOB: "list it by a glob",
    _PREFIX: "are named by a prefix",
    _FAMILY: "are the model's vendor",
}


def _why_not(model: str, options: ProviderOptions, *, force_prefix: bool) -> str:
    own = f"{options.prefix.rstrip('/')}/" if options.prefix else ""
    bare = model.removeprefix(own)
    spelled = _listed(bare, options)
    for glob in options.excluded_models:
        if any(fnmatchcase(one, glob) for one in (model, bare, spelled[1] if spelled else bare)):
            return f"excludes it by {glob!r}"
    if force_prefix and own and not model.startswith(own):
        return f"is asked only as {own}NAME: force_model_prefix is set"
    if not _takes_any(options):
        return "does not list it"
    return "serves its own vendor's models only"


def names(config: Config, only: str | None = None) -> list[str]:
    """The models and pools that are configured by name, as they can be asked for, in order; no globs."""
    found: dict[str, None] = dict.fromkeys(config.routing.aliases if only is None else ())
    for name, options, _ in entries(config, only):
        if options.disabled or config.providers[name].disabled or options.base(name) is None:
            continue
        for one in options.models:
            if any(sign in one.id for sign in "*?["):
                continue
            plain = one.alias or one.id
            prefix = f"{options.prefix.rstrip('/')}/" if options.prefix else ""
            for asked in (plain, prefix + plain):
                if _rank(asked, name, options, force_prefix=config.routing.force_model_prefix):
                    found[asked] = None
                    break
    return list(found)


def _configured(config: Config, only: str | None) -> str:
    listed: dict[str, None] = {}
    whole: dict[str, None] = {}
    for name, options, _ in entries(config, only):
        for one in options.models:
            listed[one.alias or one.id] = None
        if _takes_any(options):
            whole[name] = None
    told = list(listed)[:_MOST_NAMED]
    if len(listed) > len(told):
        told.append("...")
    if whole:
        told.append(f"models of {', '.join(list(whole)[:_MOST_NAMED])}")
    return f"Configured are {', '.join(told)}." if told else "None is configured."
