"""The page in a real headless Chromium: nothing is fetched or printed, and nothing stands out of a phone's window.

It needs Chromium and the Python package playwright. Where they are missing the tests are skipped, but not in CI.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.runs.records import METRICS
from charkit_reports.server import LivePage, ReportServer

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
MISSING = [
    what
    for what, there in (("Chromium", CHROMIUM), ("the package playwright", find_spec("playwright")))
    if not there
]
pytestmark = pytest.mark.skipif(
    bool(MISSING) and not (os.environ.get("CI") and sys.platform == "linux"),
    reason=f"the page can't be opened: {' and '.join(MISSING)} can't be found",
)
Trained = tuple[Path, Path]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for all tests of this file."""
    assert not MISSING, f"CI has to have {' and '.join(MISSING)}"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("count", [1, 2])
def test_all_is_seen_and_nothing_is_fetched(
    count: int, width: int, scheme: str, trained: Trained, chromium: Any
) -> None:
    file = charkit.report(trained[:count], out="page").resolve()
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(file.as_uri())
    assert (requests, messages) == ([file.as_uri()], [])
    outside = page.evaluate(
        """() => [...document.body.querySelectorAll('*')].filter(
            one => !one.closest('.scroll, svg') && one.getBoundingClientRect().right > innerWidth + 0.5
        ).map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 40))"""
    )
    assert outside == []
    charts = page.evaluate(
        "() => [...document.querySelectorAll('svg.chart')].filter(one => one.getBoundingClientRect().width > 0).length"
    )
    assert charts >= 5
    light = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(19, 21, 25)") == (scheme == "dark")
    context.close()


def test_a_served_page_reads_itself_again_and_stays_where_it_is(trained: Trained, chromium: Any) -> None:
    run = Path(shutil.copytree(trained[0], "run"))
    lines = (run / METRICS).read_bytes().splitlines(keepends=True)
    loss = json.loads(lines[3])["loss"]
    with ReportServer(LivePage([run], refresh_seconds=1)) as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        page = chromium.new_page()
        page.goto(made.url)
        page.evaluate("() => scrollTo(0, 900)")
        before = page.evaluate("() => scrollY")
        (run / METRICS).write_bytes(b"".join(lines[:4]))
        shown = f"() => document.body.textContent.includes('{loss:.4f} at the last recorded step')"
        page.wait_for_function(shown, timeout=60_000)
        page.wait_for_function(f"() => scrollY === {before}", timeout=60_000)
        assert before > 0
        page.close()
        made.shutdown()
