"""The page as text: its parts, what it escapes, and that it needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from charkit_comparison import ComparisonReport
from charkit_comparison.page.html_page import render_html
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import Finding, Outcome
from page_support import ParsedPage, page_of

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]
Located = Callable[..., Finding]

PARTS = ["verdict", "curves", "agreement", "speed", "memory", "learning", "samples", "method"]

EVIL = "</style><script>alert('x')</script><img src=x onerror=alert(1)> & \"q\" $x$ {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def found(html: str) -> ParsedPage:
    """The page of the report of every kind of variant."""
    return ParsedPage(html)


def test_eight_parts_in_order_with_headings(found: ParsedPage) -> None:
    assert [section["id"] for section in found.all("section")] == PARTS
    headings = [heading["id"] for heading in found.all("h2")]
    assert headings == [f"{part}-title" for part in PARTS]
    assert [link["href"] for link in found.all("a")] == [f"#{part}" for part in PARTS]


def test_each_cell_has_the_name_of_its_column_for_narrow_screens(found: ParsedPage) -> None:
    columns = {text.strip() for text in found.texts["th"]}
    labels = {cell["data-label"] for cell in found.all("td")}
    assert labels
    assert labels <= columns
    for tag, role in (("table", "table"), ("tr", "row"), ("td", "cell"), ("thead", "rowgroup")):
        assert {one["role"] for one in found.all(tag)} == {role}


def test_no_two_elements_share_an_id_and_every_reference_is_met(html: str, found: ParsedPage) -> None:
    identifiers = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    wanted = re.findall(r'(?:url\(|href=")#([^")]+)', html) + re.findall(r'aria-labelledby="([^"]+)"', html)
    assert wanted
    assert set(wanted) <= set(identifiers)


def test_it_names_nothing_outside_of_itself(html: str, found: ParsedPage) -> None:
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
    make_outcome: MakeOutcome, make_report: MakeReport, report: ComparisonReport, html: str
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
    fields = {
        "verdict": EVIL,
        "command": EVIL,
        "notes": (EVIL,),
        "start": EVIL,
        "text": text,
        "machine": machine,
    }
    hostile = make_report(outcomes, findings, created=EVIL, charkit=EVIL, **fields)
    found = page_of(hostile)
    allowed = {tag for tag, _ in ParsedPage(html).elements} | {"circle"}  # the seal of a yes
    assert {tag for tag, _ in found.elements} <= allowed
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert found.texts["pre"].count(f"\n{EVIL}") == 2, "a sample and the command"
    assert found.text.count(EVIL) > 20
    assert "49" not in found.texts["h1"][0]


def test_control_characters_of_a_sample_are_replaced(
    make_outcome: MakeOutcome, make_report: MakeReport
) -> None:
    sample = "\n a\tb\x00\x1b[31m\r\n\x7f\x9b\u202ec\u2028 \N{ZERO WIDTH NON-JOINER}\N{GRINNING FACE} end "
    html = render_html(ReportView(make_report([make_outcome("numpy", sample=sample)])))
    pre = ParsedPage(html).texts["pre"][0]
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
    found = page_of(make_report(outcomes))
    assert "the same 6 characters as numpy" in found.text
    assert "matches numpy in the first 3 of 6 characters" in found.text
    assert "differs from numpy from the first character on" in found.text
    assert found.texts["mark"] == ["x"]


def test_failures_are_rows_with_their_reasons(found: ParsedPage) -> None:
    assert "failed: it took longer than 600 s for one turn; raise `turn_limit` to allow it" in found.text


def test_what_does_not_decide_is_marked_wherever_it_is_named(found: ParsedPage) -> None:
    text = found.text
    for label in ("torch bfloat16", "plain torch.nn.LSTM"):
        marked = text.count(f"{label} (not judged)")
        assert marked > 8
        loose = len(re.findall(rf"{re.escape(label)}(?! \(not judged\))", text))
        assert loose <= 4, "notes below charts, and the table of versions"


def test_findings_are_shown(found: ParsedPage) -> None:
    article = " ".join(found.texts["article"][0].split())
    assert article == (
        "What is wrong with swapped first wrong step 1 first wrong array the logits expected the float64 "
        "reference's values, to within 2e-05 times the largest element (float32) got off by 5.8e+01 times the "
        "largest element "
        "loss differs from numpy's by up to 0.10 nats loss differs by more "
        "than rounding explains first at step 1 Diagnosis it looks like the wrong gate order; see lstm.py"
    )


def test_curves_apart_without_a_wrong_step(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    found = page_of(make_report([make_outcome("one"), make_outcome("two", 1, off=1)]))
    article = " ".join(found.texts["article"][0].split())
    assert article.startswith(
        "two and one differ by more than rounding explains loss differs from one's by up to 0."
    )
    assert "none was found: all 12 steps that were examined there match the float64 reference" in article
    assert "Diagnosis" not in article
    assert "What is wrong" not in found.text


def test_a_wrong_step_of_one_alone(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    """There are no other losses to compare with."""
    alone = located("one", 20, reference="", differs_from_step=None, by_nats=0)
    article = page_of(make_report([make_outcome("one")], [alone])).texts["article"][0]
    assert "first wrong step" in article
    assert "loss differs" not in article
    assert "more than rounding" not in article


def test_an_examination_that_was_not_completed(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("one"), make_outcome("two", 1)]
    found = page_of(make_report(outcomes, reasons={"two": "its process died (signal 9)"}))
    assert "not completed: its process died (signal 9)" in found.text
    assert "Undecided: the examination was not completed" in found.text
    assert "undecided" in [text.strip() for text in found.texts["td"]]
    assert {one["class"] for one in found.all("div") if "verdict" in one.get("class", "")} == {"verdict none"}
    stopped = page_of(make_report(outcomes, partial=True, examined=False))
    assert "No training step was examined." in stopped.text
    assert "There is no control, so it is unknown what rounding alone does here." in stopped.text


def test_a_partial_report_says_so_at_its_top(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [
        make_outcome("numpy", steps=20, rounds=1, status="partial"),
        make_outcome("torch", 1, steps=0, rounds=0, status="partial", sample=""),
    ]
    found = page_of(make_report(outcomes, partial=True, planned_rounds=3))
    assert found.texts["title"][0].endswith("(partial)")
    assert "Partial report: the comparison was interrupted; the variant" in " ".join(
        found.texts["header"][0].split()
    )
    assert "partial: 1 of 3 rounds" in found.text
    assert "Partial report" not in page_of(make_report([make_outcome("numpy")])).text


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"validations": ()}, "Nothing was validated"),
        ({"sample": ""}, "No sample was drawn"),
        ({"losses": (), "gradient_norms": (), "validations": ()}, "No step was completed"),
        ({"precision": "bfloat16", "decides": False}, "Nothing to judge"),
        ({"rounds": 1}, "There is no second variant"),
        ({"steps": 1, "rounds": 1}, "There is no pair"),
        ({"rounds": 0}, "No round was timed"),
    ],
)
def test_what_there_is_not_is_said(
    make_outcome: MakeOutcome, make_report: MakeReport, shape: dict[str, object], message: str
) -> None:
    found = page_of(make_report([make_outcome("numpy", **shape)]))
    assert [section["id"] for section in found.all("section")] == PARTS
    assert message in found.text


def test_twelve_variants_of_5000_steps_stay_small(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome(f"variant {place}", place, steps=5000, rounds=5) for place in range(12)]
    html = render_html(ReportView(make_report(outcomes)))
    assert len(html) < 1_500_000
    assert ParsedPage(html).texts["h1"] == ["12 variants on anna"]
