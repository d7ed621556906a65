"""The page as text: its parts, what it escapes, and that it needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest

from charkit_comparison import Report
from charkit_comparison.agreement.control import FACTOR
from charkit_comparison.page.canvas import BAND_OPACITY
from charkit_comparison.page.facts import Facts
from charkit_comparison.page.page import page
from charkit_comparison.report import Finding, Outcome

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., Report]
Located = Callable[..., Finding]

PARTS = ["verdict", "curves", "agreement", "speed", "memory", "learning", "samples", "method"]
EVIL = "</style><script>alert('x')</script><img src=x onerror=alert(1)> & \"q\" $x$ {{ 7 * 7 }}"


class Read(HTMLParser):
    """What a browser would make of the page: elements with their attributes, and texts by element."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in {"meta", "link", "br", "img"}:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "every element is closed in its place"
        if tag in {"dt", "dd", "h1", "h2", "h3", "h4", "p", "li", "th", "td", "small", "figcaption"}:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts["body"][0].split())


@pytest.fixture(scope="module")
def found(html: str) -> Read:
    """The page of the report of every kind of variant."""
    return Read(html)


def read(report: Report) -> Read:
    return Read(page(Facts(report)))


def test_eight_parts_in_order_with_headings(found: Read) -> None:
    assert [section["id"] for section in found.all("section")] == PARTS
    headings = [heading["id"] for heading in found.all("h2")]
    assert headings == [f"{part}-title" for part in PARTS]
    assert [link["href"] for link in found.all("a")] == [f"#{part}" for part in PARTS]


def test_no_two_elements_share_an_id_and_every_reference_is_met(html: str, found: Read) -> None:
    identifiers = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    wanted = re.findall(r'(?:url\(|href=")#([^")]+)', html) + re.findall(r'aria-labelledby="([^"]+)"', html)
    assert wanted
    assert set(wanted) <= set(identifiers)


def test_it_names_nothing_outside_of_itself(html: str, found: Read) -> None:
    known = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"'\s<>)]+", html)) <= known
    assert not {tag for tag, _ in found.elements} & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    assert [link["href"] for link in found.all("link")] == ["data:,"]
    assert not re.search(r"@import|url\((?!#)", html)
    policy = found.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'")


def test_whatever_comes_from_outside_stays_text(
    make_outcome: MakeOutcome, make_report: MakeReport, report: Report, html: str
) -> None:
    """Every field that a stranger can fill; what is shown is what was given, and it makes no element."""
    outcomes = [
        make_outcome(EVIL, device=EVIL, versions={EVIL: EVIL}, notices=(EVIL,), python=EVIL, sample=EVIL),
        make_outcome(f"two {EVIL}", 1, status="failed", reason=EVIL, backend=EVIL, precision="float32"),
    ]
    findings = [
        report.findings[0].model_copy(
            update={"variant": EVIL, "array": EVIL, "expected": EVIL, "got": EVIL, "look_at": EVIL}
        )
    ]
    text = report.text.model_copy(update={"name": EVIL})
    machine = report.machine.model_copy(update={"processor": EVIL, "system": EVIL, "python": EVIL})
    told = {
        "verdict": EVIL,
        "command": EVIL,
        "notes": (EVIL,),
        "start": EVIL,
        "text": text,
        "machine": machine,
    }
    hostile = make_report(outcomes, findings, created=EVIL, charkit=EVIL, **told)
    found = read(hostile)
    allowed = {tag for tag, _ in Read(html).elements} | {"circle"}  # the seal of a yes
    assert {tag for tag, _ in found.elements} <= allowed
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert found.texts["pre"].count(f"\n{EVIL}") == 2, "a sample and the command"
    assert found.text.count(EVIL) > 20
    assert "49" not in found.texts["h1"][0]


