# One environment in .venv, pinned by constraints.txt; a stamp in it says which set is installed.

PYTHON ?= python3.11
BIN := .venv/bin
DEFAULT := .venv/.default
DEV := .venv/.dev
PINS := pyproject.toml constraints.txt
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# the benchmarks of resatlas bench, each of which makes a table
BENCHMARKS := training inference detection input photographs serving export growth memory

# the studies of docs/evidence, in the order in which they run
EVIDENCE := claims today factorial factorial-fashion today-fashion

# the interpreters on which `make release` installs the wheel; of those after the first, the ones that are here
PYTHONS ?= $(PYTHON) python3.12 python3.13

.PHONY: help demo test lint install docs design release benchmarks evidence zoo simulate clean

help:
	@echo "make demo       train and compare small networks on the embedded data, and write a report"
	@echo "make test       every check that CI makes: lint, then the tests"
	@echo "make lint       style, format, types and layers"
	@echo "make docs       the pages as a site in build/site, in English and Chinese, with every verb, every name and the papers' figures"
	@echo "make release    wheel, source distribution and site in build/release, with sha256 sums; installs the wheel afresh"
	@echo "make design     the design page as one file, build/design.html, which opens from disk; fetches Pyodide by npm"
	@echo "make benchmarks measure every table of benchmarks/, minutes each; leave the machine alone meanwhile"
	@echo "make evidence   carry out the studies of docs/evidence and write their pages: hours; a rerun goes on"
	@echo "make zoo        train the networks that the package contains, and write them; hours"
	@echo "make simulate   how often the claims of compare are false, in docs/decisions/0005; minutes on one core"
	@echo "make install    the package and its development tools in .venv"
	@echo "make clean      remove .venv and caches; runs/ stays"

demo: $(or $(wildcard $(DEV)),$(DEFAULT))
	@$(BIN)/resatlas demo

test: export OMP_NUM_THREADS = 1
test: export PYTHONDONTWRITEBYTECODE = # empty: the many processes of the tests read what the first has compiled
test: lint
	@$(BIN)/pytest -q

lint: $(DEV)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check
	@$(BIN)/pyrefly check
	@$(BIN)/lint-imports --no-logo

install: $(DEV)

docs: $(DEV)
	@PYTHONPATH=. $(BIN)/python -m docs.site.build

release: $(DEV)
	@PYTHONPATH=. $(BIN)/python -m docs.release.build $(PYTHONS)

design: $(DEV)
	@PYTHONPATH=. $(BIN)/python -m docs.site.design build/design.html

benchmarks: $(DEV)
	@for name in $(BENCHMARKS); do \
		$(BIN)/resatlas bench --question $$name --out benchmarks/$$name || exit; \
	done
	@$(BIN)/resatlas bench resnet-18-B resnet-50-v1.5 --question inference --compiled --rounds 3 \
		--out benchmarks/inference-compiled
	@$(BIN)/resatlas bench resnet-20 resnet-50-v1.5 --question inference --engines --rounds 3 \
		--out benchmarks/inference-engines

evidence: export OMP_NUM_THREADS = 1
evidence: $(DEV)
	@for name in $(EVIDENCE); do \
		$(BIN)/resatlas study docs/evidence/$$name.toml || [ $$? = 5 ] || exit; \
	done
	@$(BIN)/python docs/evidence/publish.py runs

zoo: export OMP_NUM_THREADS = 1
zoo: $(DEV)
	@$(BIN)/resatlas study docs/zoo/zoo.toml
	@$(BIN)/python docs/zoo/publish.py runs

simulate: export OMP_NUM_THREADS = 1
simulate: $(DEV)
	@$(BIN)/python -m tests.simulation

clean:
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find src tests -name __pycache__ -prune -exec rm -rf {} +

$(DEFAULT): $(PINS) | $(BIN)/pip
	@echo "installing resatlas in .venv (the first time some gigabytes, for torch)"
	@$(PIP_INSTALL) -e .
	@touch $@

$(DEV): $(PINS) | $(BIN)/pip
	@echo "installing resatlas and its development tools in .venv (the first time some gigabytes, for torch)"
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is missing, older than 3.11 or without venv; name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
