"""Keeps mitmproxy's stock addons out of a gateway that runs alone."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import mitmproxy


def without_stock_addons() -> None:
    """Makes `mitmproxy.addons` a package of which only those modules are loaded that somebody names.

    As it is, it loads all forty with Flask, an LDAP client and two YAML parsers: a third of the time that a
    start takes, and 15 MB. Does nothing where it is loaded already, as under mitmdump and mitmweb.
    """
    if "mitmproxy.addons" in sys.modules:
        return
    bare = ModuleType("mitmproxy.addons")
    bare.__path__ = [str(Path(mitmproxy.__file__).with_name("addons"))]
    bare.__package__ = bare.__name__
    sys.modules[bare.__name__] = bare
    mitmproxy.addons = bare  # type: ignore[attr-defined]
