"""Compares what was served with what training computes, and reports the result."""

import json
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import monitoring
from pipeline.artifacts import join, writing
from pipeline.errors import NothingToDoError
from pipeline.extract import open_event_log
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.skew.comparison import AnswerCheck, Verdict
from pipeline.skew.result import CHECK, MAX_EXAMPLES, WARNING_SHARE, SkewExample, SkewResult
from pipeline.skew.served import ServedAnswer, ServedLog
from pipeline.skew.sources import SnapshotUsers, load_engine, load_snapshot
from ranking.engine import Engine

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
        self._engines: dict[str, Engine | None] = {}
        self._snapshots: dict[str | None, SnapshotUsers | None] = {}

    def engine(self, answer: ServedAnswer) -> Engine | None:
        sha256 = answer.bundle_sha256
        if sha256 not in self._engines:
            self._engines[sha256] = load_engine(self._settings, answer.model_version, sha256)
        return self._engines[sha256]

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
        answers, unreadable = log.answers(since, until)
        activations = log.activations()
        events = log.events(sorted({answer.user_id for answer in answers}))
    sources = _Sources(settings, answers)
    verdicts = Counter({Verdict.UNVERIFIABLE: unreadable})
    examples = []
    for answer in answers:
        active = activations.at(answer.moment)
        version = answer.snapshot if not active or answer.snapshot in active else active[0]
        engine, expected, read = sources.engine(answer), sources.snapshot(version), sources.snapshot(answer.snapshot)
        if engine is None or expected is None or read is None:
            verdicts[Verdict.UNVERIFIABLE] += 1
            continue
        verdict = AnswerCheck(answer, engine, expected, read).judge(events.get(answer.user_id, []))
        verdicts[verdict] += 1
        if verdict is not Verdict.EQUAL:
            examples.append(
                SkewExample(
                    request_id=answer.request_id,
                    served_id=answer.served_id,
                    model_version=answer.model_version,
                    cause=verdict,
                )
            )
    examples.sort(key=lambda example: example.cause is not Verdict.CODE)
    return SkewResult(since=since, until=until, verdicts=dict(verdicts), examples=examples[:MAX_EXAMPLES])


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
    """Write `skew/`: the result, and its row among the data checks of the run's report."""
    row = {
        "check": CHECK,
        "severity": result.severity,
        "value": round(result.share, 6),
        "threshold": WARNING_SHARE,
        "details": result.details,
    }
    with writing(join(run, FOLDER)) as folder:
        (folder / FILE).write_text(result.model_dump_json(indent=1), encoding="utf-8")
        (folder / "checks.json").write_text(json.dumps([row]), encoding="utf-8")


def signal(result: SkewResult) -> None:
    """Report the worst cause above its bound; a night without one ends the incident."""
    _log.info("%s", result.details)
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
