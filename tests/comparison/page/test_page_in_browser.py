"""The page in a real headless Chromium: nothing is fetched, nothing is printed on the console, and all is visible.

It needs Chromium and the Python package playwright. Where they are missing the tests are skipped, but not in CI.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from charkit_comparison import ComparisonReport
from charkit_comparison.page import write_report
from charkit_comparison.report_parts import Outcome

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]

PARTS = ["verdict", "curves", "agreement", "speed", "memory", "learning", "samples", "method"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = [
    what
    for what, there in (("Chromium", CHROMIUM), ("the package playwright", find_spec("playwright")))
    if not there
]
pytestmark = pytest.mark.skipif(
    bool(MISSING) and not (os.environ.get("CI") and sys.platform == "linux"),
    reason=f"the page can't be opened: {' and '.join(MISSING)} can't be found",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for all tests of this file."""
    assert not MISSING, f"CI has to have {' and '.join(MISSING)}"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Seen:
    """An opened page, and what it fetched and printed."""

    def __init__(self, browser: Any, file: Path, width: int, scheme: str) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        self.address = file.as_uri()
        self.page.goto(self.address)

    def check(self) -> None:
        """Nothing but the file itself was fetched, and nothing was printed."""
        assert (self.requests, self.messages) == ([self.address], [])

    def run(self, script: str) -> Any:
        """The value of some JavaScript in the page."""
        return self.page.evaluate(script)


Open = Callable[..., Seen]


@pytest.fixture
def open_page(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a page, or writes a report and opens its page: ``open_page(html, width, scheme)``."""
    opened: list[Seen] = []

    def open_it(what: ComparisonReport | str, width: int = 1280, scheme: str = "light") -> Seen:
        if isinstance(what, ComparisonReport):
            file = write_report(what, tmp_path / f"report {len(opened)} # %")[0]
        else:
            file = tmp_path / "page # %.html"
            file.write_text(what, "utf-8")
        opened.append(Seen(chromium, file, width, scheme))
        return opened[-1]

    yield open_it
    for seen in opened:
        seen.context.close()


def overflows(seen: Seen) -> list[str]:
    """The elements that stand out of the window, but those in a box that scrolls."""
    return list(
        seen.run(
            """() => [...document.body.querySelectorAll('*')].filter(
                one => !one.closest('.scroll, svg') && one.getBoundingClientRect().right > innerWidth + 0.5
            ).map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 40))"""
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_all_eight_parts_are_seen(html: str, open_page: Open, width: int, scheme: str) -> None:
    seen = open_page(html, width, scheme)
    for part in PARTS:
        assert seen.page.locator(f"#{part}").is_visible(), part
        assert seen.page.locator(f"#{part}-title").is_visible(), part
    tops = seen.run("() => [...document.querySelectorAll('section')].map(one => one.offsetTop)")
    assert tops == sorted(tops)
    assert seen.run("() => document.documentElement.scrollWidth") <= width
    assert overflows(seen) == []
    brightness = seen.run(
        "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b)"
    )
    assert (brightness > 600) == (scheme == "light")
    seen.check()


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_each_chart_is_drawn_once_and_can_be_read(html: str, open_page: Open, width: int) -> None:
    seen = open_page(html, width)
    charts = [one for one in seen.page.locator("svg.chart").all() if one.is_visible()]
    assert len(charts) == 7
    letters = seen.run(
        """() => [...document.querySelectorAll('svg.chart text')].map(one => one.getBoundingClientRect().height)
            .filter(height => height > 0)"""
    )
    assert letters
    assert min(letters) >= 10, "the line height of the smallest letters, in pixels"
    seen.check()


def test_lines_have_the_colors_of_the_theme(html: str, open_page: Open) -> None:
    """The same line is drawn in the theme's own color, and not in black where a variable is missing."""
    script = """() => [...document.querySelectorAll('#chart-loss-wide-axes_1 > g[id*="line2d"] > path')]
        .map(one => getComputedStyle(one).stroke)"""
    light, dark = (open_page(html, 1280, scheme).run(script) for scheme in ("light", "dark"))
    assert len(light) == len(dark) == 12, "six variants, thin and thick"
    assert len(set(light)) == len(set(dark)) == 6
    assert "none" not in light
    assert set(light) != set(dark)


