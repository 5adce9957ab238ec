"""Whether providers take our keys: the cheapest question that only a good key is answered. It costs nothing.

The list of models mostly; where that is open to anybody, or there is none, a request without content, of
which a provider says only that it is wrong once it has looked at the key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llmitm.config.providers import Credential
from llmitm.config.schema import Config
from llmitm.doctor.finding import Notes
from llmitm.doctor.network import Network, Way, way_to, ways
from llmitm.doctor.patient import Patient
from llmitm.errors import LlmitmError
from llmitm.exchange import Dialect, HeldBody, UpstreamRequest
from llmitm.route import calls, plan
from llmitm.route.calls import Call
from llmitm.route.join import join
from llmitm.route.providers import Candidate
from llmitm.translate import failures
from llmitm.translate.neutral import Failure
from llmitm.trip.translated import ANTHROPIC_VERSION

MOST_BYTES: Final = 65_536
_MOST_TOLD: Final = 160
_PROOFS: Final[Mapping[str, str | None]] = {
    "openrouter": "/key",
    "openrouter-anthropic": "/v1/key",
    "huggingface": None,
    "nvidia": None,
    "sambanova": None,
    "perplexity": None,
    "azure-anthropic": None,
}
"""By known provider: the path below its base that asks for a good key; None: none does, for the list of
models is anybody's, or there is none. Others have a list that asks for one."""
_BAD_KEY: Final = re.compile(
    r"(?:incorrect|invalid|unknown|wrong) api[ _-]?key|api[ _-]?key (?:is )?(?:not valid|invalid)", re.I
)
"""Some say so under a status that means something else."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a provider answered."""

    status: int
    failure: Failure | None
    """None: it was no error."""

    @property
    def is_refusal(self) -> bool:
        """Of the key itself."""
        if self.failure is None:
            return False
        return (
            self.status == 401 or self.failure.kind == "auth" or bool(_BAD_KEY.search(self.failure.message))
        )


async def credentials(patient: Patient, network: Network, notes: Notes) -> None:
    config = patient.config
    if config is None:
        return
    every = [
        (name, credential)
        for name, provider in config.providers.items()
        for credential in provider.credentials
    ]
    await asyncio.gather(*(_one(patient, config, network, *each, notes) for each in every))


async def _one(
    patient: Patient, config: Config, network: Network, provider: str, credential: Credential, notes: Notes
) -> None:
    subject = credential.name if credential.name.startswith(provider) else f"{provider}/{credential.name}"
    base = credential.base(provider)
    if credential.disabled or config.providers[provider].disabled:
        notes.ok("is disabled, and not asked", subject=subject)
        return
    if base is None:
        fix = f"set [providers.{provider}] base_url"
        notes.warning("cannot be tried: its provider has no base_url", fix, subject=subject)
        return
    way = way_to(base, credential.proxy_url, config.server.proxy_to(base), identity=credential.identity)
    if not network.is_asked(way):
        notes.ok("not asked (--offline)", subject=subject)
        return
    if (why := await network.reached(way)) is not None:
        if way in ways(config):
            notes.warning(f"could not be tried: {way.host} cannot be reached", "see reach", subject=subject)
        else:
            fix = "only doctor asks there: requests go through Cloudflare; llmitm test sends some"
            notes.warning(f"could not be tried: {way.name}: {why}", fix, subject=subject)
        return
    await _proved(patient, config, network, provider, credential, notes, subject, way)


async def _proved(
    patient: Patient,
    config: Config,
    network: Network,
    provider: str,
    credential: Credential,
    notes: Notes,
    subject: str,
    way: Way,
) -> None:
    began_s = patient.clock.tick_s()
    asking = _Asking(config, network, provider, credential)
    try:
        said = await asking.free() if (url := asking.proof()) is None else await asking.get(url)
        if url is not None and said.failure is not None and not said.is_refusal and said.status in _UNTOLD:
            said = await asking.free()
    except LlmitmError as error:
        notes.warning(f"could not be tried: {error}", "try again", subject=subject)
        return
    took_ms = (patient.clock.tick_s() - began_s) * 1000
    _judge(said, provider, credential, notes, subject, took_ms)


_UNTOLD: Final = frozenset({400, 403, 404, 405, 406, 410, 422, 501})
"""Of a list of models: it is not there, or not for a key of narrow rights."""


