"""The button that leads from a task to the page of its run."""

from typing import Any

from airflow.sdk import BaseOperatorLink


class RunReportLink(BaseOperatorLink):  # type: ignore[misc] # the types are in the other environment
    """Leads to the address that the task returns."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, empty if no page was posted; asked in the task's process, with its instance as key."""
        del operator
        address = str(ti_key.xcom_pull(task_ids=ti_key.task_id))
        return address if address.startswith(("http://", "https://")) else ""


def with_report_link(reported: Any) -> Any:
    """Return a task, as the decorator makes it, that has the button."""
    reported.operator.operator_extra_links = (RunReportLink(),)
    return reported
