"""The report of a sweep: the page's parts, its one script, what it escapes, and the numbers beside it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import pytest

from charkit_sweep.folder import SweepFolder
from charkit_sweep.page import write_report
from charkit_sweep.page.html_page import render_html
from charkit_sweep.page.view import SweepView, label_of, loss_window
from page_support import ParsedPage
from sweep.conftest import Finished

PARTS = ["best", "trials", "curves", "axes", "parallel", "method"]
EVIL = "</style><script>alert('x')</script><img src=x onerror=alert(1)> & \"q\" $x$ {{ 7 * 7 }}"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def view_of(finished: Finished, **changes: object) -> SweepView:
    result = replace(finished.result, **changes)  # type: ignore[arg-type]
    return SweepView(result, SweepFolder.open(result.folder))


@pytest.fixture
def html(finished: Finished) -> str:
    return (finished.result.folder / "report.html").read_text("utf-8")


def test_the_parts_stand_in_order_with_headings_and_no_id_twice(html: str) -> None:
    page = ParsedPage(html)
    assert [section["id"] for section in page.all("section")] == PARTS
    assert [link["href"] for link in page.all("a")] == [f"#{part}" for part in PARTS]
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    wanted = set(re.findall(r'(?:url\(|href=")#([^")]+)', html))
    assert wanted <= set(identifiers)


def test_its_one_script_is_the_one_that_its_policy_admits(html: str) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert len(scripts) == len(re.findall("<script", html)) == 1
    digest = b64encode(sha256(scripts[0].encode()).digest()).decode()
    policy = ParsedPage(html).all("meta")[1]["content"]
    assert (
        policy
        == f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    )
    assert set(re.findall(r"https?://[^\"'\s<>)]+", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_table_has_a_row_per_trial_the_best_first_and_numbers_to_sort_by(
    html: str, finished: Finished
) -> None:
    table = re.search(r"<tbody>(.*?)</tbody>", html, re.S)
    assert table is not None
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table[1], re.S)
    numbers = [[float(value) for value in re.findall(r'data-number="([^"]+)"', row)] for row in rows]
    assert [int(row[0]) for row in numbers] == [trial.number for trial in finished.result.ranked]
    losses = [row[2] for row in numbers]
    assert losses == sorted(losses)
    assert all(len(row) == 6 for row in numbers)  # all but the status
    assert [button.strip() for button in ParsedPage(html).texts["button"]] == [
        "trial", "learning rate", "loss", "last loss", "step", "status", "seconds",
    ]  # fmt: skip


def test_each_value_has_its_label_where_a_narrow_screen_stacks_them(html: str) -> None:
    cells = [attributes for name, attributes in ParsedPage(html).elements if name == "td"]
    columns = ["trial", "learning rate", "loss", "last loss", "step", "status", "seconds"]
    assert [cell.get("data-label") for cell in cells] == columns * (len(cells) // len(columns))
    assert html.count('<span class="value">') == len(cells)


def test_it_has_the_best_and_its_command_and_how_it_was_done(html: str, finished: Finished) -> None:
    page = ParsedPage(html)
    best = finished.result.best
    assert best is not None
    assert f"Trial {best.number}: {best.loss:.4f} nats per symbol" in page.text
    assert finished.result.command in " ".join(unescape(html).split())
    assert "one in 3 trials continues; rungs (in steps): 2, 6" in page.text
    assert "Command to continue its training" not in page.text


def test_there_are_curves_a_chart_for_each_axis_and_parallel_coordinates(html: str) -> None:
    titles = re.findall(r"<svg[^>]*class=\"chart[^>]*><title>(.*?)</title>", html)
    assert titles == [
        "Validation loss", "Validation loss", "Loss against learning rate", "Parallel coordinates",
    ]  # fmt: skip


def test_an_unfinished_sweep_says_how_to_go_on_and_a_stopped_best_too(finished: Finished) -> None:
    stopped = tuple(replace(trial, status="stopped") for trial in finished.result.trials)
    html = render_html(view_of(finished, stopped_because="time_limit", trials=stopped))
    page = ParsedPage(html)
    assert "Unfinished. To continue, run: toolkit sweep --resume small" in page.text
    assert "Command to continue its training" in page.text
    best = finished.result.best
    assert best is not None
    assert f"toolkit train --resume {best.run} --threads 1" in page.text


def test_without_a_trial_it_says_so(finished: Finished) -> None:
    html = render_html(view_of(finished, trials=(), command=""))
    assert ParsedPage(html).text.count("No trial was validated.") == 3


def test_whatever_comes_from_outside_stays_text(finished: Finished) -> None:
    trials = tuple(replace(trial, reason=EVIL, run=Path(EVIL)) for trial in finished.result.trials)
    html = render_html(
        view_of(finished, trials=trials, name=EVIL, command=EVIL, stopped_because="interrupted")
    )
    assert html.count("<script") == 1
    assert "<img" not in html
    assert "49" not in re.findall(r"\$x\$ (\S+)", html)
    assert EVIL in unescape(html)


def test_one_that_failed_is_a_cross_and_one_that_is_far_off_leaves_the_picture(finished: Finished) -> None:
    first, second, *others = finished.result.trials
    trials = (replace(first, loss=None, status="failed"), replace(second, loss=9e9), *others)
    html = render_html(view_of(finished, trials=trials))
    assert "var(--bad)" in re.findall(r'<svg[^>]*class="chart[^>]*>.*?</svg>', html, re.S)[2]
    assert loss_window([2.0, 2.2, 9e9])[1] < 3


def test_values_are_shown_as_they_are_typed() -> None:
    assert [label_of(value) for value in (0.001, 64, "byte", ["a", "b"], {"low": 1, "high": 2.5})] == [
        "0.001", "64", "byte", "a, b", "low 1, high 2.5",
    ]  # fmt: skip


def test_the_tables_and_the_json_have_the_same_numbers(finished: Finished) -> None:
    folder = finished.result.folder
    trials = list(csv.DictReader((folder / "trials.csv").read_text("utf-8").splitlines()))
    assert [float(row["loss"]) for row in trials] == [trial.loss for trial in finished.result.trials]
    assert [row["optimizer.learning_rate"] for row in trials] == [
        str(trial.values["optimizer.learning_rate"]) for trial in finished.result.trials
    ]
    curves = list(csv.DictReader((folder / "curves.csv").read_text("utf-8").splitlines()))
    for trial in finished.result.trials:
        own = [
            (int(row["step"]), float(row["validation_loss"]))
            for row in curves
            if int(row["trial"]) == trial.number
        ]
        assert own[-1] == (trial.step, trial.last_loss)
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["best"] == finished.result.best.number  # type: ignore[union-attr]
    assert report["steps"] == finished.result.steps
    assert report["command"] == finished.result.command


def test_a_cell_is_no_formula_for_a_spreadsheet(finished: Finished, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.result.folder, copy)
    trials = tuple(replace(trial, reason="=1+1") for trial in finished.result.trials)
    write_report(replace(finished.result, trials=trials), replace(SweepFolder.open(copy), path=copy))
    assert "'=1+1" in (copy / "trials.csv").read_text("utf-8")


@pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None, reason="needs Chromium and the package playwright"
)
@pytest.mark.parametrize("width", [360, 1280])
def test_a_click_on_a_column_sorts_by_it(width: int, finished: Finished) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.goto((finished.folder / finished.result.folder / "report.html").as_uri())

        def column() -> list[str]:
            return [cell.strip() for cell in page.locator("tbody td:first-child .value").all_inner_texts()]

        ranked = [str(trial.number) for trial in finished.result.ranked]
        assert column() == ranked
        for button in page.locator("th button").all():
            box = button.bounding_box()
            assert box is not None
            assert 0 <= box["x"] < box["x"] + box["width"] <= width
        head = page.get_by_role("button", name="trial", exact=True)
        head.click()
        assert column() == [str(number) for number in range(1, 10)]
        head.click()
        assert column() == [str(number) for number in range(9, 0, -1)]
        assert page.locator("th").first.get_attribute("aria-sort") == "descending"
        page.get_by_role("button", name="loss", exact=True).click()
        assert column() == ranked
        assert problems == []
        browser.close()
