"""What can be wrong with a call to feature-sync, and the one place that turns it into HTTP."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from servicekit.problems import answer


class SyncError(Exception):
    """Base of all; `status` is what a caller over HTTP sees."""

    status = 500


class UnknownJobError(SyncError):
    """There is no such job (any more): start a new sync."""

    status = 404


class UnusableSnapshotError(SyncError):
    """The snapshot is missing, damaged or made for other features; the one before serves on."""

    status = 422


class WithdrawalsUnavailableError(SyncError):
    """The database doesn't take withdrawals now, and nothing has changed: try again when it is back."""

    status = 503


class DeletedInDatabaseError(SyncError):
    """The business database has deleted the dataset: undelete it there."""

    status = 409


def install(app: FastAPI) -> None:
    """Answer every error of feature-sync as a problem document."""

    @app.exception_handler(SyncError)
    async def on_error(request: Request, error: SyncError) -> Response:
        return answer(request, error.status, str(error))
