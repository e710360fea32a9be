"""The links in messages: the event in the collector, the runbook, the dashboard, and signed actions."""

import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from pydantic import SecretStr

from notification_gateway.incidents.model import Incident
from notification_gateway.messages.points import point_texts, runbook_anchor

# What a signed link may do: one action on one incident.
Action = Literal["acknowledge", "close", "false-alarm", "reopen"]
LINK_TTL = timedelta(hours=24)
# An older release stored ids of hooks unchecked.
_EVENT_ID = re.compile(r"[0-9a-f]{32}")


class SignedLink(NamedTuple):
    """What the link of an action says: one action on one incident, `until` a Unix second, and its signature."""

    action: Action
    incident_id: int
    until: int
    signature: str


class Links:
    """`secret` signs actions: a link does one action on one incident, within a day."""

    def __init__(self, collector_url: str, runbook_url: str, public_url: str, secret: SecretStr) -> None:
        self._collector_url = collector_url.rstrip("/")
        self._runbook_url = runbook_url
        self._public_url = public_url.rstrip("/")
        self._secret = secret

    def event(self, incident: Incident) -> str:
        """Return the address of the incident's issue in the collector, or an empty text."""
        if not self._collector_url or not incident.event_id:
            return ""
        if not _EVENT_ID.fullmatch(incident.event_id):
            return ""
        return f"{self._collector_url}/issues/event/{UUID(incident.event_id)}/"

    def report(self, run: str) -> str | None:
        """Return the address of a run's report, None without a public address."""
        return f"{self._public_url}/reports/{run}" if self._public_url else None

    def runbook(self, incident: Incident) -> str:
        """Return the address of the incident's runbook, or an empty text."""
        if incident.monitoring_point not in point_texts():
            return ""
        if self._runbook_url:
            return f"{self._runbook_url}#{runbook_anchor(incident.monitoring_point)}"
        return f"{self._public_url}/runbook/{incident.monitoring_point}" if self._public_url else ""

    def dashboard(self) -> str:
        """Return the address of the dashboard, or an empty text."""
        return f"{self._public_url}/dashboard" if self._public_url else ""

    def incident(self, incident_id: int) -> str:
        """Return the address of an incident's page, or an empty text."""
        return f"{self._public_url}/dashboard/incident/{incident_id}" if self._public_url else ""

    def search(self, request_id: str) -> str:
        """Return the address of the collector's search for a request, or an empty text."""
        return f"{self._collector_url}/issues/?query=request_id:{request_id}" if self._collector_url else ""

    def request(self, request_id: str) -> str:
        """Return the address of a request's page, or an empty text."""
        return f"{self._public_url}/dashboard/request/{request_id}" if self._public_url else ""

    def action(self, action: Action, incident_id: int, now: datetime) -> str:
        """Return the signed address of an action, which needs no password, or an empty text."""
        if not self._public_url:
            return ""
        until = int((now + LINK_TTL).timestamp())
        signature = self._sign(action, incident_id, until)
        return f"{self._public_url}/{action}/{incident_id}?until={until}&signature={signature}"

    def is_signed(self, link: SignedLink, now: datetime) -> bool:
        """Say whether the signature of a link is right and has not expired."""
        expected = self._sign(link.action, link.incident_id, link.until)
        return hmac.compare_digest(expected.encode(), link.signature.encode()) and now.timestamp() < link.until

    def _sign(self, action: Action, incident_id: int, until: int) -> str:
        content = f"{action} {incident_id} until {until}"
        return hmac.new(self._secret.get_secret_value().encode(), content.encode(), hashlib.sha256).hexdigest()[:32]
