"""The author's guide is current: all of the contract, every stage, and what the commands print."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from charkit.backend import Backend
from charkit.testing import STAGES, all_checks
from charkit.testing.mistakes import gate_orders, mistakes
from charkit.testing.mistakes.gate_orders import KNOWN_ORDERS
from cli_support import Toolkit
from guide.pages import DOCS, blocks, table_rows
from plugin_support import InstalledSite


def masked(text: str) -> str:
    """The words of what was printed: without line breaks, and with # for every number."""
    return re.sub(r"-?\d+(\.\d+)?(e[-+]\d+)?", "#", " ".join(text.split()))


def test_it_has_all_of_the_contract(guide: str) -> None:
    methods = {
        name for name, value in vars(Backend).items() if callable(value) or isinstance(value, classmethod)
    }
    declared = set(Backend.__annotations__) | {"devices", "versions", "notices"}
    assert "`self.divides_batches`" in guide  # set by the core, so it is not among what a backend declares
    public = {name for name in methods | declared if not name.startswith("_")} - {"divides_batches"}
    assert {"tensor", "compile", "name", "bfloat16_rounds", "notices"} <= public
    names = (re.match(r"`(\w+)", cells[0]) for cells in table_rows(guide))
    named = {name[1] for name in names if name is not None}
    assert public <= named
    assert named <= public, "the guide names what the contract does not have"


def test_the_verdicts_shown_count_all_checks() -> None:
    page = (DOCS / "verifying.md").read_text("utf-8")
    counts = [
        *(
            sum(map(int, both))
            for both in re.findall(r"of (\d+) checks failed \(.*, (\d+) not declared", page)
        ),
        *(sum(map(int, both)) for both in re.findall(r"all (\d+) checks passed \((\d+) not declared", page)),
    ]
    assert counts == [len(all_checks())] * 2


def test_it_has_every_stage_in_order(guide: str) -> None:
    stages = [cells[0] for cells in table_rows(guide) if cells[0] in STAGES]
    assert stages == list(STAGES)


def test_its_gate_orders_are_those_that_the_kit_knows(guide: str) -> None:
    whose = {"TF1's": "TF1 BasicLSTMCell", "ONNX's": "ONNX LSTM", "": "charkit"}
    for order, owner in {**KNOWN_ORDERS, "ifgo": ""}.items():
        row = next(cells for cells in table_rows(guide) if cells[0] == whose[owner])
        gates = row[1].split(",")[0].split()
        assert "".join(gates).replace("j", "g").replace("c", "g") == order


def test_the_mistakes_that_it_names_are_recognized(guide: str) -> None:
    prose = " ".join(guide.split())
    known = [mistake.name for mistake in (*mistakes(), *gate_orders())]
    names = (
        "the wrong gate order",
        "a doubled bias",
        "Adam's epsilon",
        "dropout on the carried state",
        "missing gradient clipping",
    )
    for words in names:
        assert words in prose
        assert any(words in name for name in known)


def test_what_an_unfinished_backend_is_told(guide: str, toolkit: Toolkit, tmp_path: Path) -> None:
    toolkit.ok("new-backend", "mine")
    printed = (
        InstalledSite(tmp_path / "site").install(Path("charkit-mine"))("verify", "--backend", "mine").out
    )
    (block,) = [block for block in blocks(guide) if "is not finished" in block]
    assert masked(block) in masked(printed)
    typed = next(block for block in blocks(guide) if "toolkit new-backend" in block).splitlines()
    assert typed[0] == "toolkit new-backend mine"
    assert [f"    {line}" for line in typed[1:]] == toolkit.ok(
        *typed[0].split()[1:], "--out", "again"
    ).out.replace("./again", "./charkit-mine").splitlines()[-3:-1]
    (kit,) = blocks(guide, "python")
    assert (Path("charkit-mine") / "tests" / "test_conformance.py").read_text("utf-8").endswith(kit)


def test_what_a_failure_reads_like(guide: str, source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "fault")
    backend = tmp_path / "fault" / "charkit_plain" / "backend.py"
    right, wrong = "i, f, g, o = (z.columns(", "i, g, f, o = (z.columns("
    assert f"`{wrong}...`" in guide
    text = backend.read_text("utf-8")
    assert text.count(right) == 1
    backend.write_text(text.replace(right, wrong), "utf-8")
    site = InstalledSite(tmp_path / "site").install(tmp_path / "fault")
    outcome = site("verify", "--backend", "plain", "--stage", "forward")
    assert outcome.status == 1
    (block,) = [block for block in blocks(guide) if "it looks like" in block]
    assert masked(block) in masked(outcome.out)
