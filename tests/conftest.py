"""What several modules of tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from browser import ARGUMENTS, CHROMIUM
from hypothesis import HealthCheck, settings

from sdz.runtime.pack import BUILT_IN, DEFAULT, Pack, load_pack
from sdz.runtime.session import Session

# a shell ignores it for what it starts in the background, and so would all that tests start, some of which they interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

# the same examples on every run, and no test on the clock: a busy machine is no fault
settings.register_profile("sdz", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sdz")


@pytest.fixture(scope="module")
def pack() -> Pack:
    """The default pack, or the one that SDZ_TEST_PACK names."""
    return load_pack(os.environ.get("SDZ_TEST_PACK", BUILT_IN / DEFAULT))


@pytest.fixture(scope="module")
def session(pack: Pack) -> Session:
    return Session(pack)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium for one module: Playwright's event loop must not stand in the way of the others."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()
