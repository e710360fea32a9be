"""What a training leaves in `model/` beside the ranker: how the order was chosen, and the shape of the training."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.artifacts import folders_below, join, reading
from pipeline.config import PipelineConfig
from pipeline.train.history_weights import HistoryScores
from ranking.recall import RecallSettings

RANKER_FILE, RECALL_FILE, FEEDBACK_FILE = "ranker.txt", "recall.json", "feedback.json"
_ORDER, _CONFIG, _HISTORY_SCORES = "order.json", "config.json", "history_scores.json"


class Training(NamedTuple):
    """A finished training: its shape, the settings of recall that it chose and their scores, and `Order.document`.

    `feedback` is what it learned from exposures, see `pipeline.feedback.training`; None in runs of earlier releases.
    """

    config: PipelineConfig
    recall: RecallSettings
    history_scores: HistoryScores
    order: dict[str, Any]
    feedback: dict[str, Any] | None = None


def write_training(folder: Path, ranker_text: str, training: Training) -> None:
    """Write all files of `model/`."""
    (folder / RANKER_FILE).write_text(ranker_text, encoding="utf-8")
    (folder / RECALL_FILE).write_text(training.recall.model_dump_json(indent=2), encoding="utf-8")
    (folder / _ORDER).write_text(json.dumps(training.order, indent=2), encoding="utf-8")
    (folder / _CONFIG).write_text(training.config.model_dump_json(indent=2), encoding="utf-8")
    (folder / _HISTORY_SCORES).write_text(json.dumps(training.history_scores, indent=2), encoding="utf-8")
    (folder / FEEDBACK_FILE).write_text(json.dumps(training.feedback, indent=2), encoding="utf-8")


def load_training(run: str) -> Training | None:
    """Read what a run has trained; None if it trained nothing yet, or is a refresh."""
    if "model" not in folders_below(run):
        return None
    with reading(join(run, "model")) as folder:
        if not (folder / _CONFIG).is_file():
            return None
        scores: dict[str, dict[str, float]] = json.loads((folder / _HISTORY_SCORES).read_text(encoding="utf-8"))
        return Training(
            PipelineConfig.model_validate_json((folder / _CONFIG).read_bytes()),
            RecallSettings.model_validate_json((folder / RECALL_FILE).read_bytes()),
            # JSON has texts as keys.
            {name: {float(value): score for value, score in each.items()} for name, each in scores.items()},
            json.loads((folder / _ORDER).read_text(encoding="utf-8")),
            json.loads((folder / FEEDBACK_FILE).read_text("utf-8")) if (folder / FEEDBACK_FILE).is_file() else None,
        )
