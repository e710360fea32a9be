"""HTTP API of aliases, tags, descriptions and search."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from sqlalchemy import Row

from contracts.model_versions import ALIAS, VersionDetail
from contracts.moments import Moment
from contracts.text import TypedText
from contracts.version_labels import (
    MAX_TAG_CHARS,
    AliasList,
    AliasRecord,
    AliasRequest,
    LabelChange,
    LabelledVersion,
    VersionSearch,
)
from model_registry.access import RegistryAccess
from model_registry.author import DeployedBy
from model_registry.paging import WantedPage
from model_registry.versions.answers import detail, receipt
from model_registry.versions.endpoints import ModelName, Version
from model_registry.versions.label_service import LabelledRow, Labels
from model_registry.versions.search import Search
from servicekit.bearer import CallerName
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_Alias = Annotated[str, Path(pattern=ALIAS, description="Name of the alias", examples=["champion"])]
_Reason = Annotated[Annotated[str, TypedText(1000)] | None, Query(description="Why, for the audit log")]
_Tags = Annotated[
    list[Annotated[str, TypedText(MAX_TAG_CHARS + 64, min_chars=1)]],
    Query(
        max_length=10, description="`key:value`, or `key` alone for any value; all must fit", examples=[["team:search"]]
    ),
]
_Words = Annotated[
    Annotated[str, TypedText(200, min_chars=1)] | None,
    Query(description="Text in the run, the commit or the description, in small or capital letters"),
]


def router(labels: Labels, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["versions"])
    guard = access.allow("ci", "admin")
    no_model = problem_responses(503, not_found="There is no such model")

    @made.get("/models/{name}/versions", responses=no_model, dependencies=access.read())
    def search_versions(
        name: ModelName,
        page: WantedPage,
        *,
        tag: _Tags = [],  # noqa: B006 - FastAPI copies it
        alias: Annotated[str | None, Query(pattern=ALIAS, description="An alias that points to it")] = None,
        trained_after: Annotated[
            Moment | None, Query(description="Training saw an interaction after this moment (ISO 8601, with zone)")
        ] = None,
        q: _Words = None,
    ) -> VersionSearch:
        """Return a page of the versions that fit to all parameters, newest first, without their manifests."""
        rows, next_before = labels.find(name, Search(tag, alias, trained_after, q), page)
        return VersionSearch(name=name, versions=[_line(row) for row in rows], next_before=next_before)

    @made.patch(
        "/models/{name}/versions/{version}",
        responses=problem_responses(
            503, not_found="There is no such version", conflict="The version would have too many tags"
        ),
        dependencies=guard,
    )
    def label_version(name: ModelName, version: Version, wanted: LabelChange) -> VersionDetail:
        """Change the tags and the description of a version; what is absent stays as it is."""
        return detail(labels.change(name, version, wanted))

    @made.get("/models/{name}/aliases", responses=no_model, dependencies=access.read())
    def list_aliases(name: ModelName) -> AliasList:
        """List the aliases of a model, by name."""
        return AliasList(name=name, aliases=[_alias(row) for row in labels.aliases(name)])

    @made.put(
        "/models/{name}/aliases/{alias}",
        responses=problem_responses(
            503,
            not_found="There is no such version",
            conflict="The alias points to another version than `expected`, retention has removed the version, or there "
            "are too many aliases",
        ),
        dependencies=guard,
    )
    def set_alias(
        name: ModelName, alias: _Alias, wanted: AliasRequest, caller: CallerName, deployed_by: DeployedBy = None
    ) -> AliasRecord:
        """Let an alias point to a version from now on; the bundle of that version is kept."""
        return _alias(labels.set_alias(name, alias, wanted, deployed_by or caller))

    @made.delete(
        "/models/{name}/aliases/{alias}",
        status_code=204,
        responses=problem_responses(503, not_found="There is no such alias"),
        dependencies=guard,
    )
    def remove_alias(
        name: ModelName, alias: _Alias, caller: CallerName, reason: _Reason = None, deployed_by: DeployedBy = None
    ) -> None:
        """Remove an alias; the version stays."""
        labels.remove_alias(name, alias, deployed_by or caller, reason)

    return made


def _alias(row: Row[Any]) -> AliasRecord:
    return AliasRecord(alias=row.alias, version=str(row.version), set_at=row.set_at, set_by=row.set_by)


def _line(row: LabelledRow) -> LabelledVersion:
    labels, facts = row.labels, row.labels.facts
    trained_until: datetime | None = None if facts is None else facts.trained_until
    return LabelledVersion(
        **receipt(row.version).model_dump(),
        aliases=labels.aliases,
        tags=labels.tags,
        description=None if facts is None else facts.description,
        trained_until=trained_until,
        pushed_by=None if facts is None else facts.pushed_by,
    )
