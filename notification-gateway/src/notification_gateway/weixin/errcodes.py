"""What the error codes of WeChat Work ask for.

Source: developer.work.weixin.qq.com, "Global error codes"; measured behaviour in DESIGN §7.
"""

from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType

from notification_gateway.delivery.channel import Rejected

OK = 0
BUSY = -1
BAD_SECRET = 40001
BAD_CORP_ID = 40013
# Of a send: the token is wrong or over; another one is fetched, once.
BAD_TOKEN = frozenset({40001, 40014, 42001})
# Of gettoken: asking again with the same credentials is no use, and in time locks the corporation out.
BAD_CREDENTIALS = frozenset({BAD_SECRET, BAD_CORP_ID})

MINUTE = timedelta(minutes=1)
_RETRYABLE = MappingProxyType(
    {
        BUSY: timedelta(0),
        # Too often: counted by the minute.
        45009: MINUTE,
        # Too many at once.
        45033: timedelta(seconds=5),
        # The gateway's address is not trusted: mended on their side, so it is worth trying again.
        60020: timedelta(minutes=5),
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
        42001: "the token has expired",
        44004: "the message is empty",
        45009: "sent too often",
        45033: "too many calls at once",
        60011: "no permission for these recipients",
        60020: "this address is not trusted",
        81013: "no recipient is valid",
        82001: "no recipient is named",
        93000: "the robot's key is wrong",
    }
)


def rejected(errcode: int, what: str) -> Rejected:
    """Return what a refusal with `errcode` means for a message; a code that nobody knows is final."""
    wait = _RETRYABLE.get(errcode)
    meaning = _MEANINGS.get(errcode, "see WeChat Work's list of error codes")
    return Rejected(
        f"{what}: errcode {errcode}, {meaning}",
        retryable=wait is not None,
        wait=wait or timedelta(0),
        errcode=errcode,
        # Whatever they refuse, they do so with this status.
        http_status=HTTPStatus.OK,
    )
