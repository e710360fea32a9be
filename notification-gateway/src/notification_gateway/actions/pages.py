"""The pages of the signed links in messages: GET shows a button, POST acts, once."""

from collections.abc import Callable, Mapping
from datetime import datetime
from html import escape
from typing import Annotated, NamedTuple

from fastapi import Form, Query
from pydantic import Field
from starlette.responses import HTMLResponse

from contracts.query_values import WholeNumber
from contracts.text import TypedText
from notification_gateway.actions.endpoints import IncidentId
from notification_gateway.actions.schemas import MAX_COMMENT_CHARS, Name
from notification_gateway.actions.service import Before, IncidentActions
from notification_gateway.incidents.model import Incident
from notification_gateway.messages.links import Action, Links, SignedLink
from notification_gateway.webhooks.replays import ReplayedError, reject_replay
from servicekit.bodies import MAX_FORM_BYTES
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

Until = Annotated[int, WholeNumber(0, 2**40), Query(description="When the link expires (Unix seconds)")]
Signature = Annotated[str, Query(max_length=64, description="The signature of the link")]
Comment = Annotated[str, TypedText(MAX_COMMENT_CHARS), Field(description="Comment for the timeline")]
# The page loads nothing, and its address, which grants the action, is not passed on.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class _Button(NamedTuple):
    """The text of the page's button, and the states of an incident in which it is shown."""

    text: str
    states: tuple[str, ...]


_BUTTONS: Mapping[Action, _Button] = {
    "acknowledge": _Button("我来处理 I take care of it", ("open",)),
    "close": _Button("关闭 Close", ("open",)),
    "false-alarm": _Button("误报，关闭 Close as a false alarm", ("open", "resolved")),
    "reopen": _Button("重新打开 Reopen", ("resolved",)),
}
_REJECTED = problem_responses(
    503,
    forbidden="The link is not signed by this gateway, or it has expired",
    not_found="There is no such incident",
)
_CONFLICT = problem_responses(conflict="The incident is not in the state that the action needs")
_Act = Callable[[int, str, str, Before], Incident]


def router(actions: IncidentActions, links: Links, clock: Callable[[], datetime]) -> ApiRouter:
    """Return the routes of all actions."""
    routes = ApiRouter(tags=["alerts"])
    acts: Mapping[Action, _Act] = {
        "acknowledge": actions.acknowledge,
        "close": lambda number, by, comment, before: actions.close(number, by, comment, before=before),
        "false-alarm": lambda number, by, comment, before: actions.close(
            number, by, comment, false_alarm=True, before=before
        ),
        "reopen": actions.reopen,
    }
    for action, act in acts.items():
        _add(routes, actions, links, clock, action=action, act=act)
    return routes


def _add(
    routes: ApiRouter,
    actions: IncidentActions,
    links: Links,
    clock: Callable[[], datetime],
    *,
    action: Action,
    act: _Act,
) -> None:
    name = action.replace("-", "_")

    # A GET changes nothing: mail programs and chats follow links by themselves.
    @routes.get(
        f"/{action}/{{incident_id}}",
        name=f"get_{name}",
        response_class=HTMLResponse,
        responses=_REJECTED,
    )
    def show(incident_id: IncidentId, until: Until, signature: Signature) -> HTMLResponse:
        """Show the button of a signed link; changes nothing."""
        _check(links, SignedLink(action, incident_id, until, signature), clock())
        return HTMLResponse(_page(action, actions.get(incident_id)), headers=_HEADERS)

    @routes.post(
        f"/{action}/{{incident_id}}",
        name=f"post_{name}",
        response_class=HTMLResponse,
        responses=_REJECTED if action == "acknowledge" else _REJECTED | _CONFLICT,
        max_body_size=MAX_FORM_BYTES,
    )
    def post(
        incident_id: IncidentId,
        until: Until,
        signature: Signature,
        by: Annotated[Name, Form()] = "link",
        comment: Annotated[Comment, Form()] = "",
    ) -> HTMLResponse:
        """Do the action of a signed link: once, and within a day of the message."""
        now = clock()
        _check(links, SignedLink(action, incident_id, until, signature), now)
        try:
            incident = act(incident_id, by, comment, reject_replay(f"{action} {signature}", now))
        except ReplayedError:
            # Pressed twice: the page shows the incident as it is now.
            return HTMLResponse(_page(action, actions.get(incident_id), used=True), headers=_HEADERS)
        return HTMLResponse(_page(action, incident), headers=_HEADERS)


def _check(links: Links, link: SignedLink, now: datetime) -> None:
    if not links.is_signed(link, now):
        raise ProblemError(403, "This link is not one of ours, or it has expired. Use the dashboard.")


def _page(action: Action, incident: Incident, *, used: bool = False) -> str:
    button = _BUTTONS[action]
    is_done = incident.acknowledged_at is not None if action == "acknowledge" else _is_marked(action, incident)
    is_possible = incident.state in button.states and not is_done
    show_button = is_possible and not used
    # The action is possible again, because a person has undone it.
    again = "<p>此链接已用过，这次没有改变任何内容 This link was used before; it changed nothing now.</p>"
    form = (
        '<form method="post"><label>姓名 Your name <input name="by" maxlength="128" required></label>'
        f'<label>备注 Comment <input name="comment" maxlength="{MAX_COMMENT_CHARS}"></label>'
        f"<button>{button.text}</button></form>"
    )
    return (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>#{incident.id}</title><style>:root{{color-scheme:light dark}}body{{font:17px/1.6 system-ui,sans-serif;"
        "max-width:32rem;margin:3rem auto;padding:0 1rem}input,button{font:inherit;padding:.5rem;margin:.4rem 0;"
        "width:100%;box-sizing:border-box}</style></head><body>"
        f"<h1>#{incident.id} {escape(incident.priority)}</h1><p><b>{escape(incident.monitoring_point)}</b> · "
        f"{escape(incident.service)}</p><p>{escape(incident.message[:500])}</p>{_state(incident)}"
        f"{form if show_button else again if is_possible else ''}</body></html>"
    )


def _is_marked(action: Action, incident: Incident) -> bool:
    return action == "false-alarm" and incident.resolution == "false_alarm"


def _state(incident: Incident) -> str:
    lines = []
    if incident.acknowledged_at is not None:
        lines.append(f"✓ {incident.acknowledged_by} 已在处理 takes care of it")
    if incident.state == "resolved":
        by = f" · {incident.closed_by}" if incident.closed_by else ""
        lines.append(f"已结束 ended: {incident.resolution}{by}")
    return "".join(f"<p>{escape(line)}</p>" for line in lines)
