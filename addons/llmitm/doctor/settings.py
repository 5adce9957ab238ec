"""The configuration itself, and who else may read what it keeps secret."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llmitm.config.schema import Config
from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient
from llmitm.errors import Problem
from llmitm.secret import Secret

_UNSET: Final = re.compile(r"the environment variable (\S+) is not set")


async def configuration(patient: Patient, notes: Notes) -> None:
    """Whether it can be used, and every doubt about it."""
    for problem in patient.problems:
        if "no such file" in problem.message:
            notes.error(
                f"there is no {patient.path}",
                "`llmitm init` writes one; --config FILE or CONFIG_PATH names another",
            )
            continue
        where = problem.path or str(patient.path)
        notes.error(f"{where}: {problem.message}", _fix(problem, patient.path))
    config = patient.config
    if config is None:
        return
    for warning in config.warnings:
        notes.warning(warning, None)
    if not patient.problems:
        notes.ok(f"{config.source} can be used; {_shape(config)}")
    if not config.endpoints:
        notes.warning(
            "nothing can be asked for: there is no endpoint",
            "add [providers.NAME] with api_keys, or [endpoints.NAME] with target_base",
        )


def _fix(problem: Problem, path: Path) -> str:
    if unset := _UNSET.search(problem.message):
        return f"export {unset[1]}=... where the gateway is started"
    if not problem.path and problem.message.startswith("cannot be read"):
        return "give the user of the gateway the right to read it, or name another with --config"
    return f"mend it in {path}; `llmitm config check` tells whether it is right"


def _shape(config: Config) -> str:
    keys = sum(len(one.credentials) for one in config.providers.values())
    counts = {
        "endpoint": len(config.endpoints),
        "provider": len(config.providers),
        "credential": keys,
        "gateway": len(config.gateways),
        "client key": len(config.auth_keys or ()),
    }
    return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)


async def secrecy(patient: Patient, notes: Notes) -> None:
    """Files with keys in them should be their owner's alone."""
    config = patient.config
    if config is None:
        return
    written = [where for where, secret in _secrets(config) if secret.reference is None]
    if written and patient.path.is_file():
        more = f" and {len(written) - 1} more" if len(written) > 1 else ""
        _look(patient.path, f"holds keys ({written[0]}{more})", notes)
    for where, secret in _secrets(config):
        if (reference := secret.reference or "").startswith("file:"):
            place = _placed(patient.folder, reference)
            _look(place, f"holds {where}", notes)
    if (key := config.server.tls_key) is not None:
        _look(key, "is the private key of the certificate", notes)
    if not notes.found:
        notes.ok("no key is written into a file")


def _placed(folder: Path, reference: str) -> Path:
    return folder / Path(reference.removeprefix("file:")).expanduser()


def _look(path: Path, what: str, notes: Notes) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # another check tells that it cannot be read
    subject = path.name
    if any(one.subject == subject for one in notes.found):
        return
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        notes.warning(
            f"{what}, and everybody here may read it ({mode:04o})", f"chmod 600 {path}", subject=subject
        )
    elif mode & (stat.S_IRGRP | stat.S_IWGRP):
        notes.ok(f"{what}; its group may read it, too ({mode:04o})", subject=subject)
    else:
        notes.ok(f"{what}; only its owner may read it ({mode:04o})", subject=subject)


def _secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """Each with where it stands."""
    for name, provider in config.providers.items():
        for credential in provider.credentials:
            if credential.api_key:
                yield f"a key of providers.{name}", credential.api_key
    for gateway in config.gateways:
        if gateway.token:
            yield "a token of gateways", gateway.token
    for key in config.auth_keys or ():
        if key.key:
            yield f"the key of {key.name}", key.key
    for where, secret in (
        ("server.proxy_url", config.server.proxy_url),
        ("state.url", config.state.url),
        ("ledger.url", config.ledger.url),
        ("dashboard.jwt_secret", config.dashboard.jwt_secret),
    ):
        if secret and ("://" not in secret.reveal() or "@" in secret.reveal()):
            yield where, secret
