"""`llmitm init`: a first configuration. Asking, writing and printing only."""

from __future__ import annotations

import getpass
import hashlib
import os
import secrets
import shlex
import socket
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmitm.cli.keys import PREFIX
from llmitm.config.first import PASSED, USUAL, Found, Source, look, written
from llmitm.config.load import load
from llmitm.config.path import DEFAULT_PATH
from llmitm.config.server import Server
from llmitm.errors import ConfigError
from llmitm.route.known import KNOWN

OWN_PORTS: Final = (8812,)
"""Not taken for the gateway: the dashboard's."""
_MOST_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Who is asked. Both raise EOFError where there is nobody any more."""

    ask: Callable[[str], str]
    ask_hidden: Callable[[str], str]

    @classmethod
    def here(cls) -> Terminal | None:
        """None where nobody sits there."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        return cls(ask=_ask, ask_hidden=lambda question: getpass.getpass(question, stream=sys.stderr))


def _ask(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


@dataclass(slots=True, kw_only=True)
class Wanted:
    found: Found
    has_client_key: bool
    key: tuple[str, str] | None = None
    """Provider and key, where one was typed."""


def run(
    out: Path | None,
    env: Mapping[str, str],
    *,
    client_key: bool | None = None,
    terminal: Terminal | None = None,
) -> int:
    """Writes the file. Returns the exit status: 0, or 1 where one is there or it cannot be written."""
    path = out or DEFAULT_PATH
    if path.exists() or path.is_symlink():
        return _say(f"{path} is there already, and stays as it is; -o names another file")
    try:
        wanted = _wanted(env, terminal, client_key)
        if wanted is None:
            return _say("nothing was chosen, and nothing is written")
        return _write(path, wanted, env)
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return _say("nothing was written")
    except OSError as error:
        return _say(f"{error.filename or path} cannot be written: {error.strerror}")


def _wanted(env: Mapping[str, str], terminal: Terminal | None, client_key: bool | None) -> Wanted | None:
    found = look(env)
    for note in found.notes:
        print(f"llmitm: {note}", file=sys.stderr)
    if not found.is_empty or terminal is None:
        return Wanted(found=found, has_client_key=bool(client_key))
    print("No key of a provider is in the environment. Three questions:", file=sys.stderr)
    provider = _asked_provider(terminal)
    if provider is None:
        return None
    known = KNOWN.get(provider)
    key = ""
    if known is None or known.auth != "optional":
        key = terminal.ask_hidden("2. Its API key (not shown; Enter: clients bring their own): ").strip()
    if client_key is None:
        answer = terminal.ask("3. Shall clients of the gateway need a key, too? [y/N]: ").lower()
        client_key = answer.startswith("y")
    if key:
        usual = next(one for one in USUAL if one.provider == provider)
        source = Source(provider=provider, reference=f"file:{provider}.key", model=usual.model)
        return Wanted(found=Found(sources=(source,)), has_client_key=client_key, key=(provider, key))
    if known is not None and known.auth == "optional":
        source = Source(provider=provider, reference=None, model=None)
        return Wanted(found=Found(sources=(source,)), has_client_key=client_key)
    return Wanted(found=Found(), has_client_key=client_key)


def _asked_provider(terminal: Terminal) -> str | None:
    names = [one.provider for one in USUAL if one.is_listed] + ["ollama"]
    print("1. Which provider?", file=sys.stderr)
    for start in range(0, len(names), 5):
        row = enumerate(names[start : start + 5], start + 1)
        print("   " + "".join(f"{number:>2} {name:<12}" for number, name in row).rstrip(), file=sys.stderr)
    for _ in range(_MOST_TRIES):
        said = terminal.ask("   A number or a name [openai]: ").lower() or "openai"
        if said.isdecimal() and 1 <= int(said) <= len(names):
            return names[int(said) - 1]
        known = KNOWN.get(said)
        if known is not None and (known.name in names):
            return known.name
        print(f"   {said} is not among them; others can be added to the file later", file=sys.stderr)
    return None


def _write(path: Path, wanted: Wanted, env: Mapping[str, str]) -> int:
    port = free_port()
    key = PREFIX + secrets.token_hex(16) if wanted.has_client_key else None
    digest = None if key is None else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    text = written(wanted.found, port=port, key_hash=digest)
    if wanted.key is not None:
        _create(path.parent / f"{wanted.key[0]}.key", wanted.key[1] + "\n")
    _create(path, text)
    try:
        config = load(path, env=env)
    except ConfigError as error:
        return _say(f"what was written cannot be used here\n{error}")
    _tell(path, wanted, config.server.port, key, is_named="PORT" in env)
    return 0


def _create(path: Path, text: str) -> None:
    """Raises OSError: also where it is there already."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def free_port() -> int:
    """The usual one, or the next that nobody listens on."""
    first: int = Server().port
    for port in range(first, first + 20):
        if port in OWN_PORTS:
            continue
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
                tried.listen(1)
            except OSError:
                continue
            return port
    return first


def _tell(path: Path, wanted: Wanted, port: int, key: str | None, *, is_named: bool) -> None:
    """`is_named`: the port is the environment's, which wins over the file's."""
    found = wanted.found
    print(textwrap.fill(f"Wrote {path}: {_described(found)}.", 80, break_on_hyphens=False))
    if wanted.key is not None:
        print(f"The key is in {path.parent / (wanted.key[0] + '.key')}, which only you may read.")
    if found.is_empty and wanted.key is None:
        print(
            "For keys that the gateway holds itself, set OPENAI_API_KEY, ANTHROPIC_API_KEY or\n"
            "another usual variable, and run `llmitm init` again with this file out of the way.\n"
            "`llmitm demo` shows everything without any key."
        )
    if port != Server().port and not is_named:
        print(f"Port {Server().port} is taken, so it is {port}.")
    if key is not None:
        print(f"\nThe key of your first client, shown only now:\n\n  {key}")
    option = "" if path == DEFAULT_PATH else f" -c {shlex.quote(str(path))}"
    print(f"\nNext (`llmitm doctor{option}` looks whether all of it works):\n\n  llmitm run{option}\n")
    print(_curl(found, port, key))


def _described(found: Found) -> str:
    if found.is_empty:
        return f"{', '.join(PASSED[:-1])} and {PASSED[-1]}, each with the client's own key"
    parts = [
        f"{one.provider} (key from {one.reference.partition(':')[2]})" if one.reference else one.provider
        for one in found.sources
    ]
    if found.gateway is not None:
        parts.append(f"Cloudflare AI Gateway {found.gateway.gateway_id}")
    return ", ".join(parts)


def _curl(found: Found, port: int, key: str | None) -> str:
    """Works as it stands, once the gateway runs."""
    path, model, headers = "/v1/chat/completions", "", []
    if found.sources:
        model = found.sources[0].asked_as
    elif found.gateway is not None:
        model = f"openai/{USUAL[0].model}"
    else:
        path, model = "/openai/v1/chat/completions", USUAL[0].model
    if not found.sources:
        headers.append('"authorization: Bearer $OPENAI_API_KEY"')
    if key is not None:
        headers.append(f"'{'authorization: Bearer' if found.sources else 'x-llmitm-key:'} {key}'")
    lines = [f"  curl http://127.0.0.1:{port}{path}", "    -H 'content-type: application/json'"]
    lines += [f"    -H {header}" for header in headers]
    said = '[{"role": "user", "content": "Hello"}]'
    lines.append(f"""    -d '{{"model": "{model}", "messages": {said}}}'""")
    return " \\\n".join(lines)


def _say(text: str) -> int:
    print(f"llmitm: {text}", file=sys.stderr)
    return 1
