"""The client of a running feature-sync for `featurectl`."""

from urllib.parse import quote

import httpx

from contracts.access import check_http_url, check_token
from contracts.command_client import CommandClient, checked_option
from contracts.command_line import USAGE, CommandError
from contracts.ids import UnusableIdError, parse_id_text

# A user with millions of events takes seconds to forget.
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
# Every key of a snapshot is read, or every dead letter is moved.
SLOW = httpx.Timeout(600.0, connect=5.0)


def open_client(url: str, token: str) -> CommandClient:
    """Return a client; raises `CommandError` for an unusable address or token."""
    return CommandClient(
        checked_option("--url (FEATURE_SYNC_URL)", check_http_url, url),
        checked_option("--token (ADMIN_TOKEN)", check_token, token) if token else "",
        TIMEOUT,
    )


def path_of_user(user: str) -> str:
    """Return the path of a user, by number or text."""
    try:
        parse_id_text(user, "user")
    except UnusableIdError as error:
        raise CommandError(USAGE, f"USER: {error}") from error
    return f"/users/{quote(user, safe='')}"
