"""Body of model-registry's endpoint that compares two versions."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from contracts.model_versions import MODEL_VERSION


class VersionComparison(BaseModel):
    """The second version against the first, on the same queries, which neither model has seen.

    The models are those of the evaluation parts: trained as the versions were, on what was known before the cut.
    """

    name: Annotated[str, Field(description="Name of the model", examples=["ranker"])]
    first: Annotated[str, Field(pattern=MODEL_VERSION, description="First version", examples=["12"])]
    second: Annotated[str, Field(pattern=MODEL_VERSION, description="Second version", examples=["13"])]
    asked: Annotated[
        str, Field(description="Whose queries were asked: those with the later cut", examples=["version 13"])
    ]
    cut: Annotated[datetime, Field(description="From when on the queries were asked")]
    queries: Annotated[int, Field(description="Number of queries", examples=[4812])]
    users: Annotated[int, Field(description="Number of users who asked them", examples=[903])]
    first_ndcg: Annotated[float, Field(alias="first_ndcg@10", description="nDCG@10 of the first", examples=[0.1594])]
    second_ndcg: Annotated[float, Field(alias="second_ndcg@10", description="nDCG@10 of the second", examples=[0.161])]
    difference: Annotated[float, Field(description="Second minus first", examples=[0.0016])]
    low: Annotated[float, Field(description="Lower end of the 95 % interval of the difference", examples=[-0.0015])]
    high: Annotated[float, Field(description="Upper end of the 95 % interval of the difference", examples=[0.0046])]
    tolerance: Annotated[
        float,
        Field(description="A difference up to this share of the first's nDCG@10 counts as none", examples=[0.005]),
    ]
    # A later registry may say more.
    verdict: Annotated[
        str,
        Field(
            description="The second is `better`, `worse`, `no difference`, or there are `not enough queries`",
            examples=["no difference"],
        ),
    ]
