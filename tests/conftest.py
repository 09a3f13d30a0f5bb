"""What several modules of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import ARGUMENTS, CHROMIUM


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium for one module: Playwright's event loop must not stand in the way of the others."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()
