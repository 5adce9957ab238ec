"""Whether Cloudflare's gateways take their tokens.

A path that none serves is asked for: it costs nothing, and the token is looked at first.
"""

from __future__ import annotations

import asyncio
from typing import Final

from llmitm.config.describe import masked_id
from llmitm.config.endpoints import Gateway
from llmitm.config.schema import Config
from llmitm.doctor.finding import Notes
from llmitm.doctor.network import Network, Way, way_to
from llmitm.doctor.patient import Patient
from llmitm.errors import LlmitmError
from llmitm.exchange import Attempt, Dialect, HeldBody, UpstreamRequest
from llmitm.route.cloudflare import AUTHORIZATION
from llmitm.secret import Secret
from llmitm.translate import failures

MOST_BYTES: Final = 65_536


async def gateways(patient: Patient, network: Network, notes: Notes) -> None:
    config = patient.config
    if config is not None:
        await asyncio.gather(*(_one(config, network, one, notes) for one in config.gateways))


async def _one(config: Config, network: Network, gateway: Gateway, notes: Notes) -> None:
    subject = f"{masked_id(gateway.account_id)}/{gateway.gateway_id}"
    if gateway.form == "rest":
        notes.ok("form rest is not tried: every question there is paid for", subject=subject)
        return
    ours = [one for one in config.endpoints.values() if one.kind == "cloudflare"][:1]
    base = config.cloudflare.base_url
    proxies, identity = [one.proxy_url for one in ours], next((one.identity for one in ours), None)
    way = way_to(base, *proxies, config.server.proxy_to(base), identity=identity)
    if not network.is_asked(way):
        notes.ok("not asked (--offline)", subject=subject)
    elif await network.reached(way) is not None:
        notes.warning(f"could not be tried: {way.host} cannot be reached", "see reach", subject=subject)
    else:
        try:
            status, told = await _asked(config, network, gateway, way)
        except LlmitmError as error:
            notes.warning(f"could not be tried: {error}", "try again", subject=subject)
            return
        _judge(status, told, gateway, notes, subject)


async def _asked(config: Config, network: Network, gateway: Gateway, way: Way) -> tuple[int, str]:
    url = f"{config.cloudflare.base_url}/v1/{gateway.account_id}/{gateway.gateway_id}/compat/models"
    token = gateway.token
    keys = ((AUTHORIZATION, Secret(f"Bearer {token.reveal()}", token.reference)),) if token else ()
    attempt = Attempt(
        exchange_id="doctor",
        number=1,
        endpoint="",
        provider="cloudflare",
        url=url,
        dialect=Dialect.OPENAI_CHAT,
        credential_headers=keys,
        proxy_url=way.proxy,
        identity=way.identity,
    )
    request = UpstreamRequest(method="GET", url=url, headers=(), body=HeldBody())
    reply = await network.send(attempt, request)
    try:
        content = reply.head.whole or b""
        while len(content) < MOST_BYTES and reply.head.whole is None and (piece := await reply.read()):
            content += piece
    finally:
        await reply.close()
    status = reply.head.status
    return status, "" if status < 400 else failures.read_failure(status, reply.head.headers, content).message


def _judge(status: int, told: str, gateway: Gateway, notes: Notes, subject: str) -> None:
    told = " ".join(told.split())[:160]
    where = "no token" if gateway.token is None else gateway.token.reference or "its token"
    if status in (401, 403):
        fix = f"make a token with the right AI Gateway Run, and put it into [[gateways]] token ({where})"
        notes.error(f"refuses us ({status}): {told}", fix, subject=subject)
    elif status < 400 or "invalid provider" in told.lower() or "2008" in told:
        notes.ok("takes its token" if gateway.token else "asks for no token", subject=subject)
    elif status >= 500:
        notes.warning(f"is in trouble itself ({status}): {told}", "try again later", subject=subject)
    else:
        fix = "check account_id and gateway_id; `llmitm test gateway` asks for real"
        notes.warning(f"could not be proved ({status}): {told}", fix, subject=subject)
