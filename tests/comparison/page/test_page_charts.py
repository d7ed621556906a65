"""The charts of the page: the band, the legend, text alternatives, and numbers that are not finite."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from charkit_comparison import ComparisonReport
from charkit_comparison.agreement.rounding_control import BAND_FACTOR
from charkit_comparison.page.html_page import render_html
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import Outcome
from charkit_pages.canvas import BAND_OPACITY
from page_support import ParsedPage, chart_of, page_of

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]


@pytest.fixture(scope="module")
def found(html: str) -> ParsedPage:
    """The page of the report of every kind of variant."""
    return ParsedPage(html)


def test_labels_in_charts_stay_text(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """A label with dollar signs is no formula, and one with characters that the fonts lack is no warning."""
    label = "a_1 $b^2$ <i>\N{CJK UNIFIED IDEOGRAPH-4F60}"
    found = page_of(make_report([make_outcome(label)]))
    assert [text for text in found.texts["text"] if text == label] == [label] * 3  # two speeds and memory


def test_charts_have_text_alternatives(found: ParsedPage) -> None:
    charts = [one for one in found.all("svg") if one["class"].startswith("chart")]
    assert len(charts) == 4 * 2 + 3  # lines are drawn wide and narrow, bars once
    for chart in charts:
        assert chart["role"] == "img"
        assert "numpy" in chart["aria-label"] or "swapped" in chart["aria-label"]
    assert found.texts["title"][1:] == [
        *["Training loss"] * 2,
        *["Difference from numpy"] * 2,
        *["Validation loss"] * 2,
        "Training",
        "Sampling",
        "Peak memory",
        *["Validation loss over time"] * 2,
    ]


def test_charts_take_their_colors_from_the_page(html: str) -> None:
    """No color of its own in any chart, or it would not follow the reader's theme."""
    svgs = re.findall(r"<svg.*?</svg>", html, re.S)
    assert svgs
    for svg in svgs:
        assert not re.search(r"#[0-9a-fA-F]{6}\b|\brgb\(|font-family", svg)
    assert "prefers-color-scheme: dark" in html
    used = set(re.findall(r"var\((--\w+)", html))
    defined = set(re.findall(r"(--[\w-]+):", html))
    assert used <= defined


