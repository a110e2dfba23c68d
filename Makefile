# The commands of this project. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
BENCH := $(VENV)-bench
FRAMEWORKS := $(VENV)-frameworks
CLIENTS := $(VENV)-clients
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
# A checkout keeps its data in .data, unless DATA_DIR is set, in the environment or in .env.
export DEFAULT_DATA_DIR := $(CURDIR)/.data

# The tests that `make test-quick` picks; of these, those that need PostgreSQL are left out.
QUICK := tests/domain tests/usecases tests/contracts tests/settings \
	tests/test_architecture.py tests/test_public_api.py

.DEFAULT_GOAL := help

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## serve on http://127.0.0.1:8000 (data stays in .data)
	@exec $(BIN)/taskcli serve

# Three at once on two cores: some wait for servers that stop, and for what takes its time.
test: $(VENV)/.dev ## run the tests (PostgreSQL comes along; nothing must run beforehand)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

test-quick: $(VENV)/.dev ## some seconds of them: the domain, the use cases and the contracts, in memory
	$(BIN)/pytest --quick -n 2 --dist loadfile --no-loadscope-reorder $(QUICK)

test-long: $(VENV)/.dev ## the tests that wait for minutes, or need root
	$(BIN)/pytest -m long

check: format-check lint types architecture test ## everything that a commit must pass

format: $(VENV)/.dev ## format the code and apply ruff's fixes
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

format-check: $(VENV)/.dev ## check the format
	$(BIN)/ruff format --check

lint: $(VENV)/.dev ## ruff, every rule
	$(BIN)/ruff check
	@if grep -nE 'https?://' requirements*.txt || grep -n '"resolved"' tests/clients/package-lock.json benchmarks/fastify/package-lock.json; then echo "lock files must name no host"; exit 1; fi

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

architecture: $(VENV)/.dev ## who may import whom
	$(BIN)/lint-imports

fuzz: $(VENV)/.dev ## schemathesis, all checks, three seeds, against a server of its own
	$(BIN)/python -m tests.fuzz.run

test-browser: $(VENV)/.dev ## the documentation pages in a headless Chromium
	$(PIP) install --require-hashes --no-deps -r requirements-browser.txt
	$(BIN)/python tests/browser/run.py

test-proxies: $(VENV)/.dev ## nginx, HAProxy and Caddy as documented, while servers stop; needs Debian's packages
	$(BIN)/python -m tests.proxies.run $(ARGS)

test-metrics: $(VENV)/.dev ## a Prometheus asks a server of two workers; needs Debian's package
	$(BIN)/python -m tests.metrics.run

test-pooler: $(VENV)/.dev ## the API through PgBouncer as documented, while PostgreSQL stops; needs Debian's package
	$(BIN)/python -m tests.poolers.run $(ARGS)

test-ha: $(VENV)/.dev ## Patroni, etcd and HAProxy as documented, while their parts fail; pgBackRest; ten minutes, needs Debian's packages
	$(BIN)/python -m tests.ha.run $(ARGS)

test-container: $(VENV)/.dev ## the image, built without a registry and run; needs root, buildah, debootstrap
	$(BIN)/python -m tests.container.run $(ARGS)

test-frameworks: $(FRAMEWORKS)/.frameworks ## the examples of docs/library.md, those in FastAPI and Django too
	$(FRAMEWORKS)/bin/pytest tests/test_library_page.py

test-clients: $(VENV)/.dev $(CLIENTS)/.clients ## clients that others generate from the document; needs Node.js
	$(BIN)/python -m tests.clients.run $(CLIENTS) $(CLIENTS)/bin

bench: $(VENV)/.runtime $(BENCH)/.bench ## compare with Go, Fastify, FastAPI and a bare server; fifteen minutes
	SERVED_BY=$(BIN)/python $(BENCH)/bin/python -m benchmarks $(PART) $(ARGS)

bench-quick: PART := --quick
bench-quick: bench ## four workloads of that, 80 seconds

bench-rivals: PART := --rivals
bench-rivals: bench ## beside Go, Fastify and a bare server alone; four minutes

