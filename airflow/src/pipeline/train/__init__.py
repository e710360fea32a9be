"""Training the ranker on questions of the past, each with the knowledge of its own moment."""

from pipeline.train.model import Model, TrainSettings, train_model

__all__ = ["Model", "TrainSettings", "train_model"]
