# What a person does with a clone. Needs GNU make and Python 3.11 or newer; everything else goes into .venv.
#
#   make demo    install the package and run a first job offline, without an account (about a minute)
#   make test    the tests
#   make check   what a change must pass besides the tests: style, types, layers, documentation
#   make bench   what a batch costs as jobs grow, into docs/performance.md (about ten minutes)
#   make kill9   hosts killed a hundred times, into docs/reliability.md (about twenty minutes)
#   make docs    write anew the pages that are made from the code
#   make images  photograph JupyterLab for the documentation; needs Chromium (about a minute)
#   make notebooks  run the example notebooks and save them with their outputs
#   make clean   remove .venv, caches and the demo's files

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help demo test check bench kill9 docs notebooks clean

# The newest Python that can make environments. `make PYTHON=/path/to/python3 …` decides otherwise.
CANDIDATES := python3.14 python3.13 python3.12 python3.11 python3 python
CAPABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in $(CANDIDATES); do \
	"$$name" -c '$(CAPABLE)' >/dev/null 2>&1 && { command -v "$$name"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Tests run on two processes, which is what the smallest machine has: with more, browsers and conductors wait for each
# other. `make test TESTS=tests/job` runs some of them.
TESTS ?= tests
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=

DEMO := .demo

help:
	@sed -n 's/^#   make/make/p' Makefile

# --- the environment -------------------------------------------------------------------------------------------------

# An environment whose Python has gone, or that was moved here from elsewhere, is made anew.
ifneq ($(shell test ! -e $(VENV) || { test "$$(cat $(VENV)/made)" = "$(CURDIR)" && $(BIN)/python -c ""; } 2>/dev/null || \
	echo unusable),)
.PHONY: $(VENV)/made
endif

$(VENV)/made:
	@test -n "$(PYTHON)" || { \
		echo "No Python 3.11 or newer with the modules venv and ensurepip was found." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3 python3-venv." >&2; \
		echo "If it is somewhere unusual: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@echo "Making an environment in $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)
	@echo "$(CURDIR)" > $@

# One file per set of dependencies says that it is installed as pyproject.toml wants it. A larger set has the smaller.
$(VENV)/installed: $(VENV)/made pyproject.toml
	@echo "Installing mozart_nb"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing what the tests need"
	@$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-test
	@echo "Installing what the checks need"
	@$(PIP) install --editable '.[dev]'
	@touch $@

# --- what to do ------------------------------------------------------------------------------------------------------

# The job and the list of known jobs stay in $(DEMO), so that the demo leaves no trace in the home directory.
demo: $(VENV)/installed
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	@MOZART_NB_HOME="$(CURDIR)/$(DEMO)/home" sh examples/demo.sh "$(BIN)/mozart" "$(DEMO)/results"

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal $(PYTEST_ARGS) $(TESTS)

check: $(VENV)/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_docs.py tests/test_enumerations.py tests/test_public_api.py

bench: $(VENV)/installed-test
	$(BIN)/python benchmarks/run.py

kill9: $(VENV)/installed-test
	$(BIN)/python benchmarks/kill9.py
	$(BIN)/python benchmarks/batches_kill9.py
	$(BIN)/python benchmarks/conductor_kill9.py

docs: $(VENV)/installed
	$(BIN)/python docs/generate.py

notebooks: $(VENV)/installed-test
	$(BIN)/python examples/save_notebooks.py

images: $(VENV)/installed-test
	MOZART_NB_REQUIRE_CHROMIUM=1 MOZART_NB_SCREENSHOTS="$(CURDIR)/docs/images" \
		$(BIN)/python -m pytest -q tests/notebook/test_lab_dashboard.py tests/notebook/test_lab_saved.py \
		tests/notebook/test_lab_notification.py

clean:
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