bench-telemetry: PART := --telemetry
bench-telemetry: $(VENV)/.dev bench ## what metrics, traces and error reports cost; two minutes

bench-page: $(VENV)/.runtime $(BENCH)/.bench ## write docs/performance.md from RUN=file, or the last run that is kept
	$(BENCH)/bin/python -m benchmarks.page $(RUN)

bench-profile: $(VENV)/.runtime $(BENCH)/.bench ## where the time goes, by layer
	SERVED_BY=$(BIN)/python $(BENCH)/bin/python -m benchmarks.profile

bench-lists: $(VENV)/.runtime $(BENCH)/.bench ## filters, orders, searches among ten million tasks; 15 GB of disk
	$(BENCH)/bin/python -m benchmarks.lists $(ARGS)

claims: $(VENV)/.dev ## regenerate the table of security claims from the tests
	$(BIN)/python -m tests.security.claims

man: $(VENV)/.dev ## regenerate man/taskcli.1 from the help
	$(BIN)/python -m tests.packaging.man_page

build: $(VENV)/.dev ## wheel and sdist into dist/
	$(BIN)/python -m build --no-isolation

lock: $(VENV)/.dev ## recompile the lock files
	$(COMPILE) pyproject.toml --extra all --extra otel --extra sentry --group dev -o requirements-dev.txt
	$(COMPILE) pyproject.toml --extra all --group build -c requirements-dev.txt -o requirements.txt
	$(COMPILE) pyproject.toml --extra all --extra otel --extra sentry --group build -c requirements-dev.txt -o requirements-telemetry.txt
	$(COMPILE) pyproject.toml --extra all --group bench -c requirements-dev.txt -o requirements-bench.txt
	$(COMPILE) tests/browser/requirements.in -o requirements-browser.txt
	$(COMPILE) tests/ha/requirements.in -o requirements-ha.txt
	$(COMPILE) tests/frameworks/requirements.in -c requirements-dev.txt -o requirements-frameworks.txt
	$(COMPILE) tests/clients/requirements.in -o requirements-clients.txt

clean: ## remove everything generated, except the data
	rm -rf $(VENV) $(BENCH) $(FRAMEWORKS) $(CLIENTS) dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 ..."; exit 1; }
	@echo "Preparing $(VENV), once: half a minute or more of downloads ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes --no-deps -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime

# The contestants have an environment of their own: ours runs with what `make run` installs.
$(BENCH)/.bench: requirements-bench.txt pyproject.toml
	@$(MAKE) --no-print-directory VENV=$(BENCH) $(BENCH)/.runtime
	@$(subst $(BIN),$(BENCH)/bin,$(PIP)) install --require-hashes --no-deps -r requirements-bench.txt
	@touch $@

$(FRAMEWORKS)/.frameworks: requirements-frameworks.txt requirements-dev.txt pyproject.toml
	@$(MAKE) --no-print-directory VENV=$(FRAMEWORKS) $(FRAMEWORKS)/.dev
	@$(subst $(BIN),$(FRAMEWORKS)/bin,$(PIP)) install --require-hashes --no-deps -r requirements-frameworks.txt
	@touch $@

# Node.js comes from the machine; the tools that it runs, and those of Python, are pinned.
$(CLIENTS)/.clients: requirements-clients.txt tests/clients/package-lock.json
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null \
		&& command -v npm >/dev/null \
		|| { echo "Node.js 20.19 or newer, with npm, is needed to generate clients of JavaScript"; exit 1; }
	@$(MAKE) --no-print-directory VENV=$(CLIENTS) $(CLIENTS)/bin/python
	@$(subst $(BIN),$(CLIENTS)/bin,$(PIP)) install --require-hashes --no-deps -r requirements-clients.txt
	@cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)
	@cd $(CLIENTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: help run test test-quick test-long check format format-check lint types architecture fuzz test-browser test-proxies test-container test-metrics test-pooler test-ha test-frameworks test-clients \
	bench bench-quick bench-rivals bench-page bench-telemetry bench-profile bench-lists \
	claims man build lock clean
