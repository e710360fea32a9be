"""Takes the README's pictures on a running native stack: `make up STACK=native && make pictures`.

It kills Redis and damages the stored bundle for a moment; both are as before when it ends.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from localservers.executables import chromium
from localservers.waiting import wait_until
from provisioning import environment_file

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
MAX_BYTES = 150 * 1024
API, REGISTRY, GATEWAY, SIMULATOR = (f"http://127.0.0.1:{port}" for port in (8000, 8001, 8003, 8010))
# A page draws its charts after it is loaded.
DRAWING_SECONDS = 2.0
RECOVERY_SECONDS = 2.0
ANSWER = "curl -s '127.0.0.1:8000/similar/1?limit=1' | python3 -m json.tool"
KILL, BRING_BACK = "make hold-down PROGRAM=redis", "make bring-back PROGRAM=redis"
LEVEL = "curl -s '127.0.0.1:8000/similar/1?limit=3' | python3 -m json.tool | grep -E 'title|degrade|level'"
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 18px 22px; background: #14171a; width: max-content; }
pre { margin: 0; color: #d5d9e0; font: 15px/1.5 "DejaVu Sans Mono", monospace; }
b { color: #7bd88f; font-weight: normal; }
</style><pre>%s</pre>"""


def main() -> int:
    """Take all pictures; returns the exit code."""
    program = chromium()
    if program is None:
        sys.stderr.write("chromium is missing: run `python -m native prerequisites`\n")
        return 1
    IMAGES.mkdir(exist_ok=True)
    ask(400)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        take_terminal(browser, "answer", [(ANSWER, run(ANSWER))])
        said = [(KILL, run(KILL))]
        try:
            ask(60)
            said.append((LEVEL, run(LEVEL)))
            with rejected_deployment():
                take_page(browser, "wechat-message", SIMULATOR, "article:not(.mail)")
                take_page(browser, "dashboard", f"{GATEWAY}/dashboard?lang=en")
        finally:
            said.append((BRING_BACK, run(BRING_BACK)))
        time.sleep(RECOVERY_SECONDS)
        take_terminal(browser, "break-it", [*said, (LEVEL, run(LEVEL))])
        browser.close()
    too_large = [path.name for path in IMAGES.glob("*.png") if path.stat().st_size > MAX_BYTES]
    if too_large:
        sys.stderr.write(f"larger than {MAX_BYTES} bytes: {', '.join(too_large)}\n")
    return 1 if too_large else 0


def run(command: str) -> str:
    """Return what a shell command prints."""
    # Not as a part of the make that runs this program: it would say which folder it enters.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(  # noqa: S603 - the commands are constants of this file
        ["/bin/bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def ask(requests: int) -> None:
    """Send requests, so that the dashboard has something to show."""
    with httpx.Client(base_url=API, timeout=5) as client:
        for number in range(requests):
            client.get(f"/recommend/user/{number % 40 + 1}?limit=5").raise_for_status()


@contextmanager
def rejected_deployment() -> Iterator[None]:
    """Deploy a damaged bundle and wait for the message about it; at the end, deploy the same version intact."""
    variables = environment_file.read(ROOT / ".run" / "env")
    active = httpx.get(f"{REGISTRY}/models/ranker/active").json()["primary"]
    bundle = Path(variables["ARTIFACT_URL"]) / "models" / "ranker" / f"{active['sha256']}.tar.gz"
    headers = {"Authorization": f"Bearer {variables['REGISTRY_TOKEN']}", "X-Deployed-By": "li.wei"}
    wanted = {"version": active["version"], "reason": "nightly training"}
    before, content = _messages(), bundle.read_bytes()
    with httpx.Client(base_url=REGISTRY, headers=headers, timeout=120) as registry:
        bundle.write_bytes(content + b"damaged")
        try:
            registry.post("/models/ranker/deployments", json=wanted)
        finally:
            bundle.write_bytes(content)
        wait_until(lambda: _messages() > before, within=30, what="the message has arrived")
        yield
        registry.post("/models/ranker/deployments", json=wanted).raise_for_status()


def _messages() -> int:
    return len(httpx.get(f"{SIMULATOR}/_control/messages").json()["messages"])


def take_terminal(browser: Browser, name: str, commands: Iterable[tuple[str, str]]) -> None:
    """Take a picture of commands and what they print."""
    said = [f"<b>$ {escape(command)}</b>\n{escape(output)}" for command, output in commands]
    page = browser.new_page()
    page.set_content(TERMINAL % "\n".join(said))
    _save(page, name, "body")


def take_page(browser: Browser, name: str, url: str, part: str | None = None) -> None:
    """Take a picture of a page, or of the first part that a CSS selector finds."""
    page = browser.new_page(viewport={"width": 1200, "height": 820}, color_scheme="light")
    page.goto(url)
    page.wait_for_timeout(DRAWING_SECONDS * 1000)
    _save(page, name, part)


def _save(page: Page, name: str, part: str | None) -> None:
    path = IMAGES / f"{name}.png"
    if part is None:
        page.screenshot(path=path)
    else:
        page.locator(part).first.screenshot(path=path)
    page.close()


if __name__ == "__main__":
    sys.exit(main())
