"""Reads of what the rule of retention decides by."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from contracts.retention import KeepReason
from model_registry.deployments import queries as deployment_queries
from model_registry.retention.rule import PrimaryStart, Usage, VersionState
from model_registry.rollouts import queries as rollout_queries
from model_registry.tables import deployments, replicas
from model_registry.versions import labels

_REASON_OF_MODE = {"primary": KeepReason.ACTIVE, "canary": KeepReason.CANARY, "shadow": KeepReason.SHADOW}


def usage(connection: Connection, model: str) -> Usage:
    """Return which versions of a model are in use, and which were primary."""
    in_use: dict[KeepReason, set[int]] = {
        KeepReason.REPLICA: _reported(connection, model),
        KeepReason.ALIAS: {row.version for row in labels.all_aliases(connection, model)},
    }
    for mode, reason in _REASON_OF_MODE.items():
        current = deployment_queries.active(connection, model, mode)
        in_use[reason] = set() if current is None else {current.version}
        if mode == "primary" and current is not None:
            previous = deployment_queries.before(connection, current)
            in_use[KeepReason.PREDECESSOR] = set() if previous is None else {previous.version}
    rollout = rollout_queries.find_open(connection, model)
    if rollout is not None:
        # Also while it holds because its canary was withdrawn, or another version is the primary: it may go on.
        in_use[KeepReason.CANARY].add(rollout.version)
        in_use.setdefault(KeepReason.PREDECESSOR, set()).update((rollout.primary_version, rollout.primary_trained))
    return Usage(in_use, _primaries(connection, model))


def state(version: Row[Any]) -> VersionState:
    """Return what the rule needs of a version's row."""
    return VersionState(version.version, version.refreshes, version.removed_at is not None)


def _reported(connection: Connection, model: str) -> set[int]:
    """Return what replicas reported, also those that are silent: they may come back with it."""
    found = connection.execute(select(replicas.c.version).where(replicas.c.model == model)).scalars()
    return {int(version) for version in found if version is not None and version.isdecimal()}


def _primaries(connection: Connection, model: str) -> Sequence[PrimaryStart]:
    found = select(deployments.c.version, deployments.c.created_at).where(
        deployments.c.model == model, deployments.c.mode == "primary", deployments.c.state != "failed"
    )
    rows = connection.execute(found.order_by(deployments.c.id)).all()
    return [PrimaryStart(row.version, row.created_at) for row in rows]
