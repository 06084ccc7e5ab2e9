# sie-online. On a fresh machine with Python >= 3.11, git and make: `make demo`, `make test`. `make` alone explains.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough; `make PYTHON=/path/to/python3.12 …` overrides.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
# On a terminal uv shows its own progress; elsewhere it only speaks up when something is wrong.
UV_QUIET := $(shell [ -t 2 ] || echo --quiet)
INSTALL = $(BIN)/uv pip install $(UV_QUIET) --python $(BIN)/python --constraint constraints.txt
# The demo trains an importance net beside the stream; make demo TRAINER=0 leaves that out, and torch with it
TRAINER ?= 1
NO_TRAINER := $(filter 0 no false,$(TRAINER))
# Files of tests that run beside each other, each with its brokers; make test JOBS=0 runs all in one process
JOBS ?= 2
PYTEST := $(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
# What Python has compiled is kept whatever the shell says: else every process that tests start compiles torch anew
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX ?= $(CURDIR)/build/pycache
# More arguments for pytest, the benchmark or the chaos run: make test ARGS="-k topics -x"
ARGS ?=

##@ Try it

.PHONY: demo
demo: $(VENV)/.demo$(if $(NO_TRAINER),,-trainer) ## Events in, weights out, on this machine: live view, report (TRAINER=0: without torch)
	@$(BIN)/sie demo $(if $(NO_TRAINER),--no-trainer) $(ARGS)

.PHONY: stack
stack: $(VENV)/.demo-trainer ## Kafka, worker, trainer, Prometheus and steady events until Ctrl-C (needs Java, Maven, prometheus; ARGS="--help")
	@$(BIN)/python -m deploy.stack $(ARGS)

.PHONY: kafka
kafka: ## Apache Kafka on 127.0.0.1:9092 until Ctrl-C, data in build/kafka/data (needs Java and Maven)
	@deploy/kafka/run.sh build/kafka/data 9092 || [ $$? -ge 128 ]

##@ Work on it

.PHONY: check
check: $(VENV)/.dev ## The inner loop, some 90 s: lint, unit and contract tests without a broker (ARGS="-k topics -x")
	@$(MAKE) -j2 lint kernels
	@$(PYTEST) -m "not slow" tests/unit tests/contract $(ARGS)

.PHONY: test
test: $(VENV)/.dev ## Everything that can fail: lint, schemas, all tests (Apache Kafka's need Java and Maven)
	@$(MAKE) -j2 lint kernels
	@$(MAKE) schemas-check dashboards-check
	@$(BIN)/python -m tests.support.brokers
	@$(PYTEST) $(ARGS)

# Compiled once before the tests, while the types are checked, and kept
.PHONY: kernels
kernels: $(VENV)/.dev
	@echo "Compiling the kernels ..."
	@SIE_CACHE_DIR=$${SIE_CACHE_DIR:-$(CURDIR)/build/cache} $(BIN)/sie kernels

.PHONY: wheel
wheel: $(VENV)/.dev ## A wheel with compiled kernels, in dist: its first start is quick on this Python and kind of machine
	@rm -rf build/kernels
	@SIE_CACHE_DIR=$${SIE_CACHE_DIR:-$(CURDIR)/build/cache} $(BIN)/sie kernels --copy-to build/kernels
	@WHEEL_KERNELS=build/kernels $(BIN)/uv build $(UV_QUIET) --wheel --python $(BIN)/python --out-dir dist

.PHONY: lint
lint: $(VENV)/.dev ## ruff, formatting, types, layers, the docs' links
	@mkdir -p build; echo "Linting ..."
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > build/lint-imports.txt || { cat build/lint-imports.txt; exit 1; }
	@$(BIN)/python -m deploy.site --quiet

.PHONY: docs
docs: $(VENV)/.dev ## The docs as a site, in build/site (ARGS=serve: on 127.0.0.1:8000 until Ctrl-C, with search)
	@$(BIN)/python -m deploy.site $(ARGS)

.PHONY: schemas schemas-check
schemas: $(VENV)/.dev ## Write the JSON Schemas of the topics anew from the code
	@$(BIN)/python -m sie_online.schemas
schemas-check: $(VENV)/.dev
	@$(BIN)/python -m sie_online.schemas --check

.PHONY: dashboards dashboards-check
dashboards: $(VENV)/.dev ## Write Grafana's dashboards anew from the code
	@$(BIN)/python -m deploy.grafana
dashboards-check: $(VENV)/.dev
	@$(BIN)/python -m deploy.grafana --check

.PHONY: bench
bench: $(VENV)/.dev ## Throughput on Apache Kafka beside stock Faust, an empty fetch and peers (ARGS="--help": others)
	@$(BIN)/python -m tests.benchmarks.throughput $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Damaged input for every decoder of what others write (ARGS="--target rows --inputs 1000000")
	@SIE_CACHE_DIR=$${SIE_CACHE_DIR:-$(CURDIR)/build/cache} $(BIN)/python -m tests.fuzz.run $(ARGS)

.PHONY: chaos
chaos: $(VENV)/.dev ## Kills, pauses and broker failures on Apache Kafka, long (ARGS="--seeds 1-10")
	@$(BIN)/python -m tests.chaos.run $(ARGS)

.PHONY: constraints
constraints: $(VENV)/.uv ## Resolve every dependency anew into constraints.txt (then test, then commit)
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --strip-extras --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make constraints" \
		--extra worker --extra trainer --extra lake --extra demo --extra dev --output-file constraints.txt pyproject.toml
	@git --no-pager diff --stat -- constraints.txt

.PHONY: clean
clean: ## Remove what was built and measured, caches and the environment
	@rm -rf build dist $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST); echo

# --- The environment: stamps say what is installed, and are older than pyproject.toml when that no longer holds ---

$(VENV)/.uv:
	@[ -n "$(PYTHON)" ] || { echo "Python >= 3.11 is needed: apt-get install python3, or make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "This Python cannot make environments: apt-get install python3-venv" >&2; exit 2; }
	@echo "Making the environment in $(VENV) ($$($(PYTHON) --version)) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

$(VENV)/.demo: $(VENV)/.uv pyproject.toml constraints.txt
	@echo "Installing sie-online with what the demo needs (some 250 MB, once) ..."
	@$(INSTALL) --editable '.[worker,demo]'
	@mkdir -p build && touch $@

$(VENV)/.demo-trainer: $(VENV)/.uv pyproject.toml constraints.txt
	@echo "Installing sie-online with the demo's needs and torch (some 6 GB where torch brings CUDA, once) ..."
	@echo "  without torch it is 250 MB: make demo TRAINER=0"
	@$(INSTALL) --editable '.[worker,demo,trainer]'
	@mkdir -p build && touch $@ $(VENV)/.demo

$(VENV)/.dev: $(VENV)/.uv pyproject.toml constraints.txt
	@echo "Installing sie-online with what tests need (some 6 GB where torch brings CUDA, once) ..."
	@$(INSTALL) --editable '.[worker,demo,trainer,dev]'
	@mkdir -p build && touch $@ $(VENV)/.demo $(VENV)/.demo-trainer
