"""Access tokens of the stack: their roles, and the bodies of model-registry's endpoints about them."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from contracts.model_versions import MODEL_NAME, SHA256
from contracts.text import TypedText

Role = Literal["reader", "replica", "ci", "admin"]
# `events` and `signals` are those of EVENTS_TOKEN and GATEWAY_TOKEN alone: they send, and see and change nothing.
ServiceRole = Literal["reader", "replica", "ci", "admin", "events", "signals"]

TOKEN_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"  # noqa: S105 - the pattern of a name
MAX_MODELS = 100
MAX_REPLICAS = 1000
MAX_DAYS = 3650
MAX_OVERLAP_HOURS = 24 * 30

_Name = Annotated[
    str, Field(pattern=TOKEN_NAME, description="Name of the token, as histories show it", examples=["ci-main"])
]
_Models = Annotated[
    list[Annotated[str, Field(pattern=MODEL_NAME)]] | None,
    Field(min_length=1, max_length=MAX_MODELS, description="The only models that it opens; null: all"),
]


def _check_replica(given: str) -> str:
    if "*" in given[:-1] or given != given.strip():
        raise ValueError("an id has no space at its ends, and `*` only as its last character")
    return given


_Replicas = Annotated[
    list[Annotated[str, TypedText(128, min_chars=1), AfterValidator(_check_replica)]] | None,
    Field(
        min_length=1,
        max_length=MAX_REPLICAS,
        description="The only replicas as which it reports, by id; `api-*` stands for all ids that begin so; null: all",
        examples=[["api-*"]],
    ),
]
_Reason = Annotated[
    Annotated[str, TypedText(1000)] | None, Field(description="Why, for the audit log", examples=["nightly pipeline"])
]


class NewToken(BaseModel):
    """The body of `POST /tokens`."""

    model_config = ConfigDict(extra="forbid")

    name: _Name
    role: Annotated[Role, Field(description="What it may do; `docs/RIGHTS.md` has the table")]
    models: _Models = None
    replicas: _Replicas = None
    days: Annotated[
        int | None,
        Field(strict=True, ge=1, le=MAX_DAYS, description="Days until it expires; null: never", examples=[365]),
    ] = None
    reason: _Reason = None

    @model_validator(mode="after")
    def _only_replicas_report(self) -> Self:
        if self.replicas is not None and self.role != "replica":
            raise ValueError(
                f"replicas: the role {self.role} does not report; only a token of a replica is bound to ids"
            )
        return self


class TokenRotation(BaseModel):
    """The body of `POST /tokens/{name}/rotate`."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[
        float, Field(ge=0, le=MAX_OVERLAP_HOURS, description="Hours for which the earlier secret stays valid")
    ] = 24
    days: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=MAX_DAYS,
            description="Days until the new secret expires; null: as many as the earlier one had in all",
        ),
    ] = None
    reason: _Reason = None


class TokenRecord(BaseModel):
    """One secret of a token, without the secret; after a rotation a name has two of them for a while."""

    name: _Name
    role: Annotated[str, Field(description="What it may do", examples=["ci"])]
    models: Annotated[list[str] | None, Field(description="The only models that it opens; null: all")]
    replicas: Annotated[list[str] | None, Field(description="The only replicas as which it reports; null: all")] = None
    created_at: Annotated[datetime, Field(description="When it was made", examples=["2026-11-24T03:10:00Z"])]
    created_by: Annotated[str, Field(description="Token that made it", examples=["REGISTRY_TOKEN"])]
    expires_at: Annotated[datetime | None, Field(description="When it expires or expired; null: never")]
    revoked_at: Annotated[datetime | None, Field(description="When it was revoked; null: it was not")]


class CreatedToken(TokenRecord):
    """A new secret: the only answer that shows it."""

    token: Annotated[str, Field(description="The secret; it is shown once", examples=["9f86d0…0a08"])]


class TokenList(BaseModel):
    """All tokens, the newest first."""

    tokens: Annotated[list[TokenRecord], Field(description="Their records, without the secrets")]


class TokenDigest(BaseModel):
    """What another service needs to recognize a token: the SHA-256 of 256 random bits, which reveals none of them."""

    name: Annotated[str, Field(description="Name of the token", examples=["li.wei"])]
    role: Annotated[str, Field(description="What it may do", examples=["admin"])]
    models: Annotated[list[str] | None, Field(description="The only models that it opens; null: all")] = None
    replicas: Annotated[list[str] | None, Field(description="The only replicas as which it reports; null: all")] = None
    sha256: Annotated[str, Field(pattern=SHA256, description="SHA-256 of the secret, in hex")]
    expires_at: Annotated[AwareDatetime | None, Field(description="When it expires; null: never")] = None


class TokenDigests(BaseModel):
    """The tokens that are valid now; those of the registry's environment are not among them."""

    tokens: Annotated[list[TokenDigest], Field(description="One for each secret")]
