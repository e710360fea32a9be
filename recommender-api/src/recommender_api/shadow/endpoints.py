"""`GET /models/shadow`: how the shadow's answers differ from the primary's."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from recommender_api.models.registry_poller import RegistryPoller
from recommender_api.shadow.comparison import WINDOW
from recommender_api.shadow.mirror import Mirror
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter


class Latency(BaseModel):
    """How long an answer's ranking took, reading Redis included."""

    p50_ms: Annotated[float, Field(description="Median in milliseconds", examples=[0.6])]
    p99_ms: Annotated[float, Field(description="99th percentile in milliseconds", examples=[1.4])]


class ShadowReport(BaseModel):
    """One replica's comparison of primary and shadow; null where nothing was compared yet."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "replica_id": "api-0-8000",
                    "model_name": "ranker",
                    "primary_version": "12",
                    "shadow_version": "13",
                    "sample_rate": 0.1,
                    "compared": 48210,
                    "dropped": 0,
                    "failed": 0,
                    "window": 500,
                    "overlap_at_10": 0.83,
                    "score_difference": 0.021,
                    "score_psi": 0.04,
                    "primary_latency": {"p50_ms": 0.6, "p99_ms": 1.4},
                    "shadow_latency": {"p50_ms": 0.6, "p99_ms": 1.5},
                }
            ]
        }
    )

    replica_id: Annotated[str, Field(description="Replica that compares")]
    model_name: Annotated[str, Field(description="Name of the model")]
    primary_version: Annotated[str, Field(description="Version that answers users")]
    shadow_version: Annotated[str, Field(description="Version that is compared with it")]
    sample_rate: float = Field(description="Share of the ranked answers that is mirrored")
    compared: int = Field(description="Mirrored questions that both models answered")
    dropped: int = Field(description="Mirrored questions that the shadow was too far behind for, or Redis was away")
    failed: int = Field(description="Mirrored questions that the shadow could not answer")
    window: int = Field(description=f"How many of the latest comparisons the figures are of, at most {WINDOW}")
    overlap_at_10: float | None = Field(description="Mean share of the first ten datasets that both show, 0 to 1")
    score_difference: float | None = Field(description="Mean absolute difference of the scores of datasets in both")
    score_psi: float | None = Field(
        description="Population stability index of the shadow's scores over the deciles of the primary's: below 0.1 no "
        "shift worth a look, above 0.25 a large one"
    )
    primary_latency: Annotated[
        Latency | None, Field(description="Latency of the primary; null until something was compared")
    ]
    shadow_latency: Annotated[
        Latency | None, Field(description="Latency of the shadow; null until something was compared")
    ]


def router(
    poller: RegistryPoller, mirror: Mirror, *, model_name: str, replica_id: str, sample_rate: float
) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["models"])

    @routes.get(
        "/models/shadow",
        summary="Compare the shadow's answers with the primary's",
        responses=problem_responses(not_found="No shadow is deployed, or it cannot be loaded"),
    )
    async def show() -> ShadowReport:
        if poller.shadow_error is not None:
            raise ProblemError(404, f"The shadow can't be loaded: {poller.shadow_error}")
        comparison = mirror.comparison
        if comparison is None:
            raise ProblemError(404, "No shadow is in service: deploy a version with mode shadow.")
        summary = comparison.summary()
        return ShadowReport(
            replica_id=replica_id,
            model_name=model_name,
            primary_version=comparison.primary,
            shadow_version=comparison.shadow,
            sample_rate=sample_rate,
            compared=comparison.outcomes["compared"],
            dropped=comparison.outcomes["dropped"],
            failed=comparison.outcomes["failed"],
            window=summary.pairs,
            overlap_at_10=_rounded(summary.overlap),
            score_difference=_rounded(summary.score_difference),
            score_psi=_rounded(summary.score_psi),
            primary_latency=_latency(summary.primary_seconds),
            shadow_latency=_latency(summary.shadow_seconds),
        )

    return routes


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _latency(seconds: tuple[float, float] | None) -> Latency | None:
    if seconds is None:
        return None
    median, high = (round(each * 1000, 3) for each in seconds)
    return Latency(p50_ms=median, p99_ms=high)
