PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= runs/demo

.PHONY: demo test lint

## demo: install, then search, derive, retrain, evaluate, predict and render on the built-in phantom
demo: $(VENV)/installed
	PATH="$(abspath $(BIN)):$$PATH" sh experiments/demo/demo.sh $(DEMO)

## test: install what the tests need and run them all
test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2

## lint: style, types, and the direction of imports
lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# torch comes first and from the constraints, so that no other package chooses its build
$(VENV)/installed: setup.cfg constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[render]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[render,test,lint]'
	touch $@
