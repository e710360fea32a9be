"""The last steps before an event is sent: its platform, the user's hook `SENTRY_BEFORE_SEND`, and redaction."""

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from importlib import import_module
from typing import Any

from monitoring.metrics import Counters
from monitoring.platforms import add_modules, add_platform
from monitoring.redaction import Redactor, text_of

_log = logging.getLogger(__name__)

Event = dict[str, Any]
Hint = dict[str, Any]
Hook = Callable[[Event, Hint], Event | None]

# In a hint: called without arguments when the hook drops the event. The hook does not see it.
ON_DROPPED = "monitoring_on_dropped"


def load_hook(path: str) -> Hook:
    """Return the function that a dotted path names; raises `ValueError` with what is wrong with the path."""
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise ValueError(f"{path!r} is not a dotted path such as my_package.events.before_send")
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{module_name} cannot be imported ({type(error).__name__}: {error})") from error
    if not hasattr(module, name):
        raise ValueError(f"{module_name} has no attribute {name}")
    hook: Hook = getattr(module, name)
    if not callable(hook) or inspect.iscoroutinefunction(hook):
        raise ValueError(f"{path} is not a plain function that takes an event and a hint")
    return hook


class BeforeSend:
    """Called with every event, on any thread: returns what is sent, or None if the hook drops the event."""

    def __init__(self, redactor: Redactor, counters: Counters, hook: Hook | None = None) -> None:
        self._redactor = redactor
        self._counters = counters
        self._hook = hook
        self._has_failed = False

    def __call__(self, event: Any, hint: Hint) -> Any:
        """Complete, hook and redact an event; the signature is that of the SDK's `before_send`."""
        on_dropped = hint.pop(ON_DROPPED, None)
        # The SDK also calls this with events that were captured by its own functions.
        add_platform(event)
        if self._hook is None:
            final = self._redactor.scrub(event)
            assert isinstance(final, dict)  # noqa: S101 - scrub returns the same kind of value
            # Hundreds of names without secrets: to redact them would take longer than all the rest.
            add_modules(final)
            return final
        add_modules(event)
        changed = self._apply_hook(self._hook, event, hint)
        if changed is None:
            self._counters.add("events_filtered")
            if on_dropped is not None:
                on_dropped()
            return None
        return self._redactor.scrub(changed)

    def _apply_hook(self, hook: Hook, event: Event, hint: Hint) -> Event | None:
        try:
            returned = hook(deepcopy(event), hint)
            if returned is None:
                return None
            # The signal and the spool know the event by this id.
            return _plain_event(returned) | {"event_id": event["event_id"]}
        except (Exception, SystemExit):  # noqa: BLE001 - foreign code, and its failure must not lose the event
            self._note_failure()
            return event

    def _note_failure(self) -> None:
        self._counters.add("before_send_failures")
        if not self._has_failed:
            self._has_failed = True
            _log.exception(
                "SENTRY_BEFORE_SEND failed: its events are sent unchanged; further failures are only counted"
            )


def _plain_event(returned: object) -> Event:
    """Return an event of JSON values only, so that redaction sees all of its text."""
    if not isinstance(returned, Mapping):
        raise TypeError(f"the hook returned {type(returned).__name__}, not an event or None")
    event: Event = json.loads(json.dumps(returned, default=text_of, allow_nan=False))
    return event
