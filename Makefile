# Targets: demo, test, soak, lint, format, templates, docs, bench, clean.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

MINUTES ?= 10

.PHONY: demo test soak lint format templates docs bench clean

$(VENV)/.localcloud: setup.py pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -e '.[localcloud]'
	@touch $@

$(VENV)/.dev: setup.py pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.localcloud

demo:
	@$(MAKE) --no-print-directory $(VENV)/.localcloud
	@$(BIN)/python -m localcloud.demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint templates/lease-function.json templates/instance-role.json

test: lint
	$(BIN)/python -m pytest

# Random faults, kills and restarts, with new seeds: make soak MINUTES=60
soak: $(VENV)/.dev
	$(BIN)/python -m tests.crash soak -minutes $(MINUTES) -workers 3

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

templates: $(VENV)/.dev
	$(BIN)/python -m htcondor_annex.templates write

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(BENCH)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
