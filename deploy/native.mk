# The stack as native processes under supervisor.
NATIVE := .venvs/native/bin/python -m native

up: $(ENVIRONMENTS)
	@mkdir -p .run && echo native >.run/stack
	@$(NATIVE) up
down: .venvs/native/.stamp
	@$(NATIVE) down
	@rm -f .run/stack
status: .venvs/native/.stamp
	@$(NATIVE) status
env: .venvs/native/.stamp
	@$(NATIVE) env
clean: .venvs/native/.stamp
	@$(NATIVE) clean
logs: .venvs/native/.stamp
	@$(NATIVE) logs $(SERVICE)
hold-down: .venvs/native/.stamp
	@$(NATIVE) hold-down $(PROGRAM)
bring-back: .venvs/native/.stamp
	@$(NATIVE) bring-back $(PROGRAM)
import: $(ENVIRONMENTS)
	@$(NATIVE) pipeline import --source $(SOURCE) $(if $(DIR),--dir $(DATA))
check-data: .venvs/services/.stamp
	@$(if $(DIR),,$(error DIR=folder is missing)).venvs/services/bin/python -m pipeline check $(DATA) $(if $(SOURCE),--source $(SOURCE))
renumber: $(ENVIRONMENTS)
	@$(NATIVE) pipeline renumber $(if $(APPLY),--apply)
train: $(ENVIRONMENTS)
	@$(NATIVE) pipeline run
verify: $(ENVIRONMENTS)
	@$(NATIVE) verify $(if $(ONLY),--only $(ONLY))
backup: .venvs/native/.stamp
	@$(NATIVE) backup $(BACKUPS)
restore: .venvs/native/.stamp
	@$(if $(FROM),,$(error FROM=backups/recsys-… is missing))$(NATIVE) restore $(FROM)
