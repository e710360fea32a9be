"""The settings of the registry."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from contracts.access import HttpUrlOrEmpty, SingleLine, Token
from contracts.query_values import Flag
from ranking.evaluation.comparison import MIN_QUERIES, TOLERANCE
from servicekit.database_urls import DatabaseUrl
from servicekit.settings import DEVELOPMENT_SECRET, ServiceSettings


class Settings(ServiceSettings):
    """Settings of model-registry."""

    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on")] = 8001
    database_url: Annotated[
        DatabaseUrl, Field(description="SQLAlchemy URL; the tables are in the schema `registry`")
    ] = SecretStr("sqlite:///recsys.db")
    artifact_url: Annotated[SingleLine, Field(description="Store of bundles: a folder, or `s3://bucket/prefix`")] = (
        "artifacts"
    )
    registry_token: Annotated[
        Token, Field(description="Token of the first admin, who makes the named ones (`registryctl tokens`)")
    ] = SecretStr(DEVELOPMENT_SECRET)
    registry_ci_token: Annotated[
        Token | None, Field(description="Token for uploads, deployments and rollbacks; empty: none")
    ] = None
    registry_replica_token: Annotated[
        Token | None, Field(description="Token of the replicas of recommender-api; empty: none")
    ] = None
    registry_read_token: Annotated[Token | None, Field(description="Token that only reads; empty: none")] = None
    public_reads: Annotated[
        Flag | None,
        Field(
            description="Whether reads need no token, except those of bundles and tokens; empty: only outside of "
            "production"
        ),
    ] = None
    # Another seed on the same data moves nDCG@10, too: see `ranking.evaluation.comparison`.
    model_gate_paired_tolerance: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="How much worse than another version on the same queries a new one may be, as a share of "
            "nDCG@10: it is rejected if the whole 95 % interval of the difference lies below that",
        ),
    ] = TOLERANCE
    model_gate_min_queries: Annotated[
        int, Field(ge=1, description="The fewest queries by which the gate compares two versions")
    ] = MIN_QUERIES
    # A week of nightly trainings: what gets worse a little each night is compared with the model before that.
    model_gate_best_of: Annotated[
        int,
        Field(
            ge=0, description="The best of so many newest trained versions is compared beside the active one; 0: none"
        ),
    ] = 7
    model_gate_metric: Annotated[
        str, Field(description="Manifest metric by which the gate compares versions without evaluation parts")
    ] = "ndcg@10"
    model_gate_tolerance: Annotated[
        float,
        Field(
            ge=0, le=1, description="How much worse by that metric than the active version a new one may be, as a share"
        ),
    ] = 0.05
    # A replica that can't load a bundle tries again after 1, 5 and 30 s. One that was killed counts for 120 s.
    convergence_deadline_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="After this time, a replica that doesn't serve what is deployed is reported as "
            "`model.not_converged`",
        ),
    ] = 120.0
    feature_sync_url: Annotated[
        HttpUrlOrEmpty,
        Field(description="feature-sync, whose outcomes of exposures judge a rollout; empty: no rollouts"),
    ] = ""
    admin_token: Annotated[
        Token | None, Field(description="Token by which outcomes are read from feature-sync; empty: none")
    ] = None
    model_rollout_alpha: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="Probability with which a verdict by clicks may be wrong, over all looks at a whole rollout",
        ),
    ] = 0.05
    # At 50 % of the users and 4 % clicks, about 75,000 exposures of each side show that.
    model_rollout_tolerance: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Share of all clicks that the next step of a rollout may cost at most: it is taken once the "
            "interval excludes more",
        ),
    ] = 0.1
    # Exposures of one answer and one user are not independent.
    model_rollout_design_effect: Annotated[
        float,
        Field(ge=1, le=100, description="By how much that widens the variance of clicks per exposure"),
    ] = 1.5
    model_rollout_min_exposures: Annotated[
        int, Field(ge=1, description="The fewest exposures of a canary by which a rollout is judged")
    ] = 1000
    # Clicks come within minutes, and are attributed 70 s later.
    model_rollout_burn_in_seconds: Annotated[
        float,
        Field(ge=0, le=86_400, description="A step of a rollout is measured from so long after its beginning on (s)"),
    ] = 300.0
    model_rollout_max_age_seconds: Annotated[
        float,
        Field(gt=0, description="If no exposure was counted for so long (s), the figures of a rollout are not fresh"),
    ] = 600.0
    # One day of every kind of traffic.
    model_rollout_max_wait_hours: Annotated[
        float,
        Field(
            gt=0,
            le=8760,
            description="How long a step that is due waits for figures; then the rollout holds and reports "
            "`model.rollout_needs_decision`",
        ),
    ] = 24.0
    model_rollout_max_error_increase: Annotated[
        float,
        Field(
            ge=0, le=1, description="How much larger than the primary's a canary's share of errors may be, in a rollout"
        ),
    ] = 0.01
    model_rollout_max_fallback_increase: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="How much larger than the primary's a canary's share of fallback answers may be, in a rollout",
        ),
    ] = 0.05
    model_rollout_max_p99_ratio: Annotated[
        float, Field(ge=1, description="How many times the primary's p99 a canary's may be, in a rollout")
    ] = 1.5
    # Two weeks of nightly trainings: a model that is found to be bad late can still be compared with those before it.
    bundle_retention_trained: Annotated[
        int, Field(ge=1, description="How many of the newest trained versions keep their bundle")
    ] = 14
    # One day of hourly refreshes; older ones are out of date, and their trained version is kept anyway.
    bundle_retention_refreshes: Annotated[
        int, Field(ge=1, description="How many of the newest refreshes keep their bundle")
    ] = 24
    # One quarter: what users saw in it can be explained and put into service again.
    bundle_retention_days: Annotated[
        int,
        Field(
            ge=0, le=36500, description="Days for which the bundle of a trained version is kept after it was primary"
        ),
    ] = 90
    # Nobody should lose a bundle by an upgrade: look at a dry run first.
    bundle_retention_daily: Annotated[
        bool,
        Field(description="Remove old bundles at the start and once a day; otherwise only by a call"),
    ] = False
    webhook_allow_http: Annotated[
        bool, Field(description="Whether webhooks may have an address without TLS; the signature is sent anyway")
    ] = False
    # An admin's token must not reach what only the registry's network does.
    webhook_allow_private: Annotated[
        bool, Field(description="Whether webhooks may lead to loopback and private addresses, never to link-local ones")
    ] = False
    max_bundle_mb: Annotated[int, Field(ge=1, description="Maximum size of a bundle, in MiB")] = 2048
    trusted_keys: Annotated[
        Path | None,
        Field(
            description="File with Ed25519 public keys in PEM, or a folder with such files (`*.pem`): the keys that "
            "may sign bundles; empty: none"
        ),
    ] = None
    require_signature: Annotated[
        bool,
        Field(description="Whether uploads and deployments need a signature by one of TRUSTED_KEYS"),
    ] = False

    @model_validator(mode="after")
    def _can_verify_what_it_requires(self) -> Self:
        if self.require_signature and self.trusted_keys is None:
            raise ValueError("REQUIRE_SIGNATURE needs TRUSTED_KEYS: without keys, every bundle would be rejected")
        return self

    @property
    def has_public_reads(self) -> bool:
        """Whether reads need no token."""
        return self.environment != "production" if self.public_reads is None else self.public_reads
