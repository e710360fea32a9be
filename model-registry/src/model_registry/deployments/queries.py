"""Reads and writes of the table `deployments`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from sqlalchemy import Connection, Row, func, insert, select, update

from contracts.deployments import DeploymentMode
from model_registry.paging import Page
from model_registry.tables import deployments, models, versions

_MODES = get_args(DeploymentMode)
_OF_VERSION = (versions.c.model == deployments.c.model) & (versions.c.version == deployments.c.version)
# The trained version that a version is or refreshes.
_TRAINED = func.coalesce(versions.c.refreshes, versions.c.version)


def active(connection: Connection, model: str, mode: str) -> Row[Any] | None:
    """Return the active deployment of a mode with its version's checksum and manifest, and its trained version."""
    found = (
        select(deployments, versions.c.sha256, versions.c.manifest, _TRAINED.label("trained"))
        .join(versions, _OF_VERSION)
        .where(deployments.c.model == model, deployments.c.mode == mode, deployments.c.state == "active")
    )
    return connection.execute(found).first()


def all_active(connection: Connection, model: str) -> dict[str, Row[Any]]:
    """Return the active deployments of a model by mode, with their versions' checksums."""
    found = (
        select(deployments, versions.c.sha256)
        .join(versions, _OF_VERSION)
        # With the modes, the index leads to the active ones alone.
        .where(deployments.c.model == model, deployments.c.mode.in_(_MODES), deployments.c.state == "active")
    )
    return {row.mode: row for row in connection.execute(found)}


def models_in_service(connection: Connection) -> Sequence[str]:
    """Return the names of the models of which something is deployed."""
    of_model = (deployments.c.model == models.c.name) & deployments.c.mode.in_(_MODES)
    active = select(deployments.c.id).where(of_model, deployments.c.state == "active").exists()
    return connection.execute(select(models.c.name).where(active).order_by(models.c.name)).scalars().all()


def is_rollback(connection: Connection, current: Row[Any]) -> bool:
    """Return whether an active deployment has taken the place of one that was rolled back."""
    previous = (
        select(deployments.c.state)
        .where(
            deployments.c.model == current.model,
            deployments.c.mode == current.mode,
            deployments.c.state != "failed",
            deployments.c.id < current.id,
        )
        .order_by(deployments.c.id.desc())
        .limit(1)
    )
    return connection.scalar(previous) == "rolled_back"


def record(connection: Connection, **values: Any) -> Row[Any]:
    """Insert a deployment and return it."""
    added = connection.execute(insert(deployments).values(created_at=datetime.now(UTC), **values))
    key = added.inserted_primary_key
    return get(connection, key[0])  # type: ignore[index]


def get(connection: Connection, deployment_id: int) -> Row[Any]:
    """Return an existing deployment."""
    return connection.execute(select(deployments).where(deployments.c.id == deployment_id)).one()


def end_active(
    connection: Connection, model: str, mode: str, state: str, *, version: int | None = None, detail: str | None = None
) -> None:
    """Take the active deployment of a mode out of service; with `version`, only if it is of that version."""
    ended = update(deployments).where(
        deployments.c.model == model, deployments.c.mode == mode, deployments.c.state == "active"
    )
    if version is not None:
        ended = ended.where(deployments.c.version == version)
    if detail is not None:
        ended = ended.values(detail=detail)
    connection.execute(ended.values(state=state))


def before(connection: Connection, current: Row[Any]) -> Row[Any] | None:
    """Return the primary deployment of another trained model that was in service before `current`, not rolled back.

    It may be of a refresh of that model: the newest that served and was not removed.
    """
    found = (
        select(deployments)
        .join(versions, _OF_VERSION)
        .where(
            deployments.c.model == current.model,
            deployments.c.mode == "primary",
            deployments.c.state == "replaced",
            versions.c.removed_at.is_(None),
            current.trained != _TRAINED,
            deployments.c.id < (current.restores or current.id),
        )
        .order_by(deployments.c.id.desc())
        .limit(1)
    )
    return connection.execute(found).first()


def history(connection: Connection, model: str, page: Page) -> Sequence[Row[Any]]:
    """Return a page of the deployments of a model, newest first, and one more if there is one."""
    found = select(deployments).where(deployments.c.model == model, deployments.c.id < page.before)
    return connection.execute(found.order_by(deployments.c.id.desc()).limit(page.limit + 1)).all()
