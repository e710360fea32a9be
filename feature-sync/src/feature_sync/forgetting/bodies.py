"""Answers about a user, as feature-sync sends them and `featurectl` reads them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field


class RemovedData(BaseModel):
    """Numbers of what was removed."""

    events: Annotated[int, Field(description="Events of the log, without exposures", examples=[412])]
    exposures: Annotated[
        int,
        Field(description="Exposures of the log: one for each answer, and those that you have posted", examples=[910]),
    ]
    served_features: Annotated[
        int, Field(description="Answers of the last days of which it was stored what they were ranked with")
    ]
    stream_entries: Annotated[int, Field(description="Entries of the event streams that waited or were in flight")]
    dead_letters: Annotated[int, Field(description="Dead letters about the user")]
    live_interactions: Annotated[int, Field(description="Interactions of the live history", examples=[12])]
    snapshots: Annotated[int, Field(description="Versions of the feature snapshot that had the user", examples=[1])]
    cached_answers: Annotated[int, Field(description="Cached results and last good answers", examples=[3])]


class RemainingData(BaseModel):
    """A place that feature-sync can't reach."""

    name: Annotated[str, Field(description="Name of the place", examples=["bundles"])]
    what: Annotated[str, Field(description="What it may hold about the user")]
    until: Annotated[datetime | None, Field(description="Latest moment until which it is there; null: see `ends`")] = (
        None
    )
    ends: Annotated[str, Field(description="What ends that", examples=["when you delete them there"])]


class ForgottenUser(BaseModel):
    """What was removed about a user, and what was not."""

    user_id: Annotated[int, Field(description="Number of the user", examples=[7])]
    external_id: Annotated[str | None, Field(description="The user's id as text, if it is not a number")]
    forgotten_at: Annotated[
        datetime,
        Field(
            description="The moment: events that happened or were received before it don't count, nor do repeats and "
            "replays of them. Later ones count again",
            examples=["2026-11-24T12:00:01Z"],
        ),
    ]
    removed: Annotated[RemovedData, Field(description="Numbers of what was removed")]
    remains: Annotated[list[RemainingData], Field(description="Where data about the user may still be, and until when")]


class HeldInteraction(BaseModel):
    """An interaction of a history."""

    dataset_id: Annotated[int, Field(description="Number of the dataset", examples=[13196])]
    type: Annotated[str, Field(description="Strongest type of an interaction with it", examples=["purchase"])]
    at: Annotated[datetime, Field(description="When the newest one happened", examples=["2026-11-24T12:00:00Z"])]
    age_seconds: Annotated[float, Field(description="How long ago that is", examples=[30.5])]


class LiveState(BaseModel):
    """The live history: what happened since the snapshot."""

    sequence: Annotated[int, Field(description="Grows with each change", examples=[12])]
    age_seconds: Annotated[float | None, Field(description="Time since the last event that changed it", examples=[3])]
    expires_in_seconds: Annotated[float | None, Field(description="Until it expires without a further event")]
    interactions: Annotated[list[HeldInteraction], Field(description="Newest first")]


class SnapshotState(BaseModel):
    """What a version of the feature snapshot has about the user."""

    version: Annotated[
        str, Field(description="The version in Redis", examples=["20261124T0300.5c1f0e6a9b3d4e5f.1a2b3c4d"])
    ]
    is_active: Annotated[bool, Field(description="Whether answers are made with it")]
    features: Annotated[
        dict[str, float | None], Field(description="Value by name of the feature; null for one that is not finite")
    ]
    interactions: Annotated[list[HeldInteraction], Field(description="Long-term history, newest first")]


class UserState(BaseModel):
    """What Redis holds about a user's features."""

    user_id: Annotated[int, Field(description="Number of the user", examples=[7])]
    external_id: Annotated[str | None, Field(description="The user's id as text, if it is not a number")]
    at: Annotated[datetime, Field(description="When it was read", examples=["2026-11-24T12:00:01Z"])]
    live: Annotated[LiveState | None, Field(description="Live history; null without one")]
    snapshots: Annotated[list[SnapshotState], Field(description="One for each version that has the user")]
    malformed_keys: Annotated[list[str], Field(description="Keys whose values can't be decoded; answers ignore them")]


class HeldEvent(BaseModel):
    """A row of the event log."""

    event_id: Annotated[str, Field(description="Id of the event", examples=["web-7f3a-1"])]
    type: Annotated[str, Field(description="What the user did, or `exposure`", examples=["view"])]
    dataset_id: Annotated[int, Field(description="Number of the dataset", examples=[13196])]
    request_id: Annotated[str | None, Field(description="The answer that showed the dataset")]
    position: Annotated[int | None, Field(description="Place in that answer, from 0")]
    experiment_variant: Annotated[str | None, Field(description="Side of an experiment")]
    ts: Annotated[datetime, Field(description="When it happened")]
    received_at: Annotated[datetime, Field(description="When it was stored")]


