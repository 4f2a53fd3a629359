# Set-up is two commands: `make app` serves the lab, `make test` checks it. Each is complete on a fresh machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 7860
RUNS ?= runs
JOBS ?= 2

.PHONY: app test check bench notebooks clean

app: $(VENV)/.app
	$(BIN)/python app.py --host $(HOST) --port $(PORT) --runs $(RUNS)

test: check $(VENV)/.chromium
	$(BIN)/pytest -n $(JOBS) --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.chromium
	$(BIN)/python benchmarks/step_cost.py
	$(BIN)/python benchmarks/spectrum_cost.py
	$(BIN)/python benchmarks/load_runs.py
	$(BIN)/python benchmarks/sweep_throughput.py
	$(BIN)/python benchmarks/dashboard_latency.py
	$(BIN)/python benchmarks/inspect_cost.py

# Executed copies with their pictures, and pages that ask for nothing outside themselves.
notebooks: $(VENV)/.dev
	$(BIN)/jupyter nbconvert --to notebook --execute --output-dir build/notebooks notebooks/*.ipynb
	$(BIN)/jupyter nbconvert --to html --config notebooks/page.json build/notebooks/*.ipynb

clean:
	rm -rf $(VENV) build

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt --editable .
	touch $@

$(VENV)/.chromium: $(VENV)/.dev
	sh tests/browser/install_chromium.sh $(BIN)
	touch $@
