"""The bodies of the three Sentry dashboards; pure."""

from typing import Any, Literal

from notification_gateway.sentry_setup.workflows import PREFIX

Display = Literal["line", "area", "bar", "table", "big_number", "top_n"]
COLUMNS = 6
_COUNT = "count()"


def dashboards() -> list[dict[str, Any]]:
    """Return the bodies of the dashboards Live, Data quality and Models."""
    return [
        _dashboard(
            "Live",
            _widget("Errors by service", "bar", "level:[error,fatal]", "service"),
            _widget("Top monitoring points", "table", "has:monitoring_point", "monitoring_point"),
            _widget("Fallback by cause", "area", "monitoring_point:fallback.*", "degrade_reason"),
            _widget("Timeouts by endpoint", "line", "monitoring_point:api.*_timeout", "endpoint"),
        ),
        _dashboard(
            "Data quality",
            _widget("Failed checks", "bar", "monitoring_point:pipeline.data_quality", "check_name"),
            _widget("Feature sync failures", "bar", "monitoring_point:pipeline.feature_store_sync", "operation"),
            _widget("Database failures", "bar", "monitoring_point:pipeline.database", "database"),
            _widget(
                "Steps that failed",
                "table",
                "monitoring_point:[pipeline.critical_step_failed,pipeline.step_failed]",
                "step_name",
            ),
        ),
        _dashboard(
            "Models",
            _widget("Training issues", "bar", "monitoring_point:pipeline.model_training", "issue_type"),
            _widget("Deployments that failed", "table", "monitoring_point:model.deployment_failed", "stage"),
            _widget("Errors by model version", "area", "has:model_version level:[error,fatal]", "model_version"),
            _widget("Fallback by model version", "line", "monitoring_point:fallback.*", "model_version"),
        ),
    ]


def _dashboard(title: str, *widgets: dict[str, Any]) -> dict[str, Any]:
    placed = [
        each | {"layout": {"x": place % 2 * (COLUMNS // 2), "y": place // 2 * 2, "w": COLUMNS // 2, "h": 2, "minH": 2}}
        for place, each in enumerate(widgets)
    ]
    return {"title": f"{PREFIX}{title}", "widgets": placed}


def _widget(title: str, display: Display, conditions: str, by: str) -> dict[str, Any]:
    return {
        "title": title,
        "displayType": display,
        "widgetType": "error-events",
        "interval": "1h",
        "limit": None if display == "table" else 5,
        "queries": [
            {
                "name": "",
                "fields": [by, _COUNT],
                "aggregates": [_COUNT],
                "columns": [by],
                "fieldAliases": [],
                "conditions": conditions,
                "orderby": f"-{_COUNT}",
            }
        ],
    }
