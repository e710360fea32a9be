"""HTTP API of users' rights."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from starlette.responses import StreamingResponse

from contracts.ids import UserId, is_numeric_id
from feature_sync.errors import UnclearPathError
from feature_sync.forgetting.bodies import ForgottenUser, RemovedData, UserExport, UserState
from feature_sync.forgetting.export import UserDataExport
from feature_sync.forgetting.remains import remains
from feature_sync.forgetting.service import Forgetting
from feature_sync.forgetting.state import UserStates
from servicekit.bearer import Access
from servicekit.id_paths import register_id_convertor
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

register_id_convertor()

AskedUser = Annotated[UserId, Path(description="The user, by number or text; `/` is `%2F`")]
_UNREADABLE = "Redis or PostgreSQL doesn't answer"
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {"model": UserExport, "description": "The document; a connection that breaks off has not sent all of it"}
}


def router(forgetting: Forgetting, states: UserStates, export: UserDataExport, access: Access) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["users"])
    guard = access.allow("admin")

    @made.delete(
        "/users/{user_id:id}",
        responses=problem_responses(
            not_found="The path may mean something else than a user's id: write a `/` of the id as `%2F`",
            service_unavailable="PostgreSQL or Redis doesn't answer, or another session has locked the event log; the "
            "text says what was done. Calls may be repeated",
        ),
        dependencies=[*guard, Depends(_check_path)],
    )
    async def forget(request: Request, user_id: AskedUser) -> ForgottenUser:
        """Forget a user: live state, snapshots, cached answers, event log, exposures, dead letters and streams.

        The user doesn't have to be known. A mark without the user's id keeps repeated and replayed events out.
        """
        done = await forgetting.forget(user_id)
        return ForgottenUser(
            user_id=user_id,
            external_id=_external_id(request),
            forgotten_at=done.moment,
            removed=RemovedData(**done.removed),
            remains=remains(done.moment),
        )

    @made.get(
        "/users/{user_id:id}/features",
        responses=problem_responses(service_unavailable="Redis doesn't answer"),
        dependencies=guard,
    )
    async def get_features(request: Request, user_id: AskedUser) -> UserState:
        """Return what Redis holds about a user's features, decoded; for an unknown user it is empty."""
        return await states.read(user_id, _external_id(request))

    @made.get(
        "/users/{user_id:id}/export",
        response_class=StreamingResponse,
        responses=_EXPORTED | problem_responses(service_unavailable=_UNREADABLE),
        dependencies=guard,
    )
    async def get_export(request: Request, user_id: AskedUser) -> StreamingResponse:
        """Return all that is held about a user, as one JSON document; for an unknown user it is empty."""
        state = await states.read(user_id, _external_id(request))
        await export.check(user_id)
        document: AsyncIterator[bytes] = export.document(state)
        return StreamingResponse(document, media_type="application/json")

    return made


def _check_path(request: Request) -> None:
    """Raise for `/users/7/export`: an id may hold a slash, but one that is not written as %2F is a slip of the path."""
    if request.scope.get("raw_path", b"").removeprefix(b"/users/").count(b"/"):
        raise UnclearPathError("Nobody was forgotten: write a / of the id as %2F, and nothing behind the id.")


def _external_id(request: Request) -> str | None:
    text: str = request.path_params["user_id"]
    return None if is_numeric_id(text) else text
