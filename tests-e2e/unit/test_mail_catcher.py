"""The mail catcher of the demo: receives mails by real SMTP, and shows them without running their contents."""

import smtplib
import socket
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest
from playwright.sync_api import sync_playwright
from pydantic import SecretStr

from localservers.executables import chromium
from wechat_simulator.mailbox import MAX_MAIL_BYTES, MAX_MAILBOX_BYTES, MAX_MAILS, Mailbox
from wechat_simulator.server import SimulatorServer
from wechat_simulator.settings import Settings
from wechat_simulator.smtp_server import IDENTITY

HOSTILE = (
    "<script>parent.document.title='owned';document.title='owned'</script>"
    '<img src="http://127.0.0.1:9/pixel.png" onerror="parent.document.title=\'owned\'">'
    '<form action="http://127.0.0.1:9/"><button id="go">go</button></form>'
    '<a href="javascript:alert(1)" target="_top">link</a><b style="color:red">bold</b>'
)


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer.on_free_port(Settings(weixin_corp_secret=SecretStr("a-secret"))) as running:
        yield running


@pytest.fixture
def http(server: SimulatorServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=5) as client:
        yield client


def connect(server: SimulatorServer) -> smtplib.SMTP:
    host, _, port = server.smtp_url.removeprefix("smtp://").partition(":")
    return smtplib.SMTP(host, int(port), timeout=5)


def mail(
    subject: str = "【每小时】2 个事件", text: str = "P1 · redis", html: str = "<p>P1 · redis</p>"
) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "alerts@example.test", "oncall@example.test"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def test_a_mail_is_caught_with_subject_text_and_html(server: SimulatorServer, http: httpx.Client) -> None:
    with connect(server) as smtp:
        smtp.send_message(mail())
    (caught,) = http.get("/_control/mails").json()
    assert caught["subject"] == "【每小时】2 个事件"
    assert (caught["text"].strip(), caught["html"].strip()) == ("P1 · redis", "<p>P1 · redis</p>")
    assert (caught["sender"], caught["recipients"]) == ("alerts@example.test", ["oncall@example.test"])
    page = http.get("/").text
    assert "0 messages and 1 mail arrived" in page
    assert "【每小时】2 个事件" in page
    assert 'src="/mails/1.html"' in page


def test_the_greeting_identifies_a_mail_catcher(server: SimulatorServer, http: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "healthy", "service": "wechat-simulator"}
    host, _, port = server.smtp_url.removeprefix("smtp://").partition(":")
    with smtplib.SMTP() as smtp:
        code, banner = smtp.connect(host, int(port))
    assert (code, IDENTITY.encode() in banner) == (220, True)


def test_a_mails_contents_are_text_on_the_page_and_sandboxed_at_their_own_url(
    server: SimulatorServer, http: httpx.Client
) -> None:
    with connect(server) as smtp:
        smtp.send_message(mail(subject="<script>alert(1)</script>", text="</pre><script>x</script>", html=HOSTILE))
    page = http.get("/")
    assert "<script>" not in page.text
    assert 'iframe sandbox title="HTML"' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    content = http.get("/mails/1.html")
    assert content.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert http.get("/mails/2.html").status_code == 404


def test_a_hostile_mail_runs_no_script_in_a_real_browser(server: SimulatorServer) -> None:
    outside = socket.create_server(("127.0.0.1", 0))
    outside.setblocking(False)
    with connect(server) as smtp:
        smtp.send_message(mail(html=HOSTILE.replace("127.0.0.1:9/", f"127.0.0.1:{outside.getsockname()[1]}/")))
    with outside, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        page = browser.new_page()
        for address in ("/", "/mails/1.html"):
            page.goto(f"{server.url}{address}", wait_until="networkidle")
            assert page.title() != "owned"
        page.goto(server.url, wait_until="networkidle")
        assert page.frames[1].inner_text("b") == "bold"
        browser.close()
        with pytest.raises(BlockingIOError):
            outside.accept()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: =?utf-8?b?//79?=\r\nContent-Type: text/html; charset=nonsense\r\n\r\n<p>\xff",
        b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n",
        b"Subject: x\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2D0-",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!",
    ],
)
def test_a_malformed_mail_does_not_break_the_page(server: SimulatorServer, http: httpx.Client, content: bytes) -> None:
    with connect(server) as smtp:
        smtp.sendmail("a@example.test", ["b@example.test"], content)
    assert http.get("/").status_code == 200
    assert len(http.get("/_control/mails").json()) == 1
    assert http.get("/mails/1.html").status_code == 200


def test_a_mail_above_the_limit_is_rejected(server: SimulatorServer, http: httpx.Client) -> None:
    with connect(server) as smtp, pytest.raises(smtplib.SMTPException):
        smtp.send_message(mail(text="x" * 70 + "\n", html="y\n" * MAX_MAIL_BYTES))
    assert http.get("/_control/mails").json() == []


def test_only_the_newest_mails_are_stored() -> None:
    mailbox = Mailbox()
    for number in range(MAX_MAILS + 5):
        mailbox.add("a", ["b"], f"Subject: {number}\r\n\r\nx".encode())
    assert (len(mailbox.mails), mailbox.mails[0].subject) == (MAX_MAILS, "5")
    for _ in range(MAX_MAILBOX_BYTES // MAX_MAIL_BYTES + 3):
        mailbox.add("a", ["b"], b"x" * MAX_MAIL_BYTES)
    assert sum(each.size for each in mailbox.mails) <= MAX_MAILBOX_BYTES
    mailbox.reset()
    assert mailbox.mails == []
