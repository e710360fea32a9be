"""Bodies of model-registry's endpoints about aliases, tags, descriptions and search."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.model_versions import ALIAS, MODEL_VERSION, VERSION_OR_ALIAS, VersionReceipt
from contracts.text import TypedText

# Between the registry's services and people: the version in service, and the one that may follow it.
CHAMPION, CANDIDATE = "champion", "candidate"
TAG_KEY = "^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$"
MAX_TAG_CHARS = 250
MAX_TAGS = 50
MAX_DESCRIPTION_CHARS = 4000
MAX_ALIASES = 100

_Reason = Annotated[
    Annotated[str, TypedText(1000)] | None, Field(description="Why, for the audit log", examples=["passed the canary"])
]


class AliasRequest(BaseModel):
    """The body of `PUT /models/{name}/aliases/{alias}`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "12"}]})

    version: Annotated[
        str, Field(pattern=VERSION_OR_ALIAS, description="Version that it points to from now on, or another alias")
    ]
    expected: Annotated[
        str | None,
        Field(pattern=MODEL_VERSION, description="The version that it must point to now; if it doesn't, 409"),
    ] = None
    reason: _Reason = None


class AliasRecord(BaseModel):
    """An alias: a name that points to one version of a model."""

    alias: Annotated[str, Field(pattern=ALIAS, description="Its name", examples=[CHAMPION])]
    version: Annotated[str, Field(pattern=MODEL_VERSION, description="Version that it points to", examples=["12"])]
    set_at: Annotated[datetime, Field(description="Since when", examples=["2026-11-24T03:10:00Z"])]
    set_by: Annotated[str | None, Field(description="Who set it", examples=["ci@main"])]


class AliasList(BaseModel):
    """The aliases of a model, by name."""

    name: Annotated[str, Field(description="Name of the model", examples=["ranker"])]
    aliases: Annotated[list[AliasRecord], Field(description="Its aliases")]


class LabelChange(BaseModel):
    """The body of `PATCH /models/{name}/versions/{version}`: what is absent stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"tags": {"team": "search"}, "description": "new features"}]}
    )

    tags: Annotated[
        dict[
            Annotated[str, Field(pattern=TAG_KEY)],
            Annotated[str, TypedText(MAX_TAG_CHARS)] | None,
        ],
        Field(max_length=MAX_TAGS, description="Tags to set, by key; null removes one", examples=[{"team": "search"}]),
    ] = {}
    description: Annotated[
        Annotated[str, TypedText(MAX_DESCRIPTION_CHARS)] | None,
        Field(description="Description; null removes it", examples=["new features"]),
    ] = None
    reason: _Reason = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.tags and "description" not in self.model_fields_set:
            raise ValueError("name `tags` or `description`: there is nothing to change")
        return self


class LabelledVersion(VersionReceipt):
    """A version in the answer of a search."""

    aliases: Annotated[
        list[str], Field(default_factory=list, description="Aliases that point to it", examples=[[CHAMPION]])
    ]
    tags: Annotated[dict[str, str], Field(default_factory=dict, description="Its tags", examples=[{"team": "search"}])]
    description: Annotated[str | None, Field(description="Its description; null: none", examples=["new features"])] = (
        None
    )
    trained_until: Annotated[
        datetime | None, Field(description="Newest interaction that training saw; null: unknown")
    ] = None
    pushed_by: Annotated[str | None, Field(description="Who pushed it; null: unknown", examples=["ci@main"])] = None


class VersionSearch(BaseModel):
    """A page of the versions that a search has found, newest first."""

    name: Annotated[str, Field(description="Name of the model", examples=["ranker"])]
    versions: Annotated[list[LabelledVersion], Field(description="The versions, newest first")]
    next_before: Annotated[
        str | None, Field(description="`before` of the next page; null: these are the oldest", examples=["51"])
    ] = None
