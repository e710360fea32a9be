"""An observer of deliveries that reports nothing: the proofs look at what arrived."""


class SilentObserver:
    """Takes the place of monitoring and metrics."""

    def delivered(self, claimed: object, seconds: float) -> None:
        """Report nothing."""

    def partly_delivered(self, claimed: object, outcome: object, seconds: float) -> None:
        """Report nothing."""

    def given_up(self, claimed: object, outcome: object) -> None:
        """Report nothing."""
