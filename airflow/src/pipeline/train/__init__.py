"""Trains the ranker on queries of the past, each with the data of its own time."""

from pipeline.train.lambdamart import TrainingError, TrainSettings
from pipeline.train.model import heldout_tables, train_model, train_on, training_queries

__all__ = ["TrainSettings", "TrainingError", "heldout_tables", "train_model", "train_on", "training_queries"]
