# Set-up is two commands: `make app` serves the lab, `make test` checks it. Each is complete on a fresh machine.
# CONTRIBUTING.md says when to use `make check` and `make fast`.

VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 7860
RUNS ?= runs
JOBS ?= 2
PYTEST := $(BIN)/pytest -n $(JOBS) --no-loadscope-reorder
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
LOCK := build/lock/bin/uv pip compile --quiet --upgrade pyproject.toml

# What is imported is compiled once, not by each of the hundreds of processes that the tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: app test every-test integrations-test fast check docs playground space lock latest package bench notebooks clean

app: $(VENV)/.app
	$(BIN)/python app.py --host $(HOST) --port $(PORT) --runs $(RUNS)

# A Chromium comes from the system's packages while pip installs those of Python; then the checks run beside the tests.
test:
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.dev build/.system-chromium build/.integrations
	@$(MAKE) --no-print-directory $(VENV)/.chromium
	@$(MAKE) --no-print-directory --jobs=2 check every-test integrations-test

every-test: $(VENV)/.dev
	$(PYTEST)

# With bitsandbytes, torchao and HQQ, beside which PEFT takes other ways than without, and with TRL and Diffusers.
integrations-test: $(VENV)/.dev build/.integrations
	PYTHONPATH=$$(echo build/integrations/lib/python*/site-packages) $(BIN)/pytest tests/quantised tests/loops

# What needs no browser, no cluster and no process beside pytest's own.
fast: $(VENV)/.dev
	$(PYTEST) -m "not browser and not cluster and not process" tests

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MKDOCS)

# The documentation, in build/site.
docs: $(VENV)/.dev
	$(MKDOCS)

# One page that trains in any browser, from a file: build/playground.html.
playground: $(VENV)/.app
	$(BIN)/python scripts/playground.py

# A Hugging Face Space, ready to push: build/space.
space: $(VENV)/.app
	$(BIN)/python scripts/space.py

# The newest versions that the ranges in pyproject.toml allow.
lock:
	sh scripts/install.sh build/lock uv==0.13.9
	$(LOCK) --extra dev --output-file requirements-dev.txt
	$(LOCK) --extra all --constraint requirements-dev.txt --output-file requirements.txt
	build/lock/bin/uv pip compile --quiet --upgrade --no-deps --group integrations --output-file requirements-integrations.txt

# Do today's newest packages within the ranges still work? The lock is left aside.
latest:
	rm -rf build/latest
	sh scripts/install.sh build/latest --editable ".[dev]"
	build/latest/bin/neatlab --version
	build/latest/bin/pytest -n $(JOBS) --no-loadscope-reorder -m "not browser"

# Wheel and sdist, and README's PEFT example where the wheel stands alone with the core's dependencies.
package: $(VENV)/.dev
	rm -rf build/package
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('build/package/dist')" >/dev/null
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build/package/dist build/package/dist/neatlab-*.tar.gz
	sh scripts/install.sh build/package/venv --constraint requirements.txt build/package/dist/neatlab-*.whl
	build/package/venv/bin/python scripts/readme_example.py
	@ls build/package/dist

bench: $(VENV)/.chromium
	$(BIN)/python benchmarks/step_cost.py
	$(BIN)/python benchmarks/model_cost.py
	$(BIN)/python benchmarks/spectrum_cost.py
	$(BIN)/python benchmarks/load_runs.py
	$(BIN)/python benchmarks/runs_scale.py
	$(BIN)/python benchmarks/sweep_throughput.py
	$(BIN)/python benchmarks/dashboard_latency.py
	$(BIN)/python benchmarks/inspect_cost.py
	$(BIN)/python benchmarks/edit_cost.py
	$(BIN)/python benchmarks/callback_cost.py
	$(BIN)/python benchmarks/playground_speed.py

# Executed copies with their pictures, and pages that ask for nothing outside themselves.
notebooks: $(VENV)/.dev
	$(BIN)/jupyter nbconvert --to notebook --execute --output-dir build/notebooks notebooks/*.ipynb
	$(BIN)/jupyter nbconvert --to html --config notebooks/page.json build/notebooks/*.ipynb

clean:
	rm -rf $(VENV) build

$(VENV)/.app: requirements.txt pyproject.toml
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@sh scripts/install.sh $(VENV) --requirement requirements.txt --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@sh scripts/install.sh $(VENV) --requirement requirements-dev.txt --editable .
	@touch $@ $(VENV)/.app

build/.integrations: requirements-integrations.txt
	@sh scripts/install.sh build/integrations --no-deps --requirement requirements-integrations.txt
	@touch $@

build/.system-chromium:
	@sh scripts/chromium.sh
	@mkdir -p $(@D) && touch $@

$(VENV)/.chromium: $(VENV)/.dev build/.system-chromium
	@sh scripts/chromium.sh $(BIN)/playwright
	@touch $@
