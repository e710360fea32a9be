"""HTTP API of the withdrawals."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.ids import DatasetId, is_numeric_id
from contracts.query_values import WholeNumber
from contracts.text import TypedText
from feature_sync.withdrawal.service import Withdrawals
from feature_sync.withdrawal.table import MAX_REASON_CHARS, Source
from servicekit.bearer import Access
from servicekit.id_paths import register_id_convertor
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

MAX_ROWS = 10_000


class WithdrawalRequest(BaseModel):
    """The reason of a withdrawal."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        Annotated[str, TypedText(MAX_REASON_CHARS)] | None,
        Field(examples=["Licence withdrawn by the provider"], description="Why, for the list of withdrawn datasets"),
    ] = None


class WithdrawnDataset(BaseModel):
    """A withdrawn dataset; if both sources have withdrawn it, the list contains it twice."""

    model_config = ConfigDict(from_attributes=True)

    dataset_id: Annotated[int, Field(description="Number of the dataset", examples=[13196])]
    external_id: Annotated[str | None, Field(description="The dataset's id as text, if it is not a number")]
    source: Annotated[
        Source, Field(description="`operator`: by this API; `database`: deleted in the business database")
    ]
    reason: Annotated[
        str | None, Field(description="Why, as the operator wrote it", examples=["Licence withdrawn by the provider"])
    ]
    withdrawn_at: Annotated[datetime, Field(description="When it was withdrawn", examples=["2026-11-24T03:10:00Z"])]


class Withdrawal(WithdrawnDataset):
    """The result of a withdrawal."""

    published: Annotated[
        bool,
        Field(description="True: Redis has it, and answers leave it out within two seconds. False: once Redis is back"),
    ]


class WithdrawnDatasets(BaseModel):
    """The withdrawn datasets, latest first."""

    total: Annotated[
        dict[Source, int], Field(description="Number of withdrawals of each source", examples=[{"operator": 1}])
    ]
    datasets: Annotated[list[WithdrawnDataset], Field(description="One page of the list")]


_ALREADY: dict[int | str, dict[str, Any]] = {
    200: {"model": Withdrawal, "description": "The dataset was already withdrawn"}
}

register_id_convertor()

AskedDataset = Annotated[DatasetId, Path(description="The dataset, by its number or its text; `/` is `%2F`")]


def router(withdrawals: Withdrawals, access: Access) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["withdrawal"])
    guard = access.allow("admin")

    @made.get("/datasets/withdrawn", responses=problem_responses(503), dependencies=guard)
    async def list_withdrawn(
        limit: Annotated[int, WholeNumber(1, MAX_ROWS), Query(description="Maximum number of rows")] = 1000,
        offset: Annotated[int, WholeNumber(), Query(description="Number of rows to skip")] = 0,
    ) -> WithdrawnDatasets:
        """List the datasets that no answer shows, with time, source and reason."""
        rows = await withdrawals.rows(limit=limit, offset=offset)
        return WithdrawnDatasets(
            total=await withdrawals.count(), datasets=[WithdrawnDataset.model_validate(row) for row in rows]
        )

    @made.post(
        "/datasets/{dataset_id:id}/withdraw",
        status_code=201,
        responses=_ALREADY | problem_responses(503),
        dependencies=guard,
    )
    async def withdraw(
        request: Request, response: Response, dataset_id: AskedDataset, body: WithdrawalRequest | None = None
    ) -> Withdrawal:
        """Withdraw a dataset from all answers, at every fallback level.

        Withdrawing it again changes its reason, if one is given. The dataset doesn't have to exist.
        """
        text: str = request.path_params["dataset_id"]
        external_id = None if is_numeric_id(text) else text
        done = await withdrawals.withdraw(dataset_id, external_id, None if body is None else body.reason)
        if not done.is_new:
            response.status_code = 200
        return Withdrawal.model_validate({**done.row._asdict(), "published": done.is_published})

    @made.delete(
        "/datasets/{dataset_id:id}/withdraw",
        status_code=204,
        responses=problem_responses(503, conflict="The business database has deleted the dataset: undelete it there"),
        dependencies=guard,
    )
    async def restore(dataset_id: AskedDataset) -> None:
        """Let answers show a dataset again; a dataset that was not withdrawn is not changed.

        One that the business database has deleted has to be undeleted there: 409.
        """
        await withdrawals.restore(dataset_id)

    return made
