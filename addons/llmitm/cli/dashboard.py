"""`llmitm open` and `llmitm dashboard password`."""

from __future__ import annotations

import getpass
import os
import sys
import webbrowser
from pathlib import Path

from llmitm.config.load import load_to_look
from llmitm.config.path import find
from llmitm.errors import ConfigError


def show(config: Path | None, *, browser: bool) -> int:
    """Prints where the dashboard is, and opens it."""
    try:
        loaded = load_to_look(find(config, os.environ), env=os.environ)
    except ConfigError as error:
        return _say(str(error), 2)
    settings = loaded.dashboard
    if not settings.enabled:
        return _say(f"the dashboard is off; set enabled = true under [dashboard] in {loaded.source}", 1)
    if not settings.port:
        return _say(
            "the dashboard has no port of its own ([dashboard] port = 0); the log tells where it is", 1
        )
    host = settings.host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "http" if loaded.server.tls_cert is None else "https"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}/"
    print(url, flush=True)
    if not settings.accounts:
        print("nobody has a password yet: the gateway's terminal shows a link to set one", file=sys.stderr)
    if browser:
        webbrowser.open(url)
    return 0


def password() -> int:
    """Asks for a password, on a terminal twice, and prints its hash alone."""
    from llmitm.admin.auth import passwords

    if sys.stdin.isatty():
        wanted = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != wanted:
            return _say("the two are not the same", 1)
    else:
        wanted = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    try:
        print(passwords.make(wanted))
    except ValueError as error:
        return _say(str(error), 1)
    print("put it under [dashboard]: password_hash = '...', in single quotes", file=sys.stderr)
    return 0


def _say(message: str, status: int) -> int:
    print(f"llmitm: {message}", file=sys.stderr)
    return status