class HeldExposure(BaseModel):
    """A row of the log of exposures: what an answer has shown, first to last."""

    exposure_id: Annotated[str, Field(description="Id of the exposure", examples=["exp-5f2b8c0d1e3a4b5c"])]
    request_id: Annotated[str, Field(description="`request_id` of the answer", examples=["req_5f2b8c0d1e3a"])]
    endpoint: Annotated[str | None, Field(description="Endpoint that answered", examples=["/recommend/user"])]
    model_version: Annotated[str | None, Field(description="Version of the model", examples=["12"])]
    model_variant: Annotated[str | None, Field(description="`primary` or `canary`", examples=["primary"])]
    experiment_variant: Annotated[str | None, Field(description="Side of an experiment")]
    fallback_level: Annotated[int | None, Field(description="0 for the main path", examples=[0])]
    dataset_ids: Annotated[list[int], Field(description="The datasets", examples=[[13196, 13004]])]
    scores: Annotated[list[float], Field(description="Their scores", examples=[[0.81, 0.77]])]
    channels: Annotated[
        list[str], Field(description="The channels that proposed each, joined by `+`", examples=[["behavior+content"]])
    ]
    propensity: Annotated[list[float] | None, Field(description="Probability of each; null: not drawn")]
    ts: Annotated[datetime, Field(description="When it was shown")]
    received_at: Annotated[datetime, Field(description="When it was stored")]


class HeldOutcome(BaseModel):
    """A row of the outcomes: an event that was attributed to an exposure."""

    event_id: Annotated[str, Field(description="Id of the event", examples=["web-7f3a-1"])]
    ts: Annotated[datetime, Field(description="When it happened")]
    type: Annotated[str, Field(description="What the user did", examples=["click"])]
    dataset_id: Annotated[int, Field(description="Number of the dataset", examples=[13196])]
    exposure_id: Annotated[str, Field(description="Id of the exposure", examples=["exp-5f2b8c0d1e3a4b5c"])]
    position: Annotated[int, Field(description="Place of the dataset in that answer, from 0", examples=[0])]


class HeldServedFeatures(BaseModel):
    """What an answer to a user of the sample was ranked with; it is stored for three days."""

    served_id: Annotated[str, Field(description="Id of the row", examples=["srv-5f2b8c0d1e3a4b5c"])]
    ts: Annotated[datetime, Field(description="When it was asked")]
    received_at: Annotated[datetime, Field(description="When it was stored")]
    request_id: Annotated[str, Field(description="`request_id` of the answer", examples=["req_5f2b8c0d1e3a"])]
    endpoint: Annotated[str, Field(description="Endpoint that answered", examples=["/recommend/user"])]
    dataset_id: Annotated[int | None, Field(description="Dataset that was asked about; null: none")]
    max_items: Annotated[int, Field(description="Datasets that were asked for", examples=[10])]
    model_version: Annotated[str, Field(description="Version of the model", examples=["12"])]
    bundle_sha256: Annotated[str, Field(description="SHA-256 of its bundle")]
    snapshot: Annotated[str | None, Field(description="Version of the feature snapshot; null: none was active")]
    vectors: Annotated[
        str,
        Field(
            description="Base64 of the candidates, their features, the scores and the live history; the format is in "
            "`contracts/served_features.py`"
        ),
    ]


class HeldEntry(BaseModel):
    """An entry of a stream that waits, or a dead letter."""

    stream: Annotated[str, Field(description="Key of the stream", examples=["stream:events"])]
    id: Annotated[str, Field(description="Id of the entry", examples=["1764436800000-0"])]
    fields: Annotated[dict[str, str], Field(description="Names and values; what is not UTF-8 is replaced")]


class HeldAnswer(BaseModel):
    """A cached answer."""

    key: Annotated[str, Field(description="Its key; `res:` a result, `last:` a last good answer")]
    value_base64: Annotated[str, Field(description="The bytes that recommender-api has stored; the items are JSON")]


class UserExport(BaseModel):
    """All that is held about a user where feature-sync reaches."""

    state: Annotated[UserState, Field(description="What Redis holds about the user's features")]
    cached_answers: Annotated[list[HeldAnswer], Field(description="Cached results and last good answers")]
    stream_entries: Annotated[list[HeldEntry], Field(description="Entries that wait, and dead letters")]
    events: Annotated[
        list[HeldEvent], Field(description="Rows of the event log, also exposures that you have posted, oldest first")
    ]
    exposures: Annotated[list[HeldExposure], Field(description="What answers have shown to the user, oldest first")]
    outcomes: Annotated[list[HeldOutcome], Field(description="Events that were attributed to exposures, oldest first")]
    served_features: Annotated[
        list[HeldServedFeatures],
        Field(description="What answers were ranked with, if the user is in the sample, oldest first"),
    ]
    remains: Annotated[list[RemainingData], Field(description="Other places that may hold data about the user")]