CROSSED_LABELS = """() => {
  const crossed = [], seen = [];
  for (const svg of document.querySelectorAll('svg.chart[id], svg.chart')) {
    if (!svg.checkVisibility() || !svg.querySelector('title').textContent.startsWith('Difference')) continue;
    const lines = [...svg.querySelectorAll('g[id*="line2d"] > path')].filter(one => one.closest('[id*="axes_"]')
      && !one.closest('[id*="matplotlib.axis"]') && getComputedStyle(one).fill === 'none');
    for (const text of svg.querySelectorAll('text')) {
      if (!/^(what rounding|limit|bound)/.test(text.textContent)) continue;
      seen.push(text.textContent);
      const box = text.getBoundingClientRect();
      for (const line of lines) {
        const matrix = line.getScreenCTM(), length = line.getTotalLength();
        for (let at = 0; at <= length; at += 1) {
          const point = line.getPointAtLength(at).matrixTransform(matrix);
          if (point.x > box.left && point.x < box.right && point.y > box.top + 2 && point.y < box.bottom - 2) {
            crossed.push(text.textContent);
            break;
          }
        }
      }
    }
  }
  return [seen, crossed];
}"""


@pytest.mark.parametrize("width", [360, 1280])
def test_no_line_passes_through_a_label(
    make_outcome: MakeOutcome, make_report: MakeReport, open_page: Open, width: int
) -> None:
    """As this browser sets the letters, whose width the picture can only guess."""
    outcomes = [
        make_outcome("one", steps=300),
        *(make_outcome(f"number {place}", place, steps=300, off=10.0**-place) for place in range(3, 9)),
    ]
    seen, crossed = open_page(make_report(outcomes, bound=1e-2), width).run(CROSSED_LABELS)
    assert seen
    assert crossed == []


def test_wide_tables_scroll_in_their_own_box(html: str, open_page: Open) -> None:
    seen = open_page(html, 590)
    wide = seen.run(
        """() => [...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"""
    )
    assert wide >= 3


def test_on_a_phone_no_figure_of_a_table_is_cut_and_each_has_its_label(html: str, open_page: Open) -> None:
    seen = open_page(html, 360)
    cut, bare, shares = seen.run(
        """() => {
            const cells = [...document.querySelectorAll('td')], box = one => one.getBoundingClientRect();
            return [
                cells.filter(one => one.scrollWidth > one.clientWidth + 1 || box(one).right > innerWidth).length,
                cells.filter(one => getComputedStyle(one, '::before').content.length <= 2).length,
                cells.map(one => box(one.querySelector('.value')).width / box(one).width),
            ];
        }"""
    )
    assert (cut, bare) == (0, 0)
    assert min(shares) > 0.4, "labels leave room for the values"


def test_a_hostile_report_does_nothing(
    make_outcome: MakeOutcome, make_report: MakeReport, open_page: Open
) -> None:
    evil = "</pre></style><script>alert('x')</script><img src=http://127.0.0.1:9/x onerror=alert(1)>"
    outcomes = [
        make_outcome(evil, sample=f"\n  {evil}\n\n"),
        make_outcome("two", 1, status="failed", reason=evil),
    ]
    seen = open_page(make_report(outcomes, verdict=evil, command=evil, notes=(evil,)))
    assert seen.run("() => document.querySelector('.samples pre').textContent") == f"\n  {evil}\n\n"
    assert seen.run("() => document.scripts.length + document.images.length") == 0
    seen.check()


@pytest.mark.parametrize("width", [360, 1280])
def test_many_and_very_long_names_stay_in_the_window(
    make_outcome: MakeOutcome, make_report: MakeReport, open_page: Open, width: int
) -> None:
    outcomes = [make_outcome(f"{'name' * 40}-{place}", place, rounds=6) for place in range(12)]
    seen = open_page(make_report(outcomes, command="toolkit compare " + "x" * 300), width)
    assert seen.run("() => document.documentElement.scrollWidth") <= width
    assert overflows(seen) == []
    seen.check()


def test_it_prints_on_white_paper_even_in_the_dark(html: str, open_page: Open) -> None:
    seen = open_page(html, 1280, "dark")
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert seen.run("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ink = seen.run("() => getComputedStyle(document.body).color.match(/\\d+/g).map(Number)")
    assert max(ink) < 60
    assert seen.run("() => getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    assert seen.page.pdf(format="A4").startswith(b"%PDF")
    seen.check()
