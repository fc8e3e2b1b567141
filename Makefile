# Everything runs in .venv, which is made when it is needed. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-deep lint types lab clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $(STAMP)

demo: $(STAMP)  ## the whole migration of the sample workspace against the simulators
	$(BIN)/cio2d365 demo

test: lint types  ## lint, types, architecture, unit, notebook, fault and browser tests, with coverage
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

test-deep: $(STAMP)  ## what takes longer
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m deep

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

lab: $(STAMP)  ## JupyterLab on the notebooks; NAME=... for a migration's own copies
	$(BIN)/cio2d365 lab $(NAME)

clean:  ## remove the environment and caches; migrations and reports stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage
