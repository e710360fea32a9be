"""The policy in use, reloaded when its file changes; an invalid edit keeps the current policy."""

import logging
from collections.abc import Sequence
from pathlib import Path

from notification_gateway.policy.channel_names import BUILT_IN_CHANNELS
from notification_gateway.policy.loading import PolicyError, parse_policy, read_policy
from notification_gateway.policy.model import Policy
from servicekit.health import Check

_log = logging.getLogger(__name__)


class PolicyFile:
    """Holds the last valid policy of a file; `error` describes the problem of its current content."""

    def __init__(self, path: Path, channels: Sequence[str] = BUILT_IN_CHANNELS) -> None:
        self._path = path
        self._channels = channels
        self._seen: bytes | str = b""
        self._policy: Policy | None = None
        self.error: str | None = None

    @property
    def name(self) -> str:
        """The name of the file."""
        return self._path.name

    @property
    def policy(self) -> Policy:
        """The last valid policy; raises `RuntimeError` before `load`."""
        if self._policy is None:
            raise RuntimeError("the policy is not loaded")
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy

    def load(self) -> None:
        """Read the file; raises `PolicyError`, so that the gateway doesn't start without a policy."""
        self._seen = read_policy(self._path)
        self.policy = parse_policy(self._seen, str(self._path), self._channels)

    def refresh(self) -> str | None:
        """Read the file again if its content has changed; returns the result of the edit, or None without one."""
        # Compare the content, not the file's time: a config map is swapped by a link, and an editor may keep the time.
        try:
            content = read_policy(self._path)
        except PolicyError as error:
            if str(error) != self._seen:
                self._seen = str(error)
                return self._reject(error)
            return None
        if content == self._seen:
            return None
        self._seen = content
        try:
            self.policy = parse_policy(content, str(self._path), self._channels)
        except PolicyError as error:
            return self._reject(error)
        except Exception as error:
            # Raised once, since the file isn't read again before it changes; `/health` shows it until then.
            self.error = f"{type(error).__name__}: {error}"
            raise
        self.error = None
        _log.info("alert policy reloaded: %d rules", len(self.policy.rules))
        return f"reloaded, {len(self.policy.rules)} rules"

    def check(self) -> Check:
        """Return the check `policy` of `/health`."""
        if self._policy is None:
            return Check(status="unhealthy", detail="not loaded")
        if self.error is not None:
            return Check(status="degraded", detail=f"the last valid policy stays in use: {self.error}")
        return Check(status="healthy", detail=f"{len(self._policy.rules)} rules")

    def _reject(self, error: PolicyError) -> str:
        self.error = str(error)
        _log.error("alert policy not reloaded, the last valid one stays in use: %s", error)
        return f"rejected: {error}"
