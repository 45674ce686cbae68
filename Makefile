# make demo   install, make a scene, mask it, show numbers and a picture
# make test   install with the development tools, run the tests
# make lint | docs | check | clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test lint docs check clean

demo: $(VENV)/.installed-run
	$(BIN)/kappamask demo --output demo --overwrite

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint test docs

clean:
	rm -rf $(VENV) demo site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "kappamask needs Python 3.11 or newer, found %d.%d; try: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	@# The pip that comes with older Pythons cannot read the metadata of all packages.
	$(PIP) install -q --upgrade 'pip>=25.1'

$(VENV)/.installed-run: $(BIN)/python $(SOURCES)
	$(PIP) install -q -c constraints.txt -e '.[catalog,cpu]'
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python $(SOURCES)
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed-run
