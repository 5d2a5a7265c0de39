# make demo, make test, make lint: each sets up .venv first, from PyPI alone. PYTHON=python3.12 picks the interpreter,
# CXX the C++ compiler of the ticket engine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The version that was tested, and the CPU build: a plain `torch` may pull gigabytes of CUDA.
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup engine demo web test lint clean

help:
	@echo "make demo   train on the embedded corpus, find tickets, export, transcribe, measure latency"
	@echo "make web    serve the page that recognises speech in the browser; BUNDLE=DIR takes another recogniser"
	@echo "make test   run every test"
	@echo "make lint   run ruff: its rules and its layout"
	@echo "make setup  make $(VENV) with everything installed"
	@echo "make engine compile the ticket engine again, after a change of its sources"
	@echo "make clean  remove $(VENV) and build products"

setup: $(READY)

$(READY): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: $(PYTHON) is Python %d.%d, and 3.11 or newer is needed\nhint: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH) setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $(READY)

engine: $(READY)
	$(BIN)/python -m runtime.engine.build

demo: $(READY)
	$(BIN)/python -m demo.story

web: $(READY)
	$(BIN)/python -m demo.web $(BUNDLE)

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache runtime/engine/libticket_engine.*
