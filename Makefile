# `make run` and `make test` need nothing set up: Python and make are there, the rest is fetched into .venv and .tools.
# ARGS is handed on: make run ARGS="--help", make test ARGS="-k ledger".

# A Python >= 3.11, by its full path; empty when there is none. Looked for when one is needed.
PYTHON = $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(1) if sys.version_info < (3, 11) else print(sys.executable)' 2>/dev/null && break; \
	done)
# The uv of this machine, or our own. Asked for its version, because a pyenv shim may be there with nothing behind it.
UV := $(if $(shell uv --version 2>/dev/null),uv,.tools/bin/uv)
BIN := .venv/bin

# Whatever environment the caller has open, this project's is .venv. uv trusts the certificates that this machine trusts
# (as apt and Python do), so that it works behind a company's proxy too.
export UV_PROJECT_ENVIRONMENT := .venv
export UV_SYSTEM_CERTS ?= true
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help run test coverage check format docs bench clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(BIN)/.ready-to-run ## start Payflow with its world simulated
	$(BIN)/payflow sandbox $(ARGS)

test: $(BIN)/.ready-to-test ## run all tests, two at a time; with ARGS, those that pytest is told to
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n 2)

coverage: $(BIN)/.ready-to-test ## run all tests, and show which branches none of them takes
	$(BIN)/python -m pytest -n 2 --cov

check: $(BIN)/.ready-to-test ## lint, formatting, types, direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(BIN)/.ready-to-test ## put the code into its one format, mend what can be mended safely
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: $(BIN)/.ready-to-test ## write anew the pages that are made from the code; a test compares them
	$(BIN)/python -m tests.machines.readme
	$(BIN)/python -m tests.cli.settings_page

bench: $(BIN)/.ready-to-test ## measure: payouts a second, and where the time goes
	$(BIN)/python -m tests.bench $(ARGS)

clean: ## remove all that was fetched or generated; data/ holds the books and stays
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find payflow machines adapters tests -name __pycache__ -prune -exec rm -rf {} +

# To run takes nothing away (--inexact): one .venv serves both, and the developer's packages stay. To test is exact.
$(BIN)/.ready-to-run: pyproject.toml uv.lock $(BIN)/python
	$(UV) sync --locked --no-dev --extra sandbox --inexact
	@touch $@

$(BIN)/.ready-to-test: pyproject.toml uv.lock $(BIN)/python | .tools/npm/.ready
	$(UV) sync --locked --all-extras
	@touch $@ $(BIN)/.ready-to-run

# uv makes environments without Debian's python3-venv. --clear: what is there has lost its Python, or never had one.
$(BIN)/python: | $(filter .tools/%,$(UV))
	$(need-python)
	$(UV) venv --quiet --clear --python "$(PYTHON)" .venv

# A real Ethereum node and the real multisig, for tests. To run takes neither.
.tools/npm/.ready: tests/npm/package.json tests/npm/package-lock.json
	mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.tools/bin/uv:
	$(need-python)
	"$(PYTHON)" .ci/bootstrap.py .tools

define need-python
@test -n "$(PYTHON)" || { \
	echo "Payflow needs Python 3.11 or newer: install it (Debian: apt install python3; macOS: brew install python) and run make again."; \
	exit 1; } >&2
endef
