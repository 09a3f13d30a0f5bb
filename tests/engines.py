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
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from browser import Site
from numpy.typing import NDArray

MINI_BROWSER: Final = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"))
SCREEN: Final = (1300, 1100)
"""Pixels: Firefox and MiniBrowser open windows of some 1,000 x 700."""

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


def screen_of(engine: str, site: Site, path: str) -> NDArray[np.uint8]:
    """Opens a page of `site` in an engine and returns what is on its screen, uint8 (H, W, 3), once it has posted to `report`."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        _running(_command(engine, Path(home), site.url(path), on_screen=True), home),
    ):
        report = json.loads(site.reports.get(timeout=PATIENCE))
        if "error" in report:
            raise BrowserError(f"{engine}: {report['error']}")
        shot = _screen(Path(home))
        for _ in range(100):
            time.sleep(0.5)
            before, shot = shot, _screen(Path(home))
            if np.array_equal(before, shot):
                return shot
    raise BrowserError(f"{engine}: the screen does not come to rest")


def _screen(home: Path) -> NDArray[np.uint8]:
    """The screen of Xvfb, a file in the format of xwd: numbers of 32 bits, the colour map, then rows of blue, green, red and nothing."""
    data = (home / "Xvfb_screen0").read_bytes()
    header = struct.unpack(">25I", data[:100])
    width, height, stride = header[4], header[5], header[12]
    rows = np.frombuffer(data, np.uint8, stride * height, header[0] + 12 * header[19]).reshape(height, stride)
    return rows[:, : 4 * width].reshape(height, width, 4)[:, :, 2::-1].copy()


def _command(engine: str, home: Path, url: str, on_screen: bool = False) -> Sequence[str]:
    display = ("xvfb-run", "-a", "-s", f"-screen 0 {SCREEN[0]}x{SCREEN[1]}x24 -fbdir {home}")
    if engine == "firefox":
        profile = home / "profile"
        profile.mkdir()
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in FIREFOX_PREFERENCES.items())
        (profile / "user.js").write_text("\n".join(lines) + "\n")
        options = ("--no-remote", "--profile", str(profile))
        return (*display, "firefox-esr", "--kiosk", *options, url) if on_screen else ("firefox-esr", "--headless", *options, url)
    return (*display, str(MINI_BROWSER[-1]), "--private", url)


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
