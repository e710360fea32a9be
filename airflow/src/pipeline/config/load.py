"""Reads the file that `PIPELINE_CONFIG` names."""

import logging

from pipeline.config.schema import PipelineConfig
from pipeline.errors import InputError
from pipeline.layered_yaml import load_layered, read_yaml
from pipeline.settings import Settings

_SETTING = "PIPELINE_CONFIG"
_log = logging.getLogger(__name__)


def load_config(settings: Settings) -> PipelineConfig:
    """Return the defaults with the user's changes; raises `InputError`."""
    defaults = PipelineConfig()
    if (path := settings.pipeline_config) is None:
        return _with_earlier_setting(defaults, settings.training_queries)
    config = load_layered(PipelineConfig, defaults.model_dump(mode="json"), path, _SETTING)
    if settings.training_queries is not None and "most" in (read_yaml(path, _SETTING).content.get("queries") or {}):
        raise InputError(f"TRAINING_QUERIES: remove it: {path} has queries.most, which replaces it")
    return _with_earlier_setting(config, settings.training_queries)


def _with_earlier_setting(config: PipelineConfig, most_queries: int | None) -> PipelineConfig:
    if most_queries is None:
        return config
    _log.warning("TRAINING_QUERIES will be removed in the next release: write queries.most into PIPELINE_CONFIG")
    return config.model_copy(update={"queries": config.queries.model_copy(update={"most": most_queries})})
