"""The catalogue keeps its promise: 24 points, their fingerprints and levels; more may join, none leaves."""

from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from monitoring import catalogue
from monitoring.catalogue import ALERT_PREFIX, Catalogue, Point

PROMISE = {
    "redis.connection_failed": ("warning", "redis connection_failed"),
    "redis.unexpected_error": ("error", "redis unexpected_error"),
    "model.registry_parse_failed": ("warning", "model registry_parse_failed"),
    "model.source_not_found": ("error", "model source_not_found"),
    "model.deployment_failed": ("error", "model deployment_failed"),
    "fallback.precomputed_load_failed": ("warning", "fallback precomputed_load_failed"),
    "fallback.redis_failed": ("warning", "fallback redis_failed"),
    "fallback.precomputed_used": ("info", "fallback precomputed_used"),
    "fallback.static_popular_used": ("warning", "fallback static_popular_used"),
    "pipeline.critical_step_failed": ("error", "pipeline <step_name> <exception>"),
    "pipeline.step_failed": ("warning", "pipeline <step_name> <exception>"),
    "pipeline.data_quality": ("warning", "data_quality <check_name>"),
    "pipeline.model_training": ("warning", "model_training <model_name> <issue_type>"),
    "pipeline.feature_store_sync": ("error", "feature_store <operation> <exception>"),
    "pipeline.database": ("error", "database <database> <operation> <exception>"),
    "weixin.get_access_token_failed": ("error", "weixin get_access_token_failed"),
    "weixin.send_message_failed": ("error", "weixin send_message_failed"),
    "api.startup_failed": ("error", "api startup_failed <exception>"),
    "api.unhandled": ("error", "api <endpoint> <exception>"),
    "api.similar_timeout": ("error", "get_similar timeout"),
    "api.similar_failed": ("error", "get_similar <exception>"),
    "api.detail_timeout": ("error", "recommend_for_detail timeout"),
    "api.detail_failed": ("error", "recommend_for_detail <exception>"),
    "airflow.task_failed": ("error", "airflow <dag_id> <task_id>"),
}


def test_every_promised_point_is_there_with_its_level_and_fingerprint() -> None:
    points = catalogue.load_core().by_id()
    assert {name: (points[name].level, " ".join(points[name].fingerprint)) for name in PROMISE} == PROMISE


def test_there_are_15_errors_8_warnings_and_1_info() -> None:
    promised = [point for point in catalogue.load_core() if point.id in PROMISE]
    assert Counter(point.level for point in promised) == {"error": 15, "warning": 8, "info": 1}
    assert Counter(point.component for point in promised) == {
        "redis": 2, "model": 3, "fallback": 4, "pipeline": 6, "weixin": 2, "api": 6, "airflow": 1,
    }  # fmt: skip


def test_a_point_that_is_defined_twice_is_refused_by_name() -> None:
    points = [point.model_dump() for point in catalogue.load_core()]
    with pytest.raises(ValidationError, match=r"redis\.connection_failed is defined twice"):
        Catalogue.model_validate({"points": [*points, points[0]]})


def test_a_point_of_a_foreign_component_is_refused_by_name() -> None:
    point = catalogue.load_core().points[0].model_dump() | {"component": "model"}
    with pytest.raises(ValidationError, match=r"redis\.connection_failed belongs to component model"):
        Catalogue.model_validate({"points": [point]})


def test_the_catalogue_has_core_added_and_self_monitoring_points() -> None:
    promised, added, own = catalogue.load_core(), catalogue.load_added(), catalogue.load_self_monitoring()
    assert promised.by_id().keys() == PROMISE.keys()
    assert [*catalogue.load_reported()] == [*promised, *added]
    assert [*catalogue.load_all()] == [*promised, *added, *own]


def test_faults_of_background_work_have_a_point_of_their_own() -> None:
    point = catalogue.load_added().by_id()["api.background_failed"]
    assert (point.level, point.fingerprint) == ("error", ("api", "background", "<loop>", "<exception>"))


def test_every_point_says_how_its_incident_ends() -> None:
    ends = {point.id: point.ends for point in catalogue.load_all()}
    by_recovery = {point_id for point_id, ending in ends.items() if ending == "by_recovery"}
    assert by_recovery >= {
        *(point_id for point_id in ends if point_id.startswith(("redis.", "weixin.", "pipeline.", "airflow."))),
        "model.deployment_failed", "model.source_not_found", "api.startup_failed", "api.unavailable",
    }  # fmt: skip
    assert {ends[point_id] for point_id in ends if point_id.startswith("fallback.")} == {"by_quiet"}
    assert ends["model.registry_parse_failed"] == ends["api.unhandled"] == ends["api.similar_failed"] == "by_quiet"


def test_what_a_point_explains_exists_and_does_not_explain_it() -> None:
    points = catalogue.load_all().by_id()
    rules = (Path(__file__).parents[3] / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    for point in points.values():
        for symptom in point.explains:
            if symptom.startswith(ALERT_PREFIX):
                assert f"alert: {symptom.removeprefix(ALERT_PREFIX)}\n" in rules
            else:
                assert point.id not in points[symptom].explains


def test_the_parts_that_make_one_fault_are_parts_of_the_fingerprint() -> None:
    point = catalogue.load_all().by_id()["pipeline.database"]
    with pytest.raises(ValidationError, match=r"same_fault: \['table'\] are not open parts"):
        Point.model_validate(point.model_dump() | {"same_fault": ("database", "table")})


def test_every_point_has_its_chinese_text() -> None:
    assert catalogue.load_chinese().keys() == catalogue.load_all().by_id().keys()


def test_an_outage_of_all_answers_is_an_error_but_for_a_first_start_without_a_model() -> None:
    point = catalogue.load_added().by_id()["api.unavailable"]
    assert (point.level, point.fingerprint) == ("error", ("api", "unavailable"))
    assert point.level_by is not None
    assert (point.level_by.field, dict(point.level_by.values)) == ("reason", {"no_model": "warning"})
