# restorekit. `make help` lists the targets. Each does the set-up that it needs, once, in .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup benchmark test test-fast lint format docs wheels clean

VENV ?= .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/restorekit-*))
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS))
EDITABLE := $(addprefix -e ./,$(PLUGINS))

# Tests do not use the network: whatever reaches for it is refused at once, by a port where nobody listens.
OFFLINE := HF_HUB_OFFLINE=1 http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 no_proxy=localhost,127.0.0.1
# Two processes with one thread each finish the suite sooner than one process with two threads.
WORKERS ?= 2
PYTEST := $(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

BENCHMARK ?= --models all --dataset raindrop
OUT ?= runs/benchmark-raindrop

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  make %-10s %s\n' "$$name" "$$text"; done

# The newest Python from 3.11 on that can make environments; PYTHON=... chooses another.
$(BIN)/python:
	@for candidate in $(PYTHON) python3.12 python3.13 python3.11 python3 python; do \
	  if $$candidate -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$candidate -m venv $(VENV)"; exec $$candidate -m venv $(VENV); \
	  fi; \
	done; \
	echo "No Python 3.11 or newer with the modules venv and ensurepip was found. Install one (on Debian and" >&2; \
	echo "Ubuntu: python3 and python3-venv), or name one: make setup PYTHON=/path/to/python3" >&2; exit 1

# What it takes to run: the core and the plugins, as they stand here.
$(VENV)/.runtime: $(PROJECTS) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e . $(EDITABLE)
	@touch $@

# What it takes to work on restorekit, on top of that.
$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[dev]"
	@touch $@

setup: $(VENV)/.dev ## install the core, the plugins and the developers' tools

benchmark: $(VENV)/.runtime ## compare all models on raindrops (OUT=folder, BENCHMARK="options")
	$(BIN)/restorekit benchmark $(BENCHMARK) -o $(OUT)

test: $(VENV)/.dev ## the whole suite, without GPU and network
	$(PYTEST) $(ARGS)

test-fast: $(VENV)/.dev ## the suite without its slow tests
	$(PYTEST) -m "not slow" $(ARGS)

lint: $(VENV)/.dev ## ruff, its formatter, mypy --strict, and the workflows
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/fault.yml .github/ISSUE_TEMPLATE/wish.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet --config .github/zizmor.yml .github/workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks tests/support
	@for folder in $(PLUGINS); do \
	  package=$$(ls -d $$folder/restorekit_*); \
	  echo "mypy $$package"; $(BIN)/mypy $$package || exit 1; \
	done

format: $(VENV)/.dev ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## write the generated pages anew, build the site into site/, check all of it
	$(BIN)/python docs/generate.py
	$(OFFLINE) NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(PYTEST) -n 0 tests/test_docs.py tests/test_site.py

wheels: $(VENV)/.dev ## build all source packages and wheels into dist/
	$(BIN)/python benchmarks/tools/build_wheels.py dist

clean: ## remove what builds and tests leave; .venv and runs stay
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
	rm -rf $(addsuffix /dist,$(PLUGINS)) $(addsuffix /build,$(PLUGINS))
