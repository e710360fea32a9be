"""Settings of the Bugsink collector (DJANGO_SETTINGS_MODULE=collector_settings), read from the environment.

COLLECTOR_DATA     data folder, 0700
COLLECTOR_URL      the address that people and services reach it by
COLLECTOR_SECRET   Django's secret key
COLLECTOR_EAGER    1: digest in the request, one process, for tests
"""

import os

from bugsink.settings.default import *  # noqa: F403 - Bugsink's way to be configured

_DATA = os.environ["COLLECTOR_DATA"]
# Far above the stack's rate: with its defaults Bugsink answers 200 and stores nothing after 1,000 events in 5 minutes.
_NO_QUOTA = 10_000_000

SECRET_KEY = os.environ["COLLECTOR_SECRET"]
ALLOWED_HOSTS = ["*"]
TIME_ZONE = "UTC"
DATABASES["default"]["NAME"] = f"{_DATA}/db.sqlite3"  # noqa: F405
DATABASES["snappea"]["NAME"] = f"{_DATA}/snappea.sqlite3"  # noqa: F405
SNAPPEA = {
    "TASK_ALWAYS_EAGER": os.environ.get("COLLECTOR_EAGER") == "1",
    "NUM_WORKERS": 2,
    "PID_FILE": None,
    "WAKEUP_CALLS_DIR": f"{_DATA}/wakeup",
    "WORKAHOLIC": True,
}
EMAIL_BACKEND = "bugsink.email_backends.QuietConsoleEmailBackend"
# Cookies without TLS: the collector listens on loopback, or behind a proxy that terminates TLS.
SILENCED_SYSTEM_CHECKS = ["security.W012", "security.W016"]
BUGSINK = {
    "BASE_URL": os.environ["COLLECTOR_URL"],
    "SINGLE_USER": True,
    "PHONEHOME": False,
    "INGEST_STORE_BASE_DIR": f"{_DATA}/ingestion",
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES": _NO_QUOTA,
    "MAX_EVENTS_PER_PROJECT_PER_HOUR": _NO_QUOTA,
    "MAX_EVENTS_PER_PROJECT_PER_MONTH": _NO_QUOTA,
    "MAX_EVENTS_PER_5_MINUTES": _NO_QUOTA,
    "MAX_EVENTS_PER_HOUR": _NO_QUOTA,
    "MAX_EVENTS_PER_MONTH": _NO_QUOTA,
    "MAX_EMAILS_PER_HOUR": None,
    "KEEP_ENVELOPES": 0,
    # Strict validation silently drops some messages of the SDK.
    "VALIDATE_ON_DIGEST": "none",
}
