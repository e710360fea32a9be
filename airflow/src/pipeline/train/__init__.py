"""Training the ranker on questions of the past, each with the knowledge of its own moment."""

from pipeline.train.lambdamart import TrainingError, TrainSettings
from pipeline.train.model import heldout_tables, train_model, train_on, training_past

__all__ = ["TrainSettings", "TrainingError", "heldout_tables", "train_model", "train_on", "training_past"]
