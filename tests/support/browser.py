"""A headless Chromium for tests of pages: the system's own, driven by Playwright.

Tests that use it are skipped, with the reason, where either is absent. `tests/conftest.py` offers the fixtures
`chromium` (one browser for a module) and `open_page` (a page that records what goes wrong on it).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# --no-sandbox: a build machine's root user may not make sandboxes; the tests open their own pages only
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


def chromium_path() -> str | None:
    """Return the program of an installed Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Opened:
    """An open page and what went wrong on it: script errors, errors on the console, dialogs."""

    page: Any
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def serious(self) -> list[str]:
        """Return what axe finds that is serious or critical: rule, help and the first elements."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
        violations = axe.Axe().run(self.page).response["violations"]
        return [
            f"{found['id']}: {found['help']}: {[node['html'][:120] for node in found['nodes'][:3]]}"
            for found in violations
            if found["impact"] in ("serious", "critical")
        ]

    def wider_than_screen(self) -> list[str]:
        """Return the elements that make the page scroll sideways; those in a box that scrolls do not count."""
        script = """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          return [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > width + 1)
            .map((e) => e.outerHTML.slice(0, 100));
        }"""
        found: list[str] = self.page.evaluate(script)
        return found


OpenPage = Callable[..., Opened]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running browser. One for a module: Playwright keeps an event loop, which would disturb other modules."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    path = chromium_path()
    if path is None:
        pytest.skip(f"needs a browser, one of: {', '.join(NAMES)}; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """``open_page(URL or file, width=1280, height=900, **context)`` -> `Opened`; closed at the test's end."""
    contexts = []

    def opened(address: str | Path, width: int = 1280, height: int = 900, **options: Any) -> Opened:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        seen = Opened(page)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)

        def dismissed(dialog: Any) -> None:
            seen.dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", dismissed)
        page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return seen

    yield opened
    for context in contexts:
        context.close()
