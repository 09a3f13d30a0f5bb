"""Firefox and WebKit as their Debian packages bring them: a page is opened, does its work, and posts what it found.

No driver is needed for that, so none stands between the engine and the page. Each run has an empty profile of its own, and everything
that a browser started ends with it.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from browser import Site

MINI_BROWSER: Final = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"))
PATIENCE: Final = 180.0
"""Seconds a page may take; a busy machine needs a third of it."""

FIREFOX_PREFERENCES: Final = {
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "app.normandy.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "services.settings.server": "data:,",
    "security.sandbox.content.level": 0,
}


class BrowserError(AssertionError):
    """The page did not report, or reported an error."""


def installed(engine: str) -> bool:
    """Whether an engine, "firefox" or "webkit", is on this machine."""
    return shutil.which("firefox-esr") is not None if engine == "firefox" else bool(MINI_BROWSER) and shutil.which("xvfb-run") is not None


def report_of(engine: str, site: Site, path: str) -> Any:
    """Opens a page of `site` in an engine and returns what it posts to `report`: JSON `{"found": …}` or `{"error": …}`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, _running(_command(engine, Path(home), site.url(path)), home):
        try:
            report = json.loads(site.reports.get(timeout=PATIENCE))
        except queue.Empty:
            raise BrowserError(f"{engine}: no report within {PATIENCE:.0f} seconds; it asked for {site.requests[-5:]}") from None
    if "error" in report:
        raise BrowserError(f"{engine}: {report['error']}")
    return report["found"]


def _command(engine: str, home: Path, url: str) -> Sequence[str]:
    if engine == "firefox":
        profile = home / "profile"
        profile.mkdir()
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in FIREFOX_PREFERENCES.items())
        (profile / "user.js").write_text("\n".join(lines) + "\n")
        return ("firefox-esr", "--headless", "--no-remote", "--profile", str(profile), url)
    return ("xvfb-run", "-a", str(MINI_BROWSER[-1]), "--private", url)


@contextmanager
def _running(command: Sequence[str], home: str) -> Iterator[None]:
    environment = os.environ | {
        "HOME": home,
        "XDG_RUNTIME_DIR": home,
        "GDK_BACKEND": "x11",
        "NO_AT_BRIDGE": "1",
        "MOZ_CRASHREPORTER_DISABLE": "1",
    }
    browser = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGTERM)
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()


REPORTING: Final = """<!doctype html><meta charset="utf-8"><title>test</title>
<script type="module">
const say = (what) => fetch("report", { method: "POST", body: JSON.stringify(what) });
addEventListener("error", (event) => say({ error: `${event.message} at ${event.filename}:${event.lineno}` }));
addEventListener("unhandledrejection", (event) => say({ error: String(event.reason?.stack ?? event.reason) }));
const hash = async (bytes) =>
  [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
const argument = JSON.parse(document.querySelector("#argument").textContent);
try {
  say({ found: await (async () => { BODY })() });
} catch (error) { say({ error: String(error.stack ?? error) + " " + String(error) }); }
</script>"""


def page(body: str, argument: Any) -> bytes:
    """A page that runs the body of an async function of `argument`, with `hash(bytes)` at hand, and reports what it returns."""
    data = f'<script type="application/json" id="argument">{json.dumps(argument)}</script>'
    return (REPORTING.replace('<script type="module">', data + '\n<script type="module">').replace("BODY", body)).encode()
