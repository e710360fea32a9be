"""The error codes of WeChat Work that the simulator uses, with the texts of the real API."""

from typing import Any

OK = 0
BUSY = -1
BAD_SECRET = 40001
BAD_MESSAGE_TYPE = 40008
BAD_CORP_ID = 40013
BAD_TOKEN = 40014
BAD_AGENT = 40056
BAD_PARAMETER = 40058
NO_TOKEN = 41001
NO_CORP_ID = 41002
NO_SECRET = 41004
TOKEN_EXPIRED = 42001
PRE_AUTH_CODE_EXPIRED = 42007
SUITE_TOKEN_EXPIRED = 42009
EMPTY_CONTENT = 44004
TOO_OFTEN = 45009
BAD_JSON = 47001
NO_PERMISSION = 60011
UNTRUSTED_ADDRESS = 60020
NO_VALID_RECIPIENT = 81013
NO_RECIPIENT = 82001
BAD_ROBOT_KEY = 93000

TEXTS = {
    OK: "ok",
    BUSY: "system busy",
    BAD_SECRET: "invalid credential",
    BAD_MESSAGE_TYPE: "invalid message type",
    BAD_CORP_ID: "invalid corpid",
    BAD_TOKEN: "invalid access_token",
    BAD_AGENT: "invalid agentid",
    BAD_PARAMETER: "invalid Request Parameter",
    NO_TOKEN: "access_token missing",
    NO_CORP_ID: "corpid missing",
    NO_SECRET: "corpsecret missing",
    TOKEN_EXPIRED: "access_token expired",
    PRE_AUTH_CODE_EXPIRED: "pre_auth_code expired",
    SUITE_TOKEN_EXPIRED: "suite_access_token expired",
    EMPTY_CONTENT: "empty content",
    TOO_OFTEN: "api freq out of limit",
    BAD_JSON: "data format error",
    NO_PERMISSION: "no privilege to access/modify contact/party/agent",
    UNTRUSTED_ADDRESS: "not allow to access from your ip",
    NO_VALID_RECIPIENT: "user & party & tag all invalid",
    NO_RECIPIENT: "touser/toparty/totag all empty",
    BAD_ROBOT_KEY: "invalid webhook url",
}


class ApiError(Exception):
    """A rejected call, answered with HTTP 200 as in the real API."""

    def __init__(self, errcode: int, detail: str = "") -> None:
        super().__init__(errcode)
        self.errcode = errcode
        self.detail = detail


def answer(errcode: int = OK, detail: str = "", address: str = "", **more: Any) -> dict[str, Any]:
    """Return the body of an answer; `detail` precedes the code's text, and the caller's address follows it."""
    return {"errcode": errcode, "errmsg": _text(errcode, detail, address), **more}


def _text(errcode: int, detail: str, address: str) -> str:
    if errcode == OK:
        return TEXTS[OK]
    text = f"{detail}. " if detail else ""
    text += f"{TEXTS.get(errcode, 'unknown error')}, hint: [simulator]"
    if address:
        text += f", from ip: {address}, more info at https://open.work.weixin.qq.com/devtool/query?e={errcode}"
    return text
