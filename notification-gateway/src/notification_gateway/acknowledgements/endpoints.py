"""POST /alerts/{id}/acknowledgement, and the signed link in a message."""

from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import Annotated

from fastapi import Form, Path, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import HTMLResponse

from contracts.query_values import WholeNumber
from contracts.text import TypedText
from notification_gateway.acknowledgements.service import Acknowledgements
from notification_gateway.incidents.model import Incident
from notification_gateway.messages.links import Links
from servicekit.bearer import bearer_guard
from servicekit.bodies import MAX_FORM_BYTES
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

IncidentId = Annotated[int, WholeNumber(1), Path(description="The incident's id")]
Until = Annotated[int, WholeNumber(0, 2**40), Query(description="When the link ends (Unix seconds)")]
Signature = Annotated[str, Query(max_length=64, description="As it stands in the message")]
Name = Annotated[str, TypedText(128, min_chars=1), Field(examples=["li.wei"])]
# Nothing is loaded, and the address, which is a permission, goes nowhere.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class NewAcknowledgement(BaseModel):
    """Who takes care of it."""

    model_config = ConfigDict(extra="forbid")

    by: Name


class Acknowledgement(BaseModel):
    """Who takes care of an incident, and since when; the first one counts."""

    incident_id: int
    acknowledged_by: str | None
    acknowledged_at: datetime | None


def router(
    acknowledgements: Acknowledgements, links: Links, token: SecretStr, clock: Callable[[], datetime]
) -> ApiRouter:
    """Return the routes."""
    routes = ApiRouter(tags=["alerts"])

    @routes.post(
        "/alerts/{incident_id}/acknowledgement",
        dependencies=bearer_guard(token),
        responses=problem_responses(401, 404, 503),
    )
    def post_acknowledgement(incident_id: IncidentId, new: NewAcknowledgement) -> Acknowledgement:
        """Say that somebody takes care of an incident: it is not escalated."""
        incident = _known(acknowledgements.acknowledge(incident_id, new.by), incident_id)
        return Acknowledgement(
            incident_id=incident.id,
            acknowledged_by=incident.acknowledged_by,
            acknowledged_at=incident.acknowledged_at,
        )

    # A GET changes nothing: mail programs and chats follow links by themselves.
    @routes.get("/acknowledge/{incident_id}", response_class=HTMLResponse, responses=problem_responses(403, 404, 503))
    def get_acknowledge(incident_id: IncidentId, until: Until, signature: Signature) -> HTMLResponse:
        """Show the button behind the link in a message."""
        _check(links, incident_id, until, signature, clock())
        return HTMLResponse(_page(_known(acknowledgements.get(incident_id), incident_id)), headers=_HEADERS)

    @routes.post(
        "/acknowledge/{incident_id}",
        response_class=HTMLResponse,
        responses=problem_responses(403, 404, 503),
        max_body_size=MAX_FORM_BYTES,
    )
    def post_acknowledge(
        incident_id: IncidentId, until: Until, signature: Signature, by: Annotated[Name, Form()] = "link"
    ) -> HTMLResponse:
        """Acknowledge an incident by the link in its message."""
        _check(links, incident_id, until, signature, clock())
        incident = _known(acknowledgements.acknowledge(incident_id, by), incident_id)
        return HTMLResponse(_page(incident), headers=_HEADERS)

    return routes


def _check(links: Links, incident_id: int, until: int, signature: str, now: datetime) -> None:
    if not links.is_signed(incident_id, until, signature, now):
        raise ProblemError(403, "This link is not one of ours, or it is over. Use the dashboard.")


def _known(incident: Incident | None, incident_id: int) -> Incident:
    if incident is None:
        raise ProblemError(404, f"There is no incident {incident_id}.")
    return incident


def _page(incident: Incident) -> str:
    if incident.acknowledged_at is not None:
        state = f"<p>✓ {escape(incident.acknowledged_by or '')} 已在处理 takes care of it</p>"
    else:
        state = (
            '<form method="post"><label>姓名 Your name <input name="by" maxlength="128" required></label>'
            "<button>我来处理 I take care of it</button></form>"
        )
    return (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>#{incident.id}</title><style>:root{{color-scheme:light dark}}body{{font:17px/1.6 system-ui,sans-serif;"
        "max-width:32rem;margin:3rem auto;padding:0 1rem}input,button{font:inherit;padding:.5rem;margin:.4rem 0;"
        "width:100%;box-sizing:border-box}</style></head><body>"
        f"<h1>#{incident.id} {escape(incident.priority)}</h1><p><b>{escape(incident.monitoring_point)}</b> · "
        f"{escape(incident.service)}</p><p>{escape(incident.message[:500])}</p>{state}</body></html>"
    )
