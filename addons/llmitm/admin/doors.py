"""Operations on what requests come in by, and Cloudflare's gateways that they may go out by."""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import unquote

from pydantic import Field

from llmitm.admin import changes
from llmitm.admin.changing import CHANGE_ERRORS, IF_MATCH, Changed, Taken, change, shown_secret
from llmitm.admin.editing import documented, lines
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Shown

type EndpointKind = Literal["forward", "cloudflare", "gateway"]
type Form = Literal["compat", "native", "rest"]


class EndpointFields(Taken):
    kind: EndpointKind | None = None
    target_base: str | None = None
    provider: str | None = None
    """Whose credentials it sends; null: by model, or the client's own."""
    proxy_url: str | None = None
    """Empty: none."""
    simulate_stream: bool | None = None
    strict: bool | None = None
    allowed_models: list[str] | None = None
    allowed_paths: list[str] | None = None
    tls_ca: str | None = None
    """File of the authorities that its target is believed by; null: the system's."""
    tls_client_cert: str | None = None


class NewEndpoint(EndpointFields):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")


class GatewayFields(Taken):
    token: str | None = Field(default=None, min_length=1)
    """As it is, or env:NAME or file:PATH."""
    weight: int | None = Field(default=None, ge=1, le=10_000)
    form: Form | None = None
    unified_billing: bool | None = None


class NewGateway(GatewayFields):
    account_id: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    gateway_id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")


class ShownGateway(Shown):
    id: str
    """`<account>/<gateway>`, of which it stays."""
    account_id: str
    gateway_id: str
    token: str | None
    """Its reference, or a mark that may be sent back to say that it stays."""
    weight: int
    form: Form
    unified_billing: bool


class Gateways(Shown):
    gateways: list[ShownGateway]


async def create_endpoint(asked: Asked) -> Changed:
    """Adds a named door of the data port."""
    told = asked.body.named()
    name = told.pop("name")
    make = documented(lambda document, _: changes.add_endpoint(document, name, told))
    return await change(asked, make, f"endpoint {name} added", message=f"/{name}/ is open.", id=name)


async def edit_endpoint(asked: Asked) -> Changed:
    """Changes fields of an endpoint."""
    name, told = unquote(asked.path["id"]), asked.body.named()
    make = documented(lambda document, _: changes.edit_endpoint(document, name, told))
    what = f"endpoint {name}: {', '.join(told) or 'nothing'}"
    return await change(asked, make, what, message=f"The endpoint {name} was changed.", id=name)


async def delete_endpoint(asked: Asked) -> Changed:
    """Takes an endpoint away."""
    name = unquote(asked.path["id"])
    make = lines(lambda text, config: changes.delete_endpoint(text, config, name))
    return await change(asked, make, f"endpoint {name} deleted", message=f"/{name}/ is gone.", id=name)


async def gateways(asked: Asked) -> Gateways:
    """Cloudflare's gateways that cloudflare endpoints rotate over."""
    return Gateways(
        gateways=[
            ShownGateway(
                id=f"{one.account_id}/{one.gateway_id}",
                account_id=one.account_id,
                gateway_id=one.gateway_id,
                token=shown_secret(one.token),
                weight=one.weight,
                form=one.form,
                unified_billing=one.unified_billing,
            )
            for one in asked.world.config.gateways
        ]
    )


async def create_gateway(asked: Asked) -> Changed:
    """Adds one of Cloudflare's gateways."""
    told = asked.body.named()
    name = f"{told['account_id']}/{told['gateway_id']}"
    make = documented(lambda document, _: changes.add_gateway(document, told))
    return await change(asked, make, f"gateway {name} added", message=f"The gateway {name} is used.", id=name)


async def edit_gateway(asked: Asked) -> Changed:
    """Changes fields of a gateway."""
    account, gateway, name = _named(asked)
    told = asked.body.named()
    make = documented(lambda document, _: changes.edit_gateway(document, account, gateway, told))
    what = f"gateway {name}: {', '.join(told) or 'nothing'}"
    return await change(asked, make, what, message=f"The gateway {name} was changed.", id=name)


async def delete_gateway(asked: Asked) -> Changed:
    """Takes a gateway away."""
    account, gateway, name = _named(asked)
    make = lines(lambda text, _: changes.delete_gateway(text, account, gateway))
    return await change(
        asked, make, f"gateway {name} deleted", message=f"The gateway {name} is gone.", id=name
    )


def _named(asked: Asked) -> tuple[str, str, str]:
    account, gateway = unquote(asked.path["account"]), unquote(asked.path["gateway"])
    return account, gateway, f"{account}/{gateway}"


_ENDPOINTS: Final = f"{BASE}/endpoints"
_GATEWAYS: Final = f"{BASE}/gateways"
_ONE: Final = f"{_GATEWAYS}/{{account}}/{{gateway}}"
_WRITES: Final[dict[str, Any]] = {
    "role": Role.ADMIN,
    "gives": Changed,
    "errors": CHANGE_ERRORS,
    "headers": IF_MATCH,
}
ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", _ENDPOINTS, create_endpoint, takes=NewEndpoint, status=201, **_WRITES),
    Route("PATCH", f"{_ENDPOINTS}/{{id}}", edit_endpoint, takes=EndpointFields, **_WRITES),
    Route("DELETE", f"{_ENDPOINTS}/{{id}}", delete_endpoint, **_WRITES),
    Route("GET", _GATEWAYS, gateways, Role.VIEWER, gives=Gateways),
    Route("POST", _GATEWAYS, create_gateway, takes=NewGateway, status=201, **_WRITES),
    Route("PATCH", _ONE, edit_gateway, takes=GatewayFields, **_WRITES),
    Route("DELETE", _ONE, delete_gateway, **_WRITES),
)
