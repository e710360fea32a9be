"""What one check of the data said: the pipeline writes it, a bundle's manifest carries it, the dashboard shows it."""

from typing import Literal

from pydantic import BaseModel

DataCheckSeverity = Literal["ok", "info", "warning", "critical"]


class DataCheck(BaseModel):
    """One check of the data of a training run: `value` against `threshold`; `severity` is ok where it passed."""

    check: str
    severity: DataCheckSeverity
    value: float
    threshold: float
