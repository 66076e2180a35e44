# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

DATA ?= phantom:800
PROFILE ?= demo
RUN ?= runs/last
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
ARGS ?=

export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: DATA=$(DATA)  PROFILE=$(PROFILE)  RUN=$(RUN)  ARGS='--set loss.gamma=1.5'"

# ---------------------------------------------------------------- set-up

.PHONY: setup
setup: $(READY) ## Make the virtual environment from the lock (the other targets do it by themselves)

# On a bare Debian `python3 -m venv` lacks ensurepip; python3-venv brings it.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer must be on the PATH; install it (apt-get install python3)"; exit 1; }
	@test -x $(BIN)/pip || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); } || { \
	  echo "installing python3-venv, which this system's Python lacks"; rm -rf $(VENV); \
	  { $(SUDO) apt-get install -y -qq python3-venv \
	    || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }; } && $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.PHONY: lock
lock: $(READY) ## Compile requirements.lock from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra pipeline --extra serving --extra dev --python-version 3.11 \
	  --no-header --no-emit-index-url --output-file requirements.lock

# ---------------------------------------------------------------- the main job

.PHONY: run
run: $(READY) ## The whole pipeline on this machine: DATA → report, bundle, registered model
	$(BIN)/python -m pipelines run --data "$(DATA)" --recipe "$(PROFILE)" $(ARGS)

.PHONY: compile
compile: $(READY) ## Compile the pipelines to the YAML that Kubeflow runs
	$(BIN)/python -m pipelines compile

# ---------------------------------------------------------------- single steps, on the last run

.PHONY: data
data: $(READY) ## Read DATA and split it by patient, into RUN
	$(BIN)/cxr ingest "$(DATA)" --out $(RUN)/studies --recipe "$(PROFILE)" $(ARGS)
	$(BIN)/cxr split --run $(RUN) --recipe "$(PROFILE)" $(ARGS)

.PHONY: train
train: $(READY) ## Train RUN's best recipe again
	$(BIN)/cxr train --run $(RUN) --recipe $(RUN)/search/recipe.json $(ARGS)

.PHONY: train-tune
train-tune: $(READY) ## Search, then train the best recipe
	$(BIN)/cxr tune --run $(RUN) --recipe "$(PROFILE)" $(ARGS)
	$(BIN)/cxr train --run $(RUN) --recipe $(RUN)/search/recipe.json

.PHONY: evaluate
evaluate: $(READY) ## Evaluate RUN's checkpoint on its test split
	$(BIN)/cxr evaluate --run $(RUN) $(ARGS)

.PHONY: evaluate-robustness
evaluate-robustness: $(READY) ## Accuracy and AUROC under graded corruptions
	$(BIN)/cxr robustness --run $(RUN) $(ARGS)

.PHONY: explainability
explainability: $(READY) ## Activation maps and how well they find the lesions
	$(BIN)/cxr explain --run $(RUN) $(ARGS)

.PHONY: report
report: $(READY) ## Write RUN's report.html and TECHNICAL_REPORT.md again
	$(BIN)/cxr report --run $(RUN) $(ARGS)

.PHONY: mlflow-ui
mlflow-ui: $(READY) ## Browse runs and registered models at http://127.0.0.1:5000
	$(BIN)/mlflow ui --backend-store-uri sqlite:///runs/mlflow.db --host 127.0.0.1 --port 5000

# ---------------------------------------------------------------- checks

.PHONY: test
test: $(READY) ## The tests (under 15 minutes on two cores)
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

.PHONY: test-s3
test-s3: $(READY) ## The object-store tests against a private Ceph gateway (installs Debian's packages)
	$(SUDO) apt-get update -qq
	$(SUDO) apt-get install -y -qq --no-install-recommends ceph-mon ceph-osd radosgw
	$(BIN)/pytest tests/adapters/test_object_store.py tests/steps/test_sources_s3.py $(ARGS)

.PHONY: test-e2e
test-e2e: $(READY) ## The slow tests: the whole pipeline, kills and resumes
	$(BIN)/pytest -m slow $(ARGS)

.PHONY: lint
lint: $(READY) ## Style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(READY) ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove the environment and caches, keep the runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
