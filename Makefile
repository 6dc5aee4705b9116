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

# Programs that hold other versions of libraries than ours: each in an environment of its own.
$(VENV)/ministack/.made: tests/ministack/requirements.txt
$(VENV)/parliament/.made: tests/templates/requirements.txt
$(VENV)/%/.made:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

demo:
	@$(MAKE) --no-print-directory $(VENV)/.localcloud
	@$(BIN)/python -m localcloud.demo

lint: $(VENV)/.dev $(VENV)/parliament/.made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.templates.lint

test: lint $(VENV)/ministack/.made
	$(BIN)/python -m pytest -n 2 --dist loadgroup

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
