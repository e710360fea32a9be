"""Replicas and pipelines have a token of their own, and those of the earlier release keep theirs."""

from typing import Any

import pytest

import pipeline.settings
import recommender_api.settings
from provisioning.variables import READ_BY

_TOKENS = {"REGISTRY_TOKEN": "of-the-admin", "REGISTRY_REPLICA_TOKEN": "of-replicas", "REGISTRY_CI_TOKEN": "of-ci"}
_PRODUCTION = {"ENVIRONMENT": "production", "EVENTS_TOKEN": "of-events", "ADMIN_TOKEN": "of-admins"}


@pytest.mark.parametrize(
    ("kind", "field", "own"),
    [
        (recommender_api.settings.Settings, "registry_replica_token", "of-replicas"),
        (pipeline.settings.Settings, "registry_ci_token", "of-ci"),
    ],
    ids=["replica", "pipeline"],
)
def test_a_program_takes_its_own_token_and_the_admins_only_without_it(
    kind: type[Any], field: str, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (_PRODUCTION | _TOKENS).items():
        monkeypatch.setenv(name, value)
    assert getattr(kind(), field).get_secret_value() == own
    # An empty variable counts as one that is not set.
    monkeypatch.setenv(field.upper(), "")
    assert getattr(kind(), field).get_secret_value() == "of-the-admin"
    assert "of-the-admin" in kind().secrets()


def test_no_program_but_the_registry_is_given_the_first_admins_token() -> None:
    assert [program for program, names in READ_BY.items() if "REGISTRY_TOKEN" in names] == ["model-registry"]
