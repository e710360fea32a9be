"""A rollout's step is one of its steps, whatever a registry answers."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.rollouts import RolloutRecord


def _record(step: int) -> dict[str, Any]:
    at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    texts = {"rollout_id": "3", "version": "7", "primary_version": "6", "state": "running", "reason": "it waits"}
    none = dict.fromkeys(("started_by", "answered_by", "reviewed_at", "ended_at", "difference"))
    moments = {"created_at": at, "step_since": at}
    return texts | none | moments | {"steps": [5, 25, 100], "step": step, "every_seconds": 1800.0, "curves": []}


def test_the_share_of_users_is_that_of_the_step() -> None:
    assert [RolloutRecord.model_validate(_record(step)).percent for step in range(3)] == [5, 25, 100]


@pytest.mark.parametrize("step", [-1, 3])
def test_a_step_that_does_not_exist_is_refused(step: int) -> None:
    with pytest.raises(ValidationError, match="step"):
        RolloutRecord.model_validate(_record(step))
