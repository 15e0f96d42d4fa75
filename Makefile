# Durably's commands. Each works as the first one on a fresh machine with Python 3.10+ and pip: it makes .venv itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-dev
READY_BENCH := $(VENV)/.ready-bench
# Kills per crash point in `make crash`; the ordinary suite does fewer.
KILLS ?= 200
ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check unit crash conformance bench bench-orm bench-waiting tox tox-orm clean lint format types pyright floors

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## place 200 orders while the worker is killed three times (DB=sqlite|postgres)
	@$(BIN)/python -m examples.shop.demo $(if $(DB),--db $(DB)) $(ARGS)

test: check unit  ## everything that must pass: the static checks, then all tests

check: lint format types pyright floors  ## the static checks only

unit: $(READY)  ## the tests only (ARGS="-k name")
	@echo "== pytest"
	@$(BIN)/python -m pytest $(ARGS)

crash: $(READY)  ## the crash matrix with many kills (KILLS=200 per point)
	@echo "== crash matrix, $(KILLS) kills at each point"
	@DURABLY_CRASH_KILLS=$(KILLS) $(BIN)/python -m pytest tests/crash --timeout=14400 $(ARGS)

conformance: $(READY)  ## the conformance suite on every adapter and database; writes docs/conformance.md
	@$(BIN)/python -m pytest tests/adapters -k test_conformance --conformance-json $(VENV)/conformance.json $(ARGS)
	@$(BIN)/python scripts/conformance_table.py $(VENV)/conformance.json

bench: $(READY_BENCH)  ## side by side with DBOS
	@$(BIN)/python -m benchmarks.side_by_side $(ARGS)

tox: $(READY)  ## the whole suite on every supported Python that is installed, against the wheel
	@$(BIN)/tox -m py $(if $(ARGS),-- $(ARGS))

tox-orm: $(READY)  ## each ORM alone, in each of its versions, on every Python
	@$(BIN)/tox -m orm $(if $(ARGS),-- $(ARGS))

bench-orm: $(READY)  ## a durable transaction beside the ORM's own
	@$(BIN)/python -m benchmarks.transactions $(ARGS)

bench-waiting: $(READY_BENCH)  ## waiting and talking, side by side with DBOS
	@$(BIN)/python -m benchmarks.waiting $(ARGS)

clean:  ## remove .venv and everything that can be made again
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lint: $(READY)
	@echo "== ruff check"
	@$(BIN)/ruff check

format: $(READY)
	@echo "== ruff format"
	@$(BIN)/ruff format --check

types: $(READY)
	@echo "== mypy"
	@$(BIN)/mypy

pyright: $(READY)
	@echo "== basedpyright"
	@$(BIN)/basedpyright

floors: $(READY)
	@echo "== import-linter"
	@$(BIN)/lint-imports

$(READY): pyproject.toml scripts/bootstrap.py
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) was not found: install Python 3.10 or later, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("%s is Python %d.%d, and Durably needs 3.10 or later: make $(MAKECMDGOALS) PYTHON=/path/to/python" \
	  % ((sys.executable,) + tuple(sys.version_info[:2])) if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) scripts/bootstrap.py $(VENV) dev

$(READY_BENCH): $(READY)
	@$(PYTHON) scripts/bootstrap.py $(VENV) bench
