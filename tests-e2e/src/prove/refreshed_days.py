"""Days of a marketplace, replayed: each query is answered at its moment by the night's bundle, and by the hour's.

The runs are those of the pipeline, as of their moment. A training makes the first night's bundle; those of the later
nights are refreshes of it, so that both answers are always by the same ranker. A query knows the live history that
feature-sync keeps; features and long-term history are those of the snapshot of the bundle's run.
"""

import resource
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr

from contracts.snapshot import iter_users, read_manifest
from contracts.user_blob import MAX_LIVE, PackedHistory, UserBlob
from localservers.ports import Ports
from pipeline.artifacts import join, writing
from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.evaluate.queries import QuerySet, ask_before
from pipeline.records import Records
from pipeline.settings import Settings
from pipeline.steps import RunInfo, RunKind, begin_run, refresh_run_id, run_step, step_of, steps
from pipeline.steps.data import snapshot_of
from pipeline.steps.markers import write_marker
from prove.clean_content import write_clean_tables
from ranking import bundle
from ranking.engine import Engine
from ranking.replay import Kind, make_query

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
# From the moment that a run stands at until its bundle is in service.
_RUN_TAKES = timedelta(minutes=5)
_LIMIT = 10


@dataclass
class Replayed:
    """By query: nDCG@10 of both bundles, the user, and the group. By refresh: CPU seconds, without the handover.

    A dataset is new in its first 24 hours, a user on the day of their first interaction.
    """

    nightly: list[float] = field(default_factory=list)
    hourly: list[float] = field(default_factory=list)
    user: list[int] = field(default_factory=list)
    is_new_dataset: list[bool] = field(default_factory=list)
    is_new_user: list[bool] = field(default_factory=list)
    refresh_seconds: list[float] = field(default_factory=list)


class _Query(NamedTuple):
    user: int
    at: int
    hidden: NDArray[np.int64]
    live: PackedHistory
    answer: int


class _Serving:
    """What answers after a run: its bundle, and its snapshot."""

    def __init__(self, run: str) -> None:
        self._engine = Engine(bundle.load(Path(run, "bundle", "contents")))
        folder = Path(snapshot_of(run))
        batches = iter_users(folder, read_manifest(folder))
        self._users = {user: blob for batch in batches for user, blob in batch}

    def ndcg(self, query: _Query) -> float:
        """Return nDCG@10 of the answer to `/recommend/user`."""
        blob, ids = self._users.get(query.user), self._engine.contents.catalogue.ids
        features, long_term = (None, PackedHistory()) if blob is None else UserBlob.opened(blob)
        user = self._engine.user(features, long_term, query.live, query.at)
        hidden = np.flatnonzero(np.isin(ids, query.hidden)).astype(np.int32)
        question = make_query(user, Kind.USER, hidden)
        ranked = self._engine.rank(question, self._engine.recall(question, at_least=_LIMIT), _LIMIT)
        place = np.flatnonzero(ids[ranked.items] == query.answer)
        return float(1 / np.log2(place[0] + 2)) if len(place) else 0.0


class _Shop:
    """A business database that has all rows from the beginning: a run leaves out those after its moment."""

    def __init__(self, content: Content, folder: Path, config: str, seed: int) -> None:
        (folder / "pipeline.yaml").write_text(config, encoding="utf-8")
        url = f"sqlite:///{folder / 'business.db'}"
        engine = open_engine(url, "BUSINESS_DATABASE_URL")
        replace_content(engine, content)
        engine.dispose()
        self._settings = Settings(
            business_database_url=SecretStr(url),
            artifact_url=str(folder / "artifacts"),
            pipeline_config=folder / "pipeline.yaml",
            # Nothing answers there, so a refresh takes the model of the last run that has deployed.
            registry_url=f"http://127.0.0.1:{Ports.free().registry}",
            seed=seed % 2**31,
        )

    def train(self, as_of: datetime) -> str:
        """Train a model, which is in service from now on."""
        run = self._run("first-night", as_of, "training")
        with writing(join(run, "registry")) as folder:
            (folder / "version.json").write_text('{"version": "1"}', encoding="utf-8")
        write_marker(self._settings, run, step_of("deploy"), inputs={}, started_at=as_of, seconds=0)
        return run

    def refresh(self, as_of: datetime) -> str:
        """Refresh the model."""
        return self._run(refresh_run_id(f"{as_of:%Y%m%dT%H%M}"), as_of, "refresh")

    def _run(self, run_id: str, as_of: datetime, kind: RunKind) -> str:
        info = RunInfo(run_id=run_id, as_of=as_of, started_at=datetime.now(UTC), publish=False, kind=kind)
        run = begin_run(self._settings, info)
        for step in steps(publish=False, kind=kind):
            run_step(self._settings, run, step)
        return run


class ReplayedDays(NamedTuple):
    """What is replayed: so many hours of each of the days from a night on."""

    first_night: datetime
    days: int
    hours: int = 24


def replay(content: Content, folder: Path, period: ReplayedDays, config: str, seed: int) -> Replayed:
    """Replay days with a refresh each hour; `folder` is created, `config` is the content of PIPELINE_CONFIG."""
    truth = Records.load(write_clean_tables(content, folder / "truth", datetime.now(UTC)))
    shop, found = _Shop(content, folder, config, seed), Replayed()
    hourly = nightly = _Serving(shop.train(period.first_night))
    for day in range(period.days):
        for hour in range(period.hours):
            moment = period.first_night + day * _DAY + hour * _HOUR
            if moment > period.first_night:
                began = _cpu_seconds()
                run = shop.refresh(moment)
                found.refresh_seconds.append(_cpu_seconds() - began)
                hourly = _Serving(run)
            nightly = hourly if hour == 0 else nightly
            _answer(truth, moment + _RUN_TAKES, nightly, hourly, found)
    return found


def _answer(truth: Records, since: datetime, nightly: _Serving, hourly: _Serving, found: Replayed) -> None:
    rows = truth.first_of_pair
    until = since + _HOUR
    rows = rows[(truth.ts[rows] >= since.timestamp()) & (truth.ts[rows] < until.timestamp())]
    # Of a film, the first rating is what is known of its arrival.
    rows = rows[truth.created_at[truth.item[rows]] < truth.ts[rows]]
    asked = ask_before(truth, rows, truth)
    for number in range(len(asked)):
        query = _query(asked, number)
        found.nightly.append(nightly.ndcg(query))
        found.hourly.append(found.nightly[-1] if hourly is nightly else hourly.ndcg(query))
        found.user.append(query.user)
        user, item = int(asked.moments.user[number]), int(asked.answers[number][0])
        found.is_new_dataset.append(query.at - int(truth.created_at[item]) < _DAY.total_seconds())
        found.is_new_user.append(query.at - int(truth.ts[truth.rows_of(user)[0]]) < _DAY.total_seconds())


def _query(asked: QuerySet, number: int) -> _Query:
    truth, moments = asked.known, asked.moments
    user, at = int(moments.user[number]), int(moments.at[number])
    live = truth.history(truth.rows_of(user, at)[-MAX_LIVE:])
    ids = truth.catalogue.ids
    answer = int(ids[asked.answers[number][0]])
    return _Query(int(truth.user_ids[user]), at, ids[moments.hidden[number]], live.packed(), answer)


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)
