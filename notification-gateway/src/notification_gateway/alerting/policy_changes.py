"""Reloads the alert policy after an edit, and stores the edit as a change of the stack, which incidents show."""

from datetime import datetime

from notification_gateway.incidents.timeline import EVERY_ENVIRONMENT, StackChange, add_stack_changes
from notification_gateway.policy.watching import PolicyFile
from notification_gateway.storage import Storage


def refresh_policy(policy_file: PolicyFile, storage: Storage, now: datetime) -> None:
    """Read the file again if it has changed, and store whether the edit was loaded or rejected."""
    edit = policy_file.refresh()
    if edit is not None:
        with storage.transaction() as connection:
            add_stack_changes(connection, EVERY_ENVIRONMENT, [StackChange(now, "policy", policy_file.name, edit)])
