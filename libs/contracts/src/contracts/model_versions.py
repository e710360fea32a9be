"""Bodies of model-registry's endpoints about versions, and how models and versions are named."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

MODEL_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
# The number that the registry gives, as text.
MODEL_VERSION = "^[1-9][0-9]{0,8}$"
# A name that points to a version of its model; no number is one.
ALIAS = "^[a-z][a-z0-9_.-]{0,62}$"
VERSION_OR_ALIAS = "^(?:[1-9][0-9]{0,8}|[a-z][a-z0-9_.-]{0,62})$"
SHA256 = "^[0-9a-f]{64}$"
# The most lines that a page of a list has.
MAX_PAGE = 500

_EXAMPLE: JsonDict = {
    "name": "ranker",
    "version": "12",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "created_at": "2026-11-24T03:10:00Z",
}


class VersionReceipt(BaseModel):
    """The result of an upload."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Annotated[str, Field(description="Name of the model")]
    version: Annotated[str, Field(pattern=MODEL_VERSION, description="Number of the version, as a text")]
    sha256: Annotated[str, Field(description="SHA-256 of the bundle")]
    created_at: Annotated[datetime, Field(description="When it was pushed")]
    refreshes: Annotated[
        str | None,
        Field(description="Trained version whose statistics it renews; null for a trained one", examples=["11"]),
    ] = None
    removed_at: Annotated[
        datetime | None,
        Field(description="When retention removed its bundle, which cannot be deployed until it is pushed again"),
    ] = None
    takes_evaluation: Annotated[
        bool, Field(description="Whether its evaluation part can be sent, to `PUT …/evaluation`; a refresh has none")
    ] = False


class EvaluationSummary(BaseModel):
    """What the evaluation part of a version says of itself. The part itself holds what users did."""

    sha256: Annotated[str, Field(pattern=SHA256, description="SHA-256 of the part")]
    run_id: Annotated[str, Field(description="Run that made it", examples=["2026-11-24T03-00-00Z"])]
    cut: Annotated[datetime, Field(description="From when on its queries were asked")]
    queries: Annotated[int, Field(description="Number of its queries", examples=[4812])]
    ndcg: Annotated[
        float, Field(alias="ndcg@10", description="nDCG@10 on these queries, of the model trained before the cut")
    ]


class VersionSignature(BaseModel):
    """The signature that was pushed with a version. A deployment verifies it again if signatures are required."""

    key_id: Annotated[
        str,
        Field(description="First 16 hex digits of the SHA-256 of the public key", examples=["9f86d081884c7d65"]),
    ]
    signature: Annotated[str, Field(description="Ed25519 signature, in base64")]
    signed_at: Annotated[datetime, Field(description="When it was pushed", examples=["2026-11-24T03:10:00Z"])]


class Lineage(BaseModel):
    """Where a version comes from, as its bundle's manifest and its upload say."""

    run: Annotated[
        str,
        Field(description="Run that made it, with a hash of its content", examples=["2026-11-24T03-00-00Z-5f2b8c0d"]),
    ]
    git_commit: Annotated[str | None, Field(description="Commit of the code; null: unknown")] = None
    made_at: Annotated[datetime, Field(description="When the bundle was made", examples=["2026-11-24T03:08:00Z"])]
    data_window: Annotated[
        dict[str, Any],
        Field(description="What it was trained on: `start`, `end`, `interactions`, `users`, `datasets`"),
    ]
    trained_until: Annotated[
        datetime | None,
        Field(description="Newest interaction that training saw; null in a bundle of an earlier release"),
    ] = None
    parameters: Annotated[
        dict[str, Any] | None, Field(description="Shape of the training, as `pipeline.yaml` writes it; null: unknown")
    ] = None
    refreshes: Annotated[str | None, Field(description="Trained version that it renews; null for a trained one")] = None
    pushed_by: Annotated[
        str | None,
        Field(description="Who pushed it: `X-Deployed-By` or the token's name; null: unknown", examples=["ci@main"]),
    ] = None


class VersionDetail(VersionReceipt):
    """A version with its bundle's manifest."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_EXAMPLE, "size": 1843200, "manifest": {"name": "ranker", "metrics": {"ndcg@10": 0.193}}}]
        }
    )

    size: Annotated[int, Field(description="Bytes of the bundle", examples=[1843200])]
    evaluation: Annotated[
        EvaluationSummary | None, Field(description="Its evaluation part; null if none was pushed", examples=[None])
    ] = None
    signature: Annotated[
        VersionSignature | None, Field(description="Its signature; null if none was pushed", examples=[None])
    ] = None
    manifest: Annotated[
        dict[str, Any], Field(description="`manifest.json` of the bundle", examples=[{"metrics": {"ndcg@10": 0.193}}])
    ]
    aliases: Annotated[list[str], Field(description="Aliases that point to it", examples=[["champion"]])] = []
    tags: Annotated[dict[str, str], Field(description="Its tags", examples=[{"team": "search"}])] = {}
    description: Annotated[str | None, Field(description="Its description; null: none", examples=["new features"])] = (
        None
    )
    lineage: Annotated[
        Lineage | None, Field(description="Where it comes from; null from a registry of an earlier release")
    ] = None


class ModelSummary(BaseModel):
    """A page of a model's versions, newest first."""

    name: Annotated[str, Field(description="Name of the model", examples=["ranker"])]
    versions: Annotated[list[VersionReceipt], Field(description="Its versions, newest first")]
    next_before: Annotated[
        str | None,
        Field(description="`before` of the next page of this model; null: these are the oldest", examples=["51"]),
    ] = None
