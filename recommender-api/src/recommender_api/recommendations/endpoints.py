"""The four questions over HTTP."""

from typing import Annotated, Any

from fastapi import Path, Request, Response
from fastapi import Query as QueryParameters

from contracts.ids import DatasetIdText, UserIdText, read_id
from recommender_api.answers.errors import NoModelError, UnknownDatasetError
from recommender_api.answers.query import Endpoint, Query
from recommender_api.recommendations.schemas import Answer, DetailOptions, Options, TrendingOptions, example_answer
from recommender_api.recommendations.service import Recommender
from servicekit.id_paths import register_id_convertor
from servicekit.problems import ProblemError, problem_responses
from servicekit.request_ids import request_id_of
from servicekit.routing import ApiRouter

_LEVELS = [str(level) for level in range(4)]
_ANSWER_HEADERS = {
    "X-Fallback-Level": {
        "description": "The level that answered",
        "schema": {"type": "string", "enum": _LEVELS},
    },
    "X-Request-ID": {"description": "The request's id, as in the body", "schema": {"type": "string"}},
    "X-Response-Time": {"description": "Seconds in the server", "schema": {"type": "string"}},
}
_UNAVAILABLE = problem_responses(service_unavailable="No model is loaded, or the service is overloaded")
_UNKNOWN = problem_responses(not_found="The dataset is unknown or withdrawn")
_ENCODED = "A text id is percent-encoded in UTF-8 (`a/b` is `a%2Fb`)"
_HEADERS = [{"X-Fallback-Level": level} for level in _LEVELS]

AskedDataset = Annotated[DatasetIdText, Path(description=f"The dataset asked about. {_ENCODED}")]
AskingUser = Annotated[UserIdText, Path(description=f"Who asks; an unknown user is a cold one. {_ENCODED}")]


register_id_convertor()


def _responses(**subject: Any) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of a route whose answers repeat the `subject` of the request."""
    content = {"application/json": {"example": example_answer(**subject)}}
    return {200: {"model": Answer, "headers": _ANSWER_HEADERS, "content": content}} | _UNAVAILABLE


def router(recommender: Recommender) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["recommendations"])

    async def ask(request: Request, query: Query) -> Response:
        try:
            body, level = await recommender.answer(query, recommender.arm(query), request_id_of(request.scope))
        except UnknownDatasetError as error:
            raise ProblemError(404, str(error)) from error
        except NoModelError as error:
            raise ProblemError(503, str(error), headers={"Retry-After": "5"}) from error
        return Response(body, media_type="application/json", headers=_HEADERS[level])

    @routes.get(
        "/similar/{dataset_id:id}",
        summary="Datasets similar to one",
        response_model=None,
        responses=_responses(dataset_id=13196) | _UNKNOWN,
    )
    async def similar(
        request: Request, dataset_id: AskedDataset, options: Annotated[Options, QueryParameters()]
    ) -> Response:
        number, text = read_id(dataset_id, "dataset")
        query = Query(
            Endpoint.SIMILAR,
            options.limit,
            number,
            filters=options.filters(),
            explain=options.explain,
            external_dataset_id=text,
        )
        return await ask(request, query)

    @routes.get(
        "/recommend/detail/{dataset_id:id}",
        summary="What to show on a dataset's page",
        response_model=None,
        responses=_responses(dataset_id=13196, user_id=7) | _UNKNOWN,
    )
    async def detail(
        request: Request, dataset_id: AskedDataset, options: Annotated[DetailOptions, QueryParameters()]
    ) -> Response:
        number, text = read_id(dataset_id, "dataset")
        user_id, external_user_id = (None, None) if options.user_id is None else read_id(options.user_id, "user")
        query = Query(
            Endpoint.DETAIL,
            options.limit,
            number,
            user_id,
            filters=options.filters(),
            explain=options.explain,
            external_dataset_id=text,
            external_user_id=external_user_id,
        )
        return await ask(request, query)

    @routes.get(
        "/recommend/user/{user_id:id}",
        summary="What to show a user",
        response_model=None,
        responses=_responses(user_id=7),
    )
    async def user(request: Request, user_id: AskingUser, options: Annotated[Options, QueryParameters()]) -> Response:
        number, text = read_id(user_id, "user")
        query = Query(
            Endpoint.USER,
            options.limit,
            user_id=number,
            filters=options.filters(),
            explain=options.explain,
            external_user_id=text,
        )
        return await ask(request, query)

    @routes.get(
        "/hot/trending",
        summary="What is hot right now",
        response_model=None,
        responses=_responses(timeframe="24h"),
    )
    async def trending(request: Request, options: Annotated[TrendingOptions, QueryParameters()]) -> Response:
        query = Query(
            Endpoint.TRENDING,
            options.limit,
            timeframe=options.timeframe,
            filters=options.filters(),
            explain=options.explain,
        )
        return await ask(request, query)

    return routes
