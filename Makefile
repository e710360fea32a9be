# The stack's commands. `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1

UV := .venvs/uv/bin/uv
UV_VERSION := 0.13.9
PY := .venvs/dev/bin/python
NATIVE := .venvs/native/bin/python -m native
LIBS := libs/contracts libs/ranking libs/monitoring libs/servicekit
SERVICES := recommender-api model-registry feature-sync notification-gateway
ENVIRONMENTS := $(foreach name,native services airflow collector,.venvs/$(name)/.stamp)

# What is installed, besides the lock file, into each environment.
native_PACKAGES := deploy/native
services_PACKAGES := $(LIBS) $(SERVICES) airflow tests-e2e
airflow_PACKAGES := libs/contracts libs/ranking libs/monitoring airflow libs/testkit
collector_PACKAGES :=
dev_PACKAGES := $(services_PACKAGES) libs/testkit deploy/native
# Locks that are installed beside an environment's own.
airflow_LOCKS := requirements/airflow-tests.txt

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: up
up: $(ENVIRONMENTS) ## start the whole stack, ready to use (DEMO=0: without demo data and training)
	$(if $(filter-out native,$(STACK)),$(error STACK=$(STACK): this stack runs as STACK=native))
	@$(NATIVE) up

.PHONY: down status env clean logs
down: .venvs/native/.stamp ## stop everything; the data stays
	@$(NATIVE) down
status: .venvs/native/.stamp ## say what runs
	@$(NATIVE) status
env: .venvs/native/.stamp ## print the generated addresses and tokens
	@$(NATIVE) env
clean: .venvs/native/.stamp ## stop everything and remove its data
	@$(NATIVE) clean
logs: .venvs/native/.stamp ## follow the logs (SERVICE=recommender-api: one program's)
	@$(NATIVE) logs $(SERVICE)

.PHONY: hold-down bring-back
hold-down: .venvs/native/.stamp ## crash one program and keep it down (PROGRAM=redis)
	@$(NATIVE) hold-down $(PROGRAM)
bring-back: .venvs/native/.stamp ## start it again
	@$(NATIVE) bring-back $(PROGRAM)

.PHONY: import train
import: $(ENVIRONMENTS) ## replace the business data (SOURCE=csv|movietweetings|demo DIR=folder)
	@$(NATIVE) pipeline import --source $(SOURCE) $(if $(DIR),--dir $(abspath $(DIR)))
train: $(ENVIRONMENTS) ## train, deploy and sync without Airflow
	@$(NATIVE) pipeline run

.PHONY: test lint unit dags e2e
test: lint unit dags e2e ## everything: lint, types, unit, contract, integration and end-to-end tests
lint: .venvs/dev/.stamp ## formatting, lint, types, generated pages
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy $(foreach package,$(dev_PACKAGES),$(package)/src)
	$(PY) docs/generator --check
unit: .venvs/dev/.stamp .venvs/collector/.stamp ## unit, contract and integration tests
	$(PY) -m native prerequisites
	$(PY) -m pytest libs deploy/native $(SERVICES) tests-e2e/unit airflow/tests --ignore airflow/tests/dags
dags: .venvs/airflow/.stamp ## the tests of the DAGs and the task listener, in Airflow's environment
	.venvs/airflow/bin/python -m pytest airflow/tests/dags
e2e: .venvs/dev/.stamp $(ENVIRONMENTS) ## the end-to-end tests, on a stack of their own
	$(PY) -m pytest tests-e2e/tests

.PHONY: bench
bench: .venvs/dev/.stamp ## measure what the claims about cost rest on (ONLY=part), write .run/bench.json
	$(PY) -m native prerequisites
	$(PY) -m bench $(if $(ONLY),--only $(ONLY))

.PHONY: verify
verify: $(ENVIRONMENTS) ## fire every monitoring point for real beside the stack and find it in the collector (ONLY=point)
	@$(NATIVE) verify $(if $(ONLY),--only $(ONLY))

.PHONY: docs
docs: .venvs/dev/.stamp ## write the reference pages that come from the code
	$(PY) docs/generator

$(UV):
	python3 -m venv .venvs/uv && .venvs/uv/bin/pip install --quiet uv==$(UV_VERSION)

# An environment's stamp is newer than what it was made from when the environment is in step with it.
.SECONDEXPANSION:
.venvs/%/.stamp: requirements/%.txt $$($$*_LOCKS) $$(addsuffix /pyproject.toml,$$($$*_PACKAGES)) | $(UV)
	@echo "preparing the environment $*"
	@$(UV) venv --quiet --allow-existing --python 3.11 .venvs/$*
	@$(UV) pip sync --quiet --python .venvs/$*/bin/python requirements/$*.txt $($*_LOCKS)
	@$(if $($*_PACKAGES),$(UV) pip install --quiet --python .venvs/$*/bin/python --no-deps --build-constraints requirements/dev.txt $(addprefix -e ,$($*_PACKAGES)))
	@touch $@
