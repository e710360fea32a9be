"""The words of an incident's state and changes; nothing else, because `alertctl` imports them."""

from typing import Literal

State = Literal["open", "resolved"]
Resolution = Literal["recovered", "quiet", "closed", "false_alarm", "abandoned"]
ChangeKind = Literal[
    "opened",
    "reopened",
    "raised",
    "new_episode",
    "acknowledged",
    "assigned",
    "commented",
    "escalated",
    "reminded",
    "grouped",
    "ungrouped",
    "resolved",
    "marked",
]
