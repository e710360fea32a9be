"""Questions and answers as the OpenAPI document shows them. Answers are written as bytes; a test holds them to this."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contracts.ids import DatasetId, UserId
from contracts.prices import MAX_PRICE, parse_price
from contracts.query_values import Flag, ParameterText, WholeNumber
from contracts.redis_keys import Timeframe
from recommender_api.recommendations.errors import DegradeReason
from recommender_api.recommendations.query import Filters

MAX_EXCLUDED = 1000


def _split(value: object) -> object:
    """Take `exclude=1,2&exclude=3` as three ids."""
    if not isinstance(value, list):
        return value
    return [part for text in value for part in (text.split(",") if isinstance(text, str) else [text])]


def _price(value: object) -> object:
    return parse_price(value) if isinstance(value, str) else value


_Price = Annotated[float, Field(ge=0, le=MAX_PRICE, allow_inf_nan=False), BeforeValidator(_price)]


class Options(BaseModel):
    """What every question may carry; an unknown parameter is an error, so that no filter is lost to a typing slip."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, WholeNumber(1, 50)] = Field(10, description="At most so many items")
    exclude: Annotated[list[DatasetId], BeforeValidator(_split)] = Field(
        [],
        max_length=MAX_EXCLUDED,
        description="Dataset ids that must not be in the answer; repeat the parameter or separate by commas",
    )
    max_price: _Price | None = Field(None, description="No dataset that costs more")
    tag: Annotated[str, ParameterText(64, min_chars=1)] | None = Field(
        None, description="Only datasets with this tag, in any case"
    )
    explain: Flag = Field(False, description="Add to each item what its features contributed to its score")

    def filters(self) -> Filters:
        """Return what must not be in the answer."""
        return Filters(tuple(self.exclude), self.max_price, self.tag)


class DetailOptions(Options):
    """What a question about a dataset's page may carry."""

    user_id: UserId | None = Field(None, description="Whose page it is; an unknown user is a cold one")


class TrendingOptions(Options):
    """What a question about trends may carry."""

    limit: Annotated[int, WholeNumber(1, 100)] = Field(10, description="At most so many items")
    timeframe: Timeframe = Field("24h", description="The sliding window that counts")


class Explanation(BaseModel):
    """Why an item scored as it did: `base` plus all contributions is the raw score, whose logistic is `score`."""

    base: float
    contributions: dict[str, float] = Field(description="SHAP value by feature, zeros left out")
    channels: dict[str, float] = Field(description="Score by recall channel that proposed the item")


class Item(BaseModel):
    """A recommended dataset."""

    dataset_id: DatasetId
    title: str
    price: float
    cover_image: str | None
    score: float = Field(description="Comparable within one answer; 0..1")
    reasons: list[str] = Field(
        description="Recall channels that proposed it (behavior, content, vector, history, popular), "
        "or the list that it comes from (trending, precomputed, popular)"
    )
    explanation: Explanation | None


_ITEM: dict[str, Any] = {
    "dataset_id": 13004,
    "title": "Hourly air quality, 300 cities",
    "price": 99.0,
    "cover_image": None,
    "score": 0.812,
    "reasons": ["behavior", "content"],
    "explanation": None,
}


class Answer(BaseModel):
    """What every question is answered with, whatever level the answer came from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "req_5f2b8c0d1e3a",
                    "dataset_id": 13196,
                    "user_id": 7,
                    "items": [_ITEM],
                    "model_name": "ranker",
                    "model_version": "12",
                    "model_variant": "primary",
                    "experiment_variant": None,
                    "degraded": False,
                    "fallback_level": 0,
                    "degrade_reason": None,
                }
            ]
        },
    )

    request_id: str
    dataset_id: DatasetId | None = Field(None, description="Present where the question had one")
    user_id: UserId | None = Field(None, description="Present where the question had one")
    timeframe: Timeframe | None = Field(None, description="Present where the question had one")
    items: list[Item]
    model_name: str
    model_version: str
    model_variant: Literal["primary", "canary"]
    experiment_variant: str | None
    degraded: bool
    fallback_level: Literal[0, 1, 2, 3] = Field(
        description="0 main path, 1 last good answer, 2 precomputed list, 3 static popular list"
    )
    degrade_reason: DegradeReason | None
