"""Compares what was served with what training computes, and reports the result."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import monitoring
from contracts.served_features import MalformedVectorsError, ServedVectors
from pipeline.artifacts import join, writing
from pipeline.errors import NothingToDoError
from pipeline.extract import open_event_log
from pipeline.sentry_utils import monitor_pipeline_step, track_data_quality_issue, track_data_quality_ok
from pipeline.settings import Settings
from pipeline.skew.comparison import AnswerCheck, Verdict
from pipeline.skew.drift import ServedDrift
from pipeline.skew.result import (
    CHECK,
    DRIFT_CHECK,
    MAX_EXAMPLES,
    MAX_STABILITY_INDEX,
    WARNING_SHARE,
    SkewExample,
    SkewResult,
)
from pipeline.skew.served import Activations, LoggedEvent, ServedAnswer, ServedLog
from pipeline.skew.sources import ServedBundle, SnapshotUsers, load_bundle, load_snapshot

POINT = "pipeline.feature_skew"
FOLDER, FILE = "skew", "skew.json"
DAY = timedelta(days=1)
# By then the events that were under way at the answer are in the log.
_SETTLED = timedelta(minutes=5)
_log = logging.getLogger(__name__)


class _Sources:
    """Bundles and snapshots, each loaded once."""

    def __init__(self, settings: Settings, answers: list[ServedAnswer]) -> None:
        self._settings = settings
        self._users = {answer.user_id for answer in answers}
        self._bundles: dict[str, ServedBundle | None] = {}
        self._snapshots: dict[str | None, SnapshotUsers | None] = {}
        # By version.
        self.drift: dict[str, ServedDrift] = {}

    def bundle(self, answer: ServedAnswer) -> ServedBundle | None:
        sha256 = answer.bundle_sha256
        if sha256 not in self._bundles:
            self._bundles[sha256] = load_bundle(self._settings, answer.model_version, sha256)
        found = self._bundles[sha256]
        # Another registry may know the same bundle by another number.
        if found is not None and answer.model_version not in self.drift:
            self.drift[answer.model_version] = ServedDrift(found.quantiles, found.engine.feature_names)
        return found

    def snapshot(self, version: str | None) -> SnapshotUsers | None:
        if version not in self._snapshots:
            self._snapshots[version] = load_snapshot(self._settings, version, self._users)
        return self._snapshots[version]


def compare_served(settings: Settings, *, since: datetime, until: datetime) -> SkewResult | None:
    """Compute the sampled answers of a time span again; None if there is no log of them.

    `until` is at most some minutes ago.
    """
    until = min(until, datetime.now(UTC) - _SETTLED)
    database = open_event_log(settings.database_url)
    if database is None:
        return None
    with database:
        log = ServedLog(database)
        if not log.is_there:
            return None
        answers = log.answers(since, until)
        activations = log.activations()
        events = log.events(sorted({answer.user_id for answer in answers}))
    sources = _Sources(settings, answers)
    verdicts: Counter[Verdict] = Counter()
    examples = []
    for answer in answers:
        verdict = _judge(answer, sources, activations, events.get(answer.user_id, []))
        verdicts[verdict] += 1
        if verdict not in (Verdict.EQUAL, Verdict.UNVERIFIABLE):
            examples.append(
                SkewExample(
                    request_id=answer.request_id,
                    served_id=answer.served_id,
                    model_version=answer.model_version,
                    cause=verdict,
                )
            )
    examples.sort(key=lambda example: example.cause is not Verdict.CODE)
    return SkewResult(
        since=since,
        until=until,
        verdicts=dict(verdicts),
        examples=examples[:MAX_EXAMPLES],
        drift={version: found for version, drift in sources.drift.items() if (found := drift.stability_indexes())},
    )


def _judge(answer: ServedAnswer, sources: _Sources, activations: Activations, events: Sequence[LoggedEvent]) -> Verdict:
    active = activations.at(answer.moment)
    version = answer.snapshot if not active or answer.snapshot in active else active[0]
    bundle, expected, read = sources.bundle(answer), sources.snapshot(version), sources.snapshot(answer.snapshot)
    try:
        vectors = ServedVectors.unpack(answer.packed)
    except MalformedVectorsError:
        return Verdict.UNVERIFIABLE
    if bundle is None:
        return Verdict.UNVERIFIABLE
    sources.drift[answer.model_version].add(vectors)
    if expected is None or read is None:
        return Verdict.UNVERIFIABLE
    return AnswerCheck(answer, vectors, bundle.engine, expected=expected, read=read).judge(events)


def report_skew(settings: Settings, run: str, *, since: datetime, until: datetime) -> SkewResult | None:
    """Compare, write `skew/` of a run and report; a fault of the comparison is reported, and stops no run."""
    try:
        return _report(settings, run, since, until)
    except NothingToDoError:
        return None
    except Exception as error:  # noqa: BLE001 - the step has reported it, and the run doesn't need its result
        _log.warning("served features were not compared: %s", error)
        return None


@monitor_pipeline_step("skew", critical=False)
def _report(settings: Settings, run: str, since: datetime, until: datetime) -> SkewResult | None:
    result = compare_served(settings, since=since, until=until)
    if result is None:
        _log.info("no served features are logged")
        return None
    write_result(run, result)
    signal(result)
    return result


def write_result(run: str, result: SkewResult) -> None:
    """Write `skew/`: the result, and its rows among the data checks of the run's report."""
    rows = [
        {
            "check": CHECK,
            "severity": result.severity,
            "value": round(result.share, 6),
            "threshold": WARNING_SHARE,
            "details": result.details,
        }
    ]
    if result.drift:
        rows.append(
            {
                "check": DRIFT_CHECK,
                "severity": "warning" if result.score_drift > MAX_STABILITY_INDEX else "ok",
                "value": result.score_drift,
                "threshold": MAX_STABILITY_INDEX,
                "details": result.drift_details,
            }
        )
    with writing(join(run, FOLDER)) as folder:
        (folder / FILE).write_text(result.model_dump_json(indent=1), encoding="utf-8")
        (folder / "checks.json").write_text(json.dumps(rows), encoding="utf-8")


def signal(result: SkewResult) -> None:
    """Report the worst cause above its bound; a night without one ends the incident."""
    _log.info("%s", result.details)
    _signal_drift(result)
    if result.severity == "ok":
        if result.compared:
            monitoring.recovered(POINT)
        return
    monitoring.report(
        POINT,
        cause=None if result.cause is None else result.cause.value,
        share=round(result.share, 6),
        compared=result.compared,
        differing=result.differing,
        details=result.details,
        examples=[example.model_dump(mode="json") for example in result.examples],
    )


def _signal_drift(result: SkewResult) -> None:
    if not result.drift:
        return
    _log.info("%s", result.drift_details)
    if result.score_drift > MAX_STABILITY_INDEX:
        track_data_quality_issue(DRIFT_CHECK, "warning", result.drift_details, result.score_drift, MAX_STABILITY_INDEX)
    else:
        track_data_quality_ok(DRIFT_CHECK)
