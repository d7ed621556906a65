"""A plugin written to contract 1.0 goes on as it was; what came later is refused on it, never ignored in silence."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from charkit.errors import ConfigurationError
from charkit.plugins import InstalledBackend, listing
from charkit.testing import all_checks
from charkit_comparison import selection
from charkit_comparison.own_layers.registry import available_own_layers
from charkit_comparison.request import ComparisonRequest
from cli_support import TINY, snapshot
from plugin_support import InstalledSite

DECAYING = (*TINY, "--weight-decay=0.1", "--max-steps=4")
QUICK = ("--lstm-size=8", "--batch-size=4", "--num-steps=8", "--threads=1", "--max-steps=4", "--rounds=1")
#: The refusal, up to who else has it.
LACKS = "optimizer.weight_decay 0.1 needs the capability weight_decay; backend 'plain10' declares none"


@pytest.fixture(scope="module")
def site(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledSite:
    """The plugin of contract 1.0 beside charkit's own. Not to be changed."""
    return InstalledSite(tmp_path_factory.mktemp("site")).install(distributions / "contract-1-0")


@pytest.fixture(scope="module")
def decayed(site: InstalledSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that NumPy has trained with weight decay. Not to be changed."""
    folder = tmp_path_factory.mktemp("decayed")
    text = folder / "text.txt"
    text.write_text(
        "".join(f"{number} grey cats sat on {number % 7} mats.\n" for number in range(90)), "utf-8"
    )
    site.ok("train", text, *DECAYING, "--run", folder / "run")
    return folder / "run"


@pytest.fixture
def run(decayed: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(decayed, "run"))


def refused(message: str) -> None:
    """The message is the refusal, and names NumPy among those that could do it."""
    # An option is named as it was typed; a setting of a run by its key.
    message = message.replace("--weight-decay 0.1 needs", "optimizer.weight_decay 0.1 needs")
    assert message.startswith(f"{LACKS}; ")
    others = re.fullmatch(
        r"([\w, ]+) supports? it; use (?:--backends? \w+|`?backend='\w+'`?), for example",
        message.removeprefix(f"{LACKS}; "),
    )
    assert others is not None, message
    assert "numpy" in re.split(", | and ", others[1])


def test_the_kit_is_green_and_says_what_is_not_declared(site: InstalledSite) -> None:
    """The stages with checks of a capability, and those that they need; the guide verifies the same code whole."""
    stages = [f"--stage={stage}" for stage in ("import", "build", "forward", "loss", "optimizer")]
    verdict = site.json("verify", "--backend", "plain10", *stages)
    assert verdict["passed"] is True
    asked = {check.name for check in all_checks() if check.capability}
    assert len(asked) >= 6
    for check in verdict["checks"]:
        if check["name"] in asked:
            assert (check["status"], check["passed"]) == ("not declared", False)
            assert check["got"].startswith("not declared: capability weight_decay ")
        else:
            assert check["status"] in {"passed", "not declared"}, check


def test_it_trains_and_resumes_as_numpy_does(site: InstalledSite, text_file: Path) -> None:
    losses = {}
    for backend in ("plain10", "numpy"):
        site.ok("train", text_file, *TINY, "--max-steps=4", "--backend", backend, "--run", backend)
        losses[backend] = site.json("train", "--resume", backend, "--max-steps=8", "--backend", backend)[
            "loss"
        ]
    assert losses["plain10"] == pytest.approx(losses["numpy"], abs=1e-5)


def test_a_new_run_is_refused(site: InstalledSite, text_file: Path) -> None:
    refused(site.error("train", text_file, *DECAYING, "--backend", "plain10"))
    refused(site.error("train", text_file, *DECAYING, "--backend", "plain10", "--run", "new"))


def test_a_run_with_weight_decay_is_not_resumed_on_it(site: InstalledSite, run: Path) -> None:
    refused(site.error("train", "--resume", run, "--max-steps=8", "--backend", "plain10"))
    resumed = site.json("train", "--resume", run, "--max-steps=8", "--weight-decay=0", "--backend", "plain10")
    assert resumed["step"] == 8


def test_any_run_is_scored_and_sampled_on_it(site: InstalledSite, run: Path) -> None:
    scores = [site.json("evaluate", run, "--backend", name)["loss"] for name in ("plain10", "numpy")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    texts = [
        site.json("sample", run, "--seed=1", "--length=40", "--backend", name)["samples"]
        for name in ("plain10", "numpy")
    ]
    assert texts[0] == texts[1]


def test_a_comparison_that_names_it_is_refused(site: InstalledSite, text_file: Path, run: Path) -> None:
    refused(site.error("compare", text_file, *QUICK, "--weight-decay=0.1", "--backends=numpy,plain10"))
    refused(site.error("compare", run, "--max-steps=4", "--backends=numpy,plain10"))


def test_a_comparison_of_all_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        InstalledBackend(name, "usable", f"charkit-{name}", "1.0", ["cpu"], ["float32"], capabilities, "")
        for name, capabilities in (("numpy", ["weight_decay"]), ("plain10", []))
    ]
    monkeypatch.setattr(listing, "backends", lambda: rows)
    required = {"weight_decay": "optimizer.weight_decay 0.1"}
    for needs, labels in (({}, ["numpy", "plain10"]), (required, ["numpy"])):
        variants, notes = selection.select_variants([], ["float32"], {}, None, needs)
        assert [variant.label for variant in variants] == labels
        assert (f"{LACKS}, so it is left out" in notes) is bool(needs)


def test_a_comparison_of_all_says_why_others_are_left_out(
    monkeypatch: pytest.MonkeyPatch, text_file: Path
) -> None:
    broken = InstalledBackend("crashy", "broken", "crashy", "1.0", [], [], [], "it ended")
    usable = InstalledBackend("numpy", "usable", "charkit-numpy", "1.0", ["cpu"], ["float32"], [], "")
    monkeypatch.setattr(listing, "backends", lambda: [usable, broken])
    variants, notes = selection.select_variants([], ["bfloat16"], {}, None)
    assert not variants
    assert notes[0] == "backend 'crashy': it ended"
    assert notes[1].startswith("numpy doesn't support bfloat16, so it is left out")
    with pytest.raises(
        ConfigurationError, match=r"^no backend can take part: backend 'crashy': it ended; numpy doesn't"
    ):
        ComparisonRequest(str(text_file), {}, precisions=["bfloat16"]).run()


def test_own_layers_are_left_out_where_they_would_ignore_a_setting() -> None:
    assert available_own_layers(None, ["optimizer.weight_decay 0.1"]) == (
        [],
        ["frameworks' own layers are left out: they don't support optimizer.weight_decay 0.1"],
    )


def test_a_child_in_another_environment_fails_with_the_reason(site: InstalledSite, text_file: Path) -> None:
    elsewhere = f"plain10-elsewhere={sys.executable}"
    outcome = site(
        "compare",
        text_file,
        *QUICK,
        "--weight-decay=0.1",
        "--backends=numpy",
        "--python",
        elsewhere,
        "--json",
    )
    assert outcome.status in {0, 1}, outcome.err
    (other,) = [one for one in json.loads(outcome.out)["variants"] if one["backend"] == "plain10"]
    assert (other["status"], other["losses"]) == ("failed", [])
    refused(other["reason"])


def test_the_python_interface_refuses_it_too(site: InstalledSite, text_file: Path) -> None:
    before = snapshot(Path.cwd())
    for call in (
        "charkit.CharRNN(9, backend='plain10', weight_decay=0.1)",
        f"charkit.train({str(text_file)!r}, backend='plain10', weight_decay=0.1)",
    ):
        outcome = site.python("-c", f"import charkit; {call}")
        assert outcome.status == 1
        kind, _, message = outcome.err.splitlines()[-1].partition(": ")
        assert kind == "charkit.errors.BackendError"
        refused(message)
    assert snapshot(Path.cwd()) == before
