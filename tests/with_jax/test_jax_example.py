"""The complete backend on JAX, as its page shows it: small, correct, and without traces in the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charkit.testing import all_checks
from cli_support import TINY
from guide.pages import example_files, write_example
from plugin_support import InstalledSite

pytestmark = pytest.mark.jax

PAGE = "backend-example-jax"
MOST_LINES = 165


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> InstalledSite:
    """The example, installed; not to be changed. Compiling anew for each network takes its time."""
    source = write_example(PAGE, tmp_path_factory.mktemp("traced"))
    return InstalledSite(tmp_path_factory.mktemp("site"), patience_seconds=600).install(source)


def test_it_is_whole_and_small() -> None:
    files = example_files(PAGE)
    package = {f"charkit_traced/{name}.py" for name in ("__init__", "backend", "plugin")}
    assert set(files) == package | {"pyproject.toml"}
    assert 0 < sum(len(files[path].splitlines()) for path in package) <= MOST_LINES
    assert max(len(line) for path in package for line in files[path].splitlines()) <= 110


def test_the_kit_is_green(site: InstalledSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))  # as the page recommends
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    verdict = site.json("verify", "--backend", "traced")
    assert verdict["passed"]
    assert [check["name"] for check in verdict["checks"]] == [check.name for check in all_checks()]


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("float64", 1e-12)])
def test_it_trains_as_numpy_does(site: InstalledSite, text_file: Path, precision: str, bound: float) -> None:
    options = (text_file, *TINY, "--dropout", "0.3", "--max-steps", "8", "--precision", precision)
    ends = {
        backend: site.json("train", *options, "--weight-decay", "0.1", "--backend", backend, "--run", backend)
        for backend in ("traced", "numpy")
    }
    for loss in ("loss", "validation_loss"):
        assert ends["traced"][loss] == pytest.approx(ends["numpy"][loss], abs=bound)
    records = [json.loads(line) for line in (Path("traced") / "sessions.jsonl").read_text().splitlines()]
    assert {"jax", "jaxlib"} <= set(records[0]["versions"])


#: In a process of its own: backends of both precisions in turn, then what they left behind, and a second request.
_PROCESS = """
import json, os, sys
import numpy
from charkit import CharRNN
from charkit import plugins
import jax, jax.numpy

threads = int(sys.argv[1])
batch = numpy.zeros((2, 2, 3), numpy.int32)
models = [
    CharRNN(7, 2, 3, lstm_size=4, backend=plugins.create("traced", precision=precision, threads=threads))
    for precision in ("float64", "float32", "float64")
]
for _ in range(2):
    for model in models:
        model.train_step(*batch)
later = plugins.create("traced", threads=threads + 1)
print(json.dumps({
    "types": [str(model.weights()["output.bias"].dtype) for model in models],
    "new array": str(jax.numpy.zeros(1).dtype),
    "x64": jax.config.jax_enable_x64,
    "NPROC": os.environ.get("NPROC"),
    "threads": [model.backend.threads for model in models],
    "notices": [list(models[0].backend.notices()), list(later.notices())],
    "later": later.threads,
}))
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_it_changes_nothing_of_the_process_but_starts_jax(site: InstalledSite, threads: int) -> None:
    ended = site.python("-c", _PROCESS, str(threads))
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert found["types"] == ["float64", "float32", "float64"]
    assert (found["new array"], found["x64"], found["NPROC"]) == ("float32", False, None)
    assert found["threads"] == [threads] * 3
    assert found["later"] == threads
    assert found["notices"][0] == []
    assert f"{threads} threads" in found["notices"][1][0]
