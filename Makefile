# The stack's commands. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1

UV := .venvs/uv/bin/uv
UV_VERSION := 0.13.9
PY := .venvs/dev/bin/python
LIBS := libs/contracts libs/ranking libs/monitoring libs/servicekit
SERVICES := recommender-api model-registry feature-sync notification-gateway
PACKAGES := $(LIBS) $(SERVICES) airflow tests-e2e

editable = $(foreach package,$(1),-e $(package))

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	python3 -m venv .venvs/uv && .venvs/uv/bin/pip install --quiet uv==$(UV_VERSION)

# An environment's stamp is newer than its lock file when the environment is in step with it.
.venvs/dev/.stamp: requirements/dev.txt $(PACKAGES:%=%/pyproject.toml) libs/testkit/pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python 3.11 .venvs/dev
	$(UV) pip sync --quiet --python $(PY) requirements/dev.txt
	$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation $(call editable,$(PACKAGES) libs/testkit)
	touch $@

# Airflow pins libraries below the services' versions: its tasks, with our packages beside it, run in an environment of their own.
IN_AIRFLOW := libs/contracts libs/ranking libs/monitoring airflow libs/testkit
.venvs/airflow/.stamp: requirements/airflow.txt requirements/airflow-tests.txt $(IN_AIRFLOW:%=%/pyproject.toml) | $(UV)
	$(UV) venv --quiet --allow-existing --python 3.11 .venvs/airflow
	$(UV) pip sync --quiet --python .venvs/airflow/bin/python requirements/airflow.txt requirements/airflow-tests.txt
	$(UV) pip install --quiet --python .venvs/airflow/bin/python --no-deps --no-build-isolation $(call editable,$(IN_AIRFLOW))
	touch $@

.PHONY: lint
lint: .venvs/dev/.stamp ## formatting, lint and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy $(foreach package,$(PACKAGES) libs/testkit,$(package)/src)
