"""From a file and the environment to a `Config`, or to every problem at once.

The only way to the environment, secret files and the configuration file. What was read is checked in three
steps, and the problems of all that can be checked are told together: the file's syntax (raw.py), the shape of
each table (schema.py, validated.py), and what tables ask of one another (completed.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from llmitm.config import environment
from llmitm.config.completed import completed
from llmitm.config.raw import (
    apply_overrides,
    dotenv,
    from_environment,
    move_seed_keys,
    parsed,
    resolved,
    underscored,
)
from llmitm.config.schema import Config
from llmitm.config.validated import is_sure, validated
from llmitm.errors import ConfigError, Problem


def load(
    path: Path,
    *,
    env: Mapping[str, str],
    host: str | None = None,
    port: int | None = None,
    text: bytes | None = None,
) -> Config:
    """Reads and checks a configuration.

    `text` stands in for what the file says. `host` and `port` come from the command line and win over PORT,
    which wins over the file. Where there is no file, ACCOUNT_ID and GATEWAY_ID in the environment (or in
    `.env` here) make a Cloudflare endpoint.

    Raises:
        ConfigError: with every problem found.
    """
    source = str(path)
    places: dict[str, str] = {}  # where values stand that were moved, for the problems' paths
    try:
        text = path.read_bytes() if text is None else text
    except FileNotFoundError:
        around = {**dotenv(path.parent / ".env"), **env}
        raw = from_environment(around, places)
        if raw is None:
            raise ConfigError(source, _no_file(around)) from None
        source = "environment (ACCOUNT_ID, GATEWAY_ID)"
    except OSError as error:
        raise ConfigError(source, [Problem("", f"cannot be read: {error.strerror}")]) from None
    else:
        raw = parsed(text, source)

    problems: list[Problem] = []
    raw = underscored(raw, (), "", problems)
    move_seed_keys(raw, places, problems)
    apply_overrides(raw, env, host, port, places, problems)
    raw = resolved(raw, "", None, env, path.parent, problems)
    config, dropped = validated(raw, problems)
    if config is not None and config.server.proxy_env:
        proxies = environment.read(env, problems)
        config = config.model_copy(update={"server": config.server.having(proxies)})
    if config is not None:
        crossed: list[Problem] = []
        config = completed(config, source, path.parent, crossed)
        problems += [problem for problem in crossed if is_sure(problem, dropped)]
    if problems or config is None:
        moved = [Problem(places.get(problem.path, problem.path), problem.message) for problem in problems]
        raise ConfigError(source, moved)
    return config


_UNSET: Final = re.compile(r"the environment variable (\w+) is not set")
_KEYS: Final = ("providers.", "gateways[", "auth_keys[")


def load_to_look(path: Path, *, env: Mapping[str, str]) -> Config:
    """The same for commands that send nothing and name no key: what a service has in its own environment need
    not be in the operator's shell. Nothing may be served with it.

    Raises:
        ConfigError: something else than keys is missing or wrong.
    """
    try:
        return load(path, env=env)
    except ConfigError as error:
        told = error
    unset = [
        found[1]
        for one in told.problems
        if one.path.startswith(_KEYS) and (found := _UNSET.fullmatch(one.message))
    ]
    if len(unset) < len(told.problems):
        raise told
    try:
        return load(path, env={**env, **{name: f"not set: {name}" for name in unset}})
    except ConfigError:
        raise told from None


def _no_file(env: Mapping[str, str]) -> list[Problem]:
    problems = [
        Problem(
            "",
            "no such file; `llmitm init` writes one (config.toml.example has every key), or name another "
            "with --config or CONFIG_PATH",
        )
    ]
    for there, missing in (("ACCOUNT_ID", "GATEWAY_ID"), ("GATEWAY_ID", "ACCOUNT_ID")):
        if env.get(there) and not env.get(missing):
            problems.append(Problem(missing, f"is not set, while {there} is; without a file both are needed"))
    return problems
