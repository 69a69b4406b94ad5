# make install    .venv with the package, its plots and the test runner
# make speedrun   install, then from nothing to an examined chat model (ARGS="--minutes 30" is passed on)
# make test       install the programs that the tests compare with, then the whole suite (ARGS="-k dpo" is passed on)
# make check      formatting, lint, types and the architecture test
# make bench      every benchmark, against its peers, on this machine
# make clean      remove caches; what was trained (out, runs, checkpoints, dataset) and .venv stay

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=

# Stamps carry the hash of what was asked for: nothing happens when nothing changed, whatever the files' dates.
ASKED := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
INSTALLED := .venv/.installed-$(ASKED)
INSTALLED_FOR_TESTS := .venv/.installed-for-tests-$(ASKED)

# Newer pip does not hand the constraint to the environments that it builds in, so both are set.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install speedrun test check bench clean

install: $(INSTALLED)

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "MiniMind needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable '.[plots,test]'
	@touch $@

speedrun: $(INSTALLED)
	$(BIN)/minimind speedrun $(ARGS)

# Without a network the suite still runs after `make install`: tests that need the other programs are skipped and
# say so. REQUIRE_ORACLES=1 makes that an error.
$(INSTALLED_FOR_TESTS): $(INSTALLED)
	@if $(BIN)/python -m pip install --editable '.[dev]'; then touch $@; \
	elif [ -n "$(REQUIRE_ORACLES)" ]; then echo "the test oracles could not be installed"; exit 1; \
	else echo "the test oracles could not be installed: comparisons with transformers, trl and peft are skipped"; fi

test: $(INSTALLED_FOR_TESTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

check: $(INSTALLED_FOR_TESTS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench: $(INSTALLED)
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

clean:
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests trainer scripts -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info
