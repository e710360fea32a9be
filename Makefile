# The stack's commands. `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1

UV := .venvs/uv/bin/uv
UV_VERSION := 0.13.9
PY := .venvs/dev/bin/python
# A start of the whole stack may take longer than a test.
E2E := $(PY) -m pytest $(or $(ONLY:%=tests-e2e/tests/test_%.py),tests-e2e/tests) -o timeout_func_only=true
LIBS := libs/contracts libs/business libs/ranking libs/monitoring libs/servicekit
SERVICES := recommender-api model-registry feature-sync notification-gateway
UNIT := libs deploy/provisioning deploy/native $(SERVICES) tests-e2e/unit airflow/tests --ignore airflow/tests/dags
ENVIRONMENTS := $(foreach name,native services airflow collector,.venvs/$(name)/.stamp)

# Packages that are installed into each environment besides its lock file.
native_PACKAGES := libs/localservers deploy/provisioning deploy/native
services_PACKAGES := $(LIBS) libs/registryctl $(SERVICES) airflow libs/localservers tests-e2e
airflow_PACKAGES := libs/contracts libs/business libs/ranking libs/monitoring libs/servicekit airflow libs/localservers libs/testkit
collector_PACKAGES :=
images/recommender-api_PACKAGES := $(filter-out libs/business,$(LIBS)) recommender-api
images/airflow-celery_PACKAGES := $(filter-out libs/localservers libs/testkit,$(airflow_PACKAGES))
ablation_PACKAGES := $(images/recommender-api_PACKAGES)
spark_PACKAGES := $(services_PACKAGES)
dev_PACKAGES := $(services_PACKAGES) libs/testkit deploy/provisioning deploy/native
# Further lock files of an environment.
airflow_LOCKS := requirements/airflow-tests.txt

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# How the stack runs: STACK=compose or STACK=native; by default as it was started, or in containers if Docker is running.
ifndef STACK
STACK := $(shell cat .run/stack 2>/dev/null || { docker version >/dev/null 2>&1 && echo compose; } || echo native)
endif
ifeq ($(filter compose native,$(STACK)),)
$(error STACK=$(STACK): say STACK=compose or STACK=native)
endif
# The folder of an import as a path that is also valid in containers; its name may contain spaces.
DATA = '$(shell realpath -m -- '$(DIR)')'
# Where backups are made.
BACKUPS := $(or $(DIR),backups)
include deploy/$(STACK).mk

.PHONY: up down status env clean logs hold-down bring-back import check-data renumber train verify backup restore
up: ## start the whole stack, ready to use (DEMO=0: without demo data and training)
down: ## stop everything; the data stays
status: ## list the programs and their states
env: ## print the generated addresses and tokens
clean: ## stop everything and remove its data
logs: ## follow the logs (SERVICE=recommender-api: one program's)
hold-down: ## kill one program and keep it down (PROGRAM=redis)
bring-back: ## start a program again that was kept down (PROGRAM=redis)
import: ## replace the business data (SOURCE=csv|parquet|jsonl|movietweetings|demo DIR=folder, TIMEZONE=, ENCODING=)
check-data: ## check data before it is imported (DIR=folder, SOURCE=, TIMEZONE=, ENCODING=)
renumber: ## show how ids of an earlier release change to the current ones (APPLY=1: change them)
train: ## train, deploy and sync without Airflow
verify: ## raise every monitoring point by a real fault beside the stack and find it in the collector (ONLY=point)
backup: ## back up databases, artifacts, secrets and alert policy (DIR=backups); the stack may run
restore: ## replace the data of a stack by that of a backup (FROM=backups/recsys-…)

.PHONY: test lint unit dags e2e test-compose
test: lint unit dags e2e ## everything: lint, types, unit, contract, integration and end-to-end tests
lint: .venvs/dev/.stamp ## formatting, lint, types, import rules, generated pages
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy $(foreach package,$(dev_PACKAGES),$(package)/src)
	.venvs/dev/bin/lint-imports --no-cache --no-logo
	$(PY) docs/generator --check
