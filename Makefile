# make demo [REPO=path] [SEED=n]   the main job: on the sample organisation, or on any git repository
# make test | test-slow            quick tests | what takes minutes
# make check                       format, lint, types, imports
# make bench [REPO=path]           speed of ingest, of a review, of training and of the scan, measured here
# make bench-gpu                   the stages of the reads on a CUDA device; skipped, and said so, without one
# make docs                        write the generated command reference and API description again
# make lock                        resolve every version anew into requirements.lock
# make refresh-github-contract     take the tests' share of GitHub's published schemas again (needs npm)
# make clean                       remove caches and the demo's work, keep .venv
#
# TEST_PROCESSES  processes of make test: one a core, at most 8
# PYTHON    interpreter that makes .venv (3.11 or newer)
# PIP_ARGS  passed to pip install, for instance an index that serves another torch wheel (README.md)

PYTHON ?= python3
PIP_ARGS ?=
SEED ?= 0
TEST_PROCESSES ?= logical
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Two torch threads on two cores that anything else uses wait for each other longer than they compute.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format bench bench-gpu docs lock refresh-github-contract clean

help:
	@sed -n '/^# /s/^# //p; /^$$/q' Makefile

# Two stamps, so that an edit of pyproject.toml does not resolve the lock again.
$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Routeprint needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version): make PYTHON=python3.12 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(PIP_ARGS) --requirement requirements.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.installed
ifdef REPO
	$(BIN)/routeprint demo --repo "$(REPO)" --seed $(SEED)
else
	$(BIN)/routeprint demo --seed $(SEED)
endif

test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --maxprocesses 8 --dist loadfile

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow and not gpu"

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed
	$(BIN)/python -m tests.bench.speed "$(or $(REPO),.)"
	$(BIN)/python -m tests.bench.training "$(or $(REPO),.)"
	$(BIN)/python -m tests.bench.scan "$(or $(REPO),.)"
	$(BIN)/python -m tests.bench.queue

# Needs a CUDA device; without one every line says so.
bench-gpu: $(VENV)/.installed
	$(BIN)/python -m pytest tests/gpu -m gpu -s

docs: $(VENV)/.installed
	$(BIN)/python -m service.cli.reference
	$(BIN)/routeprint openapi --out service/api/openapi.json

# A fresh environment from pyproject.toml alone, frozen. torch loses its local version, so that the
# lock serves every index; no URL and no host gets into the file.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(PIP_ARGS) ".[dev]" "$$(sed -n 's/^requires = \["\(.*\)"\].*/\1/p' pyproject.toml)"
	{ sed -n '/^#/p' requirements.lock; \
	  .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude routeprint --exclude wheel | sed 's/+[a-z0-9.]*$$//'; \
	} > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf .venv-lock

refresh-github-contract: $(VENV)/.installed
	$(BIN)/python -m tests.contract.github.refresh

clean:
	rm -rf build dist .demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache ./*.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
