# `make demo` runs the whole loop, `make test` runs all quick checks. Both install what they need.
PYTHON ?= python3
OUT ?= runs/demo
BIN := .venv/bin
STAMP := .venv/.installed

export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint types walls deadcode docs format clean

help:
	@echo "make demo      pairs, align, generate, judge, report: all small, into $(OUT) (OUT=DIR to change)"
	@echo "make test      lint, types, import rules, dead code, docs and the quick tests"
	@echo "make test-all  the same with the slow tests"
	@echo "make docs      only build the documentation site, into build/site"
	@echo "make format    format the code and fix what ruff can fix"
	@echo "make install   only make .venv (PYTHON=... picks the interpreter, 3.10 to 3.13)"

# torch goes first and alone: this version has a CPU build on machines without a GPU, a resolver may pick another.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info[:2] < (3, 14) else "Python 3.10 to 3.13 is needed, this is " + sys.version.split()[0] + "; run make with PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -e '.[dev,photos]' -c constraints.txt
	-$(BIN)/python -m asap.regions.fetch
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/asap demo --out $(OUT)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

walls: $(STAMP)
	$(BIN)/lint-imports

deadcode: $(STAMP)
	$(BIN)/python tests/walls/dead_code.py

# strict (mkdocs.yml): a broken link, a missing heading, an unknown module or a page outside the navigation is an error
docs: $(STAMP)
	$(BIN)/mkdocs build --quiet

# A whole file runs in one process: its tests share fixtures. At most four processes, of about 1.3 GB each.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: lint types walls deadcode docs
	$(PYTEST) -m "not slow"

test-all: lint types walls deadcode docs
	$(PYTEST)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build
