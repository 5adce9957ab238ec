"""The named doors, and the gateways of Cloudflare behind some of them."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, model_validator

from llmitm.config.identified import Identified
from llmitm.config.table import Table
from llmitm.config.values import BaseUrl, Count, Glob, Key, PathGlob, ProxyUrl, matching, wrong

RESERVED: Final = frozenset({"v1", "v1beta", "health", "ready", "metrics", "admin", "api", "ws"})


_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}\Z")


def _name(value: str) -> str:
    if value in RESERVED:
        raise wrong(f"{value} is a reserved name; choose another")
    if not _SEGMENT.match(value):
        raise wrong(
            f"{value!r} cannot be a path segment: up to 64 letters, digits and . _ ~ -, "
            "a letter or a digit first"
        )
    return value


EndpointName = Annotated[str, AfterValidator(_name)]


class Endpoint(Identified):
    kind: Literal["forward", "cloudflare", "gateway"] = "forward"
    target_base: BaseUrl | None = None
    proxy_url: ProxyUrl | None = None
    provider: str | None = None
    simulate_stream: bool = False
    strict: bool = False
    allowed_models: tuple[Glob, ...] = ()
    allowed_paths: tuple[PathGlob, ...] = ()
    """Paths that may be asked for beside those that are known, such as `/v1/skills*`; where only certain
    models are allowed, paths whose requests name no model too."""

    @model_validator(mode="after")
    def _has_paths_to_allow(self) -> Self:
        if self.allowed_paths and self.kind != "gateway":
            raise wrong("allowed_paths is for kind gateway: the other kinds pass any path")
        return self

    @property
    def injects(self) -> bool:
        """Whether requests are sent with credentials of ours."""
        return self.kind != "forward" or self.provider is not None


class Gateway(Table):
    account_id: Annotated[str, matching(r"[A-Za-z0-9_-]+", "letters, digits, _ and - are")]
    gateway_id: Annotated[str, matching(r"[A-Za-z0-9_.-]{1,64}", "up to 64 letters, digits, _ . and - are")]
    token: Key | None = None
    weight: Count = 1
    form: Literal["compat", "native", "rest"] = "compat"
    unified_billing: bool = False


class Cloudflare(Table):
    base_url: BaseUrl = "https://gateway.ai.cloudflare.com"
    rest_base_url: BaseUrl = "https://api.cloudflare.com"
