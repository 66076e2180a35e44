# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DRIFT := .venv-drift
DRIFT_READY := $(DRIFT)/.ready

DATA ?= phantom:800
PROFILE ?= $(if $(filter phantom:%,$(DATA)),demo,cpu)
RUN ?= runs/last
# The recipe that RUN's films were prepared for, unless another one is asked for.
OF_RUN = $(if $(filter file,$(origin PROFILE)),$(or $(wildcard $(RUN)/recipe.json),$(PROFILE)),$(PROFILE))
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
ARGS ?=

export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: DATA=$(DATA)  PROFILE=$(PROFILE)  RUN=$(RUN)  ARGS='--set schedule.epochs=20'"

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

.PHONY: setup-drift
setup-drift: $(DRIFT_READY) ## Make the drift sidecar's environment from its lock (Python 3.11)

# --no-deps: the lock is complete, and Alibi Detect's cap on pillow is overridden in it
$(DRIFT_READY): $(READY) images/drift/requirements.lock images/drift/requirements-test.lock pyproject.toml
	@command -v python3.11 >/dev/null || { echo "Python 3.11 must be on the PATH: Alibi Detect needs it"; exit 1; }
	@test -x $(DRIFT)/bin/pip || { rm -rf $(DRIFT); python3.11 -m venv $(DRIFT); }
	$(DRIFT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  -r images/drift/requirements.lock -r images/drift/requirements-test.lock
	$(DRIFT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.PHONY: lock
lock: $(READY) ## Compile requirements.lock from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra pipeline --extra serving --extra dev --python-version 3.11 \
	  --no-header --no-emit-index-url --output-file requirements.lock

.PHONY: lock-drift
lock-drift: $(READY) ## Compile the drift sidecar's locks
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile images/drift/requirements.in --override images/drift/overrides.txt --python-version 3.11 \
	  --no-header --no-emit-index-url --no-emit-package opencv-python --output-file images/drift/requirements.lock
	$(BIN)/uv pip compile images/drift/requirements-test.in --python-version 3.11 --no-header --no-emit-index-url \
	  --output-file images/drift/requirements-test.lock

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
	$(BIN)/cxr recipe --recipe "$(PROFILE)" --out $(RUN)/recipe.json $(ARGS)

.PHONY: train
train: $(READY) ## Train RUN's best recipe again
	$(BIN)/cxr train --run $(RUN) --recipe $(RUN)/search/recipe.json $(ARGS)

.PHONY: train-tune
train-tune: $(READY) ## Search, then train the best recipe
	$(BIN)/cxr tune --run $(RUN) --recipe "$(OF_RUN)" $(ARGS)
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

.PHONY: crossval
crossval: $(READY) ## Withhold every source from a training of its own; the figures go into RUN's bundle, card and report
	$(BIN)/cxr crossval --leave-one-source-out --run $(RUN) --recipe $(RUN)/checkpoint/recipe.json $(ARGS)
	$(BIN)/cxr package --run $(RUN) --crossval $(RUN)/crossval
	$(BIN)/cxr register --run $(RUN) --tracking-uri sqlite:///$(abspath $(RUN)/..)/mlflow.db
	$(BIN)/cxr report --run $(RUN)

.PHONY: report
report: $(READY) ## Write RUN's report.html and TECHNICAL_REPORT.md again
	$(BIN)/cxr report --run $(RUN) $(ARGS)

# ---------------------------------------------------------------- the service

.PHONY: serve
serve: $(READY) $(DRIFT_READY) ## Predictor and drift sidecar on this machine; trains phantoms when there is no bundle
	@$(if $(findstring --bundle,$(ARGS)),true,test -e $(RUN)/bundle/bundle.json || $(MAKE) --no-print-directory run)
	$(BIN)/cxr serve --run $(RUN) $(ARGS)

.PHONY: mlflow-ui
mlflow-ui: $(READY) ## Browse runs and registered models at http://127.0.0.1:5000
	$(BIN)/mlflow ui --backend-store-uri sqlite:///runs/mlflow.db --host 127.0.0.1 --port 5000

# ---------------------------------------------------------------- containers

IMAGES := predictor drift pipeline
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
CONTAINERS ?= $(shell for p in podman buildah docker; do command -v $$p >/dev/null && echo $$p && break; done)
# That of what has the images; podman-compose needs no service of podman's, which `podman compose` may.
COMPOSE ?= $(if $(filter docker,$(notdir $(CONTAINERS))),docker compose,$(shell command -v podman-compose || echo podman compose))
BASE_IMAGE ?= python:3.11-slim-bookworm
# Where no registry can be pulled from: make base-image images BASE_IMAGE=$(OWN_BASE)
OWN_BASE := localhost/cxr-base:bookworm
BUILD_ARGS ?=
# What the containers keep, and whose it is: to them the caller of a rootless podman is root.
CXR_STATE ?= runs/serving
CXR_MLFLOW ?= runs/compose/mlflow
CXR_PROMETHEUS ?= runs/compose/prometheus
CXR_UID ?= $(if $(findstring podman,$(COMPOSE)),0,$(shell id -u))
CXR_GID ?= $(if $(findstring podman,$(COMPOSE)),0,$(shell id -g))
compose = CXR_VERSION=$(VERSION) CXR_UID=$(CXR_UID) CXR_GID=$(CXR_GID) CXR_STATE=$(abspath $(CXR_STATE)) \
  CXR_MLFLOW=$(abspath $(CXR_MLFLOW)) CXR_PROMETHEUS=$(abspath $(CXR_PROMETHEUS)) $(COMPOSE)
# As long as the predictor's stop_grace_period, which podman-compose does not read.
compose-stop = $(compose) down --timeout 40

.PHONY: images
images: $(IMAGES:%=image-%) ## Build the container images and print their sizes (podman, buildah or docker)
	@$(CONTAINERS) images | awk 'NR == 1 || ($$1 ~ /(^|\/)cxr\// && $$2 == "$(VERSION)")'

# --format docker: the OCI format has no health checks. podman and buildah install packages as this machine's pip does.
image-%: images/%/Dockerfile
	@test -n "$(CONTAINERS)" || { echo "podman, buildah or docker must be installed; apt-get install podman runc"; exit 1; }
	$(CONTAINERS) build --file $< --tag cxr/$*:$(VERSION) --build-arg BASE_IMAGE=$(BASE_IMAGE) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	  $(if $(filter docker,$(notdir $(CONTAINERS))),,--format docker $$($(firstword $(wildcard $(BIN)/python) $(PYTHON)) images/machine.py)) $(BUILD_ARGS) .

.PHONY: base-image
base-image: ## A base image made of Debian's packages, as localhost/cxr-base:bookworm, where none can be pulled
	mkdir -p runs
	$(SUDO) mmdebstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm runs/base.tar
	podman import runs/base.tar $(OWN_BASE)
	rm -f runs/base.tar

# podman's own defaults ask for more than a machine that is itself a container or a sandbox grants.
.PHONY: test-containers
test-containers: export CONTAINERS_CONF := $(CURDIR)/tests/containers/containers.conf
test-containers: $(READY) ## Build the images (IMAGES='predictor drift' for those) and test them in containers (as root)
	@missing=; for p in podman podman-compose dnsmasq runc catatonit iptables mmdebstrap; do \
	    command -v $$p >/dev/null || missing=1; done; test -z "$$missing" || \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends \
	    podman podman-compose runc catatonit containernetworking-plugins golang-github-containernetworking-plugin-dnsname \
	    iptables mmdebstrap; }
	@for base in $(BASE_IMAGE) $(OWN_BASE); do \
	    podman image exists $$base || timeout 120 podman pull --quiet $$base 2>/dev/null && break; done; \
	  podman image exists $$base || $(MAKE) --no-print-directory base-image && \
	  $(MAKE) --no-print-directory images CONTAINERS=podman IMAGES="$(IMAGES)" BASE_IMAGE=$$base
	$(BIN)/pytest -m containers tests/containers $(ARGS)

.PHONY: lock-images
lock-images: $(READY) ## Compile the predictor's and the pipeline's locks, at the versions of requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile images/predictor/requirements.in --python-version 3.11 --no-header --no-emit-index-url \
	  --no-emit-package setuptools --output-file images/predictor/requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra pipeline --constraint requirements.lock --python-version 3.11 --no-header \
	  --no-emit-index-url --no-emit-package triton --output-file images/pipeline/requirements.lock

SBOM := $(VENV)/sbom
.PHONY: sbom
sbom: ## What is in each image, as CycloneDX, in runs/sbom
	@test -x $(SBOM)/bin/cyclonedx-py || { $(PYTHON) -m venv $(SBOM) && $(SBOM)/bin/python -m pip install --quiet cyclonedx-bom==7.5.0; }
	@mkdir -p runs/sbom
	@for image in $(IMAGES); do \
	  $(SBOM)/bin/cyclonedx-py requirements images/$$image/requirements.lock --pyproject pyproject.toml \
	    --output-reproducible --of JSON --output-file runs/sbom/$$image.cdx.json || exit 1; done
	@ls -l runs/sbom

.PHONY: compose-up
compose-up: $(READY) ## Predictor, drift sidecar, MLflow and Prometheus in containers on this machine, without a cluster
	@test -e $(RUN)/bundle/bundle.json || $(MAKE) --no-print-directory run
	$(BIN)/python images/prepare.py --run $(RUN) --state $(CXR_STATE) --mlflow $(CXR_MLFLOW) \
	  --prometheus $(CXR_PROMETHEUS) $(ARGS)
	$(compose-stop)
	$(compose) up --detach

.PHONY: compose-down
compose-down: ## Stop and remove them; what they keep in runs/ stays
	$(compose-stop)

.PHONY: chart-docs
chart-docs: $(READY) ## Write the chart's README from its values
	$(BIN)/python charts/readme.py

# ---------------------------------------------------------------- checks

.PHONY: test
test: $(READY) ## The tests (under 15 minutes on two cores)
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

.PHONY: test-drift
test-drift: $(DRIFT_READY) ## The drift sidecar's tests, in its environment
	$(DRIFT)/bin/python -m pytest --noconftest tests/sidecar tests/drift_detector tests/drift/test_window.py \
	  tests/contracts/test_events.py tests/serving/test_events.py $(ARGS)

.PHONY: test-page
test-page: $(READY) ## The page in headless Chromium (installs Debian's package)
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && \
	  $(SUDO) apt-get install -y -qq --no-install-recommends chromium; }
	$(BIN)/pytest -m page tests/serving $(ARGS)

.PHONY: test-service
test-service: $(READY) $(DRIFT_READY) ## The service under fuzzing and load: minutes
	$(BIN)/pytest -m slow tests/serving $(ARGS)

.PHONY: test-s3
test-s3: $(READY) ## The object-store tests against a private Ceph gateway (installs Debian's packages)
	$(SUDO) apt-get update -qq
	$(SUDO) apt-get install -y -qq --no-install-recommends ceph-mon ceph-osd radosgw
	$(BIN)/pytest tests/adapters/test_object_store.py tests/steps/test_sources_s3.py tests/serving/audit $(ARGS)

.PHONY: test-e2e
test-e2e: $(READY) ## The slow tests: the whole pipeline, kills and resumes
	$(BIN)/pytest -m slow --ignore tests/serving $(ARGS)

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
	rm -rf $(VENV) $(DRIFT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
