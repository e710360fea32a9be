"""How to handle the error codes of WeChat Work.

Source: developer.work.weixin.qq.com, "Global error codes"; measured behaviour in DESIGN §7.
"""

import re
from datetime import timedelta
from http import HTTPStatus
from ipaddress import ip_address
from types import MappingProxyType

from notification_gateway.delivery.channel import Rejected

OK = 0
BUSY = -1
BAD_SECRET = 40001
BAD_CORP_ID = 40013
# Of a send: the token is missing, wrong or expired (42007, 42009: the code or token from which a relay made it). One
# retry with a new token follows.
BAD_TOKEN = frozenset({40001, 40014, 41001, 42001, 42007, 42009})
UNTRUSTED_ADDRESS = 60020
# Of gettoken: retries with the same credentials are useless, and many of them lock the corporation out.
BAD_CREDENTIALS = frozenset({BAD_SECRET, BAD_CORP_ID})

MINUTE = timedelta(minutes=1)
_RETRYABLE = MappingProxyType(
    {
        BUSY: timedelta(0),
        # Rate limit per minute.
        45009: MINUTE,
        # Too many concurrent calls.
        45033: timedelta(seconds=5),
        # The gateway's address is not trusted; retried, because an administrator can allow it in WeChat Work.
        UNTRUSTED_ADDRESS: timedelta(minutes=5),
    }
)
_MEANINGS = MappingProxyType(
    {
        BUSY: "system busy",
        40001: "the secret is wrong",
        40008: "the message type is unknown",
        40013: "the corp id is wrong",
        40014: "the token is wrong",
        40056: "the agent id is wrong",
        40058: "a parameter is wrong",
        41001: "the token is missing",
        42001: "the token has expired",
        42007: "the code of the token has expired",
        42009: "the suite's token has expired",
        44004: "the message is empty",
        45009: "sent too often",
        45033: "too many calls at once",
        60011: "no permission for these recipients",
        UNTRUSTED_ADDRESS: "this address is not trusted",
        81013: "no recipient is valid",
        82001: "no recipient is named",
        93000: "the robot's key is wrong",
    }
)

# "… not allow to access from your ip, hint: […], from ip: 203.0.113.9, more info at …"
_ADDRESS = re.compile(r"(?<![A-Za-z])ip\W{1,4}?([0-9A-Fa-f:.]{2,45})(?![0-9A-Za-z])", re.IGNORECASE)


def rejected(errcode: int, what: str, errmsg: object = "") -> Rejected:
    """Return the rejection for an error code; unknown codes are not retryable.

    From `errmsg` only the IP address is used that an administrator must allow.
    """
    wait = _RETRYABLE.get(errcode)
    meaning = _MEANINGS.get(errcode, "see WeChat Work's list of error codes")
    if errcode == UNTRUSTED_ADDRESS and (address := named_address(errmsg)) is not None:
        meaning += f": allow {address} as a trusted IP of the application"
    return Rejected(
        f"{what}: errcode {errcode}, {meaning}",
        retryable=wait is not None,
        wait=wait or timedelta(0),
        errcode=errcode,
        # WeChat Work answers every error with this status.
        http_status=HTTPStatus.OK,
    )


def named_address(errmsg: object) -> str | None:
    """Return the caller's IP address in `errmsg`, or None without a valid one."""
    if not isinstance(errmsg, str):
        return None
    for found in _ADDRESS.findall(errmsg[:1000]):
        try:
            return str(ip_address(found.rstrip(".")))
        except ValueError:
            continue
    return None
