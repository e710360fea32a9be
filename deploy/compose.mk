# The stack in containers.
COMPOSE := docker compose
SETUP := $(COMPOSE) run --rm --no-deps -T setup

up:
	@$(COMPOSE) up --build --detach --wait
	@mkdir -p .run && echo compose >.run/stack
	@echo && $(SETUP) pages 2>/dev/null
	@echo && echo "  curl -s '127.0.0.1:$(or $(API_PORT),8000)/similar/1?limit=3'" && echo
down:
	@$(COMPOSE) down
	@rm -f .run/stack
status:
	@$(COMPOSE) ps
env:
	@$(SETUP) env 2>/dev/null
clean:
	@$(COMPOSE) down --volumes
	@rm -f .run/stack
logs:
	@$(COMPOSE) logs --follow --tail 50 $(SERVICE)
hold-down:
	@$(COMPOSE) kill $(PROGRAM)
bring-back:
	@$(COMPOSE) up --detach --wait --no-deps --no-recreate $(PROGRAM)
import:
	@$(COMPOSE) run --rm --no-deps -T $(if $(DIR),--volume $(DATA):/data:ro) airflow-init \
		python -m pipeline import --source $(SOURCE) $(if $(DIR),--dir /data)
renumber:
	@$(COMPOSE) run --rm --no-deps -T airflow-init python -m pipeline renumber $(if $(APPLY),--apply)
check-data:
	@$(if $(DIR),,$(error DIR=folder is missing))$(COMPOSE) run --rm --no-deps -T --volume $(DATA):/data:ro airflow-init \
		python -m pipeline check /data $(if $(SOURCE),--source $(SOURCE))
train:
	@$(COMPOSE) exec -T airflow-scheduler with-settings python -m pipeline run
verify: .venvs/services/.stamp .venvs/airflow/.stamp
	@set -a && eval "$$($(SETUP) env 2>/dev/null)" && AIRFLOW_PYTHON=$(CURDIR)/.venvs/airflow/bin/python \
		ALERT_POLICY=$(CURDIR)/deploy/alerts.yaml .venvs/services/bin/python -m verify $(if $(ONLY),--only $(ONLY))
backup: .venvs/native/.stamp
	@.venvs/native/bin/python -m provisioning.compose_backup backup $(BACKUPS)
restore: .venvs/native/.stamp
	@$(if $(FROM),,$(error FROM=backups/recsys-… is missing))$(COMPOSE) down
	@$(COMPOSE) up --detach --wait postgres
	@.venvs/native/bin/python -m provisioning.compose_backup restore $(FROM)
	@$(COMPOSE) down && echo "restored; start it: make up STACK=compose"
