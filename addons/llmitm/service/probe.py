"""`python -P -m llmitm.service.probe [CONFIG]`: whether `llmitm run` takes requests, for health checks.

Exit status 0 where it does. Asks many times a day, so it reads no configuration and imports little: the PID
file says where the gateway listens.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from llmitm.cli.pidfile import Taken, look, places

TIMEOUT_S: Final = 3.0
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def is_ready(url: str, timeout_s: float = TIMEOUT_S) -> str | None:
    """What a gateway of this machine lacks to take requests; None: nothing."""
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
        status = asked.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error}"
    finally:
        asked.close()
    return None if status == 200 else f"{url} answers {status}"


def lacks(config: Path) -> str | None:
    """What the gateway of this configuration lacks to take requests; None: nothing."""
    for place in places(config, os.environ):
        try:
            running = look(place)
        except (Taken, OSError):
            continue
        if running is not None:
            return is_ready(running.facts.url) if running.facts.url else "it does not listen yet"
    return f"no gateway runs with {config}"


def main() -> int:
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CONFIG_PATH") or "config.toml"
    problem = lacks(Path(given))
    if problem is not None:
        print(f"llmitm: {problem}", file=sys.stderr)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