def test_labels_in_charts_stay_text(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """A label with dollar signs is no formula, and one with characters that the fonts lack is no warning."""
    label = "a_1 $b^2$ <i>\N{CJK UNIFIED IDEOGRAPH-4F60}"
    found = read(make_report([make_outcome(label)]))
    assert [text for text in found.texts["text"] if text == label] == [label] * 3  # two speeds and memory


def test_control_characters_of_a_sample_are_replaced(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    sample = "\n a\tb\x00\x1b[31m\r\n\x7f\x9b\u202ec\u2028 \N{ZERO WIDTH NON-JOINER}\N{GRINNING FACE} end "
    html = page(Facts(make_report([make_outcome("numpy", sample=sample)])))
    pre = Read(html).texts["pre"][0]
    # A browser drops the first line end of <pre>, so there is one more than the sample begins with.
    assert pre == (
        "\n\n a\tb\ufffd\ufffd[31m\ufffd\n\ufffd\ufffd\ufffdc\ufffd \N{ZERO WIDTH NON-JOINER}\N{GRINNING FACE} end "
    )
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", html)


def test_samples_say_where_they_part(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [
        make_outcome("numpy", off=0, sample="abcdef"),
        make_outcome("torch", 1, sample="abcdef"),
        make_outcome("jax", 2, sample="abcxef"),
        make_outcome("other", 3, sample="zzz"),
    ]
    found = read(make_report(outcomes))
    assert "the same 6 characters as numpy" in found.text
    assert "the first 3 of 6 characters are those of numpy" in found.text
    assert "differs from numpy from the first character" in found.text
    assert found.texts["mark"] == ["x"]


def test_charts_have_text_alternatives(found: Read) -> None:
    charts = [one for one in found.all("svg") if one["class"].startswith("chart")]
    assert len(charts) == 4 * 2 + 3  # lines are drawn wide and narrow, bars once
    for chart in charts:
        assert chart["role"] == "img"
        assert "numpy" in chart["aria-label"] or "swapped" in chart["aria-label"]
    assert found.texts["title"][1:] == [
        *["Training loss"] * 2,
        *["Difference to numpy"] * 2,
        *["Validation loss"] * 2,
        "Training",
        "Sampling",
        "Peak memory",
        *["Validation loss against time"] * 2,
    ]


def test_charts_take_their_colours_from_the_page(html: str) -> None:
    """No colour of its own in any chart, or it would not follow the reader's theme."""
    svgs = re.findall(r"<svg.*?</svg>", html, re.S)
    assert svgs
    for svg in svgs:
        assert not re.search(r"#[0-9a-fA-F]{6}\b|\brgb\(|font-family", svg)
    assert "prefers-color-scheme: dark" in html
    used = set(re.findall(r"var\((--\w+)", html))
    defined = set(re.findall(r"(--[\w-]+):", html))
    assert used <= defined


def chart_of(report: Report, title: str) -> list[tuple[dict[str, str], list[list[float]], list[str]]]:
    """The wide and the narrow picture of this title: attributes, heights of the band's edge, and texts."""
    pictures = []
    for svg in re.findall(r"<svg[^>]*><title>.*?</svg>", page(Facts(report)), re.S):
        picture = Read(f"<body>{svg}</body>")
        if picture.texts["title"] != [title]:
            continue
        edges = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--quiet\); stroke-width: 1.2', svg)
        heights = [[float(y) for y in re.findall(r"[ML] [-\d.]+ ([-\d.]+)", edge)] for edge in edges]
        pictures.append((picture.all("svg")[0], heights, picture.texts.get("text", [])))
    return pictures


def test_the_band_is_drawn_behind_the_differences(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """In the wide picture and in the narrow one: an area, its edge, the limit, both named, below all lines."""
    report = make_report([make_outcome("one"), make_outcome("two", 1)])
    pictures = re.findall(r"<svg[^>]*><title>Difference to.*?</svg>", page(Facts(report)), re.S)
    assert len(pictures) == 2
    for svg in pictures:
        assert svg.index(f"fill-opacity: {BAND_OPACITY}") < svg.index("stroke: var(--v1)")
    for attributes, edges, texts in chart_of(report, "Difference to one"):
        (edge,) = edges
        assert edge == sorted(edge, reverse=True), "the band never becomes narrower; heights are from above"
        assert edge[0] > edge[-1]
        assert "what rounding alone does" in texts
        assert f"limit: {FACTOR:g} times that" in texts
        (control,) = report.controls
        assert control.band[-1] == pytest.approx(6.0e-6, rel=0.01)
        told = f"what rounding alone does 1.0e-6 at step 1, 6.0e-6 at step 40; limit: {FACTOR:g} times that"
        assert told in attributes["aria-label"]


def test_the_legend_names_the_band_and_the_largest_differences(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    losses = list(make_outcome("one").losses)
    losses[6] += 4e-6
    found = read(make_report([make_outcome("one"), make_outcome("two", 1, losses=tuple(losses))]))
    entries = [" ".join(text.split()) for text in found.texts["li"]]
    assert "two at most 4.0e-6 (step 7)" in entries
    assert entries.count("what rounding alone does (control)") == 1
    assert entries.count(f"limit: {FACTOR:g} times that") == 1
    assert {one["class"] for one in found.all("svg") if "key" in one["class"]} == {"key band", "key limit"}


def test_the_band_has_the_height_of_its_numbers(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    """A band ten times as wide is a decade higher, as far as two ticks of the axis are from each other."""
    outcomes = [make_outcome("one"), make_outcome("two", 1)]
    report = make_report(outcomes, bound=1.0)  # which keeps the axis as it is
    (control,) = report.controls
    wide = control.model_copy(update={"band": tuple(10 * value for value in control.band)})
    heights = [
        chart_of(one, "Difference to one")[0][1][0]
        for one in (report, report.model_copy(update={"controls": (wide,)}))
    ]
    assert heights[0][0] - heights[1][0] == pytest.approx(heights[0][-1] - heights[1][-1], abs=0.1)
    decade = heights[0][0] - heights[1][0]
    assert decade > 20
    svg = re.findall(r"<svg[^>]*><title>Difference to.*?</svg>", page(Facts(report)), re.S)[0]
    limit = re.search(
        r'<path d="M [-\d.]+ ([-\d.]+)[^"]*"[^>]*stroke-dasharray[^>]*stroke: var\(--quiet\)', svg
    )
    assert limit is not None
    assert (heights[0][0] - float(limit[1])) / decade == pytest.approx(np.log10(FACTOR), abs=0.01)


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
    single, double = (chart_of(report, f"Difference to {label}") for label in ("one", "one double"))
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
    found = read(report)
    assert found.text.count("The bound is far above the picture.") == 1
    assert found.text.count("The shaded band shows") == 1, "one explanation serves both"


def test_a_control_that_stopped_being_finite_leaves_the_picture(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    report = make_report([make_outcome("one"), make_outcome("two", 1)])
    (control,) = report.controls
    band = (*control.band[:20], *[float("inf")] * 20)
    endless = control.model_copy(update={"band": band, "largest_loss_difference": float("inf")})
    hostile = report.model_copy(update={"controls": (endless,)})
    for attributes, ((*_, last),), _ in chart_of(hostile, "Difference to one"):
        assert "infinite at step 40" in attributes["aria-label"]
        assert last < 40, "at the upper end"


def test_a_single_step_has_a_band(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("one", steps=1, rounds=1), make_outcome("two", 1, steps=1, rounds=1)]
    for _, edges, texts in chart_of(make_report(outcomes), "Difference to one"):
        assert len(edges[0]) == 2
        assert edges[0][0] == edges[0][1]
        assert "what rounding alone does" in texts


def test_failures_are_rows_with_their_reasons(found: Read) -> None:
    assert "failed: took longer than 600 s for one turn; --turn-limit gives it more" in found.text


def test_what_does_not_decide_is_marked_wherever_it_is_named(found: Read) -> None:
    text = found.text
    for label in ("torch bfloat16", "plain torch.nn.LSTM"):
        marked = text.count(f"{label} (shown only)")
        assert marked > 8
        loose = len(re.findall(rf"{re.escape(label)}(?! \(shown only\))", text))
        assert loose <= 4, "notes below charts, and the table of versions"


def test_findings_are_told(found: Read) -> None:
    article = " ".join(found.texts["article"][0].split())
    assert article == (
        "What is wrong in swapped first wrong step 1 first wrong array the logits expected the float64 "
        "reference's, within 2e-05 of its largest (float32) got off by 5.8e+01 of its largest "
        "loss differs from numpy's by up to 0.10 nats more "
        "than rounding explains from step 1 Recognized mistake it looks like a swapped gate order; see lstm.py"
    )


def test_curves_apart_without_a_wrong_step(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    found = read(make_report([make_outcome("one"), make_outcome("two", 1, off=1)]))
    article = " ".join(found.texts["article"][0].split())
    assert article.startswith(
        "two and one differ by more than rounding explains loss differs from one's by up to 0."
    )
    assert "none was found: all 12 steps that were examined there match the float64 reference" in article
    assert "Recognized mistake" not in article
    assert "What is wrong" not in found.text


def test_a_wrong_step_of_one_alone(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    """There is nobody whose losses could be beside its own."""
    alone = located("one", 20, reference="", differs_from_step=None, by_nats=0)
    article = read(make_report([make_outcome("one")], [alone])).texts["article"][0]
    assert "first wrong step" in article
    assert "loss differs" not in article
    assert "more than rounding" not in article


def test_an_examination_that_was_not_completed(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1)]
    found = read(make_report(outcomes, reasons={"two": "its process died (signal 9)"}))
    assert "not completed: its process died (signal 9)" in found.text
    assert "Undecided: the examination was not completed" in found.text
    assert "undecided" in [text.strip() for text in found.texts["td"]]
    assert {one["class"] for one in found.all("div") if "verdict" in one.get("class", "")} == {"verdict none"}
    stopped = read(make_report(outcomes, partial=True, examined=False))
    assert "No training step was examined." in stopped.text
    assert "There is no control, so it is unknown what rounding alone does here." in stopped.text


def test_a_partial_report_says_so_at_its_top(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [
        make_outcome("numpy", steps=20, rounds=1, status="partial"),
        make_outcome("torch", 1, steps=0, rounds=0, status="partial", sample=""),
    ]
    found = read(make_report(outcomes, partial=True, planned_rounds=3))
    assert found.texts["title"][0].endswith("(partial)")
    assert "Partial report: interrupted in the course of its 3 rounds" in " ".join(
        found.texts["header"][0].split()
    )
    assert "partial: 1 of 3 rounds" in found.text
    assert "Partial report" not in read(make_report([make_outcome("numpy")])).text


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"validations": ()}, "Nothing was validated"),
        ({"sample": ""}, "Nobody drew a sample"),
        ({"losses": (), "gradient_norms": (), "validations": ()}, "No step was made"),
        ({"precision": "bfloat16", "decides": False}, "Nothing to judge"),
        ({"rounds": 1}, "There is no second variant"),
        ({"steps": 1, "rounds": 1}, "There is no pair"),
        ({"rounds": 0}, "No round was timed"),
    ],
)
def test_what_there_is_not_is_said(
    make_outcome: MakeOutcome, make_report: MakeReport, shape: dict[str, object], said: str
) -> None:
    found = read(make_report([make_outcome("numpy", **shape)]))
    assert [section["id"] for section in found.all("section")] == PARTS
    assert said in found.text


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
    found = read(make_report(outcomes, verdict="No."))
    axes = found.texts["text"]
    assert "1e+300" not in axes
    assert {"2", "3", "4"} <= set(axes), "the axis still tells nats apart"
    assert found.text.count("wild 0 leaves the picture.") == 2
    assert "not a number" in found.text


def test_twelve_variants_of_5000_steps_stay_small(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome(f"variant {place}", place, steps=5000, rounds=5) for place in range(12)]
    html = page(Facts(make_report(outcomes)))
    assert len(html) < 1_500_000
    assert Read(html).texts["h1"] == ["12 variants on anna"]


def test_a_single_large_difference_survives_the_thinning(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    """One step of 5,000 is beyond the bound; the picture must reach up to it."""
    losses = list(make_outcome("two", 1, steps=5000, off=1e-7).losses)
    losses[3333] += 2.0
    outcomes = [make_outcome("one", steps=5000), make_outcome("two", 1, losses=tuple(losses))]
    svg = re.search(
        r'<svg[^>]*aria-label="Difference to one.*?</svg>', page(Facts(make_report(outcomes))), re.S
    )
    assert svg is not None
    line = re.search(r'<path d="([^"]*)"[^>]*stroke: var\(--v1\)', svg[0])
    assert line is not None
    heights = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", line[1])]
    assert 300 < len(heights) < 500
    assert sum(height < 100 for height in heights) == 1
