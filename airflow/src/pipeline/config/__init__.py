"""The shape of a model: what `pipeline.yaml` may change of recall, training and evaluation."""

from pipeline.config.load import load_config
from pipeline.config.schema import PipelineConfig

__all__ = ["PipelineConfig", "load_config"]