def test_the_band_is_drawn_behind_the_differences(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """In the wide picture and in the narrow one: an area, its edge, the limit, both named, below all lines."""
    report = make_report([make_outcome("one"), make_outcome("two", 1)])
    pictures = re.findall(r"<svg[^>]*><title>Difference from.*?</svg>", render_html(ReportView(report)), re.S)
    assert len(pictures) == 2
    for svg in pictures:
        assert svg.index(f"fill-opacity: {BAND_OPACITY}") < svg.index("stroke: var(--v1)")
    for attributes, edges, texts in chart_of(report, "Difference from one"):
        (edge,) = edges
        assert edge == sorted(edge, reverse=True), "the band never becomes narrower; heights are from above"
        assert edge[0] > edge[-1]
        assert "what rounding alone does" in texts
        assert f"limit: {BAND_FACTOR:g} times the control" in texts
        (control,) = report.controls
        assert control.band[-1] == pytest.approx(6.0e-6, rel=0.01)
        limit = f"limit: {BAND_FACTOR:g} times the control"
        description = f"what rounding alone does: 1.0e-6 at step 1, 6.0e-6 at step 40; {limit}"
        assert description in attributes["aria-label"]


def test_the_legend_names_the_band_and_the_largest_differences(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    losses = list(make_outcome("one").losses)
    losses[6] += 4e-6
    found = page_of(make_report([make_outcome("one"), make_outcome("two", 1, losses=tuple(losses))]))
    entries = [" ".join(text.split()) for text in found.texts["li"]]
    assert "two at most 4.0e-6 (step 7)" in entries
    assert entries.count("what rounding alone does (control)") == 1
    assert entries.count(f"limit: {BAND_FACTOR:g} times the control") == 1
    assert {one["class"] for one in found.all("svg") if "key" in one["class"]} == {"key band", "key limit"}


def test_the_band_has_the_height_of_its_numbers(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """A band ten times as wide is a decade higher, as far as two ticks of the axis are from each other."""
    outcomes = [make_outcome("one"), make_outcome("two", 1)]
    report = make_report(outcomes, bound=1.0)  # which keeps the axis as it is
    (control,) = report.controls
    wide = control.model_copy(update={"band": tuple(10 * value for value in control.band)})
    heights = [
        chart_of(one, "Difference from one")[0][1][0]
        for one in (report, report.model_copy(update={"controls": (wide,)}))
    ]
    assert heights[0][0] - heights[1][0] == pytest.approx(heights[0][-1] - heights[1][-1], abs=0.1)
    decade = heights[0][0] - heights[1][0]
    assert decade > 20
    svg = re.findall(r"<svg[^>]*><title>Difference from.*?</svg>", render_html(ReportView(report)), re.S)[0]
    limit = re.search(
        r'<path d="M [-\d.]+ ([-\d.]+)[^"]*"[^>]*stroke-dasharray[^>]*stroke: var\(--quiet\)', svg
    )
    assert limit is not None
    assert (heights[0][0] - float(limit[1])) / decade == pytest.approx(np.log10(BAND_FACTOR), abs=0.01)


def test_each_precision_has_a_chart_and_a_band_of_its_own(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """One axis for both would span ten decades more than either needs."""
    outcomes = [
        make_outcome("one"),
        make_outcome("two", 1),
        make_outcome("one double", 2, precision="float64", off=4e-15),
        make_outcome("two double", 3, precision="float64", off=4e-15),
        make_outcome("one half", 4, precision="bfloat16", decides=False, off=1e-2),
    ]
    report = make_report(outcomes, bound=1e-3)
    single, double = (chart_of(report, f"Difference from {label}") for label in ("one", "one double"))
    assert len(single) == len(double) == 2
    for (one, edges, texts), (other, other_edges, other_texts) in zip(single, double, strict=True):
        assert len(edges) == len(other_edges) == 1
        assert "two at most" in one["aria-label"]
        assert "one half at most" in one["aria-label"]
        assert "two double at most" in other["aria-label"]
        assert "1.0e-6 at step 1" in one["aria-label"]
        assert "2.0e-15 at step 1" in other["aria-label"]
        assert "bound 1e-3" in texts
        assert "bound 1e-3" not in other_texts, "it is ten decades above everything"
    found = page_of(report)
    assert found.text.count("The bound is far above the chart.") == 1
    assert found.text.count("The shaded band shows") == 1, "one explanation serves both"


def test_a_control_that_stopped_being_finite_leaves_the_picture(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    report = make_report([make_outcome("one"), make_outcome("two", 1)])
    (control,) = report.controls
    band = (*control.band[:20], *[float("inf")] * 20)
    endless = control.model_copy(update={"band": band, "largest_loss_difference": float("inf")})
    hostile = report.model_copy(update={"controls": (endless,)})
    for attributes, ((*_, last),), _ in chart_of(hostile, "Difference from one"):
        assert "infinite at step 40" in attributes["aria-label"]
        assert last < 40, "at the upper end"


def test_a_single_step_has_a_band(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("one", steps=1, rounds=1), make_outcome("two", 1, steps=1, rounds=1)]
    for _, edges, texts in chart_of(make_report(outcomes), "Difference from one"):
        assert len(edges[0]) == 2
        assert edges[0][0] == edges[0][1]
        assert "what rounding alone does" in texts


def test_one_variant_that_explodes_does_not_flatten_the_others(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    losses = [
        tuple(1e300 * (step + 1) for step in range(40)),
        (3.0, *[float("inf"), float("nan")] * 10),
        (1e308, -1e308),
    ]
    outcomes = [
        make_outcome("numpy"),
        *(make_outcome(f"wild {at}", at, losses=one) for at, one in enumerate(losses)),
    ]
    found = page_of(make_report(outcomes, verdict="No."))
    axes = found.texts["text"]
    assert "1e+300" not in axes
    assert {"2", "3", "4"} <= set(axes), "the axis still has a tick at each whole nat"
    assert found.text.count("wild 0 runs off the chart.") == 2
    assert "not a number" in found.text


def test_a_single_large_difference_survives_the_downsampling(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """One step of 5,000 is beyond the bound; the picture must reach up to it."""
    losses = list(make_outcome("two", 1, steps=5000, off=1e-7).losses)
    losses[3333] += 2.0
    outcomes = [make_outcome("one", steps=5000), make_outcome("two", 1, losses=tuple(losses))]
    svg = re.search(
        r'<svg[^>]*aria-label="Difference from one.*?</svg>',
        render_html(ReportView(make_report(outcomes))),
        re.S,
    )
    assert svg is not None
    line = re.search(r'<path d="([^"]*)"[^>]*stroke: var\(--v1\)', svg[0])
    assert line is not None
    heights = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", line[1])]
    assert 300 < len(heights) < 500
    assert sum(height < 100 for height in heights) == 1
