"""The gateway's own reports: their signals go straight into its intake, not over HTTP to itself."""

from collections.abc import Callable, Sequence

from contracts.signals import AlertSignal, SignalReceipt

Accept = Callable[[Sequence[AlertSignal]], SignalReceipt]


class NotConnectedError(RuntimeError):
    """There is no intake yet, or no longer: monitoring keeps the signals and comes again."""


class OwnSignals:
    """A signal sink that exists before the application does."""

    def __init__(self) -> None:
        self._accept: Accept | None = None

    def connect(self, accept: Accept) -> None:
        """Pass signals on from now."""
        self._accept = accept

    def disconnect(self) -> None:
        """Pass nothing on any more."""
        self._accept = None

    def __call__(self, signals: Sequence[AlertSignal]) -> SignalReceipt:
        """Take signals and return their receipt; raises `NotConnectedError` while there is nobody to take them."""
        if self._accept is None:
            raise NotConnectedError("the gateway's intake is not open")
        return self._accept(signals)
