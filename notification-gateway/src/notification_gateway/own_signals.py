"""Passes the gateway's own signals straight to its intake, without HTTP."""

from collections.abc import Callable, Sequence

from contracts.signals import AlertSignal, SignalReceipt

Accept = Callable[[Sequence[AlertSignal]], SignalReceipt]


class NotConnectedError(RuntimeError):
    """The intake is not open: monitoring stores the signals and retries."""


class OwnSignals:
    """A signal sink that exists before the application does."""

    def __init__(self) -> None:
        self._accept: Accept | None = None

    def connect(self, accept: Accept) -> None:
        """Start passing signals on."""
        self._accept = accept

    def disconnect(self) -> None:
        """Stop passing signals on."""
        self._accept = None

    def __call__(self, signals: Sequence[AlertSignal]) -> SignalReceipt:
        """Take signals and return their receipt; raises `NotConnectedError` while the intake is not open."""
        if self._accept is None:
            raise NotConnectedError("the gateway's intake is not open")
        return self._accept(signals)
