"""Whatever may be written of a provider, an endpoint, a gateway or a key is changed by the API, and has its
field in a form, or a reason why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from llmitm.admin.doors import NewEndpoint, NewGateway
from llmitm.admin.keys import NewKey
from llmitm.admin.providers import EditedCredential, NewProvider, ShownOptions
from llmitm.config.auth_keys import AuthKey
from llmitm.config.endpoints import Endpoint, Gateway
from llmitm.config.providers import Credential, Provider, ProviderOptions

PAGES = Path(__file__).resolve().parents[2] / "web" / "src" / "pages"
CLOAK = {"cloak"}
"""A table of its own: the form says that it is written in the file."""
MADE = {"key", "key_hash"}
"""Keys of clients are made by the gateway, which keeps their hashes."""


@pytest.mark.parametrize(
    ("written", "taken", "form", "apart"),
    [
        (Provider, NewProvider, "providers", CLOAK | {"api_keys", "credentials"}),
        (Credential, EditedCredential, "providers", CLOAK),
        (Endpoint, NewEndpoint, "routing", set()),
        (Gateway, NewGateway, "routing", set()),
        (AuthKey, NewKey, "keys", MADE),
    ],
)
def test_what_may_be_written_may_be_changed(
    written: type[BaseModel], taken: type[BaseModel], form: str, apart: set[str]
) -> None:
    names = set(written.model_fields) - apart
    assert names - set(taken.model_fields) == set()
    fields = (PAGES / form / "fields.ts").read_text("utf-8")
    assert names - set(re.findall(r'\bname: "(\w+)"', fields)) == set()


def test_what_may_be_changed_is_shown() -> None:
    assert set(ProviderOptions.model_fields) - CLOAK - set(ShownOptions.model_fields) == set()