unit: .venvs/dev/.stamp .venvs/collector/.stamp ## unit, contract and integration tests
	$(PY) -m native prerequisites
	$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile $(UNIT) || { \
	  [ $$? = 1 ] && $(PY) -m pytest --last-failed --last-failed-no-failures none $(UNIT); }
test-compose: .venvs/dev/.stamp .venvs/services/.stamp .venvs/airflow/.stamp ## the end-to-end tests against containers (needs a Docker engine; ONLY=alerts: one file)
	$(E2E) --stack compose
dags: .venvs/airflow/.stamp ## the tests of the DAGs and the task listener, in Airflow's environment
	.venvs/airflow/bin/python -m pytest airflow/tests/dags
e2e: .venvs/dev/.stamp $(ENVIRONMENTS) ## the end-to-end tests, on a stack of their own (ONLY=alerts: one file)
	$(E2E)

.PHONY: bench
bench: .venvs/dev/.stamp .venvs/images/recommender-api/.stamp .venvs/ablation/.stamp ## run the benchmarks (ONLY=part), write .run/bench.json
	$(PY) -m native prerequisites
	.venvs/images/recommender-api/bin/python -m ranking.precompiled
	$(PY) -m bench $(if $(ONLY),--only $(ONLY))

.PHONY: prove
prove: .venvs/dev/.stamp .venvs/collector/.stamp $(if $(filter $(or $(ONLY),engines),engines),.venvs/spark/.stamp) \
	$(if $(filter $(or $(ONLY),celery),celery),.venvs/images/airflow-celery/.stamp) ## check the claims that take longer than a test (ONLY=bodies), write .run/prove.json
	$(PY) -m native prerequisites
	$(PY) -m prove $(if $(ONLY),--only $(ONLY))

.PHONY: soak
soak: .venvs/dev/.stamp .venvs/collector/.stamp ## run for hours under load and faults, beside any stack (HOURS=24, SEED=7; STATUS=1: so far)
	$(if $(STATUS),,$(PY) -m native prerequisites)
	$(PY) -m soak $(if $(STATUS),--status,$(if $(HOURS),--hours $(HOURS)) $(if $(SEED),--seed $(SEED)))

.PHONY: docs
docs: .venvs/dev/.stamp ## generate the reference pages from the code
	$(PY) docs/generator

.PHONY: pictures
pictures: .venvs/dev/.stamp ## take the README's pictures on the running native stack
	$(PY) docs/pictures

# Locked versions stay, except for changes in an .in file; UPGRADE=1 takes the newest version of everything.
LOCKED := services airflow airflow-tests collector native dev ablation spark \
	$(addprefix images/,airflow-celery airflow-kubernetes build feature-sync model-registry notification-gateway recommender-api wechat-simulator)
.PHONY: lock
lock: $(UV) ## lock the environments again after a change in requirements/*.in
	@cd requirements && for name in $(LOCKED); do \
		echo "locking $$name"; \
		../$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
			$(if $(UPGRADE),--upgrade) $$name.in --output-file $$name.txt || exit 1; \
	done

$(UV):
	python3 -m venv .venvs/uv && .venvs/uv/bin/pip install --quiet uv==$(UV_VERSION)

# An environment's stamp is newer than its sources if the environment is up to date.
.SECONDEXPANSION:
.venvs/%/.stamp: requirements/%.txt $$($$*_LOCKS) $$(addsuffix /pyproject.toml,$$($$*_PACKAGES)) | $(UV)
	@echo "preparing the environment $*"
	@$(UV) venv --quiet --allow-existing --python 3.11 .venvs/$*
	@$(UV) pip sync --quiet --python .venvs/$*/bin/python requirements/$*.txt $($*_LOCKS)
	@$(if $($*_PACKAGES),$(UV) pip install --quiet --python .venvs/$*/bin/python --no-deps --build-constraints requirements/dev.txt $(addprefix -e ,$($*_PACKAGES)))
	@touch $@
