"""The forms of the dashboard, for open sessions: actions, silences, and sending a summary."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Form, Request, params
from pydantic import BaseModel, ValidationError
from starlette.responses import RedirectResponse, Response

from contracts.query_values import WholeNumber
from contracts.text import TypedText
from notification_gateway.actions.endpoints import IncidentId
from notification_gateway.actions.schemas import MAX_COMMENT_CHARS, Comment, Name
from notification_gateway.actions.service import IncidentActions
from notification_gateway.dashboard import session
from notification_gateway.dashboard.page import TABS
from notification_gateway.dashboard.session import SessionGuard, Sessions
from notification_gateway.silences import queries as silences
from notification_gateway.silences.model import NewMatcher
from notification_gateway.storage import Storage
from notification_gateway.summaries.closing import Summaries
from notification_gateway.summaries.periods import Kind
from notification_gateway.unreadable import first_problem
from servicekit.bodies import MAX_FORM_BYTES
from servicekit.problems import ProblemError
from servicekit.routing import LenientRouter

_Text = Annotated[str, TypedText(1000)]
_PAGES = re.compile(r"incident/[1-9][0-9]{0,18}|request/[A-Za-z0-9._-]{1,128}")
_Who = Annotated[Name, Form()]
_Comment = Annotated[Comment, Form()]
_NewComment = Annotated[Annotated[str, TypedText(MAX_COMMENT_CHARS, min_chars=1)], Form()]
# An empty field means no parent.
_Parent = Annotated[Annotated[int, WholeNumber(1)] | None, Form()]
_Page = Annotated[str, Form()]
_By = Annotated[str, TypedText(128, min_chars=1)]


class SilenceForm(BaseModel):
    """The form for a new silence; empty fields match anything."""

    fingerprint: _Text = ""
    service: _Text = ""
    category: _Text = ""
    minutes: Annotated[int, WholeNumber(1, 30 * 24 * 60)] = 60
    reason: Annotated[str, TypedText(1000, min_chars=1)]
    by: _By

    def matcher(self) -> NewMatcher:
        """Return the matcher of the form; raises `ProblemError`."""
        parts = [part.strip() for part in self.fingerprint.split("/") if part.strip()]
        named = {"fingerprint": parts or None, "service": self.service or None, "category": self.category or None}
        try:
            return NewMatcher.model_validate(named)
        except ValidationError as error:
            raise ProblemError(422, first_problem(error)) from error


def router(
    storage: Storage,
    sessions: Sessions,
    actions: IncidentActions,
    summaries: Summaries,
    clock: Callable[[], datetime],
) -> LenientRouter:
    """Return the routes of all forms."""
    routes = LenientRouter(prefix="/dashboard", include_in_schema=False)
    guard = [Depends(SessionGuard(sessions, clock))]
    _add_incident_changes(routes, guard, actions)

    @routes.post("/session", max_body_size=MAX_FORM_BYTES)
    def post_session(request: Request, token: Annotated[str, Form()], back: Annotated[str, Form()] = "") -> Response:
        cookie = sessions.begin(token, clock())
        if cookie is None:
            raise ProblemError(401, "This is not the token of an admin, as ADMIN_TOKEN is.")
        response = _back(back)
        response.set_cookie(
            session.COOKIE,
            cookie,
            max_age=session.SESSION_TTL // timedelta(seconds=1),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @routes.post("/silences", dependencies=guard, max_body_size=MAX_FORM_BYTES)
    def post_silence(form: Annotated[SilenceForm, Form()]) -> Response:
        matcher, now = form.matcher(), clock()
        ends_at = now + timedelta(minutes=form.minutes)
        with storage.transaction() as connection:
            silences.add_silence(connection, matcher, now, ends_at, reason=form.reason, created_by=form.by, now=now)
        return _back("silences")

    @routes.post("/silences/{silence_id}/end", dependencies=guard, max_body_size=MAX_FORM_BYTES)
    def post_end(silence_id: Annotated[int, WholeNumber(1)]) -> Response:
        with storage.transaction() as connection:
            silences.remove_silence(connection, silence_id)
        return _back("silences")

    @routes.post("/summaries/send-now", dependencies=guard, max_body_size=MAX_FORM_BYTES)
    def post_send_now(kind: Annotated[Kind, Form()]) -> Response:
        summaries.send_now(kind)
        return _back("digests")

    return routes


def _add_incident_changes(routes: LenientRouter, guard: list[params.Depends], actions: IncidentActions) -> None:
    def post(action: str) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        path = f"/incidents/{{incident_id}}/{action}"
        return routes.post(path, dependencies=guard, max_body_size=MAX_FORM_BYTES)

    @post("acknowledge")
    def post_acknowledge(incident_id: IncidentId, by: _Who, comment: _Comment = "", back: _Page = "") -> Response:
        actions.acknowledge(incident_id, by, comment)
        return _back(back)

    @post("assign")
    def post_assign(incident_id: IncidentId, by: _Who, assignee: _Who, back: _Page = "") -> Response:
        actions.assign(incident_id, assignee, by)
        return _back(back)

    @post("comment")
    def post_comment(incident_id: IncidentId, by: _Who, text: _NewComment, back: _Page = "") -> Response:
        actions.comment(incident_id, text, by)
        return _back(back)

    @post("close")
    def post_close(incident_id: IncidentId, by: _Who, comment: _Comment = "", back: _Page = "") -> Response:
        actions.close(incident_id, by, comment)
        return _back(back)

    @post("false-alarm")
    def post_false_alarm(incident_id: IncidentId, by: _Who, comment: _Comment = "", back: _Page = "") -> Response:
        actions.close(incident_id, by, comment, false_alarm=True)
        return _back(back)

    @post("reopen")
    def post_reopen(incident_id: IncidentId, by: _Who, comment: _Comment = "", back: _Page = "") -> Response:
        actions.reopen(incident_id, by, comment)
        return _back(back)

    @post("parent")
    def post_parent(incident_id: IncidentId, by: _Who, parent_id: _Parent = None, back: _Page = "") -> Response:
        actions.group(incident_id, parent_id, by)
        return _back(back)


def _back(page: str) -> RedirectResponse:
    # Redirect only to a tab of the dashboard, or to the page of an incident or a request.
    is_ours = page in TABS or _PAGES.fullmatch(page)
    return RedirectResponse(f"/dashboard/{page}" if is_ours else "/dashboard", status_code=303)
