"""The search: Optuna proposes, training and queries of other users judge, and a last quarter of the users confirms."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.config import PipelineConfig
from pipeline.errors import DataError
from pipeline.records import Records
from pipeline.search.results import Confirmation, EndedBy, SearchedData, SearchResult, Trial
from pipeline.search.source import Source
from pipeline.search.space import Space
from pipeline.search.trials import Trained, Trials
from pipeline.train import TrainingError
from ranking.bootstrap import intervals

# Drawn at random before the sampler learns from what it has seen: half of Optuna's own, because trials are few here.
_RANDOM_TRIALS = 5
_log = logging.getLogger(__name__)


class Bounds(NamedTuple):
    """No trial begins after so many, or after so many minutes."""

    trials: int
    minutes: float


class _Best(NamedTuple):
    number: int
    gain: float
    trained: Trained


def search(
    source: Source,
    config: PipelineConfig,
    bounds: Bounds,
    *,
    seed: int,
    threads: int,
    clock: Callable[[], float] = monotonic,
) -> SearchResult:
    """Search from the current configuration; raises `DataError` if it can't be trained, or for too few queries.

    A `KeyboardInterrupt` ends the trials, and the best so far is confirmed.
    """
    began = clock()
    judged = Trials(source, config, threads=threads, seed=seed)
    try:
        current = judged.train(config)
    except TrainingError as error:
        raise DataError(f"the current configuration can't be trained on half of the users: {error}") from error
    ndcg = float(current.gains.mean())
    _log.info("current configuration: nDCG@10 %.4f in %.0f s", ndcg, clock() - began)
    search_trials = _Search(judged, config, current, seed, clock)
    ended_by: EndedBy = "trials"
    for _ in range(bounds.trials):
        if clock() - began >= bounds.minutes * 60:
            ended_by = "minutes"
            break
        try:
            trial = search_trials.run_next()
        except KeyboardInterrupt:
            ended_by = "interrupt"
            _log.warning("interrupted: confirming the best trial so far; another Ctrl-C ends without a result")
            break
        shown = trial.failure if trial.gain is None else f"{trial.gain:+.4f}"
        _log.info("trial %d of %d: %s in %.0f s", trial.number, bounds.trials, shown, trial.seconds)
    best = search_trials.best
    confirmation = None if best is None else _confirm(judged, current, best.trained, seed)
    values = search_trials.space.current()
    found = {} if best is None else search_trials.trials[best.number - 1].values
    return SearchResult(
        data=_data(source.records),
        seed=seed,
        asked_trials=bounds.trials,
        ended_by=ended_by,
        queries=len(current.gains),
        current=values,
        ndcg=ndcg,
        trials=search_trials.trials,
        best=None if best is None else best.number,
        confirmation=confirmation,
        changes={key: value for key, value in found.items() if value != values[key]},
        seconds=clock() - began,
    )


class _Search:
    """The trials so far. Equal values are not trained twice."""

    def __init__(
        self, judged: Trials, config: PipelineConfig, current: Trained, seed: int, clock: Callable[[], float]
    ) -> None:
        self._judged, self._config, self._current, self._clock = judged, config, current, clock
        self.space = Space(config)
        self.trials: list[Trial] = []
        self.best: _Best | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=_RANDOM_TRIALS)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._gains: dict[str, tuple[float | None, str | None]] = {_key(self.space.current()): (0.0, None)}
        if (known := self.space.current_parameters()) is not None:
            self._study.add_trial(
                optuna.trial.create_trial(params=known, distributions=self.space.distributions, value=0.0)
            )

    def run_next(self) -> Trial:
        """Run one more trial and remember it."""
        began = self._clock()
        asked = self._study.ask(self.space.distributions)
        values = self.space.values_of(asked.params)
        number = len(self.trials) + 1
        if (key := _key(values)) not in self._gains:
            self._gains[key] = self._judge(number, values)
        gain, failure = self._gains[key]
        if gain is None:
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(asked, gain)
        self.trials.append(Trial(number, values, gain, failure, self._clock() - began))
        return self.trials[-1]

    def _judge(self, number: int, values: Mapping[str, Any]) -> tuple[float | None, str | None]:
        try:
            trained = self._judged.train(self._config.with_values(values))
        except ValidationError as error:
            # Each value is allowed, but not all together.
            return None, error.errors()[0]["msg"].removeprefix("Value error, ")
        except TrainingError as error:
            return None, str(error)
        gain = float((trained.gains - self._current.gains).mean())
        if gain > (0.0 if self.best is None else self.best.gain):
            self.best = _Best(number, gain, trained)
        return gain, None


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(values)


def _confirm(judged: Trials, current: Trained, best: Trained, seed: int) -> Confirmation:
    users = judged.confirming_users
    before, after = judged.confirm(current), judged.confirm(best)
    columns: NDArray[np.float64] = np.column_stack([before, after, after - before])
    old, new, gain = intervals(columns, users, seed)
    return Confirmation(len(users), len(np.unique(users)), old.mean, new.mean, *gain)


def _data(records: Records) -> SearchedData:
    first, last = (datetime.fromtimestamp(each, UTC) for each in (records.start, records.last))
    users, datasets = len(np.unique(records.user)), len(np.unique(records.item))
    return SearchedData(users, datasets, len(records), first, last)
