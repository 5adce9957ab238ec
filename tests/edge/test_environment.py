"""The proxies of the environment, as a running gateway takes them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from support.backstage import Backstage
from support.gateway import Gateway
from support.proxies import TestProxy

PASSWORD = "canary-of-the-environment"


async def test_upstreams_are_asked_through_it_but_for_those_that_are_named(tmp_path: Path) -> None:
    async with TestProxy("http", user="me", password=PASSWORD) as proxy:
        with Backstage() as provider:
            there = provider.url.replace("127.0.0.1", "localhost")
            text = (
                f'[server]\nport = 0\nproxy_env = true\n[endpoints.through]\ntarget_base = "{provider.url}"\n'
                f'[endpoints.past]\ntarget_base = "{there}"\n'
                f'[endpoints.direct]\ntarget_base = "{provider.url}"\nproxy_url = ""\n'
            )
            env = {"http_proxy": f"me:{PASSWORD}@127.0.0.1:{proxy.port}", "NO_PROXY": "localhost"}
            gateway = Gateway(text, tmp_path, host="serve", env=env)
            try:
                await asyncio.to_thread(gateway.start)
                async with httpx.AsyncClient(trust_env=False) as client:
                    for name, seen in (("past", 0), ("direct", 0), ("through", 1)):
                        answer = await client.get(f"{gateway.url}/{name}/v1/models")
                        assert (answer.status_code, len(proxy.seen)) == (200, seen)
                assert proxy.seen == [f"GET {provider.url}/v1/models"]
            finally:
                await asyncio.to_thread(gateway.stop)
            assert PASSWORD not in gateway.output()
