# `make demo` and `make test` work on a fresh machine with Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo serve setup test gpu fuzz lint audit fuzzapi clean

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

gpu: $(VENV)/.dev     ## on a machine with an NVIDIA GPU: test the compiled kernels, then measure
	@$(BIN)/python -m pytest -q -m gpu tests/kernels/device tests/runtimes
	@$(BIN)/surnn bench gpu --json --output docs/data/gpu.json

fuzz: $(VENV)/.dev    ## a million odd inputs to everything that reads what clients send
	@SURNN_FUZZ_INPUTS=1000000 SURNN_FUZZ_REPORT=docs/data/fuzz.json \
		$(BIN)/python -m pytest -q tests/fuzz -k many

lint: $(VENV)/.dev    ## ruff and mypy strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

audit: $(VENV)/.base  ## known vulnerabilities in what we depend on; asks the network
	@SURNN_AUDIT=required .ci/audit

fuzzapi: $(VENV)/.dev  ## inputs that schemathesis and atheris make up, with coverage as their guide
	@test -x $(VENV)-audit/bin/schemathesis || $(PYTHON) -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip --disable-pip-version-check --quiet install schemathesis atheris
	@$(BIN)/python tests/fuzz/openapi.py $(VENV)-audit/bin/schemathesis docs/data/openapi.json --seed 1
	@PYTHONPATH=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'):model:server:clients \
		$(VENV)-audit/bin/python tests/fuzz/guided.py --all docs/data/guided.json -runs=20000 -seed=1

clean:           ## remove the virtual environment and caches
	rm -rf $(VENV) $(VENV)-audit .pytest_cache .mypy_cache .ruff_cache