class _Asking:
    """The questions that one credential is tried with."""

    def __init__(self, config: Config, network: Network, provider: str, credential: Credential) -> None:
        self._config = config
        self._network = network
        self._provider = provider
        self._credential = credential
        self._dialect = credential.dialect(provider)
        base = credential.base(provider)
        assert base is not None
        self._base = base

    def proof(self) -> str | None:
        """Where a good key is asked for and nothing spent; None: nowhere that is known."""
        known = self._credential.known(self._provider)
        path = _PROOFS.get(known.name, "") if known is not None else ""
        if path is None:
            return None
        if path:
            return join(self._base, path.encode())
        return models_url(self._dialect, self._base, self._credential.api_version)

    async def get(self, url: str) -> Said:
        return await self._ask("GET", url, b"")

    async def free(self) -> Said:
        """A request without content."""
        call = calls.generate(self._dialect, is_stream=False)
        model = self._credential.test_model or "none"
        return await self._ask("POST", calls.url_of(call, self._base, model, self._version), b"{}")

    @property
    def _version(self) -> str | None:
        return self._credential.api_version if self._dialect is not Dialect.ANTHROPIC_MESSAGES else None

    async def _ask(self, method: str, url: str, body: bytes) -> Said:
        config = self._config
        asked = plan.Asked(
            id="doctor",
            endpoint=_endpoint(config, self._provider),
            rest=b"",
            dialect=self._dialect,
            drop_headers=frozenset(),
        )
        candidate = Candidate(
            provider=self._provider, options=self._credential, credential=self._credential, model=""
        )
        call = Call(dialect=self._dialect, task="other", path=b"")
        planned = plan.towards(asked, candidate, call, config, url=url)
        headers = list(planned.add_headers)
        named = {name.lower() for name, _ in headers}
        if self._dialect is Dialect.ANTHROPIC_MESSAGES and b"anthropic-version" not in named:
            headers.append((b"anthropic-version", ANTHROPIC_VERSION))
        if body:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        request = UpstreamRequest(method=method, url=url, headers=tuple(headers), body=HeldBody(body))
        reply = await self._network.send(planned.attempt, request)
        try:
            content = reply.head.whole or b""
            while len(content) < MOST_BYTES and reply.head.whole is None and (piece := await reply.read()):
                content += piece
        finally:
            await reply.close()
        if reply.head.status < 400:
            return Said(reply.head.status, None)
        return Said(reply.head.status, failures.read_failure(reply.head.status, reply.head.headers, content))


def models_url(dialect: Dialect, base: str, api_version: str | None) -> str:
    """Where a provider lists its models, as few of them as it can be asked for."""
    match dialect:
        case Dialect.GEMINI:
            version = "" if base.endswith(("/v1", "/v1beta", "/v1alpha")) else f"/{api_version or 'v1beta'}"
            return join(base, f"{version}/models?pageSize=1".encode())
        case Dialect.ANTHROPIC_MESSAGES:
            return join(base, b"/v1/models?limit=1")
        case _:
            call = Call(dialect=dialect, task="other", path=b"/models")
            return calls.url_of(call, base, "", api_version)


def _endpoint(config: Config, provider: str) -> str:
    """One that its requests come from."""
    for name, endpoint in config.endpoints.items():
        if endpoint.provider == provider:
            return name
    return config.default_endpoint or next(iter(config.endpoints), "")


def _judge(
    said: Said, provider: str, credential: Credential, notes: Notes, subject: str, took_ms: float
) -> None:
    failure = said.failure
    if failure is None:
        notes.ok(f"works: {provider} answered in {took_ms:.0f} ms", subject=subject)
        return
    told = " ".join(failure.message.split())[:_MOST_TOLD]
    where = credential.api_key.reference or f"[providers.{provider}]"
    if said.is_refusal:
        fix = f"make a new key at {provider}, and put it into {where}"
        notes.error(f"{provider} refuses the key ({said.status}): {told}", fix, subject=subject)
    elif failure.kind == "billing" or said.status == 402:
        fix = f"add credit to the account at {provider}"
        notes.error(f"the account has no money left ({said.status}): {told}", fix, subject=subject)
    elif said.status == 403:
        fix = "give the key the rights to list or to use models, or allow this address"
        notes.error(f"{provider} permits the key nothing ({said.status}): {told}", fix, subject=subject)
    elif said.status == 429:
        notes.warning(
            f"is taken, and over its limit now (429): {told}", "wait, or add a key", subject=subject
        )
    elif said.status in (400, 422):
        notes.ok(f"is taken, as far as can be told without spending ({said.status})", subject=subject)
    elif said.status >= 500:
        notes.warning(
            f"{provider} is in trouble itself ({said.status}): {told}", "try again later", subject=subject
        )
    else:
        fix = f"check [providers.{provider}] base_url, or ask: llmitm test provider {provider}"
        notes.warning(f"could not be proved ({said.status}): {told}", fix, subject=subject)
