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

# the gateway on another port
run-port port *args:
    shift; PORT={{port}} .venv/bin/mitmdump -s addons/gateway.py "$@"

# the gateway in mitmdump's terminal, with every step in its log
run-dev *args:
    LLMITM_LOG=debug .venv/bin/mitmdump -s addons/gateway.py "$@"

# the gateway behind the proxy of the environment, as [server] proxy_env = true takes it
run-with-proxy url *args:
    shift; HTTPS_PROXY={{url}} HTTP_PROXY={{url}} .venv/bin/mitmdump -s addons/gateway.py "$@"

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

# tests that start no process
test-unit *args:
    {{python}} -m pytest -n auto tests --ignore tests/edge --ignore tests/cli --ignore tests/browser --ignore tests/service --ignore tests/journeys "$@"

# laws, each with two thousand examples in place of thirty
test-laws *args:
    HYPOTHESIS_PROFILE=thorough {{python}} -m pytest -n auto tests --ignore tests/edge --ignore tests/cli --ignore tests/browser --ignore tests/service "$@"

# tests of parts that work together, in this process
test-integration *args:
    {{python}} -m pytest -n auto tests/journeys "$@"

# tests of the running gateway, over real sockets with the official clients
test-e2e *args:
    {{python}} -m pytest -n auto tests/edge tests/cli tests/browser tests/service "$@"

# all tests, each with its name and what it printed
test-verbose *args:
    {{python}} -m pytest -v -s "$@"

# build the dashboard into the package (needs Node.js)
web:
    cd web && npm ci --no-fund --no-audit && npm run build

# every page of the dashboard in light and dark, into docs/screenshots (needs Chromium)
screenshots:
    PYTHONPATH=addons:tests {{python}} -m support.screenshots

# formatting, lint and types
check:
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/mypy

# formatting alone
fmt-check:
    .venv/bin/ruff format --check .

# lint alone
lint *args:
    .venv/bin/ruff check {{args}} .

# lint and types
lint-all: lint
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
    uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group release -o requirements-release.txt

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

# half an hour of mixed traffic, faults and reloads: memory, descriptors, tasks, lost rows, wrong answers; --minutes
soak *args:
    PYTHONPATH=addons:tests {{python}} -m support.soak "$@"

# drains, reloads, renewed certificates, restarts, faults, clocks and disks under load, as a table; --only WORDS
battery *args:
    PYTHONPATH=addons:tests {{python}} -m support.battery "$@"

# how long one client keeps the others waiting, by kind of large or strange input: a table
waits *args:
    PYTHONPATH=addons:tests {{python}} -m support.waits "$@"

# minutes of load on two gateways that share one redis-server, which goes away and comes back: limits, with figures
shared-proof *args:
    PYTHONPATH=addons:tests {{python}} -m support.shared_proof "$@"

# three gateways behind a balancer on one Redis and one PostgreSQL: one killed, one cut off, one reloaded, under load
fleet-proof *args:
    PYTHONPATH=addons:tests {{python}} -m support.fleet "$@"

# what the ledger costs on the request path: the same gateway with it on and off, in turn
bench-books *args:
    {{python}} tests/bench/books.py "$@"

# what the dashboard costs on the request path: without it, with it, and with five who read along; --browsers
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

# the Grafana board, each expression asked of a real Prometheus of a gateway with traffic (needs prometheus)
board-proof:
    PYTHONPATH=addons:tests {{python}} -m support.board_proof

# coding agents through the gateway, each writing and reading a file, over each dialect (needs the agents installed)
agents *args:
    PYTHONPATH=addons:tests {{python}} -m support.agents "$@"

# wheel and source into dist/
build:
    rm -rf dist
    {{python}} -m hatchling build -d dist

# wheel and source, looked into and run in a fresh environment
build-release: build
    just package-proof --dist dist

# the wheel and the source hold what they should, and what they install runs
package-proof *args:
    PYTHONPATH=addons:tests {{python}} -m support.package_proof "$@"

# the image (needs Docker)
docker-build *args:
    docker build -t llmitm "$@" .

# the image with config.toml of this folder, as locked up as it is meant to run
docker-run *args:
    docker run --rm --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
        -p 127.0.0.1:8811:8811 -v llmitm:/data -v "$PWD/config.toml:/data/config.toml:ro" llmitm "$@"

# what builds and tests leave behind
clean:
    rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
    find addons tests -name __pycache__ -type d -prune -exec rm -rf {} +

# dependencies that have newer versions
outdated:
    .venv/bin/pip list --outdated

# the newest versions that the project's bounds allow, pinned and installed
update: pin
    .venv/bin/pip install -q -r requirements-dev.txt

# the documents there are
docs:
    @ls README.md CHANGELOG.md config.toml.example docs/*.md

# docs/configuration.md anew, from the schema
reference:
    PYTHONPATH=addons:tests {{python}} -m support.reference

# the next version, 1.0.0 -> 1.0.1; nothing is committed
bump-patch:
    {{python}} .ci/version.py patch

# 1.0.0 -> 1.1.0
bump-minor:
    {{python}} .ci/version.py minor

# 1.0.0 -> 2.0.0
bump-major:
    {{python}} .ci/version.py major

# a version of your own choice, such as 1.2.3 or 1.3.0rc1
bump-version version:
    {{python}} .ci/version.py {{version}}

# commit the version, tag it and push both: the workflow makes the release of it
release:
    git diff --quiet -- . ':!addons/llmitm/__init__.py' ':!CHANGELOG.md' || (echo "commit your other changes first" >&2; exit 1)
    git commit -m "Version $({{python}} .ci/version.py)" -- addons/llmitm/__init__.py CHANGELOG.md
    git tag -a "v$({{python}} .ci/version.py)" -m "Version $({{python}} .ci/version.py)"
    git push --follow-tags

# every recipe with what it does
help:
    @just --list

# llmitm update with whole wheels, by pip and by uv: to the next version, and back from one that does not run
update-proof:
    PYTHONPATH=addons:tests {{python}} -m support.update_proof
