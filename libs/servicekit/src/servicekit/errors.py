"""The root of a service's tree of errors."""


class ServiceError(Exception):
    """An error that a caller is answered with: `status` is that of HTTP, its text the `detail` of the problem.

    `retry_after` (s) becomes the header `Retry-After`.
    """

    status = 500
    retry_after: int | None = None
