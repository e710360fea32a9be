"""A feature as manifests and Redis write it down."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from contracts.features import Feature


class FeatureSpec(BaseModel):
    """One input column of the ranker; `definition` is that of `contracts.features.Feature`."""

    name: str
    dtype: str
    default: float
    definition: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = None

    @classmethod
    def of(cls, feature: Feature) -> Self:
        """Return a feature in this form."""
        return cls(name=feature.name, dtype=feature.dtype, default=feature.default, definition=feature.definition)

    def feature(self) -> Feature:
        """Return the feature."""
        return Feature(self.name, self.dtype, self.default, self.definition)

    @model_serializer(mode="wrap")
    def _without_absent(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out an absent field, as earlier releases write it."""
        return {name: value for name, value in write(self).items() if value is not None}


FEATURE_SPECS = TypeAdapter(list[FeatureSpec])
