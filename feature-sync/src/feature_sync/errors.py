"""What can be wrong with a call to feature-sync."""

from servicekit.errors import ServiceError


class UnknownJobError(ServiceError):
    """There is no such job (any more): start a new sync."""

    status = 404


class UnusableSnapshotError(ServiceError):
    """The snapshot is missing, damaged or made for other features; the one before serves on."""

    status = 422


class SnapshotChangedError(ServiceError):
    """Another version became active during a verification: verify again."""

    status = 409


class NoSyncedSnapshotError(ServiceError):
    """No sync is known whose folder could be compared: name the folder."""

    status = 409


class SnapshotsUnavailableError(ServiceError):
    """Redis doesn't answer: try again when it is back."""

    status = 503


class WithdrawalsUnavailableError(ServiceError):
    """The database doesn't take withdrawals now, and nothing has changed: try again when it is back."""

    status = 503


class ForgettingUnavailableError(ServiceError):
    """The database doesn't answer: try again when it is back, the call may be repeated."""

    status = 503


class OutcomesUnavailableError(ServiceError):
    """The database doesn't answer: try again when it is back."""

    status = 503


class UnusablePeriodError(ServiceError):
    """The period ends before it begins."""

    status = 422


class UserStateUnavailableError(ServiceError):
    """Redis doesn't answer: try again when it is back."""

    status = 503


class DeadLettersUnavailableError(ServiceError):
    """Redis doesn't answer: try again when it is back; an entry is put back once, however often it is asked for."""

    status = 503


class UnclearPathError(ServiceError):
    """The path may mean something else than a user's id."""

    status = 404


class ForgettingUnfinishedError(ServiceError):
    """The user is marked as forgotten, and the rest is removed when Redis is back; the call may be repeated."""

    status = 503


class DeletedInDatabaseError(ServiceError):
    """The business database has deleted the dataset: undelete it there."""

    status = 409
