"""The policy in use: read again when the file changes; a bad edit keeps the old."""

import logging
from pathlib import Path

from notification_gateway.policy.loading import PolicyError, load_policy, parse_policy
from notification_gateway.policy.model import Policy

_log = logging.getLogger(__name__)


class PolicyFile:
    """Holds the last valid policy of a file; `error` says what is wrong with the file as it is now."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises `PolicyError`: without any policy the gateway must not start."""
        self._path = path
        self._seen = self._content()
        self.policy: Policy = load_policy(path)
        self.error: str | None = None

    def refresh(self) -> None:
        """Read the file again if its content has changed."""
        content = self._content()
        if content == self._seen:
            return
        self._seen = content
        try:
            if content is None:
                self.policy = load_policy(self._path)
            else:
                self.policy = parse_policy(content.decode(), str(self._path))
        except (PolicyError, UnicodeDecodeError) as error:
            self.error = str(error)
            _log.error("alert policy not reloaded, the last valid one stays in use: %s", error)
        else:
            self.error = None
            _log.info("alert policy reloaded: %d rules", len(self.policy.rules))

    def _content(self) -> bytes | None:
        # Content and not its time: a config map is swapped by a link, and an editor may keep the time.
        try:
            return self._path.read_bytes()
        except OSError:
            return None
