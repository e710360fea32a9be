"""What can be wrong with a call to feature-sync."""

from servicekit.errors import ServiceError


class UnknownJobError(ServiceError):
    """There is no such job (any more): start a new sync."""

    status = 404


class UnusableSnapshotError(ServiceError):
    """The snapshot is missing, damaged or made for other features; the one before serves on."""

    status = 422


class WithdrawalsUnavailableError(ServiceError):
    """The database doesn't take withdrawals now, and nothing has changed: try again when it is back."""

    status = 503


class DeletedInDatabaseError(ServiceError):
    """The business database has deleted the dataset: undelete it there."""

    status = 409
