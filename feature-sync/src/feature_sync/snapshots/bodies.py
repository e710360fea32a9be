"""The answers about a sync and a verification, as feature-sync sends it and `featurectl` reads it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

MAX_EXAMPLES = 10


class SyncJob(BaseModel):
    """The state of a `POST /sync`."""

    job: Annotated[str, Field(description="Id of the job", examples=["5c1f0e6a9b3d"])]
    snapshot: Annotated[
        str, Field(description="The requested folder", examples=["s3://recsys/snapshots/20261124T0300"])
    ]
    state: Annotated[Literal["queued", "running", "done", "failed"], Field(description="State of the job")] = "queued"
    version: Annotated[
        str | None, Field(description="Version of the snapshot; null until it is read", examples=["20261124T0300"])
    ] = None
    users: Annotated[int, Field(description="Users written", examples=[6000])] = 0
    total: Annotated[
        int,
        Field(description="Users to write: all of the snapshot, or those that it changes in `base`", examples=[6000]),
    ] = 0
    base: Annotated[
        str | None,
        Field(
            description="Version in Redis to which only the changes were added; null: all users were written",
            examples=["20261123T0300.0123456789abcdef.89abcdef"],
        ),
    ] = None
    seconds: Annotated[float | None, Field(description="Duration; null until the job ends", examples=[1.4])] = None
    error: Annotated[str | None, Field(description="Reason of the failure; null without one")] = None
    created_at: Annotated[datetime, Field(description="Time at which it was queued", examples=["2026-11-24T03:10:00Z"])]


class KeyDifferences(BaseModel):
    """How the keys of a version differ from its snapshot; `examples` are some of the keys."""

    count: Annotated[int, Field(description="Number of keys", examples=[0])] = 0
    examples: Annotated[list[str], Field(description="The first of them")] = []

    def note(self, key: str) -> None:
        """Count a key."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(key)


class Verification(BaseModel):
    """How the active version in Redis compares with the files of a snapshot."""

    snapshot: Annotated[str, Field(description="The folder", examples=["s3://recsys/snapshots/20261124T0300"])]
    active: Annotated[str | None, Field(description="The active version in Redis; null without one")]
    expected: Annotated[
        str, Field(description="Version and content of the folder, to which Redis adds a part of its own")
    ]
    same_content: Annotated[
        bool, Field(description="Whether the active version is of this content. If not, no key is compared")
    ] = False
    users: Annotated[int, Field(description="Users that should have a key", examples=[120000])] = 0
    keys: Annotated[
        int, Field(description="Keys of users that the active version and its bases have", examples=[120000])
    ] = 0
    missing: Annotated[KeyDifferences, Field(description="Keys that are not in Redis")] = KeyDifferences()
    different: Annotated[KeyDifferences, Field(description="Keys with another value than the files")] = KeyDifferences()
    foreign: Annotated[
        KeyDifferences, Field(description="Keys of users that are not in the files, and of unknown versions")
    ] = KeyDifferences()
    unlisted: Annotated[
        KeyDifferences, Field(description="Keys that the version's list lacks, so that no retirement removes them")
    ] = KeyDifferences()

    @property
    def matches(self) -> bool:
        """Whether Redis holds the snapshot and nothing else."""
        found = (self.missing, self.different, self.foreign, self.unlisted)
        return self.same_content and not any(each.count for each in found)
