set positional-arguments

python := ".venv/bin/python"

# what there is to run
default:
    @just --list

# make .venv with everything, pinned and checked by hash
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q --no-deps -e .
    .venv/bin/pip install -q -r requirements-dev.txt

# the gateway in mitmdump's terminal
run *args:
    .venv/bin/mitmdump -s addons/gateway.py "$@"

# the gateway in mitmweb
mitmweb *args:
    .venv/bin/mitmweb -s addons/gateway.py "$@"

# the gateway alone
serve *args:
    .venv/bin/llmitm serve "$@"

# see it work, without a key or a network
demo *args:
    .venv/bin/llmitm demo "$@"

# all tests
test *args:
    {{python}} -m pytest -n auto "$@"

# build the dashboard into the package (needs Node.js)
web:
    cd web && npm ci --no-fund --no-audit && npm run build

# formatting, lint and types
check:
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/mypy

# put the sources into shape
fmt:
    .venv/bin/ruff format .
    .venv/bin/ruff check --fix .

# requests/s, added latency, CPU per chunk and memory beside stock mitmdump, as ratios
bench *args:
    {{python}} tests/bench/bench.py "$@"

# pin the dependencies anew (needs uv)
pin:
    uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.txt
    uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml --group dev -o requirements-dev.txt

# write the expectations of the golden corpus anew, for review
corpus:
    PYTHONPATH=addons:tests {{python}} tests/translate/golden_rewrite.py

# how much of recorded traffic keeps its meaning, for each pair of dialects
score *args:
    PYTHONPATH=addons:tests {{python}} -m support.scoreboard "$@"

# a million broken inputs for every reader
fuzz *args:
    PYTHONPATH=addons:tests {{python}} tests/fuzz/fuzz.py "$@"

# a hundred thousand exchanges over accounts that fail at random, in simulated time: every rule of the retries
retrymath *args:
    PYTHONPATH=addons:tests {{python}} -m support.retrymath "$@"

# ten thousand requests of 32 clients in four dialects, while 30 % of what is sent upstream fails
storm *args:
    PYTHONPATH=addons:tests {{python}} -m support.storm "$@"

# minutes of load on two gateways that share one redis-server, which goes away and comes back: limits, with figures
shared-proof *args:
    PYTHONPATH=addons:tests {{python}} -m support.shared_proof "$@"

# what the ledger costs on the request path: the same gateway with it on and off, in turn
bench-books *args:
    {{python}} tests/bench/books.py "$@"

# what the dashboard costs on the request path: without it, with it, and with five who read along
bench-readers *args:
    {{python}} tests/bench/readers.py "$@"

# what traces cost on the request path: the same gateway with them on and off, in turn
bench-telemetry *args:
    {{python}} tests/bench/telemetry.py "$@"

# what payload rules and hidden words cost on the request path: the same gateway with and without them, in turn
bench-shaper *args:
    PYTHONPATH=addons {{python}} tests/bench/shaper.py "$@"

# what functions of the operator's cost on the request path and per chunk, kind by kind
bench-hooks *args:
    PYTHONPATH=addons {{python}} tests/bench/hooks.py "$@"

# fifty thousand exchanges into SQLite and a real PostgreSQL: stopped, killed, a full disk; rows against requests
ledger-proof *args:
    PYTHONPATH=addons:tests {{python}} -m support.ledger_proof "$@"

# what the ledger counts of every recorded answer, against the vendors' own clients; --every 20 samples
usage-proof *args:
    PYTHONPATH=addons:tests {{python}} -m support.counted "$@"

# thousands of made-up requests to the admin API as anybody, viewer, operator and admin (needs schemathesis)
admin-proof *args:
    PYTHONPATH=addons:tests {{python}} -m support.admin_proof "$@"

# coding agents through the gateway, each writing and reading a file, over each dialect (needs the agents installed)
agents *args:
    PYTHONPATH=addons:tests {{python}} -m support.agents "$@"
