"""The Markdown: the same parts, and nothing in it that comes from outside is markup."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from charkit_comparison import ComparisonReport
from charkit_comparison.page.markdown import escaped, fenced, render_markdown
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import Outcome

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]

PARTS = [
    "## Verdict",
    "## Curves",
    "## Agreement",
    "## Speed",
    "## Memory",
    "## Loss over time",
    "## Samples",
    "## Method",
]


def test_eight_parts_in_order(report: ComparisonReport) -> None:
    assert re.findall(r"^## .*$", render_markdown(ReportView(report)), re.M) == PARTS


def test_every_table_has_as_many_cells_in_each_row(report: ComparisonReport) -> None:
    tables = re.findall(r"(?:^\|.*\|$\n?)+", render_markdown(ReportView(report)), re.M)
    assert len(tables) == 12
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_a_failure_and_a_finding_are_written(report: ComparisonReport) -> None:
    text = render_markdown(ReportView(report))
    assert "| jax | backend, jax | float32 | yes | 20 | **failed: it took longer than 600 s" in text
    assert "- first wrong array: the logits" in text
    assert "- diagnosis: it looks like the wrong gate order; see lstm.py" in text
    assert "| torch bfloat16 (not judged) |" in text


def test_examined_steps_and_controls_are_reported(report: ComparisonReport) -> None:
    text = render_markdown(ReportView(report))
    assert "| numpy | 4 of 4 matching | 3% | 1, 13, 20, 40 |" in text
    assert "| swapped | **0 of 1 matching** | 2.9e6 times | 1 |" in text
    assert "| float32 | numpy | 1 | 6.0e-8 | 6.0e-6 |" in text
    assert "The losses of every step, including those of the controls, are in curves.csv." in text


def test_the_method_says_of_what_the_memory_is_the_peak(report: ComparisonReport) -> None:
    text = " ".join(render_markdown(ReportView(report)).split())
    assert "until the end of its first round of training, before it validated or sampled" in text


def test_a_report_without_an_examination_says_so(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    text = render_markdown(ReportView(make_report([make_outcome("numpy")], partial=True, examined=False)))
    assert "No training step was examined." in text
    assert "The losses of every step are in curves.csv.\n" in text
    assert "Controls" not in text


def test_a_partial_report_says_so_at_its_top(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    outcomes = [make_outcome("numpy", steps=20, rounds=1, status="partial")]
    text = render_markdown(ReportView(make_report(outcomes, partial=True, planned_rounds=3)))
    assert text.splitlines()[2] == (
        "> **Partial report:** the comparison was interrupted; the variant that got furthest had "
        "completed 1 of 3 rounds."
    )
    assert "**partial: 1 of 3 rounds**" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>*x*</b> `y` [z](w) _u_", r"\<b\>\*x\*\</b\> \`y\` \[z\](w) \_u\_"),
        ("&lt; $x$ ~~y~~ ![i](j)", r"\&lt; \$x\$ \~\~y\~\~ \!\[i\](j)"),
        ("@someone #12", "@<!-- -->someone #<!-- -->12"),
        ("# heading\n- list", r"\# heading - list"),
        ("1. list", r"1\. list"),
        ("1.5 times, 4.8e-8", "1.5 times, 4.8e-8"),
        ("--- rule", r"\--- rule"),
        ("x\x1b[31m\u202ey", "x\ufffd\\[31m\ufffdy"),
    ],
)
def test_text_stays_text(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    "sample", ["plain", "```", "a\n````\n# out\n```", "`" * 12 + "\n", "x\r```\r\n\x0c```"]
)
def test_no_sample_breaks_out_of_its_fence(sample: str) -> None:
    lines = fenced(sample).split("\n")
    fence = lines[0].removesuffix("text")
    assert fence == lines[-1]
    assert set(fence) == {"`"}
    for line in lines[1:-1]:
        assert not re.fullmatch(r" {0,3}`+\s*", line) or len(line.strip()) < len(fence)
    assert not re.search(r"[\r\x0b\x0c\x85\u2028\u2029]", fenced(sample)), (
        "another line end could end the fence"
    )


def test_nothing_of_a_hostile_report_is_markup(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    evil = "<script>|x|</script>\n## Verdict"
    outcomes = [
        make_outcome(evil, sample="```\n## Verdict\n"),
        make_outcome("two", 1, status="failed", reason=evil),
    ]
    text = render_markdown(
        ReportView(make_report(outcomes, verdict=evil, command="```\n## Verdict", notes=(evil,)))
    )
    outside = re.sub(r"^(`{3,})text\n.*?\n\1$", "", text, flags=re.M | re.S)
    assert re.findall(r"^## .*$", outside, re.M) == PARTS
    assert "<script" not in outside.replace("\\<", "")
