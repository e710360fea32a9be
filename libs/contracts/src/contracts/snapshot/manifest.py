"""`manifest.json` of a snapshot."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.feature_spec import FeatureSpec

FORMAT = 1


class SnapshotManifest(BaseModel):
    """Schema of `manifest.json`; `rows` is the number of users over all `files`.

    The users' features include all behaviour events that were received before `events_until`; None: there is no event
    log, or the snapshot is of an earlier release. `user_features` are the features in each blob, in their order; None:
    an earlier release has written it, and `feature_schema` says which they are. Fields of later releases are ignored.
    """

    model_config = ConfigDict(extra="ignore")

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    created_at: AwareDatetime
    events_until: AwareDatetime | None = None
    feature_schema: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    user_features: list[FeatureSpec] | None = None
    rows: Annotated[int, Field(ge=0)]
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]
