"""`python -P -m llmitm.service.probe [CONFIG]`: whether `llmitm run` takes requests, for health checks.

Exit status 0 where it does. Asks many times a day, so it reads no configuration and imports little: the PID
file says where the gateway listens.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from llmitm.cli.pidfile import Taken, look, places

TIMEOUT_S: Final = 3.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    problem: str | None
    """What it lacks to take requests; None: nothing."""
    version: str | None = None


def ask(url: str, timeout_s: float = TIMEOUT_S) -> Answer:
    """Asks the gateway of this machine that listens at `url`."""
    parts = urlsplit(url)
    host = _EVERYWHERE.get(parts.hostname or "", parts.hostname or "")
    if parts.scheme == "https":
        # nothing secret is sent, and a certificate of its own names its public host
        tls = ssl._create_unverified_context()
        asked: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=timeout_s, context=tls
        )
    else:
        asked = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    try:
        asked.request("GET", "/ready")
        answer = asked.getresponse()
        told = json.loads(answer.read())
        version = str(told["version"])
    except (OSError, http.client.HTTPException) as error:
        return Answer(problem=f"{url} does not answer: {error}")
    except (ValueError, LookupError, TypeError):
        return Answer(problem=f"{url} is no gateway")
    finally:
        asked.close()
    return Answer(problem=None if answer.status == 200 else f"{url} is {told['status']}", version=version)


def ask_by_config(config: Path) -> Answer:
    """Asks the gateway that runs with this configuration."""
    for place in places(config, os.environ):
        try:
            running = look(place)
        except (Taken, OSError):
            continue
        if running is not None:
            url = running.facts.url
            return ask(url) if url else Answer(problem="it does not listen yet")
    return Answer(problem=f"no gateway runs with {config}")


def main() -> int:
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CONFIG_PATH") or "config.toml"
    problem = ask_by_config(Path(given)).problem
    if problem is not None:
        print(f"llmitm: {problem}", file=sys.stderr)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
