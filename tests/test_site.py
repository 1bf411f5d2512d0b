"""The site builds strictly and without network, and opens in a browser without an error or a request elsewhere."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"  # nobody listens there: whatever reaches for the network is refused
# beside Playwright, which keeps an event loop, all tests of this file run in one process
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("built") / "site"
    offline = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "no_proxy": "", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY, env={**os.environ, **offline}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(built_site: Path) -> Iterator[str]:
    """Where the site is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(built_site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def pages(folder: Path) -> list[str]:
    """Return the addresses of all pages below the site's own."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))


def test_every_page_opens_without_error_and_asks_no_other_host(built_site, address, chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda r: wrong.append(f"{r.url}: {r.status}") if r.status >= 400 else None)
    for name in pages(built_site):
        page.goto(f"{address}/{name}", wait_until="load")
        assert not wrong, f"{name}: {wrong}"
    page.wait_for_load_state("networkidle")
    assert not wrong, wrong
    context.close()
    assert len(pages(built_site)) > 25
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not elsewhere, f"asked of other hosts: {elsewhere}"


def test_search_finds_a_page(address, open_page):
    opened = open_page(f"{address}/index.html")
    opened.page.get_by_role("textbox", name="Search").fill("several GPUs")
    result = opened.page.locator(".md-search-result__link").first
    result.wait_for(timeout=20_000)
    assert "guide/train.html" in (result.get_attribute("href") or "")
    assert not opened.errors


@pytest.mark.parametrize(
    "page", ["index.html", "guide/restore.html", "plugins/entries.html", "reference/commands.html"]
)
def test_pages_fit_a_telephone(address, open_page, page):
    assert not open_page(f"{address}/{page}", width=390, height=800).wider_than_screen()


@pytest.mark.parametrize("page", ["index.html", "guide/restore.html", "reference/api/interface.html"])
def test_pages_can_be_used_by_everybody(address, open_page, page):
    # the theme's search box is a dialog without a name, which cannot be mended from outside
    found = open_page(f"{address}/{page}").serious()
    assert not [line for line in found if not line.startswith("aria-dialog-name")]
