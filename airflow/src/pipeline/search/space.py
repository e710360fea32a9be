"""The keys that a search changes, as Optuna's distributions."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.config import PipelineConfig
from pipeline.config.searched_key import SearchedKey

# Significant digits of a number: more are not told apart by any data, and are unreadable in a file.
_DIGITS = 3


class Space:
    """The keys of the section `search`; a key with choices is the number of one of them, because some are lists."""

    def __init__(self, config: PipelineConfig) -> None:
        self._config = config
        self._parameters = config.search.parameters
        self.distributions = {
            each.key: _distribution(each, is_whole=isinstance(config.value_of(each.key), int))
            for each in self._parameters
        }

    def current(self) -> dict[str, Any]:
        """Return the values of the current configuration by key."""
        return {each.key: self._config.value_of(each.key) for each in self._parameters}

    def current_parameters(self) -> dict[str, Any] | None:
        """Return the current values as Optuna's parameters; None if one is not in the space."""
        found = {each.key: _parameter(each, self._config.value_of(each.key)) for each in self._parameters}
        return None if None in found.values() else found

    def values_of(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values by key that Optuna's parameters stand for."""
        return {each.key: _value(each, parameters[each.key]) for each in self._parameters}


def _distribution(searched: SearchedKey, *, is_whole: bool) -> BaseDistribution:
    if searched.low is None or searched.high is None:
        return CategoricalDistribution(range(len(searched.choices or ())))
    if is_whole:
        return IntDistribution(int(searched.low), int(searched.high), log=searched.log)
    return FloatDistribution(float(searched.low), float(searched.high), log=searched.log)


def _parameter(searched: SearchedKey, value: Any) -> Any:
    if searched.choices is not None:
        return searched.choices.index(value) if value in searched.choices else None
    return value if _is_within(searched, value) else None


def _is_within(searched: SearchedKey, value: float) -> bool:
    low, high = _bounds(searched)
    return low <= value <= high


def _bounds(searched: SearchedKey) -> Sequence[float]:
    return [bound for bound in (searched.low, searched.high) if bound is not None]


def _value(searched: SearchedKey, parameter: Any) -> Any:
    if searched.choices is not None:
        return searched.choices[parameter]
    if isinstance(parameter, int):
        return parameter
    low, high = _bounds(searched)
    return min(max(float(f"{parameter:.{_DIGITS}g}"), low), high)
