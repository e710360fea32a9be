"""The faults, which together raise every point of the catalogue."""

from verify.faults import airflow, offline, serving, skew, start, sync, weixin
from verify.faults.fault import Fault, Raised

FAULTS = (serving.FAULT, offline.FAULT, airflow.FAULT, weixin.FAULT, sync.FAULT, skew.FAULT, start.FAULT)

__all__ = ["FAULTS", "Fault", "Raised"]
