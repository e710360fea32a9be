"""A generated dataset marketplace with structure that a model can learn."""

from pipeline.demo.marketplace import DemoSize, generate

__all__ = ["DemoSize", "generate"]
