"""Thousands of made-up requests to the admin API, in every role: no failure of ours, nothing undocumented.

Needs the command of schemathesis (pip install schemathesis), no dependency: it brings many of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from llmitm.admin.auth.passwords import make
from support.backstage import Backstage
from support.gateway import Gateway

PASSWORD = "a long password of tests"
ROLES = ("anonymous", "viewer", "operator", "admin")
CONFIG = """
[server]
port = 0
[providers.main]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-of-the-proof-1234"]
[dashboard]
enabled = true
port = 0
jwt_ttl_secs = 43200
password_hash = "{hash}"
"""
USER = '[[dashboard.users]]\nname = "{role}"\nrole = "{role}"\npassword_hash = "{hash}"\n'
API = "/api/dashboard"
LEFT_OUT = ("/ws/dashboard", f"{API}/auth/logout")
"""A WebSocket, and what would end the login of the others."""


def proof(tool: str, role: str, examples: int, folder: Path, upstream: str) -> int:
    hashed = make(PASSWORD)
    config = CONFIG.format(url=upstream, hash=hashed)
    config += "".join(USER.format(role=one, hash=hashed) for one in ("viewer", "operator"))
    with Gateway(config, folder, host="serve") as gateway:
        url = gateway.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")[1]
        tokens = {}
        for one in ("admin", role) if role != "anonymous" else ("admin",):
            login = {"username": one, "password": PASSWORD}
            answer = httpx.post(f"{url}{API}/auth/login", json=login, trust_env=False)
            tokens[one] = answer.raise_for_status().json()["token"]
        headers = {"Authorization": f"Bearer {tokens['admin']}"}
        document = httpx.get(f"{url}{API}/openapi.json", headers=headers, trust_env=False).json()
        path = folder / "openapi.json"
        path.write_text(json.dumps(document))
        command = [tool, "run", str(path), "--url", url, "--checks", "all", "--max-examples", str(examples)]
        # what is not as expected may be refused for more reasons than a schema can say
        command += ["--exclude-checks", "positive_data_acceptance", "--phases", "examples,coverage,fuzzing"]
        command += ["--exclude-path-regex", "/playground/"]
        for left_out in LEFT_OUT:
            command += ["--exclude-path", left_out]
        if role in tokens:
            command += ["-H", f"Authorization: Bearer {tokens[role]}"]
        status = subprocess.run(command, check=False).returncode
        broke = [line for line in gateway.output().splitlines() if " broke" in line]
        print(f"{role}: status {status}, {len(broke)} failures of ours", *broke, sep="\n", flush=True)
        return status


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--examples", type=int, default=50, help="an operation")
    options.add_argument("--role", choices=ROLES, action="append")
    options.add_argument("--tool", default=shutil.which("schemathesis"))
    given = options.parse_args()
    if given.tool is None:
        print("schemathesis is not there: pip install schemathesis", file=sys.stderr)
        return 2
    found = []
    with Backstage() as upstream:
        for role in given.role or ROLES:
            with tempfile.TemporaryDirectory() as folder:
                found.append(proof(given.tool, role, given.examples, Path(folder), upstream.url))
    return max(found)


if __name__ == "__main__":
    raise SystemExit(main())
