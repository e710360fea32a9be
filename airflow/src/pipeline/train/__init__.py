"""Trains the ranker on queries of the past, each with the data of its own time."""

from pipeline.train.lambdamart import TrainingError, TrainSettings
from pipeline.train.model import (
    TrainingPart,
    train_model,
    train_on,
    training_queries,
    training_tables,
    with_chosen_weights,
)

__all__ = [
    "TrainSettings",
    "TrainingError",
    "TrainingPart",
    "train_model",
    "train_on",
    "training_queries",
    "training_tables",
    "with_chosen_weights",
]
