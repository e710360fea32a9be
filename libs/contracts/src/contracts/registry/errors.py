"""Why the registry did not do what was asked; nothing has changed there.

A proxy's page may repeat the request's headers, so a caller removes the token before it prints a message.
"""


class RegistryError(Exception):
    """Base of all: what is in service stays in service."""


class RegistryUnreachableError(RegistryError):
    """There was no HTTP answer, for this `reason`: try again later."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        """Name the address and the reason."""
        return f"{self.url}: {self.reason}"


class RegistryRejectedError(RegistryError):
    """The answer was no success; `detail` says why. From status 500 on a later try may fare better, below it won't."""

    def __init__(self, url: str, status: int, detail: str) -> None:
        super().__init__(url, status, detail)
        self.url = url
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        """Name the address, the status and the reason."""
        return f"{self.url}: HTTP {self.status}: {self.detail}"


class RegistryAnswerError(RegistryError):
    """The answer is none of the registry's: see what the address leads to. `body` is what came."""

    def __init__(self, message: str, body: str = "") -> None:
        super().__init__(message, body)
        self.body = body

    def __str__(self) -> str:
        """Name the address and what is wrong with its answer."""
        return str(self.args[0])
