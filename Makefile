# `make demo` and `make test` work on a fresh machine with Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo serve setup test lint clean

help:            ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

# Base install (no torch): what a user of the server has.
$(VENV)/.base: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing surnn into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

# Everything for development: training, export, tests, linters.
$(VENV)/.dev: $(VENV)/.base
	@echo "Installing the development tools into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/.dev   ## make .venv with everything for development

demo: $(VENV)/.base   ## server up on the bundled model, a real recording streamed through it
	@$(BIN)/surnn demo

serve: $(VENV)/.base  ## run the server on port 8000
	@$(BIN)/surnn serve

test: $(VENV)/.dev    ## run the tests
	@$(BIN)/python -m pytest -q

lint: $(VENV)/.dev    ## ruff and mypy strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:           ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
