# The few verbs a person types. Everything that they need, they install themselves.
SHELL := /bin/bash
PYTHON ?= python3
CLUSTER ?= auto
NAME ?= penstock
TAG ?= penstock:dev
ARGS ?=
PROCESSES ?= 2
SEED ?= 1
COUNT ?= 5000
MINUTES ?= 2
VENV := .venv
BIN := $(VENV)/bin

BENCH := bench-results
PREFECT := .venv-prefect

.PHONY: help venv lock crds lint test test-unit fuzz chaos image bench bench-sdk compat hooks demo demo-down cluster-up cluster-down

help:  ## List these verbs.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.installed  ## Make .venv from the exact lock.

$(VENV)/.installed: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

lock: venv  ## Write the locks again from the ranges of pyproject.toml (needs uv).
	for extra in operator dev; do uv pip compile --quiet pyproject.toml --extra $$extra --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/$$extra.lock \
	  $$( [ $$extra = dev ] && echo "-c requirements/operator.lock" ); done
	uv pip compile --quiet --group build -c requirements/dev.lock --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/build.lock

crds: venv  ## Write crds/*.yaml and the references of API and metrics from the code.
	$(BIN)/python -m penstock.api.generate
	$(BIN)/python -m penstock_operator.metrics_page

lint: venv  ## Every static check.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pre-commit validate-config
	$$($(BIN)/python -m tests.cluster build actionlint)/actionlint -shellcheck= -pyflakes=

test: venv  ## Every test, on clusters of its own; ARGS="tests/api -k chart": some; CLUSTER=...: where Pods run.
	@# Built first, because a test that waits for a compiler looks like one that hangs.
	$(BIN)/python -m tests.cluster build > /dev/null
	$(BIN)/python -m tests.cluster build versitygw > /dev/null
	@# tests/e2e and the two parts of tests/api have a cluster each, and one process at a time (see tests/conftest.py).
	CLUSTER=$(CLUSTER) $(BIN)/pytest --numprocesses $(PROCESSES) --dist loadscope $(ARGS)

test-unit: venv  ## The tests that need no cluster.
	$(BIN)/pytest --numprocesses auto tests/unit

fuzz: venv  ## Random manifests against an operator: SEED=1 COUNT=5000; ARGS="--replay FILE": again what was found.
	$(BIN)/python -m tests.fuzz --seed $(SEED) --count $(COUNT) $(ARGS)

chaos: venv  ## Flows with known ends while everything around them breaks: SEED=1 MINUTES=2.
	$(BIN)/python -m tests.chaos --seed $(SEED) --minutes $(MINUTES) $(ARGS)

image: venv  ## Build the image TAG, with Docker if its engine answers, else with buildah.
	$(BIN)/python -m tests.cluster image --tag $(TAG)

bench: venv  ## Penstock beside an Indexed Job and a bare loop, on fake nodes; ARGS="--rounds 1 --only chain".
	$(BIN)/python -m bench --output $(BENCH) $(ARGS)

bench-sdk: venv  ## Python flows beside Prefect from PyPI; ARGS=--write-docs: into docs/benchmarks-sdk.md.
	$(BIN)/python -m bench.sdk $(ARGS)

compat: venv $(PREFECT)/.installed  ## Programs of Prefect's users with Penstock and with Prefect; ARGS="--only caches".
	$(BIN)/python -m compat --prefect $(PREFECT)/bin/python $(ARGS)

$(PREFECT)/.installed: compat/requirements.txt
	$(PYTHON) -m venv $(PREFECT)
	$(PREFECT)/bin/python -m pip install --quiet -r compat/requirements.txt
	@touch $@

hooks: venv  ## Run the static checks before each commit from now on.
	$(BIN)/pre-commit install

demo: venv  ## From nothing to a finished flow: a cluster, Penstock, and a run on real data.
	@CLUSTER=$(CLUSTER) NAME=$(NAME) demo/up.sh

demo-down:  ## Remove all that demo made.
	@CLUSTER=$(CLUSTER) NAME=$(NAME) demo/down.sh

cluster-up: venv  ## Start a test cluster: CLUSTER=auto|existing|kind|bare|fake.
	$(PYTHON) -m tests.cluster up --kind $(CLUSTER) --name $(NAME)

cluster-down:  ## Stop it and undo everything.
	$(PYTHON) -m tests.cluster down --name $(NAME)
