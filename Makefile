# Two commands: `make demo` (the main job) and `make test`. Each sets up what it needs first.
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= demo
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
RTL    := $(wildcard hw/rtl/*.sv)
HLS    := $(wildcard hw/hls/*.hpp)
# Where pip knows a folder with a torch build, uv is told of it too.
UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
ifneq ($(strip $(UV_FIND_LINKS)),)
export UV_FIND_LINKS
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full lint formal format clean

help:
	@echo "make demo       set up, then train, export, build and verify an accelerator into $(OUT)/"
	@echo "make test       set up, then run the tests (about 10 minutes)"
	@echo "make test-full  the tests and the long checks"
	@echo "make lint       ruff, mypy, lint of every RTL and HLS cell, hadolint"
	@echo "make formal     proofs of the RTL cells (about 25 minutes), and planted bugs that they must find"
	@echo "make clean      remove everything that was made here"

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bitexpert needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || { echo "a C++ compiler is missing: apt-get install g++"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --editable '.[dev]'
	mkdir -p $(VENV)/src && ln -sfn $(CURDIR) $(VENV)/src/bitexpert
	touch $(READY)

demo: $(READY)
	$(BIN)/bitexpert demo --out $(OUT)

test: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m 'not full'

test-full: $(VENV)/.formal
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

$(VENV)/.lint: $(READY)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --editable '.[dev,lint]'
	touch $(VENV)/.lint

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(VENV)/src $(BIN)/mypy -p bitexpert.models -p bitexpert.flow -p bitexpert.hw -p bitexpert.sim -p bitexpert.formal
	$(BIN)/python -m bitexpert.sim.rtl $(RTL)
	$(BIN)/python -m bitexpert.flow.hls_check $(HLS)
	$(BIN)/python tests/lint_hls.py
	$(BIN)/hadolint Dockerfile

$(VENV)/.formal: $(READY)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --editable '.[dev,formal]'
	touch $(VENV)/.formal

formal: $(VENV)/.formal
	$(BIN)/python -m bitexpert.formal
	$(BIN)/python -m bitexpert.formal --mutants

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
