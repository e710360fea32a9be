"""The request and answer schemas of the OpenAPI document; a test checks the answers' bytes against them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from contracts.datasets import MAX_TAG_CHARS
from contracts.ids import MAX_ID, DatasetId, UnusableIdError, UserIdText, hash_id, is_numeric_id, parse_id_text
from contracts.prices import MAX_PRICE, parse_price
from contracts.query_values import Flag, WholeNumber
from contracts.redis_keys import Timeframe
from contracts.text import TypedText, normalize_tag
from recommender_api.answers.errors import DegradeReason
from recommender_api.answers.query import Filters

MAX_EXCLUDED = 1000

# A text id stands for a number above 2^53, which JavaScript rounds.
IdNumber = Annotated[int, Field(ge=1, le=MAX_ID)]


def _split(value: object) -> object:
    """Split `exclude=1,2&exclude=3` into three ids; a text with a comma is used both whole and as its parts."""
    if not isinstance(value, list):
        return value
    return [part for text in value for part in (_parts(text) if isinstance(text, str) else [text])]


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if len(parts) == 1 or all(map(is_numeric_id, parts)):
        return parts
    try:
        parse_id_text(text, "dataset")
    except UnusableIdError:
        return parts
    return [*parts, text]


def _price(value: object) -> object:
    return parse_price(value) if isinstance(value, str) else value


_Price = Annotated[float, Field(ge=0, le=MAX_PRICE, allow_inf_nan=False), BeforeValidator(_price)]


class Options(BaseModel):
    """The parameters of every recommendation request; an unknown one is an error, so that a typo loses no filter."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, WholeNumber(1, 50)] = Field(10, description="Maximum number of items")
    exclude: Annotated[list[DatasetId], BeforeValidator(_split)] = Field(
        [],
        max_length=MAX_EXCLUDED,
        description="Dataset ids to exclude; repeat the parameter or separate them by commas",
    )
    max_price: _Price | None = Field(None, description="Maximum price")
    tag: Annotated[str, TypedText(MAX_TAG_CHARS, min_chars=1), AfterValidator(normalize_tag)] | None = Field(
        None, description="Only datasets with this tag; case is ignored"
    )
    explain: Flag = Field(False, description="Add the contribution of each feature to the score of each item")

    def filters(self) -> Filters:
        """Return the filters of the answer."""
        return Filters(tuple(self.exclude), self.max_price, self.tag)


class DetailOptions(Options):
    """The parameters of a request for a dataset's page."""

    user_id: UserIdText | None = Field(
        None, description="The user who sees the page; an unknown user gets the answer of a new one"
    )


class TrendingOptions(Options):
    """The parameters of a request for trending datasets."""

    limit: Annotated[int, WholeNumber(1, 100)] = Field(10, description="Maximum number of items")
    timeframe: Timeframe = Field("24h", description="The sliding window of the counts")


class Explanation(BaseModel):
    """An item's score: `base` plus all contributions is the raw score, and its logistic function is `score`."""

    base: Annotated[float, Field(description="Raw score without any feature", examples=[-1.2])]
    contributions: dict[str, float] = Field(description="SHAP value by feature, without zeros")
    channels: dict[str, float] = Field(description="Score by recall channel that proposed the item")


_EXTERNAL_ID = "The text that the id stands for; present if the id is a text"


class Item(BaseModel):
    """A recommended dataset."""

    dataset_id: Annotated[IdNumber, Field(description="Number of the dataset", examples=[13004])]
    external_id: str | None = Field(None, description=_EXTERNAL_ID)
    title: Annotated[str, Field(description="Title in the catalogue")]
    price: Annotated[float, Field(description="Price in the catalogue; 0 for a dataset without one")]
    cover_image: Annotated[str | None, Field(description="URL or path of the cover image")]
    score: float = Field(description="Comparable within one answer; 0..1")
    reasons: list[str] = Field(
        description="Recall channels that proposed the item "
        "(behavior, content, vector, history, popular, recent, transition, popular_30d), "
        "or the list that contained it (trending, precomputed, popular)"
    )
    explanation: Annotated[Explanation | None, Field(description="Present with `explain=true` on level 0; else null")]


_ITEM: dict[str, Any] = {
    "title": "Hourly air quality, 300 cities",
    "price": 99.0,
    "cover_image": None,
    "score": 0.812,
    "reasons": ["behavior", "content"],
    "explanation": None,
}


def example_answer(**subject: Any) -> dict[str, Any]:
    """Return an answer of level 0 about the `subject`: the fields of the request that an answer repeats."""
    id_fields: dict[str, Any] = {"dataset_id": 13004}
    if "external_id" in subject:
        id_fields = {"dataset_id": hash_id("SKU-12", "dataset"), "external_id": "SKU-12"}
    return {
        "request_id": "req_5f2b8c0d1e3a",
        **subject,
        "items": [{**id_fields, **_ITEM}],
        "model_name": "ranker",
        "model_version": "12",
        "model_variant": "primary",
        "experiment_variant": None,
        "degraded": False,
        "fallback_level": 0,
        "degrade_reason": None,
    }


class Answer(BaseModel):
    """The answer of every recommendation endpoint, at any fallback level."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                example_answer(dataset_id=13196, user_id=7),
                example_answer(
                    dataset_id=hash_id("SKU-77", "dataset"),
                    external_id="SKU-77",
                    user_id=hash_id("anna@example.com", "user"),
                    user_external_id="anna@example.com",
                ),
            ]
        },
    )

    request_id: Annotated[str, Field(description="Id of the request, as in `X-Request-ID`")]
    dataset_id: IdNumber | None = Field(None, description="Present if the request had one")
    user_id: IdNumber | None = Field(None, description="Present if the request had one")
    external_id: str | None = Field(None, description=f"{_EXTERNAL_ID}. That of the dataset or user in the path")
    user_external_id: str | None = Field(
        None, description="The text of `user_id`; present if the request was about a dataset and its user id was a text"
    )
    timeframe: Timeframe | None = Field(None, description="Present if the request had one")
    items: Annotated[
        list[Item], Field(description="The recommended datasets, best first unless EXPLORATION_SHARE drew them")
    ]
    model_name: Annotated[str, Field(description="Model that answered")]
    model_version: Annotated[str, Field(description="Version of the model")]
    model_variant: Annotated[Literal["primary", "canary"], Field(description="Deployment that answered")]
    experiment_variant: Annotated[
        str | None, Field(description="The user's variant of the experiment; null without an experiment")
    ]
    degraded: Annotated[bool, Field(description="True on levels 1 to 3")]
    fallback_level: Literal[0, 1, 2, 3] = Field(
        description="0 main path, 1 last good answer, 2 precomputed list, 3 static popular list"
    )
    degrade_reason: Annotated[
        DegradeReason | None, Field(description="Why the main path did not answer; null on level 0")
    ]
