# Everything starts from `python3` (3.11 or newer) and `make`; each target makes the virtual environment that it needs.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
export PORT ?= 8000

.PHONY: help demo test backends matrix check bench load rolling soak endurance services lock clean FORCE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv-demo ## Run the Scholarship API with sample data on 127.0.0.1, PORT=8000, until stopped
	@PYTHONPATH=examples exec .venv-demo/bin/python -m scholarships demo

test: .venv .venv-oldest ## Run the suite on the newest FastAPI, with the example's coverage, and on the oldest
	.venv/bin/python -m pytest -n auto $(TWICE) --ignore=tests/examples/scholarships
	@rm -f .coverage .coverage.*
	.venv/bin/coverage run -m pytest -n auto $(TWICE) tests/examples/scholarships
	@.venv/bin/coverage combine --quiet
	.venv/bin/coverage report --include='examples/*' --fail-under=85
	# Real servers, and what knows nothing of FastAPI, once: `make matrix` runs all of it on every version
	.venv-oldest/bin/python -m pytest -n auto $(TWICE) $(addprefix --ignore=tests/,$(ONCE)) -k 'not postgres'

# Thousands of tests of real servers on a machine that does other things too: up to five that fail have a second try,
# and how they failed is shown. The other targets that run tests give none.
TWICE = --reruns 1 --max-suite-reruns 5 --rerun-show-tracebacks

# What is run on the newest FastAPI alone
ONCE = processes soak integrations backends benchmarks cli redaction metrics/workers interactions/store \
	interactions/journal interactions/test_metadata.py interactions/test_written.py examples/property examples/security \
	examples/containers examples/readme test_docs.py test_readme.py test_settings.py test_versions.py test_worker.py

# Twice as long as without: processes that the tests start are traced as well
coverage: .venv ## Run the suite on the newest FastAPI, and see which lines of the library no test runs
	@rm -f .coverage .coverage.*
	.venv/bin/coverage run -m pytest -n auto
	@.venv/bin/coverage combine --quiet
	.venv/bin/coverage report --include='src/*'

backends: .venv ## Run what needs Elasticsearch, a Collector and Jaeger, those of tests/backends/compose.yaml, which run already
	REQUIRE_BACKENDS=1 .venv/bin/python -m pytest -n auto tests/tracing/test_backends.py tests/processes/test_one_trace.py \
		tests/integrations/test_elasticsearch.py tests/integrations/test_conformance.py -k 'backends or one_trace or elasticsearch'

matrix: .venv-matrix ## Run the suite on every supported Python and FastAPI, or on some: PYTHON=3.13 FASTAPI=0.128,newest
	@.venv-matrix/bin/nox --$(if $(filter 1,$(REQUIRE_INTERPRETERS)),,no-)error-on-missing-interpreters

check: .venv ## Check format, lint, types and the layers of imports
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

bench: .venv-bench ## Print what a request costs, bare, with Belvedere and with its peers
	.venv-bench/bin/python -m benchmarks

SECONDS ?= 12
load: .venv-demo ## Load the Scholarship API on PostgreSQL, four workers, with and without Belvedere, SECONDS=12 on each
	@PYTHONPATH=examples:. .venv-demo/bin/python -m benchmarks.scholarships --seconds $(SECONDS)

rolling: .venv ## Restart two instances behind HAProxy in turn, under load, and count what fails
	.venv/bin/python -m tests.processes.rolling

MINUTES ?= 3
soak: .venv ## Load a service, kill workers, and see that counts, lines and ids add up, MINUTES=3
	.venv/bin/python -m tests.soak $(MINUTES)

endurance: .venv ## Record interactions while workers are killed, the database is in trouble, and the disk full
	.venv/bin/python -m tests.endurance

services: ## Install the servers that the tests start (PostgreSQL, Redis, RabbitMQ, HAProxy), and wrk, which loads them
	@tests/services

# The versions of FastAPI between the oldest and the newest that `make matrix` runs on
BETWEEN = $(basename $(notdir $(wildcard requirements/fastapi-*.txt)))
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: .venv-lock ## Resolve the dependencies into the lock files again (UPGRADE=1: to their newest versions)
	$(COMPILE) --group lock -o requirements/lock.lock
	$(COMPILE) --group matrix -o requirements/matrix.lock
	$(COMPILE) pyproject.toml --group build --group example -o requirements/demo.lock
	$(COMPILE) pyproject.toml --extra cli --group dev -o requirements/dev.lock
	for each in oldest $(BETWEEN); do \
		$(COMPILE) pyproject.toml --extra cli --group test -c requirements/$$each.txt -o requirements/$$each.lock || exit; \
	done
	$(COMPILE) benchmarks/requirements.in -o benchmarks/requirements.lock

clean: ## Remove what the other targets made
	rm -rf .venv .venv-* .nox .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: LOCK = requirements/dev.lock
.venv-oldest: LOCK = requirements/oldest.lock
.venv-demo: LOCK = requirements/demo.lock
.venv-bench: LOCK = benchmarks/requirements.lock
.venv-lock: LOCK = requirements/lock.lock
.venv-matrix: LOCK = requirements/matrix.lock
.venv-matrix: override export PYTHON := # there it names what to run on, not what to run nox with
.venv .venv-oldest .venv-demo .venv-bench .venv-lock .venv-matrix: FORCE
	@requirements/venv $@ $(LOCK)
