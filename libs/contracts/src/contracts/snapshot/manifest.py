"""`manifest.json` of a snapshot."""

import hashlib
import json
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.feature_spec import FEATURE_SPECS, FeatureSpec

FORMAT = 1
_Sum = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class SnapshotIncrement(BaseModel):
    """What a snapshot changes in an earlier one, so that only that has to be written.

    `base` is the `content_name` of the earlier snapshot, which has all events from before `base_until`. `files` hold
    `rows` users: changed and new ones, and removed ones with an empty blob. Since the last snapshot without an
    increment, it is the increment of this `number`; `depth` is the number of snapshots below it that it needs.
    """

    model_config = ConfigDict(extra="ignore")

    base: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.[0-9a-f]{16}$")]
    base_until: AwareDatetime
    number: Annotated[int, Field(ge=1)]
    depth: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=0)]
    # A reader copies files of these names.
    files: dict[Annotated[str, Field(pattern=r"^increment/users-[0-9]{5}\.parquet$")], _Sum]


class SnapshotManifest(BaseModel):
    """Schema of `manifest.json`; `rows` is the number of users over all `files`.

    The users' features include all behaviour events that were received before `events_until`; None: there is no event
    log, or the snapshot is of an earlier release. `user_features` are the features in each blob, in their order; None:
    an earlier release has written it, and `feature_schema` says which they are. With an `increment`, a reader that has
    its base may read that instead of `files`. Fields of later releases are ignored.
    """

    model_config = ConfigDict(extra="ignore")

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    created_at: AwareDatetime
    events_until: AwareDatetime | None = None
    feature_schema: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    user_features: list[FeatureSpec] | None = None
    rows: Annotated[int, Field(ge=0)]
    files: dict[str, _Sum]
    increment: SnapshotIncrement | None = None

    @property
    def until(self) -> AwareDatetime:
        """The moment that the snapshot stands at: it includes all events from before."""
        return self.events_until or self.created_at


def content_name(manifest: SnapshotManifest) -> str:
    """Return the version with the hash of all users and their schema: one name never means two contents."""
    content = json.dumps([manifest.feature_schema, sorted(manifest.files.items())])
    if manifest.user_features is not None:
        content += FEATURE_SPECS.dump_json(manifest.user_features).decode()
    return f"{manifest.version}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"
