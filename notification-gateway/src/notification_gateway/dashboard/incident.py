"""The content of an incident's page."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from contracts.run_reports import RunReport
from notification_gateway.actions.service import IncidentNotFoundError
from notification_gateway.alerting.endpoints import notifications_of
from notification_gateway.incidents import queries, timeline
from notification_gateway.incidents.model import Incident
from notification_gateway.incidents.states import ChangeKind
from notification_gateway.language import Phrase
from notification_gateway.reports.queries import find_report

# The points whose tag `run_id` names a run.
RUN_POINTS = ("pipeline.", "airflow.")
CHANGES: Mapping[ChangeKind, Phrase] = {
    "opened": Phrase("发生", "opened"),
    "reopened": Phrase("重新打开", "reopened"),
    "raised": Phrase("升高优先级", "raised"),
    "new_episode": Phrase("新的一轮", "new episode"),
    "acknowledged": Phrase("已确认", "acknowledged"),
    "assigned": Phrase("已指派", "assigned"),
    "commented": Phrase("备注", "commented"),
    "escalated": Phrase("已升级", "escalated"),
    "reminded": Phrase("已提醒", "reminded"),
    "grouped": Phrase("归入其他事件", "grouped"),
    "ungrouped": Phrase("移出其他事件", "ungrouped"),
    "resolved": Phrase("已结束", "resolved"),
    "marked": Phrase("标记为误报", "marked as a false alarm"),
}


def gather_incident(connection: Connection, incident_id: int) -> dict[str, Any]:
    """Return the variables of the template; raises `IncidentNotFoundError`."""
    incident = queries.by_id(connection, incident_id)
    if incident is None:
        raise IncidentNotFoundError(incident_id)
    return {
        "incident": incident,
        "parent": None if incident.parent_id is None else queries.by_id(connection, incident.parent_id),
        "children": queries.children(connection, incident_id),
        "notifications": notifications_of(connection, [incident_id]).get(incident_id, []),
        "timeline": timeline.changes_of(connection, incident_id),
        "changes_before": timeline.stack_changes_before(connection, incident),
        "report": _report_of(connection, incident),
    }


def _report_of(connection: Connection, incident: Incident) -> RunReport | None:
    """Return the report of the run that an incident of the pipeline or of Airflow is about."""
    run_id = incident.tags.get("run_id")
    if run_id is None or not incident.monitoring_point.startswith(RUN_POINTS):
        return None
    return find_report(connection, run_id)
