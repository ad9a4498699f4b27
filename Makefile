# The commands of the workbench. Needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
SAMPLE := data/sample

.PHONY: report test test-all check bench lab setup setup-tests lock measure-truth clean
.DEFAULT_GOAL := report

report: setup $(SAMPLE)/truth.json  ## sample shop, the notebooks, one page that links them
	@$(BIN)/workbench batch notebooks/plan.yml --out $(OUT)

test: setup-tests  ## the tests, without those that take long
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: setup-tests  ## all tests, as continuous integration runs them
	$(BIN)/python -m pytest -n auto --dist worksteal

check: setup-tests  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup-tests  ## speed and memory beside their floors and limits; LARGE=1 adds 100 million events
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/attribution.py $(if $(LARGE),--large)
	$(BIN)/python benchmarks/markov.py
	$(BIN)/python benchmarks/funnel.py $(if $(LARGE),--large)
	$(BIN)/python benchmarks/coupons.py
	$(BIN)/python benchmarks/rooms.py $(if $(LARGE),--large)
	$(BIN)/python benchmarks/streams.py
	$(BIN)/python benchmarks/users.py
	$(BIN)/python benchmarks/panels.py
	$(BIN)/python benchmarks/batch.py

lab: setup $(SAMPLE)/truth.json  ## JupyterLab on the notebooks
	$(BIN)/workbench lab

$(SAMPLE)/truth.json: | setup
	@echo "making the sample shop in $(SAMPLE)"
	@$(BIN)/workbench sample $(SAMPLE)

# Stamps keep the environment from being set up again as long as nothing it depends on has changed.
setup: $(VENV)/.ready
setup-tests: $(VENV)/.ready-tests

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; run: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "setting up $(VENV) (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.ready-tests: $(VENV)/.ready requirements-test.lock
	@echo "adding what the tests need (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.lock
	@touch $@

lock:  ## resolve the locks anew from pyproject.toml (needs uv)
	uv pip compile --quiet --custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile --quiet --custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 pyproject.toml --extra test -o requirements-test.lock

measure-truth: setup  ## measure the simulator's planted effects anew
	$(BIN)/python -m workbench.source.simulate.measured

clean:
	rm -rf $(VENV) $(OUT) $(SAMPLE)
