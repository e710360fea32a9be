"""The pipeline's settings, read from its environment once, at the entry point."""

import re
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

import monitoring
from contracts.access import HttpUrl, SecretLine, SingleLine, Token
from contracts.setting_values import with_fallback
from contracts.time_zones import TimeZoneName
from pipeline.importers.encodings import check_encoding
from ranking.diversity import DiversitySettings

_SPARK_MASTERS = re.compile(r"spark://[^\s/:,]+:[0-9]+(,[^\s/:,]+:[0-9]+)*")


def _check_spark_masters(value: str) -> str:
    if not _SPARK_MASTERS.fullmatch(value):
        raise ValueError("a cluster is spark://host:7077, or spark://host:7077,other:7077 with a standby master")
    return value


SparkMasters = Annotated[str, AfterValidator(_check_spark_masters)]


class Settings(monitoring.MonitoringSettings):
    """Settings of `python -m pipeline` and of the Airflow tasks."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    business_database_url: Annotated[
        SecretLine,
        Field(
            description="SQLAlchemy URL of the business database that the data comes from: PostgreSQL, MySQL, MariaDB, "
            "SQLite or DuckDB"
        ),
    ] = SecretStr("sqlite:///.run/business.db")
    database_url: Annotated[
        SecretLine | None, Field(description="SQLAlchemy URL with the behaviour event log; empty: no events are used")
    ] = None
    redis_url: Annotated[
        SecretStr | None, Field(description="Redis with the live features; only `python -m pipeline renumber` needs it")
    ] = None
    artifact_url: Annotated[
        SingleLine, Field(min_length=1, description="Folder or s3://… of runs, bundles and snapshots (fsspec)")
    ] = ".run/artifacts"
    pipeline_engine_url: Annotated[
        SparkMasters | None,
        Field(
            description="Spark cluster that runs the relational queries of the data steps, spark://host:7077; empty: "
            "DuckDB in the process of the step. ARTIFACT_URL has to be a folder that all workers see by the same path",
        ),
    ] = None
    runs_kept: Annotated[
        int,
        Field(
            ge=1, description="Number of good runs to keep there, with their snapshots; a new run deletes older ones"
        ),
    ] = 7
    failed_runs_kept: Annotated[
        int, Field(ge=0, description="Number of failed and unfinished runs to keep there, besides the good ones")
    ] = 3
    snapshot_incremental: Annotated[
        bool,
        Field(
            description="1: a snapshot also says what it changes in the one that was synced last, and its sync writes "
            "only that. Set it when every recommender-api and feature-sync is of this release"
        ),
    ] = False
    extraction_sql: Annotated[
        Path | None,
        Field(
            description="Folder with users.sql, datasets.sql, interactions.sql over your own schema. The folder "
            "airflow/sql is an example to copy. A missing file, or an empty value, means that the database has tables "
            "or views of our names and columns"
        ),
    ] = None
    quality_rules: Annotated[
        Path | None,
        Field(
            description="File with your changes to the bounds of the data checks, as airflow/quality.yaml; empty: none"
        ),
    ] = None
    pipeline_config: Annotated[
        Path | None,
        Field(
            description="File with your changes to recall, training and evaluation, as airflow/pipeline.yaml; empty: "
            "none"
        ),
    ] = None
    dataset_vectors: Annotated[
        Path | None,
        Field(
            description="Parquet file with vectors of your own (columns dataset_id, vector), which the recall channel "
            "vector then compares; empty: factors of the interactions"
        ),
    ] = None
    encoding: Annotated[
        str, Field(description="Encoding of the text files of an import, such as gb18030, big5 or utf-16")
    ] = "utf-8"
    timezone: Annotated[
        TimeZoneName,
        Field(
            description="Time zone (IANA) of times without an offset in an import or your SQL, such as Asia/Shanghai; "
            "also of the weekly report"
        ),
    ] = "UTC"
    registry_url: Annotated[HttpUrl, Field(description="Model registry")] = "http://127.0.0.1:8001"
    registry_token: Annotated[
        Token | None,
        Field(description="Read only where REGISTRY_CI_TOKEN is not set, as in deployments of earlier releases"),
    ] = None
    registry_ci_token: Annotated[
        Token | None, Field(description="Bearer token of the model registry: it pushes and deploys")
    ] = None
    signing_key: Annotated[
        Path | None,
        Field(description="File with the Ed25519 private key (PEM) by which bundles are signed; empty: they are not"),
    ] = None
    feature_sync_url: Annotated[HttpUrl, Field(description="Feature sync")] = "http://127.0.0.1:8002"
    admin_token: Annotated[Token | None, Field(description="Bearer token of feature-sync's /sync")] = None
    model_name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="Name under which the model is registered")
    ] = "ranker"
    git_commit: Annotated[str | None, Field(description="Commit recorded in the bundle; empty: unknown")] = None
    seed: Annotated[int, Field(ge=0, description="Seed of sampling and training")] = 42
    training_queries: Annotated[
        int | None,
        Field(ge=100, description="Deprecated, until the next release: `queries.most` in the file of PIPELINE_CONFIG"),
    ] = None
    diversity_relevance: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Weight of relevance against similarity to the other datasets of an answer (λ of MMR); "
            "1: answers are not diversified. The bundle contains it",
        ),
    ] = DiversitySettings().relevance
    training_threads: Annotated[
        int,
        Field(ge=1, le=64, description="Threads of LightGBM and of matrices; two on one busy core are slower than one"),
    ] = 1

    @model_validator(mode="before")
    @classmethod
    def _fall_back_to_the_admins_token(cls, values: Any) -> Any:
        return with_fallback(values, "registry_ci_token", "registry_token")

    @property
    def zone(self) -> tzinfo:
        """The time zone `timezone`."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, value: str) -> str:
        return check_encoding(value)

    def secrets(self) -> list[str]:
        """Return the values that must never be sent or logged; passwords in URLs are redacted by their form."""
        own = (
            self.registry_ci_token,
            self.registry_token,
            self.admin_token,
            self.business_database_url,
            self.database_url,
            self.redis_url,
        )
        return [*super().secrets(), *(value.get_secret_value() for value in own if value is not None)]
