# Everything a person runs here. On a fresh machine: Python 3.11 and make, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
export TZ := UTC

.DEFAULT_GOAL := help
.PHONY: help setup demo serve browser screenshots test test-airflow check chaos chaos-quick chaos-teeth chaos-rollouts security bench bench-quick bench-judge bench-drift bench-size bench-scale docs sbom bench-tell format lock clean

help:  ## say what there is to run
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment (about a minute, 2 GB)

$(READY): requirements/dev.txt requirements/build.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "This needs Python 3.11, and '$(PYTHON)' is not on the PATH."; \
	  echo "Install it (Debian: apt-get install python3.11 python3.11-venv), or name yours: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "'$(PYTHON)' is $$($(PYTHON) --version 2>&1); this needs 3.11. Name yours: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment in $(VENV) (about a minute) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "No venv module: on Debian, apt-get install python3.11-venv"; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements/build.txt \
	  && $(BIN)/python -m pip install --disable-pip-version-check -q --progress-bar on --require-hashes -r requirements/dev.txt \
	  || { echo "The packages could not be installed. Is the package index reachable? Run 'make setup' again once it is."; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## prepare real flights, serve them, and play the whole story (ONCE=1: end after it)
	@$(BIN)/python -m demo $(if $(ONCE),--once)

serve: setup  ## serve again what the demo prepared (ports 8000 and 8001)
	@$(BIN)/python -m demo --serve-only

browser: setup  ## find or fetch the Chromium that the control room is tested in
	@$(BIN)/python -m tests.room.browser

screenshots: browser  ## play the story and take pictures of the control room meanwhile (docs/images)
	@$(BIN)/python -m demo --once --pictures

test: browser  ## pass the whole test suite (under ten minutes on 2 cores)
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-airflow: setup .venv-airflow/.ready  ## run the Airflow DAG in a real Airflow against a real gateway (an environment of its own, 300 MB)
	@$(BIN)/python -m pytest tests/airflow

.venv-airflow/.ready: requirements/airflow.txt requirements/build.txt
	@$(PYTHON) -m venv .venv-airflow
	@.venv-airflow/bin/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements/build.txt
	@.venv-airflow/bin/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements/airflow.txt
	@touch $@

chaos-rollouts: setup  ## swap 500 models under load, race operators, load artifacts that are traps (about 40 minutes)
	@$(BIN)/python -m tests.chaos.rollouts $(ARGS)

check: setup  ## format, lint, types, direction of imports
	@$(BIN)/ruff format --check -q . || { echo "Run 'make format'."; exit 1; }
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

chaos: setup  ## break everything on purpose, row by row, in full (hours)
	@$(BIN)/python -m tests.chaos; rows=$$?; $(BIN)/python -m tests.chaos.teeth && exit $$rows

chaos-teeth: setup  ## row T1: twelve sabotaged builds, each of which a row has to notice (about half an hour)
	@$(BIN)/python -m tests.chaos.teeth

chaos-quick: setup  ## the same in its small form (at most eight minutes)
	@$(BIN)/python -m tests.chaos --quick

security: setup  ## hold every row of the locks in full, figure by figure (about an hour; asks the package index for known holes)
	@$(BIN)/python -m tests.security $(ARGS)

bench: setup  ## measure a worker beside its peers and hold it to every goal (about 45 minutes, and ten once for the peers' environments)
	@$(BIN)/python -m benchmarks.serve --peers $(ARGS)

bench-quick: setup  ## the same without peers, in small (five minutes)
	@$(BIN)/python -m benchmarks.serve --quick --no-file $(ARGS)

bench-judge: setup  ## hold the judge and its peers to the acceptance table (about ten minutes)
	@$(BIN)/python -m benchmarks.judge
	@$(BIN)/python -m benchmarks.looks

docs: requirements/docs.txt  ## build the documentation into site/, strictly (an environment of its own)
	@test -x .venv-docs/bin/mkdocs || { $(PYTHON) -m venv .venv-docs && .venv-docs/bin/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements/docs.txt; }
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

sbom: setup  ## write the bill of materials of what the image holds to sbom.json (CycloneDX)
	@$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON -o sbom.json requirements/runtime.txt

bench-tell: setup  ## measure what traces and request lines cost (about two minutes)
	@$(BIN)/python -m benchmarks.telling

bench-size: setup  ## fill SQLite and PostgreSQL with ten million predictions and ask them (an hour, 30 GB)
	@$(BIN)/python -m benchmarks.size $(ARGS)

bench-scale: setup  ## measure what a host asks of the store, and simulate a thousand hosts (half a minute)
	@$(BIN)/python -m benchmarks.scale

bench-drift: setup  ## hold the drift alarm to its false-alarm rate and its delay, beside PSI, KS and Evidently (ten minutes)
	@$(BIN)/python -m benchmarks.drift

format: setup  ## put every file into its one format
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

lock:  ## pin the dependencies again (needs uv)
	uv pip compile -q --no-strip-extras --no-header --generate-hashes --python-version 3.11 pyproject.toml --all-extras --group dev -o requirements/dev.txt
	uv pip compile -q --no-strip-extras --no-header --generate-hashes --python-version 3.11 pyproject.toml --extra mlflow --extra postgresql --extra kafka --extra tracing --extra alerts -c requirements/dev.txt -o requirements/runtime.txt
	uv pip compile -q --no-strip-extras --no-header --generate-hashes --python-version 3.11 --group docs -c requirements/dev.txt -o requirements/docs.txt
	uv pip compile -q --no-strip-extras --no-header --generate-hashes --python-version 3.11 --group airflow -o requirements/airflow.txt
	printf 'pip>=26\nsetuptools>=77\nwheel\n' | uv pip compile -q --no-strip-extras --no-header --generate-hashes --python-version 3.11 - -o requirements/build.txt

clean:  ## take away what the demo and the tests made (not the environment)
	rm -rf state demo-report.json .pytest_cache .mypy_cache .ruff_cache .hypothesis
