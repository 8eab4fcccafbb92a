# `make run` and `make test` need Python 3.11 or newer and make; everything else is set up in .venv from uv.lock.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
UV := UV_PROJECT_ENVIRONMENT=.venv $(BIN)/uv
# the certificates that git and pip trust, a company's own among them
export UV_SYSTEM_CERTS ?= 1
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
IN_PROCESS := not server and not journey and not docs
UNIT := $(IN_PROCESS) and not slow
# databases and archives wait for the disk at each commit: with 4 GB free in memory the tests' folders are there
MEMORY := $(shell test "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 2>/dev/null && echo PYTEST_DEBUG_TEMPROOT=/dev/shm)
BENCH ?=
unexport PYTHONDONTWRITEBYTECODE  # hundreds of processes are started: without bytecode each compiles what it imports

.PHONY: run demo test coverage unit soak lint types bench wheel release lowest newest changelog docs clean help
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11 …" >&2; exit 3; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.8'

.venv/.run: uv.lock pyproject.toml | $(BIN)/uv
	$(UV) sync --quiet --frozen --inexact --no-default-groups --extra all
	@touch $@

.venv/.dev: uv.lock pyproject.toml | $(BIN)/uv
	$(UV) sync --quiet --frozen --inexact --extra all --group dev
	@touch $@ .venv/.run

.venv-tools/.ready: .ci/checkov/uv.lock | $(BIN)/uv  # checkov alone: it pins what the project wants newer
	UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venv-tools $(BIN)/uv sync --quiet --frozen --project .ci/checkov
	@touch $@

run: .venv/.run  ## serve the gateway on 127.0.0.1:8000 with embedded defaults (make run PORT=8001)
	$(BIN)/carboy serve $(if $(PORT),--port $(PORT))

demo: .venv/.dev  ## the whole journey of an alert, with a stand-in Threat Stack on loopback
	$(BIN)/python -m tests.lab.demo

test: .venv/.dev .venv-tools/.ready  ## all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: .venv/.dev .venv-tools/.ready  ## all tests, and which lines and branches no test runs
	$(BIN)/python -m pytest $(PYTEST_ARGS) --cov=carboy --cov-report=term

unit: .venv/.dev  ## the quick tests that need no server, no process and no root
	$(MEMORY) $(BIN)/python -m pytest $(PYTEST_ARGS) -m "$(UNIT)"

soak: .venv/.dev  ## 1,000 rotations of a database's password under load (SOAK_ARGS="--rotations 50")
	$(BIN)/python -m tests.lab.rotation $(SOAK_ARGS)

lint: .venv/.dev  ## ruff and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/.dev  ## mypy (strict), pyright, and whether all that is public has a type
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes carboy --ignoreexternal

bench: .venv/.dev  ## the tables of ratios; one of them: make bench BENCH=accept; against a folder of results: AGAINST=…
	$(BIN)/python -m benchmarks $(BENCH) --save .bench $(if $(AGAINST),--against $(AGAINST))

wheel: .venv/.dev  ## wheel, sdist, SBOM and checksums, into dist/
	.ci/release $(or $(VERSION),$$($(BIN)/python -c 'import carboy; print(carboy.__version__)')) --dry-run

release: .venv/.dev  ## make release VERSION=1.2.3: changelog, version, tag, and what `make wheel` makes
	@test -n "$(VERSION)" || { echo "name it: make release VERSION=1.2.3" >&2; exit 2; }
	.ci/release $(VERSION)

lowest: | $(BIN)/uv  ## the tests without servers with the lowest versions that the dependencies allow
	$(UV) venv --quiet --clear --seed --python $(PYTHON) .venv-lowest
	$(UV) pip install --quiet --python .venv-lowest --resolution lowest-direct -e '.[all]' 'numpy>=1.26' --group test --group lint --group sdks
	.venv-lowest/bin/python -m pytest $(PYTEST_ARGS) -m "$(IN_PROCESS)"

newest: | $(BIN)/uv  ## the tests without servers with the newest versions that the dependencies allow
	$(UV) venv --quiet --clear --seed --python $(PYTHON) .venv-newest
	$(UV) pip install --quiet --python .venv-newest --upgrade -e '.[all]' 'numpy>=1.26' --group test --group lint --group sdks
	.venv-newest/bin/python -m pytest $(PYTEST_ARGS) -m "$(IN_PROCESS)"

changelog: .venv/.dev  ## what the next release will list
	$(BIN)/towncrier build --draft

docs: .venv/.dev  ## the documentation as a site, into site/ (read it: python -m http.server -d site)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## remove what can be made again
	rm -rf .venv .venv-tools .venv-lowest .venv-newest .mypy_cache .ruff_cache dist build site
