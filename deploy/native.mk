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
	@$(NATIVE) pipeline import --source $(SOURCE) $(if $(DIR),--dir '$(abspath $(DIR))')
renumber: $(ENVIRONMENTS)
	@$(NATIVE) pipeline renumber $(if $(APPLY),--apply)
check-data: .venvs/native/.stamp .venvs/services/.stamp
	@.venvs/services/bin/python -m pipeline check '$(abspath $(DIR))' $(if $(SOURCE),--source $(SOURCE))
train: $(ENVIRONMENTS)
	@$(NATIVE) pipeline run
verify: $(ENVIRONMENTS)
	@$(NATIVE) verify $(if $(ONLY),--only $(ONLY))
