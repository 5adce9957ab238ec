"""Errors that come through Cloudflare are told by whose they are, and rest only what is to blame."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.route.whose import Fault, Kind, fault_of


def gateways(code: Any, message: str = "Said so.") -> bytes:
    return orjson.dumps(
        {
            "success": False,
            "result": [],
            "messages": [],
            "error": [{"code": code, "message": message}],
            "name": "AiGatewayError",
            "httpCode": 400,
            "internalCode": code,
            "message": message,
            "description": message,
        }
    )


def enveloped(code: int) -> bytes:
    errors = [{"code": code, "message": "Authentication error"}]
    return orjson.dumps({"success": False, "result": None, "messages": [], "errors": errors})


@pytest.mark.parametrize(
    ("code", "status", "kind", "may_retry", "rests"),
    [
        (2001, 400, Kind.CONFIG, False, None),
        (2002, 502, Kind.UPSTREAM, True, None),
        (2003, 429, Kind.RATE_LIMIT, True, "gateway"),
        (2005, 400, Kind.UPSTREAM, True, None),
        (2008, 400, Kind.CLIENT, False, None),
        (2009, 401, Kind.TOKEN, True, "gateway"),
        (2009, 400, Kind.TOKEN, True, "gateway"),
        (2016, 424, Kind.BLOCKED, False, None),
        (2017, 424, Kind.BLOCKED, False, None),
        (2017, 422, Kind.BLOCKED, False, None),
        (2019, 400, Kind.CLIENT, False, None),
        (2021, 402, Kind.QUOTA, True, "gateway"),
        (2029, 424, Kind.BLOCKED, False, None),
        (2030, 424, Kind.BLOCKED, False, None),
        (2040, 400, Kind.CONFIG, False, None),
        (2040, 403, Kind.CONFIG, False, None),
        (2041, 429, Kind.QUOTA, True, "gateway"),
        (2047, 400, Kind.CONFIG, False, None),
        (2049, 402, Kind.QUOTA, True, "gateway"),
        (7003, 400, Kind.CLIENT, False, None),
        (7013, 503, Kind.UPSTREAM, True, None),
        (10000, 403, Kind.TOKEN, True, "gateway"),
    ],
)
def test_cloudflares_errors_are_classed_by_code_and_never_rest_a_key(
    code: int, status: int, kind: Kind, may_retry: bool, rests: str | None
) -> None:
    fault = fault_of(status, gateways(code))
    assert (fault.is_cloudflares, fault.code, fault.kind) == (True, code, kind)
    assert (fault.may_retry, fault.rests) == (may_retry, rests)
    assert fault.message == "Said so."


@pytest.mark.parametrize(
    "body",
    [
        enveloped(10000),
        b'{"internalCode":10000}',
        b'{"name":"AiGatewayError","error":[{"code":10000}]}',
        b'{"success":false,"error":[{"code":"10000","message":"m"}]}',
        b'{"success":false,"error":[],"errors":[{"code":10000}]}',
    ],
)
def test_every_shape_of_cloudflares_is_known(body: bytes) -> None:
    fault = fault_of(401, body)
    assert (fault.is_cloudflares, fault.code, fault.kind) == (True, 10000, Kind.TOKEN)


OPENAI = b'{"error":{"type":"invalid_request_error","code":"invalid_api_key","message":"no"}}'
ANTHROPIC = b'{"type":"error","error":{"type":"authentication_error","message":"no"}}'
GOOGLE = b'{"error":{"code":401,"status":"UNAUTHENTICATED","message":"no"}}'


@pytest.mark.parametrize(
    "body", [OPENAI, ANTHROPIC, GOOGLE, b'[{"error":{"code":401}}]', b"{}", b"null", b'"no"']
)
@pytest.mark.parametrize(
    ("status", "kind", "may_retry", "rests"),
    [
        (400, Kind.CLIENT, False, None),
        (401, Kind.KEY, True, "key"),
        (402, Kind.QUOTA, True, "key"),
        (403, Kind.KEY, True, "key"),
        (404, Kind.CLIENT, False, None),
        (429, Kind.RATE_LIMIT, True, "key"),
        (500, Kind.UPSTREAM, True, None),
        (529, Kind.UPSTREAM, True, None),
    ],
)
def test_a_providers_errors_are_classed_by_status_and_never_rest_a_gateway(
    body: bytes, status: int, kind: Kind, may_retry: bool, rests: str | None
) -> None:
    fault = fault_of(status, body)
    assert (fault.is_cloudflares, fault.kind, fault.may_retry, fault.rests) == (False, kind, may_retry, rests)


def test_code_2009_of_run_is_about_the_providers_key() -> None:
    assert fault_of(401, gateways(2009), is_run=True).rests == "key"
    assert fault_of(401, gateways(2009), is_run=True).kind is Kind.KEY
    assert fault_of(401, gateways(2041), is_run=True).rests == "gateway"


def test_a_providers_401_for_a_request_without_a_key_is_the_gateways_configuration() -> None:
    fault = fault_of(401, OPENAI, has_key=False)
    assert (fault.kind, fault.may_retry, fault.rests) == (Kind.CONFIG, False, None)
    assert fault_of(429, OPENAI, has_key=False).rests == "key"


def test_an_offer_to_pay_is_no_empty_account() -> None:
    fault = fault_of(402, b"{}", ((b"Payment-Required", b"x"),))
    assert (fault.kind, fault.rests) == (Kind.CLIENT, None)
    assert fault_of(402, b"{}").kind is Kind.QUOTA


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (522, b"<html>Connection timed out</html>", 522),
        (520, b"", 520),
        (403, b"error code: 1010", 1010),
        (403, b"<title>Error code 1020</title>", 1020),
        (530, b"error code: 1033", 1033),
    ],
)
def test_a_page_of_the_edge_is_a_failure_of_the_network(status: int, body: bytes, code: int) -> None:
    fault = fault_of(status, body)
    assert (fault.is_cloudflares, fault.code, fault.kind) == (True, code, Kind.UPSTREAM)
    assert (fault.may_retry, fault.rests) == (True, None)


@pytest.mark.parametrize("status", [401, 403, 500, 502])
def test_a_page_puts_no_key_out_of_service(status: int) -> None:
    fault = fault_of(status, b"<html>who are you</html>")
    assert (fault.is_cloudflares, fault.kind, fault.rests) == (False, Kind.UPSTREAM, None)


@pytest.mark.parametrize(
    ("status", "may_retry", "rests"),
    [(400, False, None), (401, False, None), (429, True, "gateway"), (503, True, None)],
)
def test_an_unknown_code_is_told_by_its_status_without_advice(
    status: int, may_retry: bool, rests: str | None
) -> None:
    fault = fault_of(status, gateways(2999, "New thing."))
    assert fault == Fault(
        is_cloudflares=True,
        code=2999,
        kind=Kind.UNKNOWN,
        message="New thing.",
        may_retry=may_retry,
        rests=rests,  # type: ignore[arg-type]
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "success", "internalCode", "name", "code", "message"]), inner
        )
    ),
)


@given(st.integers(400, 599), JSON.map(orjson.dumps) | st.binary(max_size=20))
def test_no_body_breaks_it(status: int, body: bytes) -> None:
    fault = fault_of(status, body)
    assert isinstance(fault.message, str)
    assert fault.is_cloudflares or fault.code is None
    assert not (fault.is_cloudflares and fault.rests == "key")
